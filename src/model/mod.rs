//! The shell under a model checker: the real code, from the C functions down to
//! the locks, on threads whose every step is chosen.
//!
//! `cargo test` with `--cfg rungroup_model` puts `sync.rs` and `thread.rs` of
//! this directory in the place of those of the library; `explore` chooses the
//! steps, `latch`, `inbox` and `group` are the tests. `make model` runs them whole, `make
//! test` a part.
//!
//! Shuttle and not loom: a run of three actors has up to nine threads, loom
//! allows five; loom's condition variables never time out; and its locks cannot
//! be statics. What shuttle lacks, every schedule within a bound, is `explore`.
//! What only loom has, weak memory, is not needed: what matters is sequentially
//! consistent. What is weaker is ordered by something that is not: a slot's
//! contents by the inbox's head, the gate's crowd by its word, flags of a run by
//! the state's lock.

mod explore;
mod group;
mod inbox;
mod latch;
#[cfg(not(rungroup_sanitized))] // AddressSanitizer sees more
mod poison;

use crate::run::threads;
use crate::sync;
use crate::sys::{event, thread};
use explore::Explore;
use shuttle::scheduler::{PctScheduler, Scheduler};
use shuttle::{Config, Runner};
use std::os::fd::RawFd;
use std::sync::Mutex;
use std::time::Instant;

/// How far a test goes.
struct Depth {
    /// Detours, in `make test` and in `make model`.
    detours: [usize; 2],
    /// Random schedules in `make model`; in `make test` a hundredth of them.
    random: usize,
}

fn readable(fd: RawFd) -> bool {
    event::poll_readable(&[fd], Some(sync::now())) == Ok(Some(0))
}

fn whole() -> bool {
    std::env::var_os("MODEL").is_some_and(|model| model == "whole")
}

/// Runs it in every schedule of so many detours, then in random ones.
fn check(name: &str, depth: Depth, body: impl Fn() + Send + Sync + Clone + 'static) {
    // The library's statics are there once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let began = Instant::now();
    let detours = depth.detours[usize::from(whole())];
    let every = run(Explore::new(detours), body.clone());
    let random = match depth.random / if whole() { 1 } else { 100 } {
        0 => 0,
        random => run(PctScheduler::new(4, random), body),
    };
    let bound = match detours {
        usize::MAX => "all".to_owned(),
        detours => format!("{detours} detours"),
    };
    println!(
        "model: {name}: {every} schedules ({bound}), {random} random, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

fn run(scheduler: impl Scheduler + 'static, body: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    config.max_steps = shuttle::MaxSteps::FailAfter(20_000);
    Runner::new(scheduler, config).run(move || {
        thread::begin();
        body();
        // What was stuck may be on its last steps.
        while thread::handles() > 0 {
            shuttle::thread::yield_now();
            threads::reap();
        }
        assert_eq!(sync::sleepers(), 0, "threads that still sleep");
    })
}
