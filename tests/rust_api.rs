//! What the Rust API adds to the contract: Rust errors, panics, closures'
//! lifetimes.

use rungroup::{Error, Group, Order, interrupt_none};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[derive(Debug, PartialEq)]
struct Full(u32);

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "disk {} is full", self.0)
    }
}

impl std::error::Error for Full {}

#[test]
fn the_first_actors_own_error_comes_back() {
    let mut group = Group::new();
    let stop = group.stop_token();
    group
        .add("log", move || stop.wait(), interrupt_none)
        .unwrap();
    group
        .add("db", || Err::<(), _>(Full(3)), interrupt_none)
        .unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(
        (error.code(), error.actor(), error.message()),
        (1, Some("db"), "disk 3 is full")
    );
    // The text of the source is the source's to say; `{:?}` has all.
    assert_eq!(error.to_string(), "actor \"db\" failed");
    assert_eq!(format!("{error:?}"), "actor \"db\" failed: disk 3 is full");
    assert_eq!(error.downcast_ref(), Some(&Full(3)));
    let error = error.downcast::<std::fmt::Error>().unwrap_err();
    assert_eq!(*error.downcast::<Full>().unwrap(), Full(3));
    assert!(
        group
            .report()
            .to_string()
            .starts_with("rungroup: ended by \"db\" with code 1")
    );
}

#[test]
fn a_later_actors_error_is_kept() {
    let mut group = Group::new();
    let stop = group.stop_token();
    let late = move || {
        stop.wait();
        Err::<(), _>(Full(9))
    };
    let index = group.add("late", late, interrupt_none).unwrap();
    group.add("first", || (), interrupt_none).unwrap();
    group.run().unwrap();
    assert_eq!(
        group.take_error(index).unwrap().downcast_ref(),
        Some(&Full(9))
    );
}

#[test]
fn panics_are_returns() {
    let mut group = Group::new();
    let stop = group.stop_token();
    group
        .add("a", || -> i32 { panic!("no {}", "luck") }, interrupt_none)
        .unwrap();
    group
        .add("b", move || stop.wait(), |_| panic!("neither here"))
        .unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.code(), Error::Panic.code());
    assert_eq!(error.message(), "no luck");
    let report = group.report();
    assert_eq!(report.actor(1).unwrap().complaint(), Some("neither here"));
}

#[test]
fn interrupts_learn_the_cause() {
    let (seen, causes) = mpsc::channel();
    let mut group = Group::new();
    for name in ["x", "y"] {
        let (seen, stop) = (seen.clone(), group.stop_token());
        let interrupt = move |cause: &rungroup::Cause<'_>| {
            let actor = cause.actor().map(str::to_owned);
            seen.send((
                cause.code(),
                actor,
                cause.message().to_owned(),
                cause.index(),
            ))
            .unwrap();
        };
        group.add(name, move || stop.wait(), interrupt).unwrap();
    }
    group
        .add("z", || Err::<(), _>("enough"), interrupt_none)
        .unwrap();
    group.run().unwrap_err();
    let expected = (1, Some("z".to_owned()), "enough".to_owned(), Some(2));
    assert_eq!(
        causes.try_iter().collect::<Vec<_>>(),
        [expected.clone(), expected]
    );
}

#[test]
fn a_stop_from_outside() {
    let mut group = Group::builder().order(Order::Reverse).build();
    let (stop, stopper) = (group.stop_token(), group.stopper());
    let other = stopper.clone();
    let waits = move || {
        other.stop(4);
        stop.wait();
    };
    group.add("waits", waits, interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert_eq!((error.code(), error.actor()), (4, None));
    drop(group);
    stopper.stop(5); // nobody there any more
}

#[test]
fn stuck_actors_are_named_and_their_closures_outlive_the_group() {
    let (release, gate) = mpsc::channel::<()>();
    let (dropped, drops) = mpsc::channel();
    struct Tell(mpsc::Sender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let mut group = Group::builder().grace(Duration::from_millis(500)).build();
    let tell = Tell(dropped);
    group.add("quick", || (), move |_| drop(tell)).unwrap();
    group
        .add(
            "hangs",
            move || gate.recv().unwrap_or_default(),
            interrupt_none,
        )
        .unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.code(), Error::TimedOut.code());
    assert_eq!(error.stuck(), ["hangs"]);
    drop(group);
    drop(release);
    drops.recv_timeout(Duration::from_secs(30)).unwrap();
}

/// Whatever it reads while actors return, a report is of one moment. (What the threads
/// do without a lock is ThreadSanitizer's to find.)
#[test]
fn a_report_may_be_taken_at_any_moment() {
    for _ in 0..200 {
        let mut group = Group::new();
        for name in ["a", "b", "c"] {
            group.add(name, || (), interrupt_none).unwrap();
        }
        group.start().unwrap();
        loop {
            let report = group.report();
            let returned = report
                .actors()
                .filter(|actor| actor.code().is_some())
                .count();
            assert!(report.cause().is_some() == (returned > 0));
            if report.code().is_some() {
                assert_eq!(returned, 3);
                break;
            }
        }
        group.wait().unwrap();
    }
}

/// Its stack is the C library's, so that its thread is detached, and frees what it shared
/// with the run: when it has ended by itself, without a word from this thread.
#[test]
#[cfg(target_pointer_width = "64")] // or there may be no room
fn a_stuck_actor_with_a_vast_stack_ends_by_itself() {
    let (dropped, drops) = mpsc::channel::<()>();
    let mut group = Group::builder().grace(Duration::ZERO).build();
    group.add("returns", || (), interrupt_none).unwrap();
    let sleeps = move || {
        let _dropped = dropped;
        thread::sleep(Duration::from_millis(50));
    };
    let vast = group.actor("vast").stack_size((1 << 30) + (1 << 20));
    vast.add(sleeps, interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert!(error.stuck().contains(&"vast".to_owned()));
    drop(group);
    assert_eq!(
        drops.recv_timeout(Duration::from_secs(30)),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn a_group_that_refused_an_actor_does_not_run() {
    let mut group = Group::new();
    group.add("works", || (), interrupt_none).unwrap();
    assert_eq!(group.add_signals(&[9]), Err(Error::Invalid));
    let error = group.run().unwrap_err();
    assert_eq!(error.code(), Error::Invalid.code());
    let said = error.to_string();
    assert!(
        said.contains("an actor was refused after 1 were added"),
        "{said}"
    );
}

#[test]
fn closures_are_dropped_once_whether_they_ran_or_not() {
    let count = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let actor = || {
        let (a, b) = (Count(count.clone()), Count(count.clone()));
        (move || drop(a), move |_: &rungroup::Cause<'_>| drop(b))
    };
    let mut group = Group::new();
    let (execute, interrupt) = actor();
    group.add("ran", execute, interrupt).unwrap();
    group.run().unwrap();
    let (execute, interrupt) = actor();
    assert_eq!(group.add("refused", execute, interrupt), Err(Error::State));
    drop(group);
    let mut idle = Group::new();
    let (execute, interrupt) = actor();
    idle.add("never ran", execute, interrupt).unwrap();
    drop(idle);
    assert_eq!(count.load(Ordering::SeqCst), 6);
}

#[test]
fn misuse_is_an_error() {
    let mut group = Group::new();
    assert_eq!(
        group.add("x".repeat(256), || (), interrupt_none),
        Err(Error::Invalid)
    );
    assert_eq!(
        group.add("a\0b", || (), interrupt_none),
        Err(Error::Invalid)
    );
    assert_eq!(group.add_signals(&[libc::SIGKILL]), Err(Error::Invalid));
    let mut group = Group::new();
    group.add("", || (), interrupt_none).unwrap();
    group.run().unwrap();
    assert_eq!(group.run().unwrap_err().code(), Error::State.code());
    assert_eq!(group.add_signals(&[]), Err(Error::State));
}

#[test]
#[cfg(target_pointer_width = "64")] // or there is no such size
fn a_thread_that_cannot_be_had_starts_nothing() {
    let mut group = Group::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let run = ran.clone();
    let count = move || _ = run.fetch_add(1, Ordering::SeqCst);
    group.add("small", count, interrupt_none).unwrap();
    group
        .actor("huge")
        .stack_size(1 << 46)
        .add(|| (), interrupt_none)
        .unwrap();
    for _ in 0..2 {
        let error = group.run().unwrap_err();
        assert_eq!(error.code(), Error::Spawn.code());
        let said = error.to_string();
        let start = "the group was not run: no thread for \"huge\": ";
        assert!(
            said.starts_with(start) && said.len() > start.len(),
            "{said}"
        );
        assert!(
            format!("{error:?}").contains("Raise the limit"),
            "{error:?}"
        );
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn the_stop_token_wakes_a_timed_wait() {
    let mut group = Group::new();
    let (a, b) = (group.stop_token(), group.stop_token());
    assert!(!a.is_stopping() && !a.wait_timeout(Duration::ZERO));
    group
        .add(
            "a",
            move || assert!(a.wait_timeout(Duration::from_secs(600))),
            interrupt_none,
        )
        .unwrap();
    group.add("b", || (), interrupt_none).unwrap();
    group.run().unwrap();
    assert!(b.is_stopping() && b.fd().is_ok());
}

#[test]
fn what_ended_it_is_told_in_a_sentence() {
    use std::error::Error as _;

    let mut failed = Group::new();
    failed
        .add("db", || Err::<i32, _>(Full(4)), interrupt_none)
        .unwrap();
    let error = failed.run().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "disk 4 is full");
    assert_eq!(failed.report().code(), Some(1));

    let mut coded = Group::new();
    coded
        .add("db", || Ok::<_, Full>(4), interrupt_none)
        .unwrap();
    let error = coded.run().unwrap_err();
    assert!(error.source().is_none());
    assert_eq!(
        error.to_string(),
        "actor \"db\" ended the group with code 4"
    );

    let mut stopped = Group::default();
    stopped.add("db", || (), interrupt_none).unwrap();
    stopped.stopper().stop(9);
    let error = stopped.run().unwrap_err();
    assert_eq!(error.to_string(), "the group was stopped with code 9");
}

#[test]
fn stuck_actors_are_named_in_the_sentence() {
    let mut group = Group::builder().grace(Duration::ZERO).build();
    let (gate, opened) = mpsc::channel::<()>();
    group
        .add("deaf", move || _ = opened.recv(), interrupt_none)
        .unwrap();
    group.add("first", || 3, interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.code(), Error::TimedOut.code());
    // Under such a grace the others may be late as well.
    assert!(error.stuck().iter().any(|name| name == "deaf"));
    let stuck = error.stuck().join(", ");
    let sentence = "actor \"first\" ended the group with code 3; stuck when the grace was over";
    assert_eq!(error.to_string(), format!("{sentence}: {stuck}"));
    assert_eq!(error.exit_code(), 3);
    drop(gate);
}

#[test]
fn a_group_shows_itself() {
    let mut group = Group::new();
    group.add("one", || (), interrupt_none).unwrap();
    assert_eq!(format!("{group:?}"), "Group { actors: 1, .. }");
    assert_eq!(format!("{:?}", group.stopper()), "Stopper");
}

#[test]
fn without_a_service_manager_its_actor_waits() {
    let mut group = Group::new();
    assert_eq!(group.add_systemd(), Ok(0));
    let asked = std::env::var_os("NOTIFY_SOCKET");
    assert_eq!(asked, None, "this test is not for a service");
    group.add("ends", || 3, interrupt_none).unwrap();
    assert_eq!(group.run().unwrap_err().actor(), Some("ends"));
}

/// Takes so many pieces, and no more.
struct Narrow(usize);

impl std::fmt::Write for Narrow {
    fn write_str(&mut self, _: &str) -> std::fmt::Result {
        self.0 = self.0.checked_sub(1).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    use std::fmt::Write;

    let early = {
        let mut group = Group::new();
        group.add("never", || (), interrupt_none).unwrap();
        group.report()
    };
    let stopped = {
        let mut group = Group::new();
        group.add("never", || (), interrupt_none).unwrap();
        group.stopper().stop(1);
        group.run().unwrap_err();
        group.report()
    };
    let ended = {
        let mut group = Group::new();
        group.add("ends", || 3, interrupt_none).unwrap();
        group.run().unwrap_err();
        group.report()
    };
    for report in [early, stopped, ended] {
        let takes = |pieces| write!(Narrow(pieces), "{report}").is_ok();
        let enough = (0..1000).find(|&pieces| takes(pieces)).unwrap();
        assert!(enough > 1 && takes(enough + 1));
    }
}
