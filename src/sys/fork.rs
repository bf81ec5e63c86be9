//! What all groups of a process share, and what its forked child gets instead.

use crate::sync::unmodelled::{AtomicPtr, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::memory::try_box;
use std::ptr;

/// A locked value of which each process has one of its own. The child of a fork
/// begins with a new one: a thread that held the lock is not there to unlock
/// it. The parent's copy is kept, and never looked at again.
pub struct PerProcess<T> {
    current: AtomicPtr<Owned<T>>,
}

struct Owned<T> {
    process: i32,
    /// The parent's copy, so that nobody takes it for lost.
    _before: *mut Owned<T>,
    value: Mutex<T>,
}

impl<T: Default> PerProcess<T> {
    /// The value is made when it is first asked for.
    pub const fn new() -> Self {
        PerProcess {
            current: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Waits for the lock. `None`: there is no memory for a first value.
    pub fn lock(&'static self) -> Option<MutexGuard<'static, T>> {
        let process = id();
        loop {
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: null, or from below, and never freed once it is here.
            if let Some(owned) = unsafe { current.as_ref() }
                && owned.process == process
            {
                return Some(owned.value.lock());
            }
            let value = Mutex::new(T::default());
            let new = Box::into_raw(try_box(Owned {
                process,
                _before: current,
                value,
            })?);
            let put =
                self.current
                    .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire);
            if put.is_err() {
                // SAFETY: made above, and nobody has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }
}

/// This process's number. Async-signal-safe.
pub fn id() -> i32 {
    // SAFETY: no arguments, always succeeds.
    unsafe { libc::getpid() }
}
