//! Calls of foreign functions, through a frame that sees an exception come.
//!
//! Nothing may unwind across the C boundary (rule 12), and catching what is not
//! Rust's is undefined here. So the frame under every foreign function has a
//! personality routine of its own. It is asked while the runtime of the thrower
//! still searches for a handler, before anything is unwound; it says whose
//! exception this is and refuses it. C++ then calls `std::terminate`, at the
//! point of the throw. `pthread_exit` does not search, and passes.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;

/// Whose function is called; for the sentence only.
pub struct Callee {
    /// The actor's name; NULL: not an actor's.
    pub actor: *const c_char,
    pub function: &'static str,
}

/// Calls `function` with up to two arguments.
///
/// # Safety
/// `function` is a C function of one or two pointers that returns an int or
/// nothing, and may be called with these; `callee` is valid during the call. A
/// second argument that it does not have, and a result that it does not give,
/// go unnoticed on this architecture.
#[cfg(target_arch = "x86_64")]
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

/// Without the sentence.
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
    const FATAL_PHASE1_ERROR: c_int = 3;
    const CONTINUE_UNWIND: c_int = 8;
    unsafe extern "C" {
        fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    }
    if actions & SEARCH_PHASE == 0 {
        return CONTINUE_UNWIND;
    }
    // SAFETY: in this phase the unwinder's "CFA" is the stack pointer at the
    // call, where `call` has put the callee, which outlives the call.
    let callee = unsafe { &**(_Unwind_GetCFA(context) as *const *const Callee) };
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
    let _ = std::io::stderr().write_all(sentence.as_bytes());
    FATAL_PHASE1_ERROR
}
