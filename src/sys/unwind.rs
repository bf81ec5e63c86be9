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
#[cfg(target_arch = "x86_64")]
use std::ffi::CStr;
use std::ffi::{c_char, c_int, c_void};

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
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // nobody is told there
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

/// Calls `function` with up to two arguments.
///
/// # Safety
/// `function` is a C function of one or two pointers that returns an int or
/// nothing, and may be called with these; `callee` is valid during the call. A
/// second argument that it does not have, and a result that it does not give,
/// go unnoticed on this architecture. Where `pthread_exit` may end the thread,
/// the frames above own nothing that needs dropping.
#[cfg(target_arch = "x86_64")]
// A naked function is emitted once, so its label is. Newer compilers know.
#[allow(named_asm_labels)]
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn call(
    first: *mut c_void,
    second: *mut c_void,
    function: *const c_void,
    callee: *const Callee,
) -> c_int {
    // The callee's address lies where the stack pointer is during the call,
    // which is where `personality` looks for it.
    core::arch::naked_asm!(
        ".pushsection .data.rel.ro.rungroup, \"aw\", @progbits",
        ".balign 8",
        ".Lrungroup_personality:",
        ".quad {personality}",
        ".popsection",
        ".cfi_startproc",
        // Indirect, relative to here, four bytes.
        ".cfi_personality 0x9b, .Lrungroup_personality",
        "push rcx",
        ".cfi_adjust_cfa_offset 8",
        "call rdx",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        personality = sym personality,
    )
}

/// Without the sentence, and without what ends a `pthread_exit`.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "x86_64"))]
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

/// Asked by the unwinder about the frame of `call`.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn personality(
    _version: c_int,
    actions: c_int,
    class: u64,
    _exception: *mut c_void,
    context: *mut c_void,
) -> c_int {
    const SEARCH_PHASE: c_int = 1;
    const FORCED: c_int = 8;
    const FATAL_PHASE1_ERROR: c_int = 3;
    const INSTALL_CONTEXT: c_int = 7;
    const CONTINUE_UNWIND: c_int = 8;
    unsafe extern "C" {
        fn _Unwind_GetCFA(context: *mut c_void) -> usize;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
        fn _Unwind_SetIP(context: *mut c_void, ip: usize);
    }
    // SAFETY: the unwinder's "CFA" of the frame is the stack pointer at the call,
    // where `call` has put the callee, which outlives the call.
    let callee = unsafe { &**(_Unwind_GetCFA(context) as *const *const Callee) };
    if actions & FORCED != 0 && !callee.may_exit {
        callee.left.set(true);
        // SAFETY: the place after the call, where the function would have come
        // back to; the unwinder restores the registers that it must keep.
        unsafe { _Unwind_SetIP(context, _Unwind_GetIP(context)) };
        return INSTALL_CONTEXT;
    }
    if actions & SEARCH_PHASE == 0 {
        return CONTINUE_UNWIND;
    }
    complain(callee, class);
    FATAL_PHASE1_ERROR
}

#[cfg(target_arch = "x86_64")]
fn complain(callee: &Callee, class: u64) {
    // SAFETY: a name lives as long as its group.
    let actor = (!callee.actor.is_null()).then(|| unsafe { CStr::from_ptr(callee.actor) });
    let whose = actor.map_or(String::new(), |name| {
        format!(" of actor \"{}\"", name.to_string_lossy())
    });
    // The last byte tells a C++ exception from a dependent one.
    let (what, remedy) = match &class.to_be_bytes() {
        [_, _, _, _, b'C', b'+', b'+', _] => (
            "threw a C++ exception",
            "catch it there and return a code (rg_fail keeps a text), or use rungroup.hpp",
        ),
        _ => (
            "unwound",
            "catch it there and return a code (rg_fail keeps a text)",
        ),
    };
    let function = callee.function;
    let sentence = format!(
        "rungroup: the {function}{whose} {what} into C, which ends the process; {remedy}\n"
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), sentence.as_bytes());
}
