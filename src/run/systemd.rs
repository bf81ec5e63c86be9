//! The systemd actor: tells a service manager how the group is.
//!
//! The protocol is that of sd_notify(3): datagrams of lines, to the socket that
//! `$NOTIFY_SOCKET` names.

use crate::latch::Latch;
use crate::machine::Outcome;
use crate::sync::after;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager that does not read must not hold up the shutdown.
const SEND: Duration = Duration::from_secs(1);

/// What the environment says of the manager that started this process.
#[derive(Debug)]
pub struct Manager {
    /// `None`: there is none that wants to be told.
    socket: Option<OsString>,
    /// How often it wants a sign of life.
    every: Option<Duration>,
}

impl Manager {
    /// Looks for one.
    pub fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|&limit| meant && limit > 0);
        Manager {
            socket: std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            // Half of it, as sd_watchdog_enabled(3) advises.
            every: limit.map(|limit| Duration::from_micros(limit / 2).max(SHORTEST)),
        }
    }

    /// An execute: says READY=1, since the group's executes all run by now;
    /// WATCHDOG=1 as often as wanted; STOPPING=1 with the cause once the group
    /// stops, which `why` then tells.
    pub fn serve(&self, stop: &Latch, why: impl FnOnce() -> String) -> Outcome {
        let Some(name) = &self.socket else {
            stop.wait_until(None);
            return Outcome::code(0);
        };
        let socket = match connect(name).and_then(|socket| {
            socket.send(b"READY=1")?;
            Ok(socket)
        }) {
            Ok(socket) => socket,
            // Not told, it would kill the service for that some time later.
            Err(error) => {
                let name = name.to_string_lossy();
                let sentence = format!(
                    "cannot tell the service manager at $NOTIFY_SOCKET ({name}) that the group is \
                     ready: {error}"
                );
                return Outcome::new(1, &sentence);
            }
        };
        while !stop.wait_until(self.every.and_then(after)) {
            // If it is not told for long enough, it says so itself.
            let _ = socket.send(b"WATCHDOG=1");
        }
        let status = why().replace('\n', " ");
        let _ = socket.send(format!("STOPPING=1\nSTATUS={status}").as_bytes());
        Outcome::code(0)
    }
}

/// The smallest pause between two signs of life.
const SHORTEST: Duration = Duration::from_millis(1);

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND))?;
    socket.connect_addr(&address(name)?)?;
    Ok(socket)
}

/// A path, or "@name" for a socket without one.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)
        }
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::other("it is no absolute path")),
    }
}
