//! The signal actor: waits for a signal, or for the group to stop.
//!
//! The process-wide part, a small registry over sigaction(2), is
//! [`ffi::sigaction`](crate::ffi::sigaction).

use crate::error::Error;
use crate::ffi::os;
use crate::ffi::sigaction::{self, Subscription};
use crate::stop::Latch;
use crate::sync::Mutex;

/// The code with which a signal ends a group: what a shell shows for a process
/// that it killed.
pub const fn code(signal: i32) -> i32 {
    128 + signal
}

/// One signal actor's signals. It listens from [`Listener::start`], which
/// comes before any execute, to the end of [`Listener::wait`].
#[derive(Debug)]
pub struct Listener {
    signals: Vec<i32>,
    chain: bool,
    subscriptions: Mutex<Vec<Subscription>>,
}

impl Listener {
    /// Listens for `signals`; refuses an empty list and signals that cannot be
    /// caught or that mean a fault of the program. `chain`: hand the signal on
    /// to the handler that was there before.
    pub fn new(signals: &[i32], chain: bool) -> Result<Self, Error> {
        if signals.is_empty() || !signals.iter().copied().all(sigaction::catchable) {
            return Err(Error::Invalid);
        }
        let mut signals = signals.to_vec();
        signals.sort_unstable();
        signals.dedup();
        Ok(Listener {
            signals,
            chain,
            subscriptions: Mutex::default(),
        })
    }

    /// Begins to listen. A signal that the process was told to ignore from
    /// outside (nohup) stays ignored.
    pub fn start(&self) -> Result<(), Error> {
        let mut subscriptions = self.subscriptions.lock();
        for &signal in &self.signals {
            match Subscription::new(signal, self.chain) {
                Ok(Some(subscription)) => subscriptions.push(subscription),
                Ok(None) => {}
                Err(_) => {
                    subscriptions.clear();
                    return Err(Error::Memory);
                }
            }
        }
        Ok(())
    }

    /// Stops listening; the dispositions are as before.
    pub fn finish(&self) {
        self.subscriptions.lock().clear();
    }

    /// Waits for one of the signals, and gives it; `None`: the group stops.
    /// Either way the listening is over, so that a second Ctrl-C does what it
    /// did before the group.
    pub fn wait(&self, stop: &Latch) -> Result<Option<i32>, Error> {
        let subscriptions = std::mem::take(&mut *self.subscriptions.lock());
        let mut fds = vec![stop.fd()?];
        fds.extend(subscriptions.iter().map(Subscription::fd));
        let ready = os::poll_readable(&fds, None)?;
        Ok(match ready {
            None | Some(0) => None,
            Some(position) => Some(subscriptions[position - 1].signal()),
        })
    }
}

/// The signal's usual name, "SIGINT" say.
pub fn name(signal: i32) -> String {
    let known = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGTERM => "SIGTERM",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGALRM => "SIGALRM",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGCONT => "SIGCONT",
        libc::SIGTSTP => "SIGTSTP",
        libc::SIGTTIN => "SIGTTIN",
        libc::SIGTTOU => "SIGTTOU",
        libc::SIGWINCH => "SIGWINCH",
        _ => return format!("signal {signal}"),
    };
    known.to_owned()
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
            assert_eq!(name(signal), wanted);
        }
        assert_eq!(name(libc::SIGURG), format!("signal {}", libc::SIGURG));
    }
}
