//! The last refusal of a thread, as a sentence.

use super::table::Table;
use crate::error::Error;
use crate::text;
use libc::c_char;
use std::cell::Cell;
use std::ptr;

/// As `rg_last_error` itself.
pub type LastError = extern "C" fn() -> *const c_char;

/// Where the sentence is.
#[derive(Clone, Copy)]
enum Last {
    /// No call was refused on this thread.
    None,
    /// The error's own sentence: no reason was given.
    Error(Error),
    /// This thread's, until its next refusal.
    Reason(*const c_char),
    /// Another copy of the library, whose function this is, has it.
    Other(LastError),
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last::None) };
}

/// Keeps the reason, on the thread whose call was refused.
pub fn keep(function: &str, error: Error) {
    let reason = text::reason_of(function, error).map_or(Last::Error(error), Last::Reason);
    LAST.with(|last| last.set(reason));
}

/// A copy of the library, perhaps this one, refused something.
#[cold]
#[inline(never)]
pub fn said_by(table: &Table) {
    let own: LastError = sentence;
    if !ptr::fn_addr_eq(table.last_error, own) {
        LAST.with(|last| last.set(Last::Other(table.last_error)));
    }
}

/// The sentence about this thread's last refusal.
pub extern "C" fn sentence() -> *const c_char {
    match LAST.with(Cell::get) {
        Last::None => c"".as_ptr(),
        Last::Error(error) => error.sentence().as_ptr(),
        Last::Reason(reason) => reason,
        Last::Other(other) => other(),
    }
}
