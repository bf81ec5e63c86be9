//! Calls of foreign functions, through a frame that sees an exception come.
//!
//! Nothing may unwind across the C boundary (rule 12), and catching what is not
//! Rust's is undefined here. So the frame under every foreign function has a
//! personality routine of its own, which the unwinder asks twice:
//!
//! - While the runtime of the thrower still searches for a handler, before
//!   anything is unwound: the routine says whose exception this is and refuses
//!   it. C++ then calls `std::terminate`, at the point of the throw.
//! - While `pthread_exit` or a cancellation, which do not search, unwind the
//!   thread: below an execute the routine lets them pass, since the thread is the
//!   actor's own. Below all else the thread is the library's or the caller's of
//!   `rg_run`, in the middle of a run: the routine ends the unwinding in `call`,
//!   which returns as if the function had, and the callee's `left` tells.

use std::cell::Cell;
use std::ffi::{c_char, c_int};

#[cfg_attr(
    not(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(target_vendor = "apple")
    )),
    path = "unwind/plain.rs"
)]
mod frame;

pub use frame::call;

/// Holds off `pthread_cancel` for this thread while `body` runs: acted on in the
/// middle of it, at a write or a poll, it would unwind frames that own things,
/// and abort the process. It acts at the thread's next cancellation point.
pub fn uncancelled<R>(body: impl FnOnce() -> R) -> R {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    #[cfg(target_os = "macos")]
    const DISABLE: c_int = 0;
    #[cfg(not(target_os = "macos"))]
    const DISABLE: c_int = 1;
    struct Restore(c_int);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the state that this thread had.
            unsafe { pthread_setcancelstate(self.0, std::ptr::null_mut()) };
        }
    }
    let mut before = Restore(DISABLE);
    // SAFETY: the place for the state before is valid for the call.
    unsafe { pthread_setcancelstate(DISABLE, &mut before.0) };
    body()
}

/// Whose function is called.
#[cfg_attr(any(target_arch = "x86", target_vendor = "apple"), allow(dead_code))] // nobody is told
pub struct Callee {
    /// The actor's name; NULL: not an actor's.
    pub actor: *const c_char,
    /// What it is, for the sentence about an exception.
    pub function: &'static str,
    /// Whether `pthread_exit` may end the thread.
    pub may_exit: bool,
    /// Whether the function was left by `pthread_exit` or a cancellation, and
    /// the thread goes on.
    pub left: Cell<bool>,
}
