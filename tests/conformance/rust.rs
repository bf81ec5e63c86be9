//! The Rust API, on real threads.

use crate::table::{self, Case, Script, Seen, cut, number};
use rungroup::{Completion, Error, Group, Outcome, StopToken, Stopper};
use std::collections::{HashMap, HashSet};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

pub const FEATURES: &[&str] = &[
    "async",
    "complain",
    "message",
    "nested",
    "panic",
    "process",
    #[cfg(target_pointer_width = "64")] // stacks of 2^46 bytes
    "stack",
];

const WATCHDOG: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Gates {
    open: Mutex<HashSet<String>>,
    changed: Condvar,
}

impl Gates {
    fn open(&self, gate: &str) {
        self.open.lock().unwrap().insert(gate.to_owned());
        self.changed.notify_all();
    }

    fn wait(&self, gate: &str) {
        let mut open = self.open.lock().unwrap();
        while !open.contains(gate) {
            open = self.changed.wait(open).unwrap();
        }
    }

    fn is_open(&self, gate: &str) -> bool {
        self.open.lock().unwrap().contains(gate)
    }
}

/// Reports that both closures of an actor are gone.
struct Owned(mpsc::Sender<usize>, usize);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

#[derive(Default)]
struct Log {
    executed: Vec<usize>,
    left: HashSet<usize>,
    interrupted: Vec<usize>,
    causes: Vec<(Option<usize>, i32)>,
    interrupting: usize,
    overlap: bool,
    code: i32,
}

/// What the scripts of a group act on.
struct World {
    table: table::Group,
    gates: Arc<Gates>,
    stop: StopToken,
    stopper: Stopper,
    /// Of async actors that were started and have not completed.
    completions: Mutex<HashMap<usize, Completion>>,
    /// The thread that runs the group.
    runner: Mutex<Option<thread::ThreadId>>,
    log: Mutex<Log>,
    complaints: Arc<Mutex<Vec<String>>>,
    child: Option<(Arc<World>, Mutex<Group>)>,
    released: Mutex<mpsc::Receiver<usize>>,
    accepted: AtomicUsize,
}

impl World {
    fn complain(&self, complaint: String) {
        self.complaints.lock().unwrap().push(complaint);
    }

    fn readable(&self) -> bool {
        self.poll(0)
    }

    #[allow(unsafe_code)]
    fn poll(&self, timeout: i32) -> bool {
        let mut fd = libc::pollfd {
            fd: self.stop.fd().unwrap().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&raw mut fd, 1, timeout) == 1 }
    }

    fn play(&self, script: &Script) -> Outcome {
        for action in script {
            let (verb, rest) = cut(action);
            let (first, text) = cut(rest);
            match verb {
                "open" => self.gates.open(rest),
                "wait" => self.gates.wait(rest),
                "wait-stop" => self.stop.wait(),
                "wait-fd" => assert!(self.poll(-1)),
                "return" => return Outcome::code(number(rest)),
                "fail" => {
                    let message = std::ffi::CString::new(text).unwrap().into();
                    return Outcome {
                        code: number(first),
                        message,
                    };
                }
                // Not panic!, whose hook would print it.
                "panic" => std::panic::resume_unwind(Box::new(rest.to_owned())),
                "stop" => self.stopper.stop(number(rest)),
                "complete" => assert!(self.complete(first, text), "{action}: once"),
                // A completion is gone once it was used: the compiler sees to that.
                "try" if first == "complete" => assert!(!self.complete(cut(text).0, "0")),
                "run-child" => {
                    let (child, group) = self.child.as_ref().expect("a child");
                    return Outcome::code(child.run(&mut group.lock().unwrap()));
                }
                "stop-child" => {
                    self.child
                        .as_ref()
                        .expect("a child")
                        .0
                        .stopper
                        .stop(number(rest));
                }
                "raise" => raise(rest),
                "check" => self.check(first, text),
                _ => panic!("unknown action: {action}"),
            }
        }
        Outcome::code(0)
    }

    fn complete(&self, label: &str, result: &str) -> bool {
        let at = self.table.find(label);
        let completion = self.completions.lock().unwrap().remove(&at);
        let (code, text) = cut(result);
        let returned = Outcome::new(number(code), text);
        completion
            .map(|completion| completion.complete(returned))
            .is_some()
    }

    fn check(&self, what: &str, which: &str) {
        let left = || {
            self.log
                .lock()
                .unwrap()
                .left
                .contains(&self.table.find(which))
        };
        let good = match what {
            "stopping" => self.stop.is_stopping() && self.stop.wait_timeout(Duration::ZERO),
            "not-stopping" => !self.stop.is_stopping() && !self.stop.wait_timeout(Duration::ZERO),
            "fd" => self.readable(),
            "not-fd" => !self.readable(),
            "left" => left(),
            "not-left" => !left(),
            "open" => self.gates.is_open(which),
            "closed" => !self.gates.is_open(which),
            _ => panic!("unknown check: {what}"),
        };
        if !good {
            self.complain(format!("check {what} {which} failed"));
        }
    }

    fn execute(&self, at: usize) -> Outcome {
        self.log.lock().unwrap().executed.push(at);
        let left = Left(self, at);
        let outcome = self.play(&self.table.actors[at].execute);
        drop(left);
        outcome
    }

    fn start(&self, at: usize, completion: Completion) {
        let runs = *self.runner.lock().unwrap() == Some(thread::current().id());
        if !runs && self.table.grace.is_none() {
            self.complain(format!("start of {at} on another thread"));
        }
        self.log.lock().unwrap().executed.push(at);
        self.completions.lock().unwrap().insert(at, completion);
        self.play(&self.table.actors[at].start);
    }

    fn interrupt(&self, at: usize, cause: &rungroup::Cause<'_>) -> Result<(), String> {
        {
            let mut log = self.log.lock().unwrap();
            log.interrupted.push(at);
            log.causes.push((cause.index(), cause.code()));
            log.overlap |= log.interrupting > 0;
            log.interrupting += 1;
        }
        let _out = Out(self);
        let outcome = self.play(&self.table.actors[at].interrupt);
        match outcome.message.to_str() {
            Ok("") => Ok(()),
            said => Err(said.unwrap().to_owned()),
        }
    }

    fn run(&self, group: &mut Group) -> i32 {
        *self.runner.lock().unwrap() = Some(thread::current().id());
        let code = group.run().map_or_else(|error| error.code(), |()| 0);
        self.log.lock().unwrap().code = code;
        code
    }

    /// Compares what is expected of a group that has run.
    fn compare(&self, group: &Group) {
        let report = group.report();
        let log = self.log.lock().unwrap();
        let cause = report
            .cause()
            .map(|cause| (cause.index(), cause.code(), cause.message().to_owned()));
        let same = |handed: &(Option<usize>, i32)| {
            cause
                .as_ref()
                .is_some_and(|(index, code, _)| handed == &(*index, *code))
        };
        if !log.causes.iter().all(same) {
            self.complain(format!("interrupted with other causes: {:?}", log.causes));
        }
        let wrong = self.table.compare(&Seen {
            code: log.code,
            cause,
            records: report.records(),
            interrupted: &log.interrupted,
            overlap: log.overlap,
        });
        self.complaints.lock().unwrap().extend(wrong);
    }

    /// Once the stuck ones have been let go: who was called, and released.
    fn count(&self) {
        let released = self.released.lock().unwrap();
        let mut gone: Vec<usize> = Vec::new();
        while gone.len() < self.accepted.load(SeqCst) {
            gone.push(
                released
                    .recv_timeout(WATCHDOG)
                    .expect("every actor is released"),
            );
        }
        gone.sort_unstable();
        let counted = |(at, actor): (usize, &table::Actor)| {
            (actor.refused == 0 && actor.signals.is_empty()).then_some(at)
        };
        let all: Vec<_> = self
            .table
            .actors
            .iter()
            .enumerate()
            .filter_map(counted)
            .collect();
        let log = self.log.lock().unwrap();
        let called = if self.table.expects("nothing") {
            &[][..]
        } else {
            &all
        };
        for (what, got) in [("execute", &log.executed), ("interrupt", &log.interrupted)] {
            let mut got = got.clone();
            got.sort_unstable();
            if got != called {
                self.complain(format!("{what} was called of {got:?}"));
            }
        }
        if gone != all {
            self.complain(format!("released: {gone:?}"));
        }
    }
}

/// An execute's script ended, maybe by a panic.
struct Left<'a>(&'a World, usize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.log.lock().unwrap().left.insert(self.1);
    }
}

/// The same for an interrupt's.
struct Out<'a>(&'a World);

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.0.log.lock().unwrap().interrupting -= 1;
    }
}

#[allow(unsafe_code)]
fn raise(name: &str) {
    // SAFETY: kill and getpid have no preconditions.
    unsafe { libc::kill(libc::getpid(), signal(name)) };
}

fn signal(name: &str) -> i32 {
    match name {
        "SIGINT" => libc::SIGINT,
        "SIGTERM" => libc::SIGTERM,
        _ => panic!("unknown signal: {name}"),
    }
}

fn build(
    table: &table::Group,
    gates: &Arc<Gates>,
    complaints: &Arc<Mutex<Vec<String>>>,
) -> (Arc<World>, Group) {
    let mut builder = Group::builder().order(table.order);
    if let Some(grace) = table.grace {
        builder = builder.grace(Duration::from_millis(grace));
    }
    let mut group = builder.build();
    let (sender, released) = mpsc::channel();
    let world = Arc::new(World {
        table: table.clone(),
        gates: gates.clone(),
        stop: group.stop_token(),
        stopper: group.stopper(),
        completions: Mutex::default(),
        runner: Mutex::default(),
        log: Mutex::default(),
        complaints: complaints.clone(),
        child: table.child.as_ref().map(|child| {
            let (world, group) = build(child, gates, complaints);
            (world, Mutex::new(group))
        }),
        released: Mutex::new(released),
        accepted: AtomicUsize::new(0),
    });
    for (at, actor) in table.actors.iter().enumerate() {
        if !actor.signals.is_empty() {
            let signals: Vec<_> = actor.signals.iter().map(|name| signal(name)).collect();
            group.add_signals(&signals).expect("signals");
            continue;
        }
        let owned = Arc::new(Owned(sender.clone(), at));
        let (ours, theirs) = ((owned.clone(), world.clone()), (owned, world.clone()));
        let interrupt = move |cause: &rungroup::Cause<'_>| {
            let (_owned, world) = &theirs; // the whole pair is captured
            world.interrupt(at, cause)
        };
        let builder = group.actor(actor.name.clone()).stack_size(actor.stack);
        let added = match actor.is_async {
            true => builder.add_async(
                move |completion| {
                    let (_owned, world) = &ours;
                    world.start(at, completion);
                },
                interrupt,
            ),
            false => builder.add(
                move || {
                    let (_owned, world) = &ours;
                    world.execute(at)
                },
                interrupt,
            ),
        };
        let code = added.map_or_else(Error::code, |_| 0);
        if code != actor.refused {
            world.complain(format!("adding {} gave {code}", actor.label));
        }
        if code == 0 {
            world.accepted.fetch_add(1, SeqCst);
        } else {
            // Handed over, and dropped with the refusal.
            let gone = world.released.lock().unwrap().try_recv();
            if gone != Ok(at) {
                world.complain(format!("{} was refused and leaked", actor.label));
            }
        }
    }
    (world, group)
}

/// Runs a case on a thread of its own, so that a hang becomes a failure.
pub fn run(case: &Case) -> Vec<String> {
    let (sender, done) = mpsc::channel();
    let group = case.group.clone();
    let runner = thread::spawn(move || sender.send(run_group(&group)));
    match done.recv_timeout(WATCHDOG) {
        Ok(complaints) => complaints,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{} hangs", case.name),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = runner.join().expect_err("it sends or panics");
            std::panic::resume_unwind(panic)
        }
    }
}

fn run_group(table: &table::Group) -> Vec<String> {
    let gates = Arc::new(Gates::default());
    let complaints = Arc::default();
    let (world, mut group) = build(table, &gates, &complaints);
    world.play(&table.before);
    let outside = table.outside.iter().map(|script| {
        let (world, script) = (world.clone(), script.clone());
        let late = script.contains(&"wait end".to_owned());
        (late, thread::spawn(move || drop(world.play(&script))))
    });
    let (late, outside): (Vec<_>, Vec<_>) = outside.partition(|(late, _)| *late);
    world.run(&mut group);
    for action in &table.after {
        match cut(action) {
            ("try", misuse) => {
                let (what, error) = cut(misuse);
                let got = match what {
                    "run" => group.run().map_or_else(|error| error.code(), |()| 0),
                    "add" => {
                        let added = group.add("late", || (), rungroup::interrupt_none);
                        added.map_or_else(Error::code, |_| 0)
                    }
                    _ => panic!("unknown try: {what}"),
                };
                if got != number(error) {
                    world.complain(format!("try {what} gave {got}"));
                }
            }
            _ => drop(world.play(&vec![action.clone()])),
        }
    }
    let join = |(_, thread): (bool, thread::JoinHandle<()>)| thread.join().unwrap();
    outside.into_iter().for_each(join);
    world.compare(&group);
    // Rule 11: stuck actors outlive the group.
    drop(group);
    gates.open("end");
    if let Some((child, group)) = &world.child {
        let mut group = group.lock().unwrap();
        child.compare(&group);
        drop(std::mem::take(&mut *group));
        child.count();
    }
    late.into_iter().for_each(join);
    world.count();
    let found = complaints.lock().unwrap();
    found.clone()
}
