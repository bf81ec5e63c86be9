//! The clock, the barrier of `bar`, and the command line that ../../README.md
//! describes.

use std::io::{self, BufRead};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::Instant;
use tokio::sync::Notify;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
static ACTORS: AtomicUsize = AtomicUsize::new(0);
static WAIT_FOR_ALL: AtomicBool = AtomicBool::new(false);
static MEASURE_MEMORY: AtomicBool = AtomicBool::new(false);

// Of the cycle in hand.
static FIRST_AT: AtomicI64 = AtomicI64::new(0);
static RETURNED_AT: AtomicI64 = AtomicI64::new(0);
static ENDED_AT: AtomicI64 = AtomicI64::new(0);
static MEMORY: Mutex<(i64, i64)> = Mutex::new((0, 0));

static STARTED: Mutex<usize> = Mutex::new(0);
static ALL_STARTED: Condvar = Condvar::new();
static TASKS_STARTED: AtomicUsize = AtomicUsize::new(0);
static ALL_TASKS_STARTED: Notify = Notify::const_new();

fn now() -> i64 {
    ORIGIN.elapsed().as_nanos() as i64
}

pub fn actors() -> usize {
    ACTORS.load(SeqCst)
}

/// By each thread that waits, first of all.
pub fn note_start() {
    if WAIT_FOR_ALL.load(SeqCst) {
        let mut started = STARTED.lock().unwrap();
        *started += 1;
        if *started == 1 {
            FIRST_AT.store(now(), SeqCst);
        }
        if *started == actors() {
            ALL_STARTED.notify_one();
        }
    }
}

/// By the thread that returns, first of all: when it may.
pub fn await_start() {
    note_start();
    if WAIT_FOR_ALL.load(SeqCst) {
        let mut started = STARTED.lock().unwrap();
        while *started < actors() {
            started = ALL_STARTED.wait(started).unwrap();
        }
    }
    returning();
}

/// The same for tasks.
pub fn note_task() {
    if WAIT_FOR_ALL.load(SeqCst) {
        let before = TASKS_STARTED.fetch_add(1, SeqCst);
        if before == 0 {
            FIRST_AT.store(now(), SeqCst);
        }
        if before + 1 == actors() {
            ALL_TASKS_STARTED.notify_one();
        }
    }
}

pub async fn await_tasks() {
    note_task();
    if WAIT_FOR_ALL.load(SeqCst) {
        while TASKS_STARTED.load(SeqCst) < actors() {
            ALL_TASKS_STARTED.notified().await;
        }
    }
    returning();
}

fn returning() {
    if MEASURE_MEMORY.load(SeqCst) {
        *MEMORY.lock().unwrap() = memory();
    }
    let now = now();
    RETURNED_AT.store(now, SeqCst);
    if !WAIT_FOR_ALL.load(SeqCst) {
        FIRST_AT.store(now, SeqCst);
    }
}

/// By the system, when all have returned.
pub fn ended() {
    ENDED_AT.store(now(), SeqCst);
}

/// Bytes resident and mapped.
fn memory() -> (i64, i64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: Vec<i64> = text
        .split(' ')
        .take(2)
        .map(|n| n.parse().unwrap())
        .collect();
    (pages[1] * 4096, pages[0] * 4096)
}

fn cycle(system: fn()) -> [i64; 3] {
    *STARTED.lock().unwrap() = 0;
    TASKS_STARTED.store(0, SeqCst);
    let began = now();
    system();
    [
        now() - began,
        ENDED_AT.load(SeqCst) - RETURNED_AT.load(SeqCst),
        FIRST_AT.load(SeqCst) - began,
    ]
}

fn round(system: fn(), cycles: usize) {
    if MEASURE_MEMORY.load(SeqCst) {
        let before = memory();
        cycle(system);
        let within = MEMORY.lock().unwrap();
        println!("{} {}", within.0 - before.0, within.1 - before.1);
        return;
    }
    let all: Vec<_> = (0..cycles).map(|_| cycle(system)).collect();
    let median = |part: usize| {
        let mut times: Vec<_> = all.iter().map(|times| times[part]).collect();
        times.sort_unstable();
        times[cycles / 2]
    };
    println!("{} {} {}", median(0), median(1), median(2));
}

pub fn main(systems: &[(&str, fn())]) {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, actors, mode, rounds, rest @ ..] = &arguments[..] else {
        panic!("usage: cycle SYSTEM N bar|imm|mem ROUNDS|- [CYCLES]");
    };
    let system = systems.iter().find(|system| system.0 == name);
    let system = system.expect("no such system").1;
    ACTORS.store(actors.parse().unwrap(), SeqCst);
    MEASURE_MEMORY.store(mode == "mem", SeqCst);
    WAIT_FOR_ALL.store(mode != "imm", SeqCst);
    let cycles = rest.first().map_or(1, |cycles| cycles.parse().unwrap());
    if rounds == "-" {
        for _line in io::stdin().lock().lines() {
            round(system, cycles);
        }
    } else {
        for _ in 0..rounds.parse().unwrap() {
            round(system, cycles);
        }
    }
}
