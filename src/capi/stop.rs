//! Stopping: asked for, looked at, waited for.

use super::{deadline, via};
use crate::abi::rg_group;
use crate::error::Error;
use crate::run::core::Core;
use crate::sync::Arc;
use crate::sys::event;
use libc::{c_int, pollfd};

/// Stops the group (rule 9). Before rg_run: rg_run will return the code without
/// starting anything. If it is stopping already, nothing changes.
///
/// @param group  the group.
/// @param code   what rg_run returns.
///
/// Returns 0 or RG_EINVAL; RG_ESTATE in a child of fork, if the parent runs the
/// group. Any thread may call it, any number of times; not a signal handler (see
/// rg_add_signals).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_stop(group: *mut rg_group, code: c_int) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.stop)(group, code)) }
}

pub(super) fn stop(core: &Arc<Core>, code: c_int) -> Result<c_int, Error> {
    // A share: the run may be over, and the handle freed, before this returns.
    core.clone().stop(code)?;
    Ok(0)
}

/// Whether stopping has begun (rule 5). It is never undone.
///
/// @param group  the group.
///
/// Returns 1 or 0; RG_EINVAL. Any thread may call it; it never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_stopping(group: *const rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.stopping)(group)) }
}

pub(super) fn stopping(core: &Arc<Core>) -> Result<c_int, Error> {
    Ok(c_int::from(core.stop.is_set()))
}

/// Waits until stopping begins: a sleep that ends when it should.
///
/// @param group       the group.
/// @param timeout_ms  how long, in milliseconds; negative: for ever.
///
/// Returns 1: stopping; 0: timed out; RG_EINVAL. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_wait_stop(group: *const rg_group, timeout_ms: i64) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.wait_stop)(group, timeout_ms)) }
}

pub(super) fn wait_stop(core: &Arc<Core>, timeout_ms: i64) -> Result<c_int, Error> {
    let stop = core.stop.clone();
    Ok(c_int::from(stop.wait_until(deadline(timeout_ms))))
}

/// A descriptor that is readable once stopping began (rule 5), for poll, epoll
/// and event loops.
///
/// @param group  the group. The descriptor is its own, closed by rg_free, and
///               must not be read from.
///
/// Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL. Any
/// thread may call it, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_stop_fd(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.stop_fd)(group)) }
}

pub(super) fn stop_fd(core: &Arc<Core>) -> Result<c_int, Error> {
    core.stop.fd()
}

/// poll(2) that also ends when the group stops. An interruption by a signal is
/// not an end.
///
/// @param group       the group.
/// @param fds         as for poll; NULL is fine with count 0.
/// @param count       how many.
/// @param timeout_ms  how long, in milliseconds; negative: for ever.
///
/// Returns how many of fds have events; 0: the time is over or the group is
/// stopping, which rg_stopping tells apart; RG_EINVAL, RG_ENOMEM. Any thread
/// may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_poll(
    group: *mut rg_group,
    fds: *mut pollfd,
    count: usize,
    timeout_ms: i64,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.poll)(group, fds, count, timeout_ms)) }
}

pub(super) unsafe fn poll(
    core: &Arc<Core>,
    fds: *mut pollfd,
    count: usize,
    timeout_ms: i64,
) -> Result<c_int, Error> {
    if (fds.is_null() && count > 0) || count >= c_int::MAX as usize {
        return Err(Error::Invalid);
    }
    let fds = match count {
        0 => &mut [],
        // SAFETY: the caller's array of that many, exclusive for the call.
        count => unsafe { std::slice::from_raw_parts_mut(fds, count) },
    };
    // Kept: it closes the descriptor.
    let stop = core.stop.clone();
    let mut polled = Vec::new();
    polled
        .try_reserve_exact(count + 1)
        .map_err(|_| Error::Memory)?;
    polled.extend_from_slice(fds);
    polled.push(event::to_read(stop.fd()?));
    event::poll(&mut polled, deadline(timeout_ms)).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOMEM) => Error::Memory,
        _ => Error::Invalid,
    })?;
    for (fd, polled) in fds.iter_mut().zip(&polled) {
        fd.revents = polled.revents;
    }
    Ok(fds.iter().filter(|fd| fd.revents != 0).count() as c_int)
}
