//! rungroup, and the peers in Rust.

mod harness;

use harness::{actors, await_start, await_tasks, ended, note_start, note_task};
use rungroup::{Group, interrupt_none};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Condvar, LazyLock, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::sync::CancellationToken;

/// As a program has it: made once.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn rungroup() {
    let mut group = Group::new();
    let stop = group.stop_token();
    for index in 0..actors() {
        let stop = stop.clone();
        let execute = move || {
            if index == 0 {
                await_start();
                return 7;
            }
            note_start();
            stop.wait();
            0
        };
        group
            .add(format!("actor-{index}"), execute, interrupt_none)
            .unwrap();
    }
    assert_eq!(group.run().unwrap_err().code(), 7);
    ended();
}

fn thread_scope() {
    let (stopped, changed) = (Mutex::new(false), Condvar::new());
    let (say, hear) = mpsc::channel();
    thread::scope(|scope| {
        let (stopped, changed, say) = (&stopped, &changed, &say);
        let spawn = |index| {
            scope.spawn(move || match index {
                0 => {
                    await_start();
                    say.send(7).unwrap();
                }
                _ => {
                    note_start();
                    let stopped = stopped.lock().unwrap();
                    drop(changed.wait_while(stopped, |stopped| !*stopped).unwrap());
                }
            })
        };
        let threads: Vec<_> = (0..actors()).map(spawn).collect();
        assert_eq!(hear.recv(), Ok(7));
        *stopped.lock().unwrap() = true;
        changed.notify_all();
        // Without it their ends would fall into somebody else's turn.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    ended();
}

fn crossbeam() {
    let (say, hear) = crossbeam::channel::bounded(1);
    let (stop, stopped) = crossbeam::channel::bounded::<()>(0);
    crossbeam::scope(|scope| {
        let (say, stopped) = (&say, &stopped);
        for index in 0..actors() {
            scope.spawn(move |_| match index {
                0 => {
                    await_start();
                    say.send(7).unwrap();
                }
                _ => {
                    note_start();
                    // Closed, not sent to.
                    let _ = stopped.recv();
                }
            });
        }
        assert_eq!(hear.recv(), Ok(7));
        drop(stop);
    })
    .unwrap();
    ended();
}

fn join_set() {
    RUNTIME.block_on(async {
        let token = CancellationToken::new();
        let mut set = JoinSet::new();
        for index in 0..actors() {
            let token = token.clone();
            set.spawn(async move {
                if index == 0 {
                    await_tasks().await;
                    return 7;
                }
                note_task();
                token.cancelled().await;
                0
            });
        }
        assert_eq!(set.join_next().await.unwrap().unwrap(), 7);
        token.cancel();
        while set.join_next().await.is_some() {}
    });
    ended();
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn graceful_shutdown() {
    static FIRST_CAME: AtomicBool = AtomicBool::new(false);
    FIRST_CAME.store(false, SeqCst);
    RUNTIME.block_on(async {
        let top = Toplevel::new(async |top: &mut SubsystemHandle| {
            for index in 0..actors() {
                let subsystem = async move |handle: &mut SubsystemHandle| {
                    if index == 0 {
                        await_tasks().await;
                        FIRST_CAME.store(true, SeqCst);
                        handle.request_shutdown();
                    } else {
                        note_task();
                        handle.on_shutdown_requested().await;
                    }
                    Ok::<(), Failure>(())
                };
                top.start(SubsystemBuilder::new(format!("actor-{index}"), subsystem));
            }
        });
        top.handle_shutdown_requests(Duration::from_secs(60))
            .await
            .unwrap();
    });
    assert!(FIRST_CAME.load(SeqCst));
    ended();
}

fn main() {
    harness::main(&[
        ("rungroup", rungroup),
        ("std::thread::scope", thread_scope),
        ("crossbeam", crossbeam),
        ("tokio JoinSet", join_set),
        ("tokio-graceful-shutdown", graceful_shutdown),
    ]);
}
