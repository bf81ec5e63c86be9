//! The gate at which all threads of a group wait until the last one exists.

use crate::ffi::os::Word;

const CLOSED: u32 = 0;
const OPEN: u32 = 1;
const OPEN_TO_DRIVER: u32 = 2;
const CANCELLED: u32 = 3;

/// Closed, then open or cancelled.
#[derive(Debug, Default)]
pub struct Gate {
    state: Word,
}

impl Gate {
    /// Waits; false: nothing is to be started.
    pub fn pass(&self) -> bool {
        self.state.wait(OPEN, None) != CANCELLED
    }

    /// The same for the thread that drives the run, which comes last.
    pub fn pass_driver(&self) -> bool {
        self.state.wait(OPEN_TO_DRIVER, None) != CANCELLED
    }

    /// Lets the actors go.
    pub fn open(&self) {
        self.state.set(OPEN);
    }

    /// Lets the driver go.
    pub fn open_driver(&self) {
        self.state.set(OPEN_TO_DRIVER);
    }

    /// Sends everyone home.
    pub fn cancel(&self) {
        self.state.set(CANCELLED);
    }

    /// Closes it again, for another attempt; nobody waits.
    pub fn reset(&self) {
        self.state.set(CLOSED);
    }
}
