//! What ThreadSanitizer is told in a program that is built with it: the library is
//! not, so the tool would not see that its posts and latches put things in order,
//! and take what actors hand to each other by them for races.

use crate::sync::unmodelled::{AtomicPtr, Ordering::Relaxed};
use std::ffi::{CStr, c_void};
use std::mem::transmute;

type Tell = unsafe extern "C" fn(*const c_void);

/// A function of the tool's; null: it is not there, or was not looked for.
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
        if !function.is_null() {
            tell(function, std::ptr::from_ref(of).cast());
        }
    }
}

#[cold]
fn tell(function: *mut c_void, of: *const c_void) {
    // SAFETY: the tool's interface gives it this type. It takes the address as a
    // name, and reads nothing there.
    unsafe { transmute::<*mut c_void, Tell>(function)(of) };
}

/// Looks for the tool, before the first group: a thread that ends must not.
pub fn find() {
    RELEASE.find(c"__tsan_release");
    ACQUIRE.find(c"__tsan_acquire");
}

/// Whether the program is built with the tool.
#[cfg(all(target_os = "linux", not(rungroup_model)))]
pub fn is_there() -> bool {
    !ACQUIRE.0.load(Relaxed).is_null()
}

/// What this thread did so far comes before what follows an [`acquire`] of the same.
#[inline]
pub fn release<T>(of: &T) {
    RELEASE.tell(of);
}

/// See [`release`].
#[inline]
pub fn acquire<T>(of: &T) {
    ACQUIRE.tell(of);
}
