//! The gate at which all threads of a group wait until the last one exists.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU8, Ordering};

const CLOSED: u8 = 0;
const CANCELLED: u8 = 1;
const OPEN: u8 = 2;
const OPEN_TO_DRIVER: u8 = 3;

/// Closed, then open or cancelled.
#[derive(Debug, Default)]
pub struct Gate {
    state: AtomicU8,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Gate {
    /// Waits; false: nothing is to be started.
    pub fn pass(&self) -> bool {
        self.wait_for(OPEN)
    }

    /// The same for the thread that drives the run, which comes last.
    pub fn pass_driver(&self) -> bool {
        self.wait_for(OPEN_TO_DRIVER)
    }

    fn wait_for(&self, wanted: u8) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        if state < wanted && state != CANCELLED {
            let mut lock = self.lock.lock();
            loop {
                state = self.state.load(Ordering::Acquire);
                if state >= wanted || state == CANCELLED {
                    break;
                }
                self.changed.wait(&mut lock);
            }
        }
        state != CANCELLED
    }

    fn set(&self, state: u8) {
        let _lock = self.lock.lock();
        self.state.store(state, Ordering::Release);
        self.changed.notify_all();
    }

    /// Lets the actors go.
    pub fn open(&self) {
        self.set(OPEN);
    }

    /// Lets the driver go.
    pub fn open_driver(&self) {
        self.set(OPEN_TO_DRIVER);
    }

    /// Sends everyone home.
    pub fn cancel(&self) {
        self.set(CANCELLED);
    }

    /// Closes it again, for another attempt; nobody waits.
    pub fn reset(&self) {
        self.set(CLOSED);
    }
}
