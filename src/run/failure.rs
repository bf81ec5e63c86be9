//! The message of an actor's failure (`rg_fail`), saved on the actor's thread until its
//! execute or interrupt returns.

#![allow(unsafe_code)]

use super::actor::TakeFailure;
use crate::machine::{Message, NO_MESSAGE, Outcome};
use crate::sync::thread_local;
use crate::text;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};

thread_local! {
    static KEPT: RefCell<Option<(c_int, Message)>> = const { RefCell::new(None) };
    /// Whether there is something in `KEPT`, whose first use allocates.
    static ANY: Cell<bool> = const { Cell::new(false) };
}

/// Keeps a message for this thread's actor; a later one replaces it.
pub fn keep(code: c_int, message: Message) {
    if !message.is_empty() {
        // A thread that is past its thread-locals has no actor left.
        let _ = KEPT.try_with(|kept| *kept.borrow_mut() = Some((code, message)));
        ANY.with(|any| any.set(true));
    }
}

/// Forgets what an earlier actor left on this thread.
pub fn forget() {
    let _ = take_kept();
}

fn take_kept() -> Option<(c_int, Message)> {
    if !ANY.with(|any| any.replace(false)) {
        return None;
    }
    KEPT.try_with(|kept| kept.borrow_mut().take()).ok()?
}

/// See [`TakeFailure`].
pub unsafe extern "C" fn take(
    put: unsafe extern "C" fn(*mut c_void, c_int, *const c_char),
    sink: *mut c_void,
) {
    if let Some((code, message)) = take_kept() {
        // SAFETY: the caller gave a function that takes this sink.
        unsafe { put(sink, code, message.as_ptr()) }
    }
}

unsafe extern "C" fn put(sink: *mut c_void, code: c_int, message: *const c_char) {
    // SAFETY: `taken` is the only caller of ours, with this sink, and the
    // message is a C string.
    unsafe {
        *sink.cast::<Option<(c_int, Message)>>() = Some((code, copy(CStr::from_ptr(message))));
    }
}

/// Takes what the copy of the library that `take_failure` belongs to saved on this thread.
pub fn taken(take_failure: TakeFailure) -> Option<(c_int, Message)> {
    let mut kept: Option<(c_int, Message)> = None;
    // SAFETY: `put` writes to the sink during the call only.
    unsafe { take_failure(put, (&raw mut kept).cast()) };
    kept
}

/// The outcome of an execute that returned `code` on this thread.
pub fn outcome(code: c_int, take_failure: TakeFailure) -> Outcome {
    let message = match taken(take_failure) {
        Some((kept, message)) if kept == code => message,
        _ => NO_MESSAGE,
    };
    Outcome { code, message }
}

/// A copy of what an actor said, in UTF-8: other bytes become U+FFFD. Without
/// memory it is lost: a failure must not become an abort.
pub fn copy(text: &CStr) -> Message {
    match text.to_str() {
        Ok(_) => text::copy(text).map_or(NO_MESSAGE, Message::from),
        Err(_) => text::lossy(&text.to_string_lossy()).into(),
    }
}
