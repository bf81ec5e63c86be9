//! A flag that is set once, with waiters and a descriptor, which agree and never change
//! back (rule 5). It takes no lock, since a thread that is ending sets it.

use crate::error::Error;
use crate::sync::atomic::{Ordering::SeqCst, fence};
use crate::sync::{OnceLock, Time};
use crate::sys::event::Event;
use crate::sys::futex::Word;
use crate::sys::tsan;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// A flag that is set once and that any number of threads can wait for.
#[derive(Debug, Default)]
pub struct Latch {
    /// 1 once it is set.
    flag: Word,
    /// Made when first asked for, since most groups never need a descriptor.
    event: OnceLock<Event>,
}

impl Latch {
    /// Sets the flag and wakes all waiters, then makes the descriptor readable: a
    /// thread that sees a readable descriptor sees the flag too. When this returns,
    /// both are done, also for the second thread that sets it, which does both again.
    pub fn set(&self) {
        tsan::release(self);
        self.flag.set(1);
        // Pairs with the fence in `as_fd`: if another thread makes the event at this
        // moment, either this thread sees the event, or the other sees the flag.
        fence(SeqCst);
        if let Some(event) = Event::made(&self.event) {
            event.signal();
        }
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.flag.get() == 1 && self.seen()
    }

    /// Waits until it is set or the deadline is reached (`None`: for ever). Gives
    /// whether it is set.
    pub fn wait_until(&self, deadline: Option<Time>) -> bool {
        self.flag.wait(1, deadline) == 1 && self.seen()
    }

    fn seen(&self) -> bool {
        tsan::acquire(self);
        true
    }

    /// A descriptor that is readable once the latch is set. It lives as long as the
    /// latch, and nobody drains it.
    pub fn fd(&self) -> Result<RawFd, Error> {
        Ok(self.as_fd()?.as_raw_fd())
    }

    /// The same descriptor, borrowed.
    pub fn as_fd(&self) -> Result<BorrowedFd<'_>, Error> {
        let fd = Event::once(&self.event)?.as_fd();
        fence(SeqCst);
        if self.is_set() {
            // It may have been set before there was an event to signal.
            self.set();
        }
        Ok(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::now;
    use crate::sys::event;
    use std::sync::Arc;

    fn readable(fd: RawFd) -> bool {
        event::poll_readable(&[fd], Some(now())) == Ok(Some(0))
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
        assert!(!Latch::default().wait_until(Some(now())));
    }
}
