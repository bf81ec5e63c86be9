//! The queue of the threads that call interrupts, so that one that hangs does
//! not hold up the driver (rule 10). One thread calls them all as long as each
//! returns in time; while it hangs, a fresh one takes the next.

use super::inbox::Post;
use crate::error::Error;
use crate::sync::Mutex;
use crate::sys::futex::Word;
use std::collections::VecDeque;

/// What is to be called, oldest first.
#[derive(Debug, Default)]
pub struct Interrupter {
    queue: Mutex<Queue>,
    /// Changes when there is something new in the queue.
    changes: Word,
}

#[derive(Debug, Default)]
struct Queue {
    calls: VecDeque<Post>,
    /// Threads, those included that are gone.
    threads: usize,
    /// Threads that are in a call, or ended in one.
    busy: usize,
    /// No more calls will come.
    closed: bool,
}

impl Interrupter {
    /// Makes room for so many calls.
    pub fn reserve(&self, calls: usize) -> Result<(), Error> {
        let mut queue = self.queue.lock();
        queue.closed = false;
        queue.threads = 0;
        queue.calls.try_reserve(calls).map_err(|_| Error::Memory)
    }

    /// A thread that calls [`Interrupter::next`] is there.
    pub fn add_thread(&self) {
        self.queue.lock().threads += 1;
    }

    /// On such a thread: the next call; `None`: leave. [`Interrupter::done`]
    /// follows.
    ///
    /// Calls are taken in order, one after another, so that they begin in order
    /// even while there are several threads.
    pub fn next(&self) -> Option<Post> {
        loop {
            let seen = self.changes.get();
            {
                let mut queue = self.queue.lock();
                if let Some(call) = queue.calls.pop_front() {
                    queue.busy += 1;
                    return Some(call);
                }
                if queue.closed {
                    return None;
                }
            }
            self.changes.wait_past(seen, None);
        }
    }

    /// On such a thread: the call returned. Comes before its post, so that the
    /// driver finds this thread free.
    pub fn done(&self) {
        self.queue.lock().busy -= 1;
    }

    /// Has it called. False: every thread hangs in a call, so that another one is
    /// needed. If none can be had, the first to be free makes the call.
    pub fn push(&self, call: Post) -> bool {
        let mut queue = self.queue.lock();
        queue.calls.push_back(call);
        let enough = queue.threads >= queue.busy + queue.calls.len();
        drop(queue);
        self.changes.add(1);
        enough
    }

    /// Lets the threads go once nothing is left to call. False: something is, so
    /// that none of them can be waited for.
    pub fn close(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let empty = queue.calls.is_empty();
        drop(queue);
        self.changes.add(1);
        self.changes.wake(usize::MAX);
        empty
    }
}
