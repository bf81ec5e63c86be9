//! A test's actor in Rust: what it does is its argument. See mixed.c.

use rungroup::{Error, Host};
use std::ffi::{CStr, c_char, c_int, c_void};

fn join(host: &Host, does: String) -> Result<(), Error> {
    let stop = host.stop_token()?;
    let (told, heard) = std::sync::mpsc::channel();
    let execute = move || -> Result<i32, String> {
        match does.as_str() {
            "return" => Ok(3),
            "fail" => Err("said in Rust".to_owned()),
            "stick" => loop {
                std::thread::park();
            },
            "echo" => Err(heard.recv().unwrap_or_default()),
            _ => {
                stop.wait();
                Ok(0)
            }
        }
    };
    host.add("Rust", execute, move |cause| {
        let _ = told.send(cause.message().to_owned());
    })
}

/// Adds the actor.
///
/// # Safety
/// `group` is the host's, and `argument` a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_join(group: *mut c_void, argument: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let (host, argument) = unsafe { (Host::from_raw(group), CStr::from_ptr(argument)) };
    host.and_then(|host| join(&host, argument.to_string_lossy().into_owned()))
        .map_or_else(Error::code, |()| 0)
}
