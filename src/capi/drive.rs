//! For hosts that drive.

use super::{read_message, read_name, via};
use crate::abi::{RG_DRIVE_WAKE, RG_STEP_FINISH, RG_STEP_INTERRUPT, RG_STEP_WAIT, rg_group, time};
use crate::error::Error;
use crate::machine::{Outcome, Step};
use crate::run::core::{Core, Driver};
use crate::run::inbox::Post;
use crate::sync::Arc;
use libc::{c_char, c_int};

/// For authors of bindings whose language has a scheduler of its own: adds an
/// actor that the host runs. The host *drives* such a group: it calls
/// rg_drive_begin, starts its actors, and from then on asks rg_drive_next what
/// to do, reports each execute's return with rg_drive_return and each
/// interrupt's with rg_drive_interrupted. No rule of the contract is left to
/// it. Other actors (rg_add, rg_add_signals, ...) may be in the group too; the
/// library runs and interrupts them. rg_stop, rg_stop_fd, the report and the
/// rest work as always.
///
/// @param group  the group, which has not been run.
/// @param name   as in rg_actor.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_drive_add(group: *mut rg_group, name: *const c_char) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.drive_add)(group, name)) }
}

pub(super) unsafe fn drive_add(core: &Arc<Core>, name: *const c_char) -> Result<c_int, Error> {
    // SAFETY: NULL or a C string, by the caller's promise.
    core.adding(|| core.add_hosted(unsafe { read_name(name)? }))?;
    Ok(0)
}

/// Begins a run that the host drives: the library's actors are started, and the
/// host's count as started. Without actors, or after rg_stop, there is nothing
/// to start: rg_stopping is 1, and rg_drive_next says RG_STEP_FINISH at once.
///
/// @param group  the group; it runs once.
///
/// Returns 0; RG_ESPAWN, RG_ENOMEM (nothing was started), RG_ESTATE, RG_EINVAL.
/// Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_drive_begin(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.drive_begin)(group)) }
}

pub(super) fn drive_begin(core: &Arc<Core>) -> Result<c_int, Error> {
    core.clone().start(Driver::Host)?;
    Ok(0)
}

/// Reports that a driven actor's execute has returned. It only posts that: it
/// takes no lock, waits for nobody and calls nothing back.
///
/// @param group    the group. It is valid for this call even after rg_free, if
///                 the actor was stuck: with the last such report the rest of
///                 the group is freed (rule 11).
/// @param index    the actor's.
/// @param code     its result.
/// @param message  copied; NULL: none.
///
/// Returns RG_DRIVE_WAKE: rg_drive_next has something new to say (a host that
/// polls rg_drive_fd need not look at this); or 0; or RG_ESTATE (reported
/// before, or not running), RG_EINVAL. Any thread may call it, once an actor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_return(
    group: *mut rg_group,
    index: usize,
    code: c_int,
    message: *const c_char,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.drive_return)(group, index, code, message)) }
}

pub(super) unsafe fn drive_return(
    core: &Arc<Core>,
    index: usize,
    code: c_int,
    message: *const c_char,
) -> Result<c_int, Error> {
    // SAFETY: NULL or a C string, by the caller's promise.
    let message = unsafe { read_message(message) };
    post(core, Post::Execute(index), Outcome { code, message })
}

/// Reports that a driven actor's interrupt has returned. As rg_drive_return, it
/// only posts that.
///
/// @param group      as for rg_drive_return.
/// @param index      the actor's.
/// @param complaint  what went wrong in it, copied; NULL: nothing.
///
/// Returns as rg_drive_return does. Any thread may call it, once an actor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_interrupted(
    group: *mut rg_group,
    index: usize,
    complaint: *const c_char,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.drive_interrupted)(group, index, complaint)) }
}

pub(super) unsafe fn drive_interrupted(
    core: &Arc<Core>,
    index: usize,
    complaint: *const c_char,
) -> Result<c_int, Error> {
    // SAFETY: NULL or a C string, by the caller's promise.
    let complaint = unsafe { read_message(complaint) };
    post(core, Post::Interrupt(index), Outcome::complaint(complaint))
}

fn post(core: &Arc<Core>, post: Post, outcome: Outcome) -> Result<c_int, Error> {
    let woken = core.host_post(post, outcome)?;
    Ok(if woken { RG_DRIVE_WAKE } else { 0 })
}

/// The next thing for the host to do. Does not wait, except for threads of the
/// library that are about to end. One thread at a time calls it, which also
/// calls the observer from here.
///
/// @param group  the group.
/// @param value  is given the step's number; NULL is RG_EINVAL.
///
/// Returns RG_STEP_...; or RG_ESTATE, RG_EINVAL. It is asked again after each
/// step, after RG_DRIVE_WAKE, when the time is over, and when rg_drive_fd is
/// readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_next(group: *mut rg_group, value: *mut i64) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.drive_next)(group, value)) }
}

pub(super) unsafe fn drive_next(core: &Arc<Core>, value: *mut i64) -> Result<c_int, Error> {
    // SAFETY: NULL or the caller's to write.
    let value = unsafe { value.as_mut() }.ok_or(Error::Invalid)?;
    let (step, number) = match core.host_next()? {
        Step::Start(index) | Step::Interrupt(index) => (RG_STEP_INTERRUPT, index as i64),
        Step::Wait(until) => {
            let left = core.left(until).map(|left| left.as_nanos() as u64);
            (RG_STEP_WAIT, time(left))
        }
        Step::Finish(code) => (RG_STEP_FINISH, i64::from(code)),
    };
    *value = number;
    Ok(step)
}

/// A descriptor that is readable when rg_drive_next has something new to say,
/// also because of rg_stop or of an actor that the library runs. rg_drive_next
/// drains it when it says that there is nothing to do, or that the run is over.
///
/// @param group  the group; the descriptor is its own, closed by rg_free.
///
/// Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL. Any
/// thread may call it, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_fd(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.drive_fd)(group)) }
}

pub(super) fn drive_fd(core: &Arc<Core>) -> Result<c_int, Error> {
    core.wake_fd()
}
