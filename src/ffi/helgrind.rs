//! `sync.rs` for helgrind, which knows pthreads and nothing else: with
//! `--cfg rungroup_helgrind` locks and condition variables are pthreads', and
//! of what atomics order it is told. No less and no more: a load acquires what
//! stores before it released, and relaxed ones order nothing.
//!
//! `scripts/sanitize.sh` builds it. What it is told goes through
//! `tests/helgrind/told.c`, which the programs are linked with.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::time::SystemTime;

pub use atomic as unmodelled;
pub use std::thread_local;
pub use std::time::Instant;

unsafe extern "C" {
    /// Whatever this thread has done comes before what a thread does after
    /// `helgrind_after` of the same address.
    safe fn helgrind_before(at: *const c_void);
    safe fn helgrind_after(at: *const c_void);
    /// The address will be somebody else's.
    safe fn helgrind_forget(at: *const c_void);
}

fn at<T>(of: &T) -> *const c_void {
    ptr::from_ref(of).cast()
}

/// See `sync.rs`.
#[derive(Debug)]
pub struct Mutex<T> {
    pthread: UnsafeCell<libc::pthread_mutex_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used under the lock only.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Mutex {
            pthread: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
            value: UnsafeCell::new(value),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        // SAFETY: initialized, and never moved once it is shared.
        let locked = unsafe { libc::pthread_mutex_lock(self.pthread.get()) };
        assert_eq!(locked, 0);
        MutexGuard::new(self)
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // SAFETY: as above.
        let locked = unsafe { libc::pthread_mutex_trylock(self.pthread.get()) };
        (locked == 0).then(|| MutexGuard::new(self))
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more.
        unsafe { libc::pthread_mutex_destroy(self.pthread.get()) };
    }
}

/// A lock that is held.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// It stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl<'a, T> MutexGuard<'a, T> {
    fn new(mutex: &'a Mutex<T>) -> Self {
        MutexGuard {
            mutex,
            _thread: PhantomData,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread holds the lock.
        unsafe { libc::pthread_mutex_unlock(self.mutex.pthread.get()) };
    }
}

/// See `sync.rs`.
#[derive(Debug)]
pub struct Condvar(UnsafeCell<libc::pthread_cond_t>);

// SAFETY: a pthread_cond_t is for any thread.
unsafe impl Send for Condvar {}
// SAFETY: as above.
unsafe impl Sync for Condvar {}

impl Default for Condvar {
    fn default() -> Self {
        Condvar(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER))
    }
}

impl Condvar {
    pub fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        let mutex = guard.mutex.pthread.get();
        match deadline {
            // SAFETY: both are initialized, and this thread holds the lock.
            None => unsafe { libc::pthread_cond_wait(self.0.get(), mutex) },
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let date = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(left, |now| now.saturating_add(left));
                let date = libc::timespec {
                    tv_sec: libc::time_t::try_from(date.as_secs()).unwrap_or(libc::time_t::MAX),
                    tv_nsec: date.subsec_nanos() as _,
                };
                // SAFETY: as above; the date is valid for the call.
                unsafe { libc::pthread_cond_timedwait(self.0.get(), mutex, &date) }
            }
        };
        guard
    }

    pub fn notify_one(&self) {
        // SAFETY: initialized.
        unsafe { libc::pthread_cond_signal(self.0.get()) };
    }
}

impl Drop for Condvar {
    fn drop(&mut self) {
        // SAFETY: nobody waits for it any more.
        unsafe { libc::pthread_cond_destroy(self.0.get()) };
    }
}

/// Atomics as the standard library has them, under their own names.
pub mod atomic {
    use super::{at, helgrind_after, helgrind_before, helgrind_forget};
    pub use std::sync::atomic::Ordering;
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

    fn ordered<A, T>(atomic: &A, order: Ordering, operation: impl FnOnce(&A) -> T) -> T {
        if matches!(order, Release | AcqRel | SeqCst) {
            helgrind_before(at(atomic));
        }
        let result = operation(atomic);
        if matches!(order, Acquire | AcqRel | SeqCst) {
            helgrind_after(at(atomic));
        }
        result
    }

    macro_rules! atomics {
        ($($name:ident $(<$T:ident>)?: $value:ty { $($operation:ident)* })*) => {$(
            #[derive(Debug, Default)]
            pub struct $name$(<$T>)?(std::sync::atomic::$name$(<$T>)?);

            #[allow(dead_code)] // all have the same
            impl$(<$T>)? $name$(<$T>)? {
                pub const fn new(value: $value) -> Self {
                    Self(std::sync::atomic::$name::new(value))
                }

                pub const fn as_ptr(&self) -> *mut $value {
                    self.0.as_ptr()
                }

                pub fn load(&self, order: Ordering) -> $value {
                    let acquire = if order == Relaxed { order } else { Acquire };
                    ordered(self, acquire, |this| this.0.load(order))
                }

                /// By a swap: helgrind knows one for an atomic by its
                /// instruction, where a store may be an ordinary one.
                pub fn store(&self, value: $value, order: Ordering) {
                    let release = if order == Relaxed { order } else { Release };
                    ordered(self, release, |this| this.0.swap(value, order));
                }

                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    ordered(self, order, |this| this.0.swap(value, order))
                }

                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    order: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    ordered(self, order, |this| {
                        this.0.compare_exchange(current, new, order, failure)
                    })
                }

                $(pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                    ordered(self, order, |this| this.0.$operation(value, order))
                })*
            }

            impl$(<$T>)? Drop for $name$(<$T>)? {
                fn drop(&mut self) {
                    helgrind_forget(at(self));
                }
            }
        )*};
    }

    atomics! {
        AtomicBool: bool { fetch_or }
        AtomicU8: u8 {}
        AtomicI32: i32 {}
        AtomicU32: u32 { fetch_add fetch_sub }
        AtomicUsize: usize { fetch_add fetch_sub }
        AtomicPtr<T>: *mut T {}
    }
}

/// See [`std::sync::Arc`]. The last share's drop comes after those of all others.
#[derive(Debug)]
pub struct Arc<T> {
    /// Dropped before the share itself is.
    release: Release,
    counted: std::sync::Arc<Counted<T>>,
}

#[derive(Debug)]
struct Release(usize);

#[derive(Debug)]
struct Counted<T> {
    /// Dropped before the value is.
    _acquire: Acquire,
    value: T,
}

/// At the address that every share has.
#[derive(Debug)]
#[repr(align(1))]
struct Acquire(#[allow(dead_code)] u8);

impl<T> Counted<T> {
    /// What a shared value lies in.
    fn of(value: *const T) -> *const Self {
        value
            .wrapping_byte_sub(offset_of!(Counted<T>, value))
            .cast()
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        helgrind_before(ptr::without_provenance(self.0));
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        helgrind_after(at(self));
        helgrind_forget(at(self));
    }
}

impl<T> Arc<T> {
    pub fn new(value: T) -> Self {
        let _acquire = Acquire(0);
        Arc::of(std::sync::Arc::new(Counted { _acquire, value }))
    }

    fn of(counted: std::sync::Arc<Counted<T>>) -> Self {
        let release = Release(at(&counted._acquire).addr());
        Arc { release, counted }
    }

    pub fn as_ptr(this: &Self) -> *const T {
        &this.counted.value
    }

    pub fn into_raw(this: Self) -> *const T {
        let value = Arc::as_ptr(&this);
        std::mem::forget(this);
        value
    }

    /// # Safety
    /// As of [`std::sync::Arc::from_raw`].
    pub unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the caller's promise; `into_raw` forgot a share of that.
        Arc::of(unsafe { std::sync::Arc::from_raw(Counted::of(value)) })
    }

    /// # Safety
    /// As of [`std::sync::Arc::increment_strong_count`].
    pub unsafe fn increment_strong_count(value: *const T) {
        // SAFETY: as above.
        unsafe { std::sync::Arc::increment_strong_count(Counted::of(value)) };
    }

    pub fn downgrade(this: &Self) -> Weak<T> {
        Weak(std::sync::Arc::downgrade(&this.counted))
    }

    pub fn into_inner(this: Self) -> Option<T> {
        let Arc { release, counted } = this;
        let at = release.0;
        drop(release);
        let counted = std::sync::Arc::into_inner(counted)?;
        helgrind_after(ptr::without_provenance(at));
        Some(counted.value)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Arc::of(self.counted.clone())
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Self {
        Arc::new(T::default())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted.value
    }
}

/// See [`std::sync::Weak`].
#[derive(Debug)]
pub struct Weak<T>(std::sync::Weak<Counted<T>>);

impl<T> Weak<T> {
    pub const fn new() -> Self {
        Weak(std::sync::Weak::new())
    }

    pub fn upgrade(&self) -> Option<Arc<T>> {
        self.0.upgrade().map(Arc::of)
    }
}

impl<T> Clone for Weak<T> {
    fn clone(&self) -> Self {
        Weak(self.0.clone())
    }
}

/// See [`std::sync::OnceLock`].
#[derive(Debug)]
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    made: atomic::AtomicBool,
    making: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub const fn new() -> Self {
        OnceLock {
            value: std::sync::OnceLock::new(),
            made: atomic::AtomicBool::new(false),
            making: Mutex::new(()),
        }
    }

    pub fn get(&self) -> Option<&T> {
        // A value that helgrind was not told of is not there yet.
        let made = self.made.load(atomic::Ordering::Acquire);
        made.then(|| self.value.get()).flatten()
    }

    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let _making = self.making.lock();
        let value = self.value.get_or_init(make);
        self.made.store(true, atomic::Ordering::Release);
        value
    }
}
