//! Threads, as pthreads have them. The model's are in `model/thread.rs`.

use super::fork::PerProcess;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

pub use libc::{pthread_key_t as Key, pthread_t as Id};

/// The first frame of a thread. What it returns is nobody's.
pub type Start = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// Called with a thread's value of a key when the thread ends, however it does.
pub type Destructor = extern "C" fn(*mut c_void);

unsafe extern "C" {
    /// POSIX's; the crate libc leaves it out for macOS and FreeBSD.
    fn pthread_attr_setstack(
        attributes: *mut libc::pthread_attr_t,
        lowest: *mut c_void,
        size: usize,
    ) -> libc::c_int;
}

/// Starts a thread, on the stack that begins there or on one of the C
/// library's; or gives the system's error number.
///
/// # Safety
/// `start` may be called with `argument` on a new thread. The stack is that
/// large, and the thread's alone until it is joined.
pub unsafe fn create(
    start: Start,
    argument: *mut c_void,
    lowest: Option<*mut c_void>,
    size: usize,
) -> Result<Id, i32> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut id = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the start function has the form asked for but for its unwinding,
    // which pthreads allow. The attributes are initialized before use and
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

/// How often the destructor of a key is surely called for a thread that sets its
/// value anew each time, and one less: POSIX's least, which the C libraries keep to,
/// is four, and in the last round a sanitizer is gone that intercepts write.
pub const ROUNDS: u8 = 3;

/// A share of the library's only key. The key goes with its last share: a copy
/// of the library in a plugin that is loaded again and again would use up all
/// keys of the process otherwise.
#[derive(Debug)]
pub struct KeyShare(Key);

static KEY: PerProcess<Option<(Key, usize)>> = PerProcess::new();

impl KeyShare {
    /// `None`: the process has used up its keys, or there is no memory.
    pub fn new(destructor: Destructor) -> Option<KeyShare> {
        type Unsafe = unsafe extern "C" fn(*mut c_void);
        let mut place = KEY.lock()?;
        if let Some((key, shares)) = &mut *place {
            *shares += 1;
            return Some(KeyShare(*key));
        }
        let mut key = MaybeUninit::uninit();
        // SAFETY: the pointer is valid. The destructor may be called as long as
        // there is a share, which whoever has a thread keeps.
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

    /// For threads that live while the share does.
    pub fn key(&self) -> Key {
        self.0
    }
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        let Some(mut place) = KEY.lock() else { return };
        // Of a child of a fork there is another: this one was the parent's.
        if let Some((key, shares)) = &mut *place
            && *key == self.0
        {
            *shares -= 1;
            if *shares == 0 {
                // SAFETY: the key is ours, and no thread has a value of it.
                unsafe { libc::pthread_key_delete(*key) };
                *place = None;
            }
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
