//! Actors in every form that the Rust API has, and the run in two halves.

use rungroup::{
    ActorState, Cause, Completion, Error, EventKind, Exit, Group, Outcome, StopToken, Stuck,
    current_actor, interrupt_none,
};
use std::os::fd::AsRawFd;
use std::process::{ExitCode, Termination};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Only a hang meets it.
const WATCHDOG: Duration = Duration::from_secs(60);

fn serve(stop: StopToken) -> std::io::Result<()> {
    stop.wait();
    Err(std::io::Error::other("late"))
}

#[test]
fn an_execute_takes_the_token_or_nothing() {
    let mut group = Group::new();
    let token = group.stop_token();
    group
        .add("closure", |stop: StopToken| stop.wait(), interrupt_none)
        .unwrap();
    let function = group.add("function", serve, interrupt_none).unwrap();
    group
        .add("captured", move || token.wait(), interrupt_none)
        .unwrap();
    group
        .add(
            "codes",
            |stop: StopToken| i32::from(stop.is_stopping()),
            interrupt_none,
        )
        .unwrap();
    group.run().unwrap();
    let late = group.take_error(function).unwrap();
    assert!(late.downcast_ref::<std::io::Error>().is_some());
}

#[test]
fn an_execute_may_never_return() {
    // What is written without a type, and what with it.
    let mut group = Group::new();
    group
        .add("inferred", || panic!("no luck"), interrupt_none)
        .unwrap();
    assert_eq!(group.run().unwrap_err().message(), "no luck");
    let mut group = Group::new();
    group
        .add("written", || -> ! { panic!("no luck") }, interrupt_none)
        .unwrap();
    assert_eq!(group.run().unwrap_err().message(), "no luck");
    let mut group = Group::new();
    let never = |stop: StopToken| -> Result<std::convert::Infallible, &str> {
        stop.wait();
        Err("stopped")
    };
    let never = move |stop: StopToken| never(stop).map(|never| match never {});
    group.add("with an error", never, interrupt_none).unwrap();
    group.stopper().stop(2);
    assert_eq!(group.run().unwrap_err().code(), 2);
}

#[test]
fn an_outcome_has_a_code_and_a_message() {
    let mut group = Group::new();
    group
        .add("says", || Outcome::new(5, "five"), interrupt_none)
        .unwrap();
    let error = group.run().unwrap_err();
    assert_eq!((error.code(), error.message()), (5, "five"));
    assert_eq!(
        error.to_string(),
        "actor \"says\" ended the group with code 5: five"
    );
}

#[test]
fn an_interrupt_may_complain() {
    let mut group = Group::new();
    let complains = |_: &Cause<'_>| Err::<(), _>("no such socket");
    let panics = |_: &Cause<'_>| panic!("no luck");
    group.add("a", || (), complains).unwrap();
    group.add("b", || (), panics).unwrap();
    group.add("c", || (), |_| Ok::<(), Error>(())).unwrap();
    group.run().unwrap();
    let report = group.report();
    let complaints: Vec<_> = report.actors().map(|actor| actor.complaint()).collect();
    assert_eq!(complaints, [Some("no such socket"), Some("no luck"), None]);
}

#[test]
fn an_errors_sources_are_in_the_message() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bad port")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let mut group = Group::new();
    group
        .add("http", || "x".parse::<i32>().map_err(Outer), interrupt_none)
        .unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.message(), "bad port: invalid digit found in string");
    assert_eq!(
        format!("{error:?}"),
        "actor \"http\" failed: bad port: invalid digit found in string"
    );
    assert!(format!("{error:#?}").starts_with("RunError {"));
}

#[test]
fn a_group_inside_keeps_its_code_and_error() {
    let mut inner = Group::new();
    inner.add("deep", || 9, interrupt_none).unwrap();
    let stopper = inner.stopper();
    let mut outer = Group::new();
    outer
        .add("inner", move || inner.run(), move |_| stopper.stop(0))
        .unwrap();
    let error = outer.run().unwrap_err();
    assert_eq!(
        (error.code(), error.exit_code(), error.signal()),
        (9, 9, None)
    );
    let inner = error.downcast_ref::<rungroup::RunError>().unwrap();
    assert_eq!(inner.actor(), Some("deep"));
}

#[test]
fn an_async_actor_completes_from_anywhere() {
    let (hand_over, handed) = mpsc::channel::<Completion>();
    let mut group = Group::new();
    let start = move |done| hand_over.send(done).unwrap();
    group.add_async("elsewhere", start, interrupt_none).unwrap();
    let worker = thread::spawn(move || {
        let done = handed.recv().unwrap();
        assert!(format!("{done:?}").contains("index: 0"));
        done.complete(Err::<(), _>(std::io::Error::other("gone")));
    });
    let error = group.run().unwrap_err();
    assert_eq!(error.to_string(), "actor \"elsewhere\" failed");
    assert!(error.downcast_ref::<std::io::Error>().is_some());
    worker.join().unwrap();
}

#[test]
fn a_completion_that_is_dropped_ends_the_group() {
    let mut group = Group::new();
    group.add_async("forgets", drop, interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.code(), Error::Panic.code());
    assert_eq!(
        error.message(),
        "the actor's completion was dropped without a result"
    );
    let mut group = Group::new();
    let panics = |_done: Completion| panic!("no luck");
    group.add_async("panics", panics, interrupt_none).unwrap();
    assert_eq!(group.run().unwrap_err().message(), "no luck");
    // Also where somebody else has it already.
    let (hand_over, handed) = mpsc::channel::<Completion>();
    let mut group = Group::new();
    let panics = move |done| {
        hand_over.send(done).unwrap();
        panic!("no luck")
    };
    group.add_async("panics", panics, interrupt_none).unwrap();
    assert_eq!(group.run().unwrap_err().message(), "no luck");
    handed.recv().unwrap().complete(4);
}

#[test]
fn an_async_actor_that_was_let_go_completes_later() {
    let (hand_over, handed) = mpsc::channel::<Completion>();
    let (gone, dropped) = mpsc::channel::<()>();
    let mut group = Group::builder().grace(Duration::ZERO).build();
    let start = move |done| hand_over.send(done).unwrap();
    group.add_async("late", start, move |_| drop(gone)).unwrap();
    group.add("first", || (), interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert!(error.stuck().contains(&"late".to_owned()), "{error}");
    drop(group);
    handed.recv().unwrap().complete(());
    // The interrupt's closure is dropped with the rest of the group.
    let end = dropped.recv_timeout(WATCHDOG);
    assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
}

fn readable(fd: std::os::fd::BorrowedFd<'_>, timeout: i32) -> bool {
    let mut polled = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid entry.
    #[allow(unsafe_code)]
    let ready = unsafe { libc::poll(&raw mut polled, 1, timeout) };
    ready == 1
}

#[test]
fn a_run_in_two_halves() {
    let mut group = Group::new();
    assert_eq!(group.wait().unwrap_err().code(), Error::State.code());
    group
        .add("waits", |stop: StopToken| stop.wait(), interrupt_none)
        .unwrap();
    let stopper = group.stopper();
    group.start().unwrap();
    assert_eq!(group.start(), Err(Error::State));
    assert!(group.wait_timeout(Duration::ZERO).is_none());
    assert!(!readable(group.done_fd().unwrap(), 0));
    stopper.stop(4);
    assert!(readable(group.done_fd().unwrap(), -1));
    let (first, second) = (group.wait(), group.wait_timeout(WATCHDOG).unwrap());
    for end in [first, second] {
        assert_eq!(
            end.unwrap_err().to_string(),
            "the group was stopped with code 4"
        );
    }
    assert_eq!(group.run().unwrap_err().code(), Error::State.code());
}

#[test]
fn a_group_that_runs_is_stopped_when_it_is_dropped() {
    let (ended, end) = mpsc::channel();
    let mut group = Group::new();
    let waits = move |stop: StopToken| {
        stop.wait();
        ended.send(()).unwrap();
    };
    group.add("waits", waits, interrupt_none).unwrap();
    group.start().unwrap();
    drop(group);
    // Not later: the drop has waited.
    end.try_recv().unwrap();
}

#[test]
fn a_group_may_be_dropped_by_its_own_actor() {
    let (hand_over, handed) = mpsc::channel::<Group>();
    let (gone, dropped) = mpsc::channel::<()>();
    let mut group = Group::new();
    let drops = move |stop: StopToken| {
        drop(handed.recv().unwrap());
        assert!(stop.is_stopping());
    };
    group.add("drops", drops, move |_| drop(gone)).unwrap();
    group.start().unwrap();
    hand_over.send(group).unwrap();
    let end = dropped.recv_timeout(WATCHDOG);
    assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn observers_are_told_everything_in_order() {
    let (seen, events) = mpsc::channel();
    let mut group = Group::new();
    let second = seen.clone();
    group
        .observe(move |event| {
            let actor = event.actor().map(str::to_owned);
            let what = (
                event.kind(),
                actor,
                event.code(),
                event.message().to_owned(),
            );
            assert_eq!(event.index().is_some(), event.actor().is_some());
            seen.send(Some(what)).unwrap();
        })
        .unwrap();
    group
        .observe(move |event| {
            let _ = second.send(None);
            assert!(event.at() < WATCHDOG);
            panic!("an observer's panic is its own");
        })
        .unwrap();
    group
        .add("a", || Err::<(), _>("full"), |_| Err::<(), _>("deaf"))
        .unwrap();
    assert_eq!(group.run().unwrap_err().code(), 1);
    assert_eq!(group.observe(|_| ()), Err(Error::State));
    let events: Vec<_> = events.try_iter().collect();
    assert_eq!(events.iter().filter(|event| event.is_none()).count(), 6);
    let told = |kind, actor: Option<&str>, code, message: &str| {
        (kind, actor.map(str::to_owned), code, message.to_owned())
    };
    assert_eq!(
        events.into_iter().flatten().collect::<Vec<_>>(),
        [
            told(EventKind::Started, Some("a"), 0, ""),
            told(EventKind::Returned, Some("a"), 1, "full"),
            told(EventKind::Stopping, Some("a"), 1, "full"),
            told(EventKind::Interrupting, Some("a"), 0, ""),
            told(EventKind::Interrupted, Some("a"), 0, "deaf"),
            told(EventKind::Stopped, None, 1, ""),
        ]
    );
}

#[test]
fn an_observer_that_is_stuck_is_named() {
    let (gate, opened) = mpsc::channel::<()>();
    let mut group = Group::builder().grace(Duration::from_millis(500)).build();
    group.observe(move |_| _ = opened.recv()).unwrap();
    group.add("a", || (), interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.code(), Error::TimedOut.code());
    assert!(error.to_string().ends_with("the observer"), "{error}");
    assert!(group.report().observer_stuck());
    drop(group);
    drop(gate);
}

#[test]
fn a_report_has_texts_and_times() {
    let mut group = Group::new();
    group
        .add("first", || Err::<(), _>("full"), interrupt_none)
        .unwrap();
    group
        .add(
            "panics",
            |stop: StopToken| {
                stop.wait();
                panic!("no luck")
            },
            interrupt_none,
        )
        .unwrap();
    let before = group.report();
    assert_eq!(before.actor(0).unwrap().state(), ActorState::NotStarted);
    assert!(before.cause().is_none() && before.actor(2).is_none());
    group.run().unwrap_err();
    let report = group.report();
    let cause = report.cause().unwrap();
    assert_eq!((cause.actor(), cause.message()), (Some("first"), "full"));
    assert_eq!((cause.index(), cause.code()), (Some(0), 1));
    let [first, panics] = [0, 1].map(|index| report.actor(index).unwrap());
    assert_eq!(
        (first.name(), first.index(), first.state()),
        ("first", 0, ActorState::Returned)
    );
    assert_eq!((first.code(), first.message()), (Some(1), "full"));
    assert_eq!(
        (panics.state(), panics.message()),
        (ActorState::Panicked, "no luck")
    );
    assert_eq!(panics.stuck(), Stuck::default());
    for actor in report.actors() {
        assert!(actor.started() <= actor.returned());
        assert!(report.stopping() <= actor.interrupting());
        assert!(actor.interrupting() <= actor.interrupted());
        assert!(actor.interrupted().unwrap() <= report.end());
        assert!(actor.time_to_stop().unwrap() <= report.end());
    }
}

#[test]
fn an_actor_knows_its_name() {
    let (seen, names) = mpsc::channel();
    assert_eq!(current_actor(), None);
    let mut group = Group::new();
    let asks = {
        let seen = seen.clone();
        move || seen.send(current_actor()).unwrap()
    };
    let interrupt = move |_: &Cause<'_>| seen.send(current_actor()).unwrap();
    group.add("db", asks, interrupt).unwrap();
    group.run().unwrap();
    assert_eq!(current_actor(), None);
    let names: Vec<_> = names.try_iter().flatten().collect();
    assert_eq!(names, ["db", "db"]);
}

#[test]
fn signals_are_told_from_codes() {
    let mut group = Group::builder().chain_signals(false).build();
    group.add_signals(&[libc::SIGUSR1]).unwrap();
    #[allow(unsafe_code)]
    let raises = |stop: StopToken| {
        // SAFETY: kill and getpid have no preconditions.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        stop.wait();
    };
    group.add("raises", raises, interrupt_none).unwrap();
    let error = group.run().unwrap_err();
    assert_eq!(error.signal(), Some(libc::SIGUSR1));
    assert_eq!(error.to_string(), "the group was stopped by SIGUSR1");
    assert_eq!(i32::from(error.exit_code()), 128 + libc::SIGUSR1);

    // An actor may return such a code by itself.
    let mut group = Group::new();
    group.add("signals", || 130, interrupt_none).unwrap();
    assert_eq!(group.run().unwrap_err().signal(), None);
}

#[test]
fn a_group_that_ended_well_exits_well() {
    let mut group = Group::new();
    group.add("a", || (), interrupt_none).unwrap();
    let code = Exit::from(group.run()).report();
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[test]
fn groups_and_errors_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<rungroup::RunError>();
    crosses::<StopToken>();
    crosses::<rungroup::Stopper>();
    crosses::<rungroup::Report>();
    fn moves<T: Send>() {}
    crosses::<Group>();
    moves::<Completion>();
}
