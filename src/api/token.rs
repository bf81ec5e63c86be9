//! How actors see that their group stops, and how others stop it.

use crate::error::Error;
use crate::latch::Latch;
use crate::run::core::Core;
use crate::sync::{Arc, Time, Weak, after, now};
use crate::sys::event;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Tells an actor that its group stops. Stopping is never undone (rule 8). Any
/// thread may use it; it may outlive the group.
#[derive(Clone, Debug)]
pub struct StopToken {
    stop: Stop,
}

#[derive(Clone, Debug)]
enum Stop {
    Own(Arc<Latch>),
    /// A copy of the descriptor of a group that another copy of the library
    /// may have made.
    Host(Arc<OwnedFd>),
}

impl StopToken {
    pub(super) fn new(latch: Arc<Latch>) -> Self {
        StopToken {
            stop: Stop::Own(latch),
        }
    }

    pub(super) fn of_host(fd: OwnedFd) -> Self {
        StopToken {
            stop: Stop::Host(Arc::new(fd)),
        }
    }

    fn wait_until(&self, deadline: Option<Time>) -> bool {
        match &self.stop {
            Stop::Own(latch) => latch.wait_until(deadline),
            // A wait that fails ends as if the group stopped: the caller would spin.
            Stop::Host(fd) => {
                !matches!(event::poll_readable(&[fd.as_raw_fd()], deadline), Ok(None))
            }
        }
    }

    /// Whether stopping has begun.
    pub fn is_stopping(&self) -> bool {
        match &self.stop {
            Stop::Own(latch) => latch.is_set(),
            Stop::Host(_) => self.wait_until(Some(now())),
        }
    }

    /// Waits until stopping begins. It blocks the thread; in async code await
    /// `stopped` (feature `tokio`).
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Waits until stopping begins, or until `timeout` is over; true: the group is
    /// stopping.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(after(timeout))
    }

    /// A descriptor that is readable once stopping began, for poll and event
    /// loops. It is the token's; do not read from it or close it.
    ///
    /// # Errors
    /// [`Error::Memory`] when the process has no descriptor left.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        match &self.stop {
            Stop::Own(latch) => latch.as_fd(),
            Stop::Host(fd) => Ok(fd.as_fd()),
        }
    }
}

/// Stops a group from any thread. It does not keep the group alive.
#[derive(Clone)]
pub struct Stopper {
    core: Weak<Core>,
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopper")
    }
}

impl Stopper {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Stopper {
            core: Arc::downgrade(core),
        }
    }

    /// Ends the group with this code, unless it is ending already (rule 9). Before
    /// the run: nothing will be started. Never blocks.
    pub fn stop(&self, code: i32) {
        if let Some(core) = self.core.upgrade() {
            // Refused in a child of a fork, where the group does not run.
            let _ = core.stop(code);
        }
    }
}
