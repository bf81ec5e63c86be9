//! A plugin in Rust: an HTTP server that shows the process's threads, which
//! bear the names of their actors. The argument is the address to listen on.
//!
//! It has a copy of the rungroup crate in it, and works on the host's group all
//! the same.

use rungroup::{Error, Host};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use tiny_http::{Response, Server};

fn threads() -> std::io::Result<String> {
    let mut text = String::new();
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while it is looked at.
        if let Ok(name) = fs::read_to_string(task?.path().join("comm")) {
            let _ = text.write_str(&name);
        }
    }
    Ok(text)
}

fn serve(server: &Server) -> Result<(), std::io::Error> {
    let mut answered = 0;
    // Ends when the server is unblocked.
    for request in server.incoming_requests() {
        let _ = request.respond(Response::from_string(threads()?)); // it may have gone
        answered += 1;
    }
    println!("web: answered {answered} requests");
    Ok(())
}

fn join(host: &Host, address: &str) -> Result<(), Error> {
    let server = Server::http(address).map_err(|error| {
        eprintln!("web: {address}: {error}");
        Error::Invalid
    })?;
    let server = Arc::new(server);
    let serving = server.clone();
    host.add(
        "web (Rust)",
        move || serve(&serving),
        move |_| server.unblock(),
    )
}

/// See plugin.h.
///
/// # Safety
/// `group` is the host's, and `argument` a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_join(group: *mut c_void, argument: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let (host, argument) = unsafe { (Host::from_raw(group), CStr::from_ptr(argument)) };
    let argument = argument.to_string_lossy();
    host.and_then(|host| join(&host, &argument))
        .map_or_else(Error::code, |()| 0)
}
