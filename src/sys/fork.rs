//! Values that all groups of a process share, and that a forked child has anew.

use crate::sync::unmodelled::{AtomicPtr, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::memory::try_box;
use std::ptr;

/// A locked value, one for each process. The child of a fork begins with a new
/// value: a thread that held the parent's lock at the fork does not exist in the
/// child and would never unlock it. The parent's value is not freed in the child.
pub struct PerProcess<T> {
    current: AtomicPtr<Owned<T>>,
}

struct Owned<T> {
    process: i32,
    /// The parent's value: leak checkers would report it if nothing pointed to it.
    _before: *mut Owned<T>,
    value: Mutex<T>,
}

impl<T: Default> PerProcess<T> {
    /// Without a value: the first [`lock`](PerProcess::lock) makes it.
    pub const fn new() -> Self {
        PerProcess {
            current: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Locks the value. `None`: there is no memory to make it.
    pub fn lock(&'static self) -> Option<MutexGuard<'static, T>> {
        let process = id();
        loop {
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: null, or a box that was put here below, which is never freed.
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
                // SAFETY: made above; no other thread has its address.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }
}

/// The process id. Async-signal-safe.
pub fn id() -> i32 {
    // SAFETY: no arguments, always succeeds.
    unsafe { libc::getpid() }
}
