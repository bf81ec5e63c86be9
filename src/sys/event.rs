//! Descriptors that say that something happened, poll, and the process's end.

use super::tsan;
use super::unwind::uncancelled;
use crate::error::Error;
use crate::sync::{OnceLock, Time, now};
use crate::text::because;
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor that becomes readable once and stays so: an eventfd on Linux,
/// a pipe elsewhere. Signalling and draining are not points at which a thread is
/// cancelled.
#[derive(Debug)]
pub struct Event {
    read: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
}

impl Event {
    /// An eventfd that is closed on exec and never blocks.
    #[cfg(target_os = "linux")]
    fn open() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor; nobody else owns it.
        let read = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Event {
            read: above_streams(read)?,
        })
    }

    /// A pipe that is closed on exec.
    #[cfg(not(target_os = "linux"))]
    fn open() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        Ok(Event {
            read: above_streams(read.into())?,
            write: above_streams(write.into())?,
        })
    }

    /// An event that has not been signalled. Its error keeps the system's reason.
    pub fn new() -> Result<Self, Error> {
        Event::open().map_err(|error| {
            let error = Errno::of(&error);
            because(
                Error::Memory,
                format_args!("no file descriptor can be had: {error}"),
            )
        })
    }

    /// The event in this place, if it was made.
    pub fn made(place: &OnceLock<Event>) -> Option<&Event> {
        let event = place.get();
        if event.is_some() {
            tsan::acquire(place);
        }
        event
    }

    /// The event in this place, made by the first thread that asks.
    pub fn once(place: &OnceLock<Event>) -> Result<&Event, Error> {
        if let Some(event) = Event::made(place) {
            return Ok(event);
        }
        let event = Event::new()?;
        tsan::release(place);
        Ok(place.get_or_init(|| event))
    }

    /// The descriptor that becomes readable.
    pub fn fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// The descriptor that becomes readable, borrowed.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// The descriptor that [`signal_fd`] takes.
    pub fn write_fd(&self) -> RawFd {
        #[cfg(target_os = "linux")]
        return self.read.as_raw_fd();
        #[cfg(not(target_os = "linux"))]
        return self.write.as_raw_fd();
    }

    /// Makes the descriptor unreadable again, for an event that comes more than
    /// once. False: it was not readable. If a pipe holds more than the buffer, the next
    /// poll returns once for nothing.
    pub fn drain(&self) -> bool {
        let blocks = !cfg!(target_os = "linux");
        if blocks && !matches!(poll_readable(&[self.fd()], Some(now())), Ok(Some(_))) {
            return false;
        }
        let mut buffer = [0u8; 512];
        let (buffer, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the buffer has that length and outlives the call.
        uncancelled(|| unsafe { libc::read(self.fd(), buffer, room) }) > 0
    }

    /// Makes the descriptor readable.
    pub fn signal(&self) {
        uncancelled(|| signal_fd(self.write_fd()));
    }
}

/// A descriptor that is none of stdin's, stdout's and stderr's. In a program that was
/// started without these it would be: what somebody prints would signal the event.
fn above_streams(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    fd.try_clone() // which takes none of them
}

/// Makes the event with this write end readable. Async-signal-safe.
pub fn signal_fd(fd: RawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the buffer is 8 bytes long and outlives the call. EAGAIN: the
    // descriptor is readable already.
    while unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    #[cfg(rungroup_model)]
    crate::sync::signalled();
}

/// An error number, whose `Display` is the system's text. `io::Error` would allocate,
/// and abort where there is no memory.
pub struct Errno(pub i32);

impl Errno {
    /// The number of an error that the system gave.
    pub fn of(error: &io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or(0))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: the buffer has that length.
        unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len()) };
        let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
        f.write_str(text.to_str().unwrap_or("an error without a name"))
    }
}

/// Writes all bytes to a descriptor that the caller owns, and leaves it open.
pub fn write_all(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is not negative, and `ManuallyDrop` does not close it.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    file.write_all(bytes)
}

/// An entry for poll(2) that waits until the descriptor is readable.
pub fn to_read(fd: RawFd) -> libc::pollfd {
    libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// poll(2) until one of `fds` has events or the deadline is reached (`None`: for
/// ever), also across signals. Gives the number of entries with events.
pub fn poll(fds: &mut [libc::pollfd], deadline: Option<Time>) -> io::Result<usize> {
    loop {
        let timeout = match deadline {
            None => -1,
            Some(deadline) => {
                // Rounded up: with a timeout of 0 the last millisecond would be a spin.
                let millis = deadline.saturating_sub(now()).div_ceil(1_000_000);
                i32::try_from(millis).unwrap_or(i32::MAX)
            }
        };
        // SAFETY: pointer and length are those of one exclusive slice.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
        if ready > 0 {
            return Ok(ready as usize);
        }
        if ready == 0 {
            if deadline.is_some_and(|deadline| now() >= deadline) {
                return Ok(0);
            }
            continue;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The position of the first of `fds` that is readable, or `None` at the
/// deadline.
pub fn poll_readable(fds: &[RawFd], deadline: Option<Time>) -> Result<Option<usize>, Error> {
    let mut polled: Vec<libc::pollfd> = fds.iter().map(|&fd| to_read(fd)).collect();
    match poll(&mut polled, deadline) {
        Ok(_) => Ok(polled.iter().position(|polled| polled.revents != 0)),
        Err(_) => Err(Error::Memory),
    }
}

unsafe extern "C" {
    #[cfg_attr(target_os = "macos", link_name = "__stdoutp")]
    static stdout: *mut libc::FILE;
    #[cfg_attr(target_os = "macos", link_name = "__stderrp")]
    static stderr: *mut libc::FILE;
}

unsafe extern "C" {
    fn ftrylockfile(stream: *mut libc::FILE) -> libc::c_int;
    fn funlockfile(stream: *mut libc::FILE);
}

/// How long the reader of a full pipe has to make room for what a process prints last.
pub const ROOM: Time = 1_000_000_000;

/// Flushes C's stdout and stderr and leaves the process without running exit
/// handlers or destructors.
///
/// A stream whose lock another thread holds is not flushed: that thread may be a
/// stuck actor in a printf to a pipe that nobody reads, for which the exit would
/// wait as well. Other streams are not flushed either: `fflush(NULL)` would wait
/// for an actor that is stuck in reading one.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: both streams are the C library's, and flushed under their locks.
    unsafe {
        for (stream, fd) in [(stdout, libc::STDOUT_FILENO), (stderr, libc::STDERR_FILENO)] {
            if ftrylockfile(stream) != 0 {
                continue;
            }
            let mut room = [libc::pollfd {
                fd,
                events: libc::POLLOUT,
                revents: 0,
            }];
            if poll(&mut room, Some(now().saturating_add(ROOM))).is_ok_and(|ready| ready > 0) {
                libc::fflush(stream);
            }
            funlockfile(stream);
        }
        libc::_exit(code)
    }
}
