//! Actors that are futures. (Feature `tokio`.)
#![cfg(feature = "tokio")]

use rungroup::{CancellationToken, Error, Group, Order, StopToken, current_actor, interrupt_none};
use std::future::{pending, ready};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Only a hang meets it.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A future that does not end would hang the test.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, future)
        .await
        .expect("no hang")
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn several() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

async fn until_stopped(stop: CancellationToken) {
    stop.cancelled().await;
}

async fn threads_and_futures() {
    let mut group = Group::new();
    group
        .add("thread", |stop: StopToken| stop.wait(), interrupt_none)
        .unwrap();
    group.add_future("future", until_stopped).unwrap();
    let stop = group.stop_token();
    group
        .add_future("awaits", move |_| async move { stop.stopped().await })
        .unwrap();
    let first = group.add_future("first", |_| {
        ready(Err::<(), _>(std::io::Error::other("full")))
    });
    let error = in_time(group.run_async()).await.unwrap_err();
    assert_eq!((error.actor(), error.message()), (Some("first"), "full"));
    assert!(error.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(group.report().cause().unwrap().index(), first.ok());
    // Once stopping began, it is no wait.
    in_time(group.stop_token().stopped()).await;
}

#[test]
fn futures_and_threads_are_one_group() {
    single().block_on(threads_and_futures());
    several().block_on(threads_and_futures());
}

#[test]
fn a_main_that_is_not_async_names_the_runtime() {
    let runtime = several();
    let mut group = Group::new();
    assert_eq!(
        group.add_future("nowhere", until_stopped),
        Err(Error::State)
    );
    let builder = group.actor("somewhere").runtime(runtime.handle());
    builder.add_future(|_| ready(6)).unwrap();
    assert_eq!(group.run().unwrap_err().code(), 6);
}

#[test]
fn a_run_that_would_block_its_own_future_is_refused() {
    single().block_on(async {
        let mut group = Group::new();
        group.add_future("never polled", |_| ready(())).unwrap();
        assert_eq!(group.run().unwrap_err().code(), Error::State.code());
        assert_eq!(group.wait().unwrap_err().code(), Error::State.code());
        in_time(group.run_async()).await.unwrap();
    });
}

#[test]
fn a_panic_in_a_future_is_its_return() {
    single().block_on(async {
        let mut group = Group::new();
        let panics = |_| async { panic!("no luck") };
        group.add_future("panics", panics).unwrap();
        group.add_future("other", until_stopped).unwrap();
        let error = in_time(group.run_async()).await.unwrap_err();
        assert_eq!(error.to_string(), "actor \"panics\" panicked: no luck");
    });
}

#[test]
fn a_runtime_that_ends_completes_its_futures() {
    let runtime = several();
    let mut group = Group::new();
    let builder = group.actor("pending").runtime(runtime.handle());
    builder.add_future(|_| pending::<()>()).unwrap();
    group.start().unwrap();
    runtime.shutdown_background();
    let error = group.wait_timeout(WATCHDOG).unwrap().unwrap_err();
    assert_eq!(error.code(), Error::Panic.code());
    assert_eq!(
        error.message(),
        "the actor's completion was dropped without a result"
    );
}

#[test]
fn each_token_is_cancelled_in_its_turn() {
    single().block_on(async {
        let (seen, order) = mpsc::channel();
        let mut group = Group::builder().order(Order::Staged).build();
        for name in ["a", "b", "c"] {
            let seen = seen.clone();
            let until = move |stop: CancellationToken| async move {
                stop.cancelled().await;
                tokio::task::yield_now().await;
                seen.send((name, current_actor())).unwrap();
            };
            group.add_future(name, until).unwrap();
        }
        group.add_future("first", |_| ready(())).unwrap();
        in_time(group.run_async()).await.unwrap();
        let order: Vec<_> = order.try_iter().collect();
        let known = |name: &'static str| (name, Some(name.to_owned()));
        assert_eq!(order, ["c", "b", "a"].map(known));
        assert_eq!(current_actor(), None);
    });
}

#[test]
fn a_run_is_awaited_again_after_a_timeout() {
    single().block_on(async {
        let mut group = Group::new();
        group.add_future("waits", until_stopped).unwrap();
        let stopper = group.stopper();
        let wait = tokio::time::timeout(Duration::ZERO, group.run_async());
        wait.await.unwrap_err();
        stopper.stop(4);
        let error = in_time(group.run_async()).await.unwrap_err();
        assert_eq!(error.code(), 4);
        // As often as one likes.
        assert_eq!(in_time(group.run_async()).await.unwrap_err().code(), 4);
    });
}

#[test]
fn dropping_a_group_in_async_code_stops_it_without_waiting() {
    single().block_on(async {
        let (ended, end) = tokio::sync::oneshot::channel();
        let mut group = Group::new();
        let until = |stop: CancellationToken| async move {
            stop.cancelled().await;
            ended.send(()).unwrap();
        };
        group.add_future("waits", until).unwrap();
        let wait = tokio::time::timeout(Duration::ZERO, group.run_async());
        wait.await.unwrap_err();
        // A wait would be for ever: the future runs on this thread.
        drop(group);
        in_time(end).await.unwrap();

        let (ended, end) = tokio::sync::oneshot::channel();
        let mut group = Group::new();
        let until = |stop: CancellationToken| async move {
            stop.cancelled().await;
            ended.send(()).unwrap();
        };
        group.add_future("waits", until).unwrap();
        group.start().unwrap();
        drop(group);
        in_time(end).await.unwrap();
    });
}

#[test]
fn a_future_that_does_not_end_is_stuck() {
    single().block_on(async {
        let mut group = Group::builder().grace(Duration::from_millis(20)).build();
        group.add_future("deaf", |_| pending::<()>()).unwrap();
        group.stopper().stop(0);
        let mut group = group;
        in_time(group.run_async()).await.unwrap();
        let mut group = Group::builder().grace(Duration::from_millis(500)).build();
        group.add_future("deaf", |_| pending::<()>()).unwrap();
        group.add("first", || (), interrupt_none).unwrap();
        let error = in_time(group.run_async()).await.unwrap_err();
        assert_eq!(error.stuck(), ["deaf"]);
        assert_eq!(error.exit_code(), 1);
    });
}

#[test]
fn many_tasks_await_one_stop() {
    several().block_on(async {
        let mut group = Group::new();
        group.add("first", || (), interrupt_none).unwrap();
        let stop = group.stop_token();
        let waits = |_| {
            let stop = stop.clone();
            tokio::spawn(async move { stop.stopped().await })
        };
        let waiting: Vec<_> = (0..50).map(waits).collect();
        in_time(group.run_async()).await.unwrap();
        for task in waiting {
            in_time(task).await.unwrap();
        }
    });
}
