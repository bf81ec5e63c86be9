//! The C interface: every exported function directly above what it does, one
//! file a topic.
//!
//! An export is called by its name in whatever copy of the library the linker
//! chose; what it does is up to the copy that made the handle. So an export
//! only goes [`via`] the handle's own table (`table.rs`), whose functions are
//! the bodies.
#![allow(unsafe_code, clippy::missing_safety_doc)]

pub mod drive;
pub mod group;
mod last;
pub mod report;
pub mod signals;
pub mod stop;
pub mod table;

use crate::abi::{rg_completion, rg_group};
use crate::error::Error;
use crate::machine::{Message, NO_MESSAGE};
use crate::run::actor::Completion;
use crate::run::core::Core;
use crate::run::failure;
use crate::sync::{Arc, Time, after};
use crate::sys::unwind::uncancelled;
use crate::text;
use libc::{c_char, c_int};
use std::ffi::{CStr, CString};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Duration;
use table::{Table, table};

/// What an exported function returns when it refuses or fails.
trait Answer {
    fn failed(error: Error) -> Self;

    /// Whether it is one of those, or looks like it.
    fn is_failure(&self) -> bool {
        false
    }
}

impl Answer for c_int {
    fn failed(error: Error) -> Self {
        error.code()
    }

    fn is_failure(&self) -> bool {
        *self < 0
    }
}

impl Answer for usize {
    fn failed(_: Error) -> Self {
        0
    }
}

impl Answer for () {
    fn failed(_: Error) -> Self {}
}

impl<T> Answer for *const T {
    fn failed(_: Error) -> Self {
        ptr::null()
    }
}

impl<T> Answer for *mut T {
    fn failed(_: Error) -> Self {
        ptr::null_mut()
    }
}

/// Where a cancellation of the thread is held off.
fn boundary<R: Answer>(function: &str, body: impl FnOnce() -> Result<R, Error>) -> R {
    uncancelled(|| prompt(function, body))
}

/// For a body in which a cancellation cannot act. Here alone a panic of the library's
/// own is caught.
fn prompt<R: Answer>(function: &str, body: impl FnOnce() -> Result<R, Error>) -> R {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or(Err(Error::Panic))
        .unwrap_or_else(|error| refused(function, error))
}

// Apart, so that a call that succeeds does not pay for it.
#[cold]
#[inline(never)]
fn refused<R: Answer>(function: &str, error: Error) -> R {
    last::keep(function, error);
    R::failed(error)
}

/// Calls through the handle's own table.
///
/// The SAFETY of every export's `unsafe` block: the table was checked to be one
/// of a compatible copy, whose functions take what these were given; what the
/// caller promises of pointers stands in each function's description.
unsafe fn via<H, R: Answer>(handle: *const H, call: impl FnOnce(&Table) -> R) -> R {
    // SAFETY: the caller passes NULL or a handle.
    match unsafe { table(handle) } {
        Ok(table) => {
            let answer = call(table);
            if answer.is_failure() {
                last::said_by(table);
            }
            answer
        }
        Err(error) => refused("rungroup", error),
    }
}

/// A type that C has handles of.
trait Handle {
    /// What the handle of this copy of the library really is.
    type Own;

    /// # Safety
    /// A handle that this copy made and that is not freed.
    unsafe fn own(handle: *const Self) -> Self::Own;
}

impl Handle for rg_group {
    /// The handle's own share: not to be dropped. Who may be overtaken by
    /// `rg_free` takes one more.
    type Own = ManuallyDrop<Arc<Core>>;

    unsafe fn own(handle: *const Self) -> Self::Own {
        // SAFETY: `rg_new` got it from an `Arc`, and it is not freed.
        ManuallyDrop::new(unsafe { Arc::from_raw(handle.cast::<Core>()) })
    }
}

impl Handle for rg_completion {
    /// Not a reference: completing may free it.
    type Own = *const Completion;

    unsafe fn own(handle: *const Self) -> Self::Own {
        handle.cast()
    }
}

// ---- what C passes -----------------------------------------------------------

/// `None`: wait for ever.
fn deadline(timeout_ms: i64) -> Option<Time> {
    after(Duration::from_millis(u64::try_from(timeout_ms).ok()?))
}

/// The C string, unless it is NULL.
///
/// # Safety
/// NULL or a C string that lives for `'a`.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// A copy of an actor's name: UTF-8 of at most 255 bytes. NULL is none.
///
/// # Safety
/// NULL or a C string.
unsafe fn read_name(name: *const c_char) -> Result<Option<CString>, Error> {
    if name.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise; no more than one byte past the limit is
    // looked at.
    if unsafe { libc::strnlen(name, text::NAME_LIMIT + 1) } > text::NAME_LIMIT {
        return Err(text::too_long());
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    text::name(name).map(Some)
}

/// A copy of a message; NULL is the empty one. Without memory it is lost, but
/// what it says of is not.
///
/// # Safety
/// NULL or a C string.
unsafe fn read_message(message: *const c_char) -> Message {
    // SAFETY: the caller's promise.
    unsafe { text(message) }
        .filter(|message| !message.is_empty())
        .map_or(NO_MESSAGE, failure::copy)
}

/// A caller's structure that begins with its size, which is at least ours.
///
/// # Safety
/// NULL, or a structure that begins with its size and is so large.
unsafe fn sized<'a, T>(structure: *const T) -> Result<&'a T, Error> {
    if structure.is_null() {
        return Err(null("the structure"));
    }
    // SAFETY: it begins with its size.
    match unsafe { *structure.cast::<usize>() } {
        // SAFETY: it is large enough.
        size if size >= size_of::<T>() => Ok(unsafe { &*structure }),
        size => Err(text::because(
            Error::Invalid,
            format_args!(
                "the structure's size is {size}, and must be {}: set it to its sizeof",
                size_of::<T>()
            ),
        )),
    }
}

/// The error for an argument that must not be NULL.
fn null(argument: &str) -> Error {
    text::because(Error::Invalid, format_args!("{argument} is NULL"))
}
