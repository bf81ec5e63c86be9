//! The built-in actors: signals, and systemd.

use super::{boundary, via};
use crate::abi::rg_group;
use crate::error::Error;
use crate::run::core::Core;
use crate::sync::Arc;
use crate::sync::atomic::Ordering::SeqCst;
use crate::sys::signal;
use libc::c_int;

/// Adds an actor, named "signals", that returns when one of the signals comes,
/// with 128 plus its number and its name as message (rule 16).
///
/// It listens from before the first execute until the run is over, whatever
/// ended the group; the dispositions are then as before (rule 15). Its thread
/// unblocks the signals for itself, so that a program may block them in main,
/// start its other threads, and run: none is lost. A signal that comes while the
/// group stops is absorbed, and noted in the report if this actor had not had
/// one. Only a SIGINT or SIGQUIT that comes 250 ms or more after the one before
/// goes to the disposition that was there before the run: a second Ctrl-C kills.
/// Where that is the default, which does not end process 1 of a container, the
/// library ends it, with status 128 plus the signal's number.
///
/// A signal that is ignored when the run begins (nohup) stays ignored. A handler
/// that somebody has put over the library's is never overruled. But an event loop
/// that removes its own leaves the default, and the next SIGTERM would kill: where
/// that is found when an actor's execute has returned, or in rg_wait, the library
/// listens again. Several groups may listen for one signal: each hears it. If the
/// system does not let the actor wait, it returns 1, with a message, which ends the
/// group (rule 4).
///
/// @param group    the group, which has not been run.
/// @param signals  the numbers; NULL, with count 0: SIGINT and SIGTERM. One that
///                 cannot be caught or that means a fault (SIGKILL, SIGSTOP,
///                 SIGSEGV, ...) is RG_EINVAL.
/// @param count    how many; 0 only with NULL.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_add_signals(
    group: *mut rg_group,
    signals: *const c_int,
    count: usize,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.add_signals)(group, signals, count)) }
}

pub(super) unsafe fn add_signals(
    core: &Arc<Core>,
    signals: *const c_int,
    count: usize,
) -> Result<c_int, Error> {
    const SANE: usize = 1024;
    core.adding(|| {
        let signals = match (signals.is_null(), count) {
            (true, 0) => signal::TERMINATION,
            // SAFETY: the caller's array of that many.
            (false, 1..=SANE) => unsafe { std::slice::from_raw_parts(signals, count) },
            _ => return Err(Error::Invalid),
        };
        core.add_signals(signals)?;
        Ok(0)
    })
}

/// Whether the signal actors added from now on also hand a signal on to the
/// handler that was there before: for hosts whose runtime must see it too.
///
/// @param group  the group, which has not been run.
/// @param on     0 (the default): no; else: yes.
///
/// Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_chain_signals(group: *mut rg_group, on: c_int) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.set_chain_signals)(group, on)) }
}

pub(super) fn set_chain_signals(core: &Arc<Core>, on: c_int) -> Result<c_int, Error> {
    if !core.with(|machine| machine.adding()) {
        return Err(Error::State);
    }
    core.chain_signals.store(on != 0, SeqCst);
    Ok(0)
}

/// Whether a group of this copy of the library listens for a signal at this
/// moment: for hosts whose runtime handles signals, too.
///
/// @param signal  any number.
///
/// It is 0 as well once a second Ctrl-C was passed on to the disposition of
/// before the run (see rg_add_signals): then the signal is the runtime's.
///
/// Returns 1 or 0. Any thread may call it, and a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn rg_listens(signal: c_int) -> c_int {
    boundary("rg_listens", || Ok(c_int::from(signal::listens(signal))))
}

/// Adds an actor, named "systemd", that tells the service manager that started
/// the process how the group is, by the protocol of sd_notify(3): READY=1 once
/// all actors run; STOPPING=1, with the cause as STATUS, once it stops; and
/// until then WATCHDOG=1, twice as often as the unit's WatchdogSec asks. The
/// environment is read during this call; without NOTIFY_SOCKET in it the actor
/// only waits for the stop. If the manager cannot be told that the group is
/// ready, the actor returns 1, with a message, which ends the group (rule 4).
///
/// @param group  the group, which has not been run.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_add_systemd(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.add_systemd)(group)) }
}

pub(super) fn add_systemd(core: &Arc<Core>) -> Result<c_int, Error> {
    core.adding(|| core.add_systemd())?;
    Ok(0)
}
