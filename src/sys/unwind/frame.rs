//! The frame under a foreign function, with its own personality routine.

use super::Callee;
use std::ffi::{CStr, c_int, c_void};

/// Calls `function` with up to two arguments.
///
/// # Safety
/// `function` is a C function of one or two pointers that returns an int or
/// nothing, and may be called with these; `callee` is valid during the call. A
/// second argument that it does not have, and a result that it does not give,
/// go unnoticed on these architectures. Where `pthread_exit` may end the thread,
/// the frames above own nothing that needs dropping.
// A naked function is emitted once, so its label is. Newer compilers know.
#[allow(named_asm_labels)]
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn call(
    first: *mut c_void,
    second: *mut c_void,
    function: *const c_void,
    callee: *const Callee,
) -> c_int {
    // During the call the stack pointer points to the callee's address, where
    // `personality` reads it.
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!(
        ".pushsection .data.rel.ro.rungroup, \"aw\", %progbits",
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
    );
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!(
        ".pushsection .data.rel.ro.rungroup, \"aw\", %progbits",
        ".balign 8",
        ".Lrungroup_personality:",
        ".xword {personality}",
        ".popsection",
        ".cfi_startproc",
        ".cfi_personality 0x9b, .Lrungroup_personality",
        "sub sp, sp, #32",
        ".cfi_def_cfa_offset 32",
        "str x3, [sp]",
        "stp x29, x30, [sp, #16]",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "add x29, sp, #16",
        "blr x2",
        "ldp x29, x30, [sp, #16]",
        "add sp, sp, #32",
        ".cfi_restore x29",
        ".cfi_restore x30",
        ".cfi_def_cfa_offset 0",
        "ret",
        ".cfi_endproc",
        personality = sym personality,
    )
}

/// Called by the unwinder when it comes to the frame of `call`.
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
