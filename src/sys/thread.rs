//! POSIX threads. Under the model checker `model/thread.rs` takes this file's place.

use super::fork::PerProcess;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

pub use libc::{pthread_key_t as Key, pthread_t as Id};

/// A thread's function. What it returns is ignored.
pub type Start = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// Called with a thread's value of a key when the thread ends, also by pthread_exit or
/// a cancellation.
pub type Destructor = extern "C" fn(*mut c_void);

unsafe extern "C" {
    /// The crate libc does not declare it for macOS and FreeBSD.
    fn pthread_attr_setstack(
        attributes: *mut libc::pthread_attr_t,
        lowest: *mut c_void,
        size: usize,
    ) -> libc::c_int;
}

/// Starts a thread with a stack of `size` bytes: at the address `lowest`, or (`None`) made
/// by the C library. An error is the system's errno.
///
/// # Safety
/// `start` may be called with `argument` on a new thread. The stack has `size` bytes,
/// and nothing else uses it until the thread is joined.
pub unsafe fn create(
    start: Start,
    argument: *mut c_void,
    lowest: Option<*mut c_void>,
    size: usize,
) -> Result<Id, i32> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut id = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the start function has the type that is asked for, but that it may
    // unwind, which pthreads allow. The attributes are initialized before use and
    // destroyed once; the id is read only if it was written.
    unsafe {
        let start = std::mem::transmute::<Start, extern "C" fn(*mut c_void) -> *mut c_void>(start);
        let error = libc::pthread_attr_init(attributes.as_mut_ptr());
        if error != 0 {
            return Err(error);
        }
        let attributes_set = match lowest {
            Some(lowest) => pthread_attr_setstack(attributes.as_mut_ptr(), lowest, size),
            None => libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size),
        };
        let error = match attributes_set {
            0 => libc::pthread_create(id.as_mut_ptr(), attributes.as_ptr(), start, argument),
            error => error,
        };
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        match error {
            0 => Ok(id.assume_init()),
            error => Err(error),
        }
    }
}

/// Waits for the thread's end.
///
/// # Safety
/// For this function and the next two: the thread is neither joined nor detached.
pub unsafe fn join(id: Id) {
    // SAFETY: the caller's promise.
    unsafe { libc::pthread_join(id, ptr::null_mut()) };
}

/// Detaches the thread: nobody waits for its end.
///
/// # Safety
/// As above.
pub unsafe fn detach(id: Id) {
    // SAFETY: the caller's promise.
    unsafe { libc::pthread_detach(id) };
}

/// Joins the thread if it has ended. False: it has not, or the system cannot tell.
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

/// How many rounds of key destructors the library uses, for a thread whose destructor
/// sets the value anew each time. POSIX promises four; in the last one a sanitizer that
/// intercepts write has ended already.
pub const ROUNDS: u8 = 3;

/// A share of the library's only key, which is deleted with its last share: a plugin
/// with a copy of the library that is loaded and unloaded again and again would
/// otherwise use up all keys of the process.
#[derive(Debug)]
pub struct KeyShare(Key);

static KEY: PerProcess<Option<(Key, usize)>> = PerProcess::new();

impl KeyShare {
    /// A share. `None`: the process has no key left, or no memory.
    pub fn new(destructor: Destructor) -> Option<KeyShare> {
        type Unsafe = unsafe extern "C" fn(*mut c_void);
        let mut place = KEY.lock()?;
        if let Some((key, shares)) = &mut *place {
            *shares += 1;
            return Some(KeyShare(*key));
        }
        let mut key = MaybeUninit::uninit();
        // SAFETY: the pointer is valid. The destructor may be called as long as there
        // is a share, and a group keeps one as long as it has threads.
        let made =
            unsafe { libc::pthread_key_create(key.as_mut_ptr(), Some(destructor as Unsafe)) };
        if made != 0 {
            return None;
        }
        // SAFETY: written by the successful call.
        let key = unsafe { key.assume_init() };
        *place = Some((key, 1));
        Some(KeyShare(key))
    }

    /// The key, for threads that end before the share is dropped.
    pub fn key(&self) -> Key {
        self.0
    }
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        let Some(mut place) = KEY.lock() else { return };
        // In the child of a fork a share of the parent's key is not counted.
        if let Some((key, shares)) = &mut *place
            && *key == self.0
        {
            *shares -= 1;
            if *shares == 0 {
                // SAFETY: the key was made by `new`, and with its last share no thread
                // has a value of it.
                unsafe { libc::pthread_key_delete(*key) };
                *place = None;
            }
        }
    }
}

/// Sets this thread's value of the key. False: there is no memory.
pub fn set(key: Key, value: *mut c_void) -> bool {
    // SAFETY: the key exists; the value is stored, and not dereferenced.
    unsafe { libc::pthread_setspecific(key, value) == 0 }
}

/// The length of a thread's name with its NUL: Linux allows 15 bytes.
pub const NAME: usize = 16;

/// Sets this thread's name.
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
