//! Locks, atomics and the clock. Everything comes from here, since under the
//! model (`model/sync.rs`) it is something else.
//!
//! A thread that ends takes none of these locks: a first wait for one of
//! parking_lot's makes a thread-local, which in the destructor of a
//! `pthread_key` is made anew and leaked. It posts to the inbox instead
//! (`run/inbox.rs`).

pub use crate::sys::clock::now;
pub use parking_lot::{Mutex, MutexGuard};
/// Atomics in statics and signal handlers. The model checker does not schedule
/// at them.
pub use std::sync::atomic as unmodelled;
pub use std::sync::{Arc, OnceLock, Weak, atomic};
pub use std::thread_local;

/// A time in nanoseconds, on the clock of [`now`].
pub type Time = u64;

/// The time so long from now; `None`, no deadline, where that is beyond all
/// times.
pub fn after(wait: std::time::Duration) -> Option<Time> {
    now().checked_add(u64::try_from(wait.as_nanos()).ok()?)
}
