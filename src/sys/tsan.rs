//! Tells ThreadSanitizer, in a program that is built with it, what the library puts in
//! order. The library itself is not built with it, so that the tool does not see the
//! library's atomics: it would report data that actors hand to each other by a stop or a
//! return as races.

use crate::sync::unmodelled::{AtomicPtr, Ordering::Relaxed};
use std::ffi::{CStr, c_void};
use std::mem::transmute;

type Tell = unsafe extern "C" fn(*const c_void);

/// A function of the tool. Null: the program has no such tool.
struct Function(AtomicPtr<c_void>);

static RELEASE: Function = Function(AtomicPtr::new(std::ptr::null_mut()));
static ACQUIRE: Function = Function(AtomicPtr::new(std::ptr::null_mut()));

impl Function {
    fn find(&self, name: &CStr) {
        // SAFETY: a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        self.0.store(found, Relaxed);
    }

    #[inline]
    fn tell<T>(&self, of: &T) {
        let function = self.0.load(Relaxed);
        // Where the library is built with the tool too, this would hide the library's own
        // races.
        if !function.is_null() && !cfg!(rungroup_sanitized) {
            tell(function, std::ptr::from_ref(of).cast());
        }
    }
}

#[cold]
fn tell(function: *mut c_void, of: *const c_void) {
    // SAFETY: the function has this type in the tool's interface. It uses the address
    // as a name, and reads nothing there.
    unsafe { transmute::<*mut c_void, Tell>(function)(of) };
}

/// Looks the tool's functions up, before the first group is made: dlsym takes a lock and
/// may allocate, which a thread that is ending must not.
pub fn find() {
    RELEASE.find(c"__tsan_release");
    ACQUIRE.find(c"__tsan_acquire");
}

/// Whether the program is built with the tool.
#[cfg(all(target_os = "linux", not(rungroup_model)))]
pub fn is_there() -> bool {
    !ACQUIRE.0.load(Relaxed).is_null()
}

/// What this thread has done so far happens before what another thread does after
/// [`acquire`] of the same object.
#[inline]
pub fn release<T>(of: &T) {
    RELEASE.tell(of);
}

/// See [`release`].
#[inline]
pub fn acquire<T>(of: &T) {
    ACQUIRE.tell(of);
}
