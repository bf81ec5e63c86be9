//! A test's actor in Rust: what it does is its argument. See mixed.c.

use rungroup::{Error, Host};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::Read;

fn join(host: &Host, does: String) -> Result<(), Error> {
    let stop = host.stop_token()?;
    let (told, heard) = std::sync::mpsc::channel();
    // "hold FD": stuck until the pipe's other end is closed.
    let held = does.strip_prefix("hold ").map(|fd| {
        File::open(format!("/proc/self/fd/{fd}")).expect("the host's descriptor is open")
    });
    let execute = move || -> Result<i32, String> {
        if let Some(mut pipe) = held {
            return pipe.read(&mut [0]).map(|_| 0).map_err(|e| e.to_string());
        }
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
