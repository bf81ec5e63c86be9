//! A number that threads wait on.
//!
//! Neither waiting nor waking allocates or uses thread-local data. A new thread
//! waits on such a number at the gate, where a first allocation would cost more
//! than the rest of its start; and a thread that ends wakes others from the
//! destructor of a `pthread_key`. parking_lot's condition variable would allocate
//! in both places. Hence a futex.

#[cfg(all(target_os = "linux", not(rungroup_model)))]
use super::{tsan, unwind::uncancelled};
use crate::sync::atomic::{AtomicU32, Ordering};
#[cfg(rungroup_model)]
use crate::sync::{Condvar, Mutex};
use crate::sync::{Time, now};
#[cfg(not(any(target_os = "linux", rungroup_model)))]
use std::sync::{Condvar, Mutex};

/// A number that any number of threads can wait on.
#[derive(Debug, Default)]
pub struct Word {
    value: AtomicU32,
    /// How many threads wait, or are about to.
    waiters: AtomicU32,
    #[cfg(any(not(target_os = "linux"), rungroup_model))]
    lock: Mutex<()>,
    #[cfg(any(not(target_os = "linux"), rungroup_model))]
    changed: Condvar,
}

impl Word {
    /// The number now.
    pub fn get(&self) -> u32 {
        self.value.load(Ordering::SeqCst)
    }

    /// Sets the number and wakes all threads that wait on it.
    pub fn set(&self, value: u32) {
        self.value.store(value, Ordering::SeqCst);
        self.wake(usize::MAX);
    }

    /// Adds to the number and wakes one thread that waits on it.
    pub fn add(&self, more: u32) {
        self.value.fetch_add(more, Ordering::SeqCst);
        self.wake(1);
    }

    /// Sets the number and wakes at most `count` threads that wait on it.
    pub fn set_and_wake(&self, value: u32, count: usize) {
        self.value.store(value, Ordering::SeqCst);
        self.wake(count);
    }

    /// Wakes at most `count` threads that wait on the number.
    pub fn wake(&self, count: usize) {
        // A thread that begins to wait after this load sees the new number, which
        // was stored before it, and does not wait.
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.wake_waiters(count);
        }
    }

    /// Waits until the number is at least `wanted`, or until the deadline (`None`:
    /// for ever). Gives the number at that time.
    pub fn wait(&self, wanted: u32, deadline: Option<Time>) -> u32 {
        self.wait_while(|value| value < wanted, deadline)
    }

    /// Waits until the number is not `seen`, or until the deadline.
    pub fn wait_past(&self, seen: u32, deadline: Option<Time>) {
        self.wait_while(|value| value == seen, deadline);
    }

    fn wait_while(&self, waits: impl Fn(u32) -> bool, deadline: Option<Time>) -> u32 {
        loop {
            let value = self.get();
            if !waits(value) || deadline.is_some_and(|deadline| now() >= deadline) {
                return value;
            }
            self.waiters.fetch_add(1, Ordering::SeqCst);
            self.wait_for_change(value, deadline);
            self.waiters.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(all(target_os = "linux", not(rungroup_model)))]
impl Word {
    fn wake_waiters(&self, count: usize) {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word is valid for the call; waking reads nothing else.
        unsafe { libc::syscall(libc::SYS_futex, self.value.as_ptr(), operation, count) };
    }

    fn wait_for_change(&self, value: u32, deadline: Option<Time>) {
        let mut left = deadline.map(|deadline| deadline.saturating_sub(now()));
        if tsan::is_there() {
            // ThreadSanitizer delays a signal's handler until the thread calls a
            // function that the tool intercepts, and the futex system call is none: in
            // one long wait the handler would never be called.
            // SAFETY: no descriptors and no timeout.
            uncancelled(|| unsafe { libc::poll(std::ptr::null_mut(), 0, 0) });
            left = Some(left.map_or(SLICE, |left| left.min(SLICE)));
        }
        let left = left.map(|left| libc::timespec {
            tv_sec: (left / 1_000_000_000) as _,
            tv_nsec: (left % 1_000_000_000) as _,
        });
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word and the time are valid for the call. Whatever ends the
        // call, the caller loads the word again.
        unsafe { libc::syscall(libc::SYS_futex, self.value.as_ptr(), operation, value, left) };
    }
}

/// How long a signal's handler may be delayed in a program with ThreadSanitizer.
#[cfg(all(target_os = "linux", not(rungroup_model)))]
const SLICE: Time = 20_000_000;

#[cfg(any(not(target_os = "linux"), rungroup_model))]
impl Word {
    fn wake_waiters(&self, count: usize) {
        // A thread that is about to wait has loaded the number under the lock, and
        // waits by the time the lock is free: without this it would miss the wake-up.
        drop(self.lock.lock());
        match count {
            1 => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
    }
}

#[cfg(rungroup_model)]
impl Word {
    fn wait_for_change(&self, value: u32, deadline: Option<Time>) {
        let lock = self.lock.lock();
        if self.get() == value {
            drop(self.changed.wait(lock, deadline));
        }
    }
}

/// The standard library's lock and condition variable: parking_lot's would create
/// its thread-local in a thread that is ending.
#[cfg(not(any(target_os = "linux", rungroup_model)))]
impl Word {
    fn wait_for_change(&self, value: u32, deadline: Option<Time>) {
        let Ok(lock) = self.lock.lock() else { return };
        if self.get() != value {
            return;
        }
        match deadline {
            None => drop(self.changed.wait(lock)),
            Some(deadline) => {
                let left = std::time::Duration::from_nanos(deadline.saturating_sub(now()));
                drop(self.changed.wait_timeout(lock, left));
            }
        }
    }
}
