//! Safe forms of the few system calls that the library needs.

use crate::sync::Instant;
use crate::sync::atomic::{AtomicU32, Ordering};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
#[cfg(not(rungroup_model))]
use std::ptr;

/// A descriptor that becomes readable once and stays so: an eventfd on Linux,
/// a pipe elsewhere.
#[derive(Debug)]
pub struct Event {
    read: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
}

impl Event {
    /// A new one, closed on exec and never blocking.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        let read = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Event { read })
    }

    /// A new one, closed on exec.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        Ok(Event {
            read: read.into(),
            write: write.into(),
        })
    }

    /// The end that becomes readable.
    pub fn fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// The end that [`signal_fd`] takes.
    pub fn write_fd(&self) -> RawFd {
        #[cfg(target_os = "linux")]
        return self.read.as_raw_fd();
        #[cfg(not(target_os = "linux"))]
        return self.write.as_raw_fd();
    }

    /// Makes it unreadable again, for an event that comes more than once. What
    /// a pipe holds beyond the buffer is a wake-up too many, no more.
    pub fn drain(&self) {
        let blocks = !cfg!(target_os = "linux");
        if blocks
            && !matches!(
                poll_readable(&[self.fd()], Some(Instant::now())),
                Ok(Some(_))
            )
        {
            return;
        }
        let mut buffer = [0u8; 512];
        // SAFETY: the buffer is that long and outlives the call.
        unsafe { libc::read(self.fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    }

    /// Makes it readable.
    pub fn signal(&self) {
        signal_fd(self.write_fd());
    }
}

/// Makes the event with this write end readable. Async-signal-safe.
pub fn signal_fd(fd: RawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the buffer is 8 bytes long and outlives the call. EAGAIN means
    // that the event is readable already.
    while unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// poll(2) until one of `fds` has events or the deadline is reached (`None`:
/// for ever). An interruption by a signal is not an end. Gives the number of
/// entries with events.
pub fn poll(fds: &mut [libc::pollfd], deadline: Option<Instant>) -> io::Result<usize> {
    loop {
        let timeout = match deadline {
            None => -1,
            Some(deadline) => {
                // Rounded up: waking early would spin.
                let left = deadline.saturating_duration_since(Instant::now());
                let millis = left.as_nanos().div_ceil(1_000_000);
                i32::try_from(millis).unwrap_or(i32::MAX)
            }
        };
        // SAFETY: the pointer and the length are one exclusive slice's.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
        if ready > 0 {
            return Ok(ready as usize);
        }
        if ready == 0 {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
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
pub fn poll_readable(
    fds: &[RawFd],
    deadline: Option<Instant>,
) -> Result<Option<usize>, crate::error::Error> {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    match poll(&mut polled, deadline) {
        Ok(_) => Ok(polled.iter().position(|polled| polled.revents != 0)),
        Err(_) => Err(crate::error::Error::Memory),
    }
}

/// For [`Word::wake`].
const ALL: usize = usize::MAX;

/// A number that only grows and that any number of threads can wait for.
///
/// Waiting allocates nothing, not even thread-local data: in a fresh thread a
/// first allocation costs more than all the rest of its start. Hence a futex
/// here, and not a lock of a library's.
#[derive(Debug, Default)]
pub struct Word {
    value: AtomicU32,
    /// How many wait, or are about to.
    waiters: AtomicU32,
    #[cfg(any(not(target_os = "linux"), rungroup_model))]
    lock: crate::sync::Mutex<()>,
    #[cfg(any(not(target_os = "linux"), rungroup_model))]
    changed: crate::sync::Condvar,
}

impl Word {
    /// The number now.
    pub fn get(&self) -> u32 {
        self.value.load(Ordering::SeqCst)
    }

    /// Sets it and wakes all who wait.
    pub fn set(&self, value: u32) {
        self.set_and_wake(value, ALL);
    }

    /// Sets it and wakes so many of those who wait.
    pub fn set_and_wake(&self, value: u32, count: usize) {
        self.value.store(value, Ordering::SeqCst);
        self.wake(count);
    }

    /// Wakes so many of those who wait.
    pub fn wake(&self, count: usize) {
        // Who comes to wait after this sees the value that was set before.
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.wake_waiters(count);
        }
    }

    #[cfg(all(target_os = "linux", not(rungroup_model)))]
    fn wake_waiters(&self, count: usize) {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word is valid for the call; waking reads nothing else.
        unsafe { libc::syscall(libc::SYS_futex, self.value.as_ptr(), operation, count) };
    }

    #[cfg(any(not(target_os = "linux"), rungroup_model))]
    fn wake_waiters(&self, count: usize) {
        // Who is about to wait has looked under the lock, and is asleep by now.
        drop(self.lock.lock());
        match count {
            1 => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
    }

    /// Waits until the number is at least `wanted`, or the deadline (`None`:
    /// for ever); gives the number then.
    pub fn wait(&self, wanted: u32, deadline: Option<Instant>) -> u32 {
        loop {
            let value = self.get();
            if value >= wanted || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return value;
            }
            self.waiters.fetch_add(1, Ordering::SeqCst);
            self.wait_for_change(value, deadline);
            self.waiters.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[cfg(all(target_os = "linux", not(rungroup_model)))]
    fn wait_for_change(&self, value: u32, deadline: Option<Instant>) {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            libc::timespec {
                tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos() as _,
            }
        });
        let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word and the time are valid for the call. Whatever ends
        // it, the caller looks at the word again.
        unsafe { libc::syscall(libc::SYS_futex, self.value.as_ptr(), operation, value, left) };
    }

    #[cfg(any(not(target_os = "linux"), rungroup_model))]
    fn wait_for_change(&self, value: u32, deadline: Option<Instant>) {
        let lock = self.lock.lock();
        if self.get() == value {
            drop(self.changed.wait(lock, deadline));
        }
    }
}

unsafe extern "C" {
    #[cfg_attr(target_os = "macos", link_name = "__stdoutp")]
    static stdout: *mut libc::FILE;
    #[cfg_attr(target_os = "macos", link_name = "__stderrp")]
    static stderr: *mut libc::FILE;
}

/// Flushes C's stdout and stderr and leaves the process without running exit
/// handlers or destructors.
pub fn exit_now(code: i32) {
    // SAFETY: both streams are the C library's. Flushing all streams instead
    // would wait for an actor that is stuck in reading one.
    unsafe {
        libc::fflush(stdout);
        libc::fflush(stderr);
        libc::_exit(code)
    }
}
