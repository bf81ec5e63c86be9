//! The gate at which all threads of a group wait until the last one exists.

use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sys::futex::Word;

const CLOSED: u32 = 0;
const OPEN: u32 = 1;
const CANCELLED: u32 = 2;

/// Wake at most this many threads directly; beyond that, each woken thread wakes
/// one more. Waking 10,000 at once costs a tenth of the whole cycle in cache
/// misses: thousands that stand in a processor's queue have left its caches when
/// their turn comes.
const DIRECTLY: usize = if cfg!(rungroup_model) { 1 } else { 1024 };

/// Closed, then open or cancelled.
#[derive(Debug, Default)]
pub struct Gate {
    actors: Word,
    /// The thread that drives the run goes last, after the starts.
    driver: Word,
    many: AtomicBool,
}

impl Gate {
    /// Waits; false: nothing is to be started.
    pub fn pass(&self) -> bool {
        let open = self.actors.wait(OPEN, None) == OPEN;
        if self.many.load(Relaxed) {
            self.actors.wake(1);
        }
        open
    }

    /// The same for the thread that drives the run.
    pub fn pass_driver(&self) -> bool {
        self.driver.wait(OPEN, None) == OPEN
    }

    /// Opens the gate for this many threads.
    ///
    /// Every thread that passes wakes another, so that as long as one sleeps,
    /// another is on the way to wake it; a thread that comes late does not sleep.
    pub fn open(&self, threads: usize) {
        if threads > DIRECTLY {
            self.many.store(true, Relaxed);
            self.actors.set_and_wake(OPEN, DIRECTLY);
        } else {
            self.actors.set(OPEN);
        }
    }

    /// Lets the thread go that drives the run.
    pub fn open_driver(&self) {
        self.driver.set(OPEN);
    }

    /// Ends every thread that waits.
    pub fn cancel(&self) {
        self.actors.set(CANCELLED);
        self.driver.set(CANCELLED);
    }

    /// Closes the gate again, for another attempt. No thread waits at it.
    pub fn reset(&self) {
        self.actors.set(CLOSED);
        self.driver.set(CLOSED);
    }
}
