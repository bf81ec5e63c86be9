//! Locks, atomics and the clock. All other modules take them from here, since the
//! model checker (`model/sync.rs`) puts its own in their place.
//!
//! A thread that is ending takes none of these locks: a first wait for a lock of
//! parking_lot creates a thread-local, which in the destructor of a `pthread_key` is
//! created anew and leaked. Such a thread posts to the inbox instead (`run/inbox.rs`).

pub use crate::sys::clock::now;
pub use parking_lot::{Mutex, MutexGuard};
/// Atomics in statics and signal handlers. The model checker does not schedule
/// at them.
pub use std::sync::atomic as unmodelled;
pub use std::sync::{Arc, OnceLock, Weak, atomic};
pub use std::thread_local;

/// A time in nanoseconds, on the clock of [`now`].
pub type Time = u64;

/// The time after `wait`. `None`, which means no deadline: the clock does not go so far.
pub fn after(wait: std::time::Duration) -> Option<Time> {
    now().checked_add(u64::try_from(wait.as_nanos()).ok()?)
}
