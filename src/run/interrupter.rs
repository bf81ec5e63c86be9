//! The queue of the threads that call starts and interrupts, so that one that
//! hangs does not hold up the driver (rule 10). One thread calls them all as long
//! as each returns in time; while it hangs, another one goes on.

use super::inbox::Post;
use crate::error::Error;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sync::{Mutex, Time, now};
use crate::sys::futex::Word;
use crate::sys::tsan;
use std::collections::VecDeque;

/// A call that has not returned after this time counts as one that hangs. With less,
/// calls would be made out of order on a busy machine, where a thread that is about to
/// make one may wait for the processor for some tens of milliseconds.
const HANGS: Time = 50_000_000;

/// How soon to look again at a thread that has taken a call and not made it yet.
const SOON: Time = 1_000_000;

/// What is to be called, oldest first.
#[derive(Debug, Default)]
pub struct Interrupter {
    queue: Mutex<Queue>,
    /// When the call that was taken last was made; 0: it was not made yet.
    entered: AtomicU64,
    /// Changes when there is something new in the queue.
    changes: Word,
}

#[derive(Debug, Default)]
struct Queue {
    calls: VecDeque<Post>,
    /// The call that was taken last, until it returns.
    latest: Option<Post>,
    /// How many threads were made, those that have left included.
    threads: usize,
    /// How many threads are in a call, or have ended in one.
    busy: usize,
    /// No more calls will come.
    closed: bool,
}

impl Interrupter {
    /// Makes room for this many calls.
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

    /// On such a thread: the next call; `None`: leave. [`Interrupter::entered`] and
    /// [`Interrupter::done`] follow. `calling` notes it before anybody sees that the
    /// queue is empty: this thread would be taken for an idle one, and be waited
    /// for while it hangs.
    ///
    /// Calls are taken in order, each when the one before has returned or hangs,
    /// so that they begin in order even while there are several threads.
    pub fn next(&self, calling: &Mutex<Option<Post>>) -> Option<Post> {
        loop {
            let seen = self.changes.get();
            let mut queue = self.queue.lock();
            let again = match queue.calls.is_empty() {
                true if queue.closed => return None,
                true => None,
                false => match self.hangs_at(&queue) {
                    Some(then) if then > now() => Some(then),
                    _ => {
                        let call = queue.calls.pop_front();
                        queue.latest = call;
                        *calling.lock() = call;
                        queue.busy += 1;
                        self.entered.store(0, SeqCst);
                        tsan::acquire(self);
                        return call;
                    }
                },
            };
            drop(queue);
            self.changes.wait_past(seen, again);
        }
    }

    /// When to look whether the latest call still hangs; `None`: it has returned.
    fn hangs_at(&self, queue: &Queue) -> Option<Time> {
        queue.latest?;
        Some(match self.entered.load(SeqCst) {
            0 => now().saturating_add(SOON),
            at => at.saturating_add(HANGS),
        })
    }

    /// On such a thread: the call is made now. It wakes no other thread, which could be
    /// scheduled in this thread's place, before the call.
    pub fn entered(&self) {
        self.entered.store(now(), SeqCst);
    }

    /// On such a thread: the call returned. Comes before its post, so that the
    /// driver finds this thread free.
    pub fn done(&self, call: Post) {
        let mut queue = self.queue.lock();
        queue.busy -= 1;
        queue.latest = queue.latest.filter(|&latest| latest != call);
    }

    /// Queues a call. False: every thread hangs in a call, so that another one is needed.
    /// If none can be made, the first thread to be free makes the call.
    pub fn push(&self, call: Post) -> bool {
        let mut queue = self.queue.lock();
        queue.calls.push_back(call);
        let enough = queue.threads >= queue.busy + queue.calls.len();
        tsan::release(self);
        drop(queue);
        self.changes.add(1);
        enough
    }

    /// Has the threads leave once the queue is empty. False: it is not, so that none of
    /// them can be joined.
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
