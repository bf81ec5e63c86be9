//! The signal actor: returns when a signal comes, or when the group stops, and
//! listens until the run is over (rule 16).
//!
//! The process-wide part, a registry over sigaction(2), is
//! [`sys::signal`](crate::sys::signal).

use crate::error::Error;
use crate::machine::{Message, NO_MESSAGE, Outcome};
use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};
use crate::sys::signal::{Listening, Signals};
use crate::text;

/// One signal actor.
#[derive(Debug)]
pub struct Listener {
    listening: Listening,
    /// The actor was interrupted.
    stopped: AtomicBool,
    /// The run is over.
    over: AtomicBool,
}

/// The first signal that a listener heard.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Its number.
    pub signal: i32,
    /// Whether the handler that was there before was called as well.
    pub handed_on: bool,
}

impl Listener {
    /// For these signals; refuses an empty list and signals that cannot be
    /// caught or that mean a fault of the program. `chain`: hand the signal on
    /// to the handler that was there before.
    pub fn new(signals: &[i32], chain: bool) -> Result<Self, Error> {
        Ok(Listener {
            listening: Listening::new(Signals::new(signals)?, chain)?,
            stopped: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Begins to listen: before any thread of the group is there, so that no
    /// signal is lost from then on.
    pub fn begin(&self) -> Result<(), Error> {
        self.stopped.store(false, SeqCst);
        self.over.store(false, SeqCst);
        self.listening.begin()
    }

    /// On the actor's thread, before it waits for the others to be ready: the
    /// signals may be blocked in every thread of the process, which it inherited.
    pub fn unblock(&self) {
        self.listening.unblock();
    }

    /// On the actor's thread: listens until the run is over. `returned` is called
    /// once, at the first signal or when the actor is interrupted. The thread
    /// goes on after that, since it may be the only one that lets signals in.
    pub fn listen(&self, returned: impl FnOnce(Outcome)) {
        let mut returned = Some(returned);
        while !self.over.load(SeqCst) {
            let outcome = match self.heard() {
                None if self.stopped.load(SeqCst) => Some(Outcome::code(0)),
                heard => heard,
            };
            if let Some(outcome) = outcome
                && let Some(returned) = returned.take()
            {
                returned(outcome);
            }
            if let Err(error) = self.listening.wait() {
                if let Some(returned) = returned.take() {
                    // Not the error's own code: that would say that nothing was
                    // started.
                    returned(Outcome::new(
                        1,
                        &format!("cannot wait for signals: {error}"),
                    ));
                }
                return;
            }
        }
    }

    /// Makes the actor return.
    pub fn interrupt(&self) {
        self.stopped.store(true, SeqCst);
        self.listening.wake();
    }

    /// The run is over: the dispositions are as before, and the actor's thread
    /// ends. Gives the first signal that came, if any.
    pub fn finish(&self) -> Option<Heard> {
        self.listening.end();
        self.over.store(true, SeqCst);
        self.listening.wake();
        let signal = self.listening.first()?;
        Some(Heard {
            signal,
            handed_on: self.listening.chains(),
        })
    }

    /// What the actor returns after a signal.
    pub fn heard(&self) -> Option<Outcome> {
        self.listening.first().map(outcome)
    }
}

/// A shell shows this plus the signal's number for a process that a signal killed.
pub const CODE_BASE: i32 = 128;

/// What stands for a signal: the code that a shell shows for it, and its name.
pub fn outcome(signal: i32) -> Outcome {
    Outcome {
        code: CODE_BASE + signal,
        message: name(signal),
    }
}

/// The signal's usual name, "SIGINT" say. Without memory a rare one has none: this
/// is asked for where a run ends, which must not abort.
fn name(signal: i32) -> Message {
    let known = match signal {
        libc::SIGHUP => c"SIGHUP",
        libc::SIGINT => c"SIGINT",
        libc::SIGQUIT => c"SIGQUIT",
        libc::SIGTERM => c"SIGTERM",
        libc::SIGUSR1 => c"SIGUSR1",
        libc::SIGUSR2 => c"SIGUSR2",
        libc::SIGALRM => c"SIGALRM",
        libc::SIGPIPE => c"SIGPIPE",
        libc::SIGCHLD => c"SIGCHLD",
        libc::SIGCONT => c"SIGCONT",
        libc::SIGTSTP => c"SIGTSTP",
        libc::SIGTTIN => c"SIGTTIN",
        libc::SIGTTOU => c"SIGTTOU",
        libc::SIGWINCH => c"SIGWINCH",
        _ => {
            return text::format(format_args!("signal {signal}"))
                .map_or(NO_MESSAGE, Message::Owned);
        }
    };
    Message::Borrowed(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_signal_has_its_name() {
        let named = [
            (libc::SIGHUP, "SIGHUP"),
            (libc::SIGINT, "SIGINT"),
            (libc::SIGQUIT, "SIGQUIT"),
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGUSR1, "SIGUSR1"),
            (libc::SIGUSR2, "SIGUSR2"),
            (libc::SIGALRM, "SIGALRM"),
            (libc::SIGPIPE, "SIGPIPE"),
            (libc::SIGCHLD, "SIGCHLD"),
            (libc::SIGCONT, "SIGCONT"),
            (libc::SIGTSTP, "SIGTSTP"),
            (libc::SIGTTIN, "SIGTTIN"),
            (libc::SIGTTOU, "SIGTTOU"),
            (libc::SIGWINCH, "SIGWINCH"),
        ];
        for (signal, wanted) in named {
            assert_eq!(name(signal).to_str(), Ok(wanted));
        }
        let urgent = format!("signal {}", libc::SIGURG);
        assert_eq!(name(libc::SIGURG).to_str(), Ok(&urgent[..]));
    }
}
