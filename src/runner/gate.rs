//! The gate at which all threads of a group wait until the last one exists.

use crate::ffi::os::Word;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};

const CLOSED: u32 = 0;
const OPEN: u32 = 1;
const CANCELLED: u32 = 2;

/// As many are woken at once; of more, each lets the next one through. Thousands
/// that stand in a processor's queue have left its caches when their turn
/// comes: with 10,000, a tenth of the whole cycle.
const CROWD: usize = if cfg!(rungroup_model) { 1 } else { 1024 };

/// Closed, then open or cancelled.
#[derive(Debug, Default)]
pub struct Gate {
    actors: Word,
    driver: Word,
    crowded: AtomicBool,
}

impl Gate {
    /// Waits; false: nothing is to be started.
    pub fn pass(&self) -> bool {
        let open = self.actors.wait(OPEN, None) == OPEN;
        if self.crowded.load(Relaxed) {
            self.actors.wake(1);
        }
        open
    }

    /// The same for the thread that drives the run, which comes last.
    pub fn pass_driver(&self) -> bool {
        self.driver.wait(OPEN, None) == OPEN
    }

    /// Lets so many actors go.
    ///
    /// Everyone who passes wakes another, so that as long as one sleeps, another
    /// is on the way to wake it; who comes late does not sleep.
    pub fn open(&self, actors: usize) {
        if actors > CROWD {
            self.crowded.store(true, Relaxed);
            self.actors.set_and_wake(OPEN, CROWD);
        } else {
            self.actors.set(OPEN);
        }
    }

    /// Lets the driver go.
    pub fn open_driver(&self) {
        self.driver.set(OPEN);
    }

    /// Sends everyone home.
    pub fn cancel(&self) {
        self.actors.set(CANCELLED);
        self.driver.set(CANCELLED);
    }

    /// Closes it again, for another attempt; nobody waits.
    pub fn reset(&self) {
        self.actors.set(CLOSED);
        self.driver.set(CLOSED);
    }
}
