//! The stop token: a flag, waiters and a descriptor, all of which say the same
//! thing and say it for ever (rule 5).

use crate::error::Error;
use crate::ffi::os::{Event, Word};
use crate::sync::{Instant, Mutex};
use std::os::fd::RawFd;

/// Something that happens once and that any number of threads can wait for.
#[derive(Debug, Default)]
pub struct Latch {
    /// 1 once it has happened.
    flag: Word,
    /// Made when first asked for: most groups never need one.
    event: Mutex<Option<Event>>,
}

impl Latch {
    /// Sets the flag first, and wakes who waits for it, then makes the
    /// descriptor readable: who sees that sees the flag too. Whoever comes second
    /// waits for the lock until both are done.
    pub fn set(&self) {
        let event = self.event.lock();
        if self.is_set() {
            return;
        }
        self.flag.set(1);
        if let Some(event) = &*event {
            event.signal();
        }
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.flag.get() == 1
    }

    /// Waits until it has happened or `deadline` is reached (`None`: for ever);
    /// says whether it has happened.
    pub fn wait_until(&self, deadline: Option<Instant>) -> bool {
        self.flag.wait(1, deadline) == 1
    }

    /// A descriptor that is readable once it has happened. It lives as long as
    /// the latch, and nobody drains it.
    pub fn fd(&self) -> Result<RawFd, Error> {
        let mut event = self.event.lock();
        if let Some(event) = &*event {
            return Ok(event.fd());
        }
        let new = Event::new().map_err(|_| Error::Memory)?;
        let fd = new.fd();
        // Under the lock that `set` takes: either it finds ours, or the flag is
        // set by now.
        if self.is_set() {
            new.signal();
        }
        *event = Some(new);
        Ok(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::os;
    use std::sync::Arc;

    fn readable(fd: RawFd) -> bool {
        os::poll_readable(&[fd], Some(Instant::now())) == Ok(Some(0))
    }

    #[test]
    fn the_descriptor_says_the_same_whenever_it_is_made() {
        let before = Latch::default();
        let fd = before.fd().unwrap();
        assert!(!readable(fd));
        before.set();
        assert!(readable(fd) && before.is_set());

        let after = Latch::default();
        after.set();
        assert!(readable(after.fd().unwrap()));
    }

    #[test]
    fn no_waiter_misses_it() {
        for _ in 0..3000 {
            let latch = Arc::new(Latch::default());
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let latch = latch.clone();
                    std::thread::spawn(move || latch.wait_until(None))
                })
                .collect();
            latch.set();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        }
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        assert!(!Latch::default().wait_until(Some(Instant::now())));
    }
}
