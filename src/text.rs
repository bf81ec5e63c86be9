//! Text that crosses to C: UTF-8, ended by a NUL.

use crate::error::Error;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};

/// The bytes before a reason, for the function's name.
const PREFIX: usize = 24;

thread_local! {
    /// The reason that [`because`] saved. An array, which has no destructor: to register
    /// one takes memory, and the process aborts without.
    static REASON: RefCell<[u8; 256]> = const { RefCell::new([0; 256]) };
    /// The error that the saved reason is of; `None`: it was returned.
    static OF: Cell<Option<Error>> = const { Cell::new(None) };
}

/// Saves the reason of an error for this thread, and gives the error back. A reason says
/// what is wrong with which argument, or what the system said; a long one is cut.
pub fn because(error: Error, reason: std::fmt::Arguments) -> Error {
    REASON.with(|kept| {
        let mut kept = kept.borrow_mut();
        let room = &mut kept[PREFIX..];
        let length = room.len() - 1;
        room.fill(0);
        let _ = std::io::Write::write_fmt(&mut &mut room[..length], reason);
    });
    OF.with(|of| of.set(Some(error)));
    error
}

/// Whether a reason of this error is saved. A reason is returned once.
fn take(error: Error) -> bool {
    OF.with(Cell::take) == Some(error)
}

/// Drops the saved reason: without this, a later call that is refused without a reason
/// would be given the reason of an earlier one.
pub fn forget() {
    OF.with(Cell::take);
}

/// The reason that [`because`] saved, if it is of this error.
pub fn reason(error: Error) -> Option<String> {
    if !take(error) {
        return None;
    }
    REASON.with(|kept| {
        let kept = kept.borrow();
        let kept = CStr::from_bytes_until_nul(&kept[PREFIX..]).ok()?;
        Some(kept.to_string_lossy().into_owned())
    })
}

/// "function: " and the reason that [`because`] saved, if it is of this error; valid until
/// the next call of `because` on this thread.
pub fn reason_of(function: &str, error: Error) -> Option<*const c_char> {
    if !take(error) {
        return None;
    }
    REASON.with(|kept| {
        let mut kept = kept.borrow_mut();
        let start = PREFIX.checked_sub(function.len() + 2)?;
        kept[start..PREFIX - 2].copy_from_slice(function.as_bytes());
        kept[PREFIX - 2..PREFIX].copy_from_slice(b": ");
        Some(kept[start..].as_ptr().cast())
    })
}

/// The text as a C string; a NUL inside it becomes U+FFFD, so that nothing
/// after it is lost.
pub fn lossy(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        let text = text.replace('\0', "\u{fffd}");
        CString::new(text).expect("no NUL is left")
    })
}

/// What an error says, with its causes: "cannot read x: no such file". A cause
/// whose text ends the text before it is left out: some errors repeat theirs.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// The longest name that an actor may have, in bytes.
pub const NAME_LIMIT: usize = 255;

/// A copy of an actor's name, if it is one: UTF-8, and not too long.
pub fn name(name: &CStr) -> Result<CString, Error> {
    if name.count_bytes() > NAME_LIMIT {
        return Err(too_long());
    }
    if name.to_str().is_err() {
        return Err(because(
            Error::Invalid,
            format_args!("the name is not UTF-8"),
        ));
    }
    copy(name)
}

/// A name that Rust gave, as a C string.
pub fn without_nul(name: &str) -> Result<CString, Error> {
    let refused = |_| because(Error::Invalid, format_args!("the name {name:?} has a NUL"));
    CString::new(name).map_err(refused)
}

/// Of a name.
pub fn too_long() -> Error {
    let reason = format_args!("the name has more than {NAME_LIMIT} bytes");
    because(Error::Invalid, reason)
}

/// A copy. Without memory it is an error, where `to_owned` would abort.
pub fn copy(text: &CStr) -> Result<CString, Error> {
    let bytes = text.to_bytes_with_nul();
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Error::Memory)?;
    copy.extend_from_slice(bytes);
    CString::from_vec_with_nul(copy).map_err(|_| Error::Invalid)
}

/// The name of an actor that was given none, or an error where there is no
/// memory for it.
pub fn numbered(index: usize) -> Result<CString, Error> {
    format(format_args!("actor-{index}"))
}

/// A short text, or an error where there is no memory for it.
pub fn format(text: std::fmt::Arguments) -> Result<CString, Error> {
    // Written into the array first: `format!` would abort without memory.
    let mut bytes = [0; 32];
    let _ = std::io::Write::write_fmt(&mut &mut bytes[..31], text);
    CStr::from_bytes_until_nul(&bytes).map_or(Err(Error::Invalid), copy)
}

/// The longest start of a text in UTF-8 that has at most `limit` bytes and cuts no
/// character.
pub fn prefix(text: &[u8], limit: usize) -> &[u8] {
    let mut end = text.len().min(limit);
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_inside_hides_nothing() {
        assert_eq!(lossy("a\0b").to_str(), Ok("a\u{fffd}b"));
    }

    #[test]
    fn a_prefix_cuts_no_character() {
        let naive = "naïve".as_bytes();
        for (limit, start) in [(0, ""), (3, "na"), (4, "naï"), (6, "naïve"), (99, "naïve")] {
            assert_eq!(prefix(naive, limit), start.as_bytes());
        }
    }

    #[test]
    fn a_reason_is_told_once() {
        let error = because(Error::Invalid, format_args!("{} is wrong", 7));
        assert_eq!(error, Error::Invalid);
        let said = reason_of("rg_drive_interrupted", error).unwrap();
        // SAFETY: a C string of this thread's.
        let said = unsafe { CStr::from_ptr(said) };
        assert_eq!(said, c"rg_drive_interrupted: 7 is wrong");
        assert_eq!(reason_of("rg_add", error), None);
    }

    #[test]
    fn a_reason_is_of_one_error() {
        because(Error::Invalid, format_args!("{} is wrong", 7));
        assert_eq!(reason(Error::State), None);
        because(Error::Invalid, format_args!("{} is wrong", 7));
        assert_eq!(reason(Error::Invalid).as_deref(), Some("7 is wrong"));
        assert_eq!(reason(Error::Invalid), None);
        because(Error::Invalid, format_args!("{} is wrong", 7));
        forget();
        assert_eq!(reason(Error::Invalid), None);
    }

    #[test]
    fn copies_are_the_same() {
        assert_eq!(copy(c"naïve").as_deref(), Ok(c"naïve"));
        assert_eq!(numbered(0).as_deref(), Ok(c"actor-0"));
        assert_eq!(
            numbered(usize::MAX).unwrap().to_str(),
            Ok(&*format!("actor-{}", usize::MAX))
        );
    }
}
