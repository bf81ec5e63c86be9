//! Text that crosses to C: UTF-8, ended by a NUL.

use crate::machine::Message;
use std::ffi::CString;

/// The text as a C string; a NUL inside it becomes U+FFFD, so that nothing
/// after it is lost.
pub fn lossy(text: &str) -> Message {
    let whole = CString::new(text).unwrap_or_else(|_| {
        let text = text.replace('\0', "\u{fffd}");
        CString::new(text).expect("no NUL is left")
    });
    whole.into()
}

/// The longest start of `text` that has at most `limit` bytes and cuts no
/// character.
pub fn prefix(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_inside_hides_nothing() {
        assert_eq!(lossy("a\0b").to_str(), Ok("a\u{fffd}b"));
    }

    #[test]
    fn a_prefix_cuts_no_character() {
        assert_eq!(prefix("naïve", 3), "na");
        assert_eq!(prefix("naïve", 4), "naï");
        assert_eq!(prefix("naïve", 99), "naïve");
    }
}
