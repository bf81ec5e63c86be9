//! What threads meet at and read the time from: the standard library's, with a
//! lock and a condition variable without poisoning. Everything comes from here,
//! since under the model (`model/sync.rs`) it is something else.
//!
//! A thread reports its end when its thread-locals are gone already
//! (`runner/thread.rs`). What a lock would then keep in a thread-local, as
//! parking_lot does, is made anew and leaked; these keep nothing there.

/// Those of statics and handlers of signals, which are no steps of the model's.
pub use std::sync::atomic as unmodelled;
pub use std::sync::{Arc, MutexGuard, OnceLock, Weak, atomic};
pub use std::thread_local;
pub use std::time::Instant;

use std::sync::{PoisonError, TryLockError};

/// A lock. A panic while it is held leaves it as it is.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around the value.
    pub const fn new(value: T) -> Self {
        Mutex(std::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Where holders of a lock wait for a change.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Waits for a notification, or the deadline (`None`: for ever).
    pub fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        let Some(deadline) = deadline else {
            return self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        self.0
            .wait_timeout(guard, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all that wait.
    #[cfg(not(target_os = "linux"))]
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_it_is_held_leaves_it_as_it_is() {
        let lock = Mutex::new(1);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut held = lock.lock();
            *held = 2;
            assert!(lock.try_lock().is_none());
            std::panic::panic_any("while it is held");
        }));
        let with = panicked.expect_err("it panicked");
        assert_eq!(with.downcast_ref(), Some(&"while it is held"));
        assert_eq!(lock.try_lock().map(|held| *held), Some(2));
        assert_eq!(*lock.lock(), 2);
    }
}
