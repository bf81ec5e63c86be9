//! Threads, as pthreads have them. The model's are in `model/pthread.rs`.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

pub use libc::{pthread_key_t as Key, pthread_t as Id};

/// The first frame of a thread. What it returns is nobody's.
pub type Start = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// Called with a thread's value of a key when the thread ends, however it does.
pub type Destructor = extern "C" fn(*mut c_void);

/// Starts a thread, on the stack that begins there or on one of the C
/// library's; `None`: there is none to be had.
///
/// # Safety
/// `start` may be called with `argument` on a new thread. The stack is that
/// large, and the thread's alone until it is joined.
pub unsafe fn create(
    start: Start,
    argument: *mut c_void,
    lowest: Option<*mut c_void>,
    size: usize,
) -> Option<Id> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut id = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the start function has the form asked for but for its unwinding,
    // which pthreads allow. The attributes are initialized before use and
    // destroyed once; the id is read only if it was written.
    unsafe {
        let start = std::mem::transmute::<Start, extern "C" fn(*mut c_void) -> *mut c_void>(start);
        if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let attributes_set = match lowest {
            Some(lowest) => libc::pthread_attr_setstack(attributes.as_mut_ptr(), lowest, size),
            None => libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size),
        };
        let made = attributes_set == 0
            && libc::pthread_create(id.as_mut_ptr(), attributes.as_ptr(), start, argument) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        made.then(|| id.assume_init())
    }
}

/// Waits for the thread's end.
///
/// # Safety
/// For this and the next two: the thread is neither joined nor detached.
pub unsafe fn join(id: Id) {
    // SAFETY: the caller's promise.
    unsafe { libc::pthread_join(id, ptr::null_mut()) };
}

/// Lets the thread go: its end is not waited for.
///
/// # Safety
/// As above.
pub unsafe fn detach(id: Id) {
    // SAFETY: the caller's promise.
    unsafe { libc::pthread_detach(id) };
}

/// Whether the thread has ended; then it is joined.
///
/// # Safety
/// As above.
pub unsafe fn try_join(id: Id) -> bool {
    // SAFETY: the caller's promise.
    #[cfg(target_os = "linux")]
    return unsafe { libc::pthread_tryjoin_np(id, ptr::null_mut()) } == 0;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = id;
        false
    }
}

/// The library's only key, with this destructor; `None` as long as the process
/// has used up its keys. Nobody waits for it: a child of a fork that caught
/// another thread at it would wait for ever.
#[inline]
pub fn key(destructor: Destructor) -> Option<Key> {
    type Unsafe = unsafe extern "C" fn(*mut c_void);
    /// Its number plus one; 0: there is none yet.
    static KEY: AtomicUsize = AtomicUsize::new(0);
    let number = |kept: usize| (kept - 1) as Key;
    let kept = KEY.load(Ordering::Acquire);
    if kept != 0 {
        return Some(number(kept));
    }
    let mut key = MaybeUninit::uninit();
    // SAFETY: the pointer is valid, and the destructor is never unmapped
    // (nodelete).
    let made = unsafe { libc::pthread_key_create(key.as_mut_ptr(), Some(destructor as Unsafe)) };
    if made != 0 {
        return None;
    }
    // SAFETY: written by the successful call.
    let key = unsafe { key.assume_init() };
    match KEY.compare_exchange(0, key as usize + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(key),
        Err(kept) => {
            // SAFETY: no thread has a value of it.
            unsafe { libc::pthread_key_delete(key) };
            Some(number(kept))
        }
    }
}

/// Sets this thread's value of the key; false: there is no memory for it.
pub fn set(key: Key, value: *mut c_void) -> bool {
    // SAFETY: `key` made it; the value is passed on, not looked at.
    unsafe { libc::pthread_setspecific(key, value) == 0 }
}

/// A thread's name with its NUL: Linux allows 15 bytes.
pub const NAME: usize = 16;

/// Names this thread.
pub fn set_name(name: &[u8; NAME]) {
    let name: *const libc::c_char = name.as_ptr().cast();
    // SAFETY: at most 15 bytes and a NUL.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::pthread_setname_np(libc::pthread_self(), name);
    }
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    unsafe {
        libc::pthread_setname_np(name);
    }
    let _ = name;
}
