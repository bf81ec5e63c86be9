//! A call without a personality routine, for platforms that `frame.rs` does not know:
//! 32-bit machines, and Apple's.

use super::Callee;
use std::ffi::{c_int, c_void};

/// Calls `function`. An exception gets no sentence, and a `pthread_exit` is not stopped.
///
/// # Safety
/// As above.
pub unsafe fn call(
    first: *mut c_void,
    second: *mut c_void,
    function: *const c_void,
    _callee: *const Callee,
) -> c_int {
    type Two = unsafe extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;
    // SAFETY: the caller's; C's calling conventions elsewhere, too, ignore an
    // argument in a register that is not looked at.
    unsafe { std::mem::transmute::<*const c_void, Two>(function)(first, second) }
}
