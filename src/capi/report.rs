//! What became of a group and its actors, and the library's own words.

use super::{boundary, last, read_message, sized, text, via};
use crate::abi::{
    self, RG_FORMAT_TEXT, RG_FORMAT_TRACE, index, rg_actor_report, rg_cause, rg_group,
    rg_observer_fn, rg_order, rg_summary, time,
};
use crate::error::{Error, RG_OK};
use crate::machine::{Cause, Message, Outcome, Record};
use crate::report::Report;
use crate::run::actor::Observer;
use crate::run::core::Core;
use crate::run::failure;
use crate::sync::Arc;
use crate::sys::event;
use crate::text::{because, prefix};
use libc::{c_char, c_int, c_void};
use std::ffi::CStr;
use std::ptr;

/// This header's version; rg_version has the library's.
#[allow(dead_code)] // for the header; to 1.88 the assertion below is no use
pub const RG_VERSION_MAJOR: c_int = 0;
/// See RG_VERSION_MAJOR.
#[allow(dead_code)]
pub const RG_VERSION_MINOR: c_int = 1;
/// See RG_VERSION_MAJOR.
#[allow(dead_code)]
pub const RG_VERSION_PATCH: c_int = 0;
/// Major times 10000, plus minor times 100, plus patch.
#[allow(dead_code)]
pub const RG_VERSION_NUMBER: c_int = 100;

const _: () = assert!(
    RG_VERSION_NUMBER == RG_VERSION_MAJOR * 10000 + RG_VERSION_MINOR * 100 + RG_VERSION_PATCH
);

/// Sets the observer: a function that is called with the group's events, one at a
/// time and in order.
///
/// Without a grace it is called by the thread that drives the run (rg_run's, or
/// the library's own after rg_start), before the step that an event announces;
/// the run waits for it. With a grace a thread of the library's calls it, and the
/// run goes on meanwhile; only at the end the run waits, as long as the grace lasts,
/// until the observer has had the last event. If it has not by then, rg_run returns
/// RG_ETIMEDOUT, and the report says that the observer is stuck. A host that
/// drives calls it in rg_drive_next.
///
/// @param group     the group, which has not been run.
/// @param observer  the function; NULL: none any more.
/// @param userdata  handed to it; must live until rg_run or rg_wait returned, or
///                  if the observer is stuck, until it returns.
///
/// Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_observer(
    group: *mut rg_group,
    observer: rg_observer_fn,
    userdata: *mut c_void,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.set_observer)(group, observer, userdata)) }
}

pub(super) fn set_observer(
    core: &Arc<Core>,
    observer: rg_observer_fn,
    userdata: *mut c_void,
) -> Result<c_int, Error> {
    core.observe(observer.map(|function| Observer { function, userdata }))?;
    Ok(0)
}

/// In an execute: keeps a message for the cause and the report. In an
/// interrupt: keeps a complaint for the report.
///
/// @param code     what the execute is going to return; another code drops the
///                 message.
/// @param message  copied; other bytes than UTF-8 are replaced; NULL: none.
///
/// Returns code, so that an actor can end with `return rg_fail(1, "...")`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_fail(code: c_int, message: *const c_char) -> c_int {
    boundary("rg_fail", || {
        failure::forget();
        // SAFETY: NULL or a C string, by the caller's promise.
        failure::keep(code, unsafe { read_message(message) });
        Ok(code)
    })
}

/// Why the group stops (rule 4).
///
/// @param group  the group.
///
/// Returns the cause, valid until rg_free; NULL before stopping began, and for
/// a bad handle. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_get_cause(group: *const rg_group) -> *const rg_cause {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.get_cause)(group)) }
}

pub(super) fn get_cause(core: &Arc<Core>) -> Result<*const rg_cause, Error> {
    Ok(core.cause())
}

/// How many actors were added, signal actors included.
///
/// @param group  the group; NULL or a bad handle: 0.
///
/// Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_actor_count(group: *const rg_group) -> usize {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.actor_count)(group)) }
}

pub(super) fn actor_count(core: &Arc<Core>) -> Result<usize, Error> {
    Ok(core.with(|machine| machine.records().len()))
}

/// What became of an actor, now or at the end.
///
/// @param group  the group.
/// @param index  the actor's, in order of addition, below rg_actor_count.
/// @param out    the caller's, with its size set; written only on success.
///
/// Returns 0; RG_EINVAL: NULL, no such actor, or a size that is too small. Any
/// thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_get_report(
    group: *const rg_group,
    index: usize,
    out: *mut rg_actor_report,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.get_report)(group, index, out)) }
}

pub(super) unsafe fn get_report(
    core: &Arc<Core>,
    index: usize,
    out: *mut rg_actor_report,
) -> Result<c_int, Error> {
    // SAFETY: NULL, or the caller's structure that begins with its size.
    let size = unsafe { sized(out)?.size };
    let report = core.with(|machine| {
        if index >= machine.records().len() {
            return Err(Error::Invalid);
        }
        let name = machine.name(index).as_ptr();
        let started = machine.started_at();
        let record = &machine.records()[index];
        let said = |text: Option<&Message>| text.map_or(c"".as_ptr(), |text| text.as_ptr());
        let outcome = record.outcome.as_ref();
        Ok(rg_actor_report {
            size,
            name,
            state: abi::state(record, started.is_some()),
            code: outcome.map_or(0, |outcome| outcome.code),
            message: said(outcome.map(|outcome| &outcome.message)),
            stuck: abi::stuck(record.stuck),
            started_ns: time(started),
            returned_ns: time(record.returned_in_time()),
            interrupting_ns: time(record.interrupting),
            interrupted_ns: time(record.interrupted_in_time()),
            complaint: said(record.complaint.as_ref()),
        })
    })?;
    // SAFETY: the caller's to write, and large enough.
    unsafe { out.write(report) };
    Ok(0)
}

/// What became of the group as a whole, now or at the end.
///
/// @param group  the group.
/// @param out    the caller's, with its size set; written only on success.
///
/// Returns 0; RG_EINVAL: NULL, or a size that is too small. Any thread may call
/// it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_get_summary(group: *const rg_group, out: *mut rg_summary) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.get_summary)(group, out)) }
}

pub(super) unsafe fn get_summary(core: &Arc<Core>, out: *mut rg_summary) -> Result<c_int, Error> {
    // SAFETY: NULL, or the caller's structure that begins with its size.
    let size = unsafe { sized(out)?.size };
    let summary = core.with_end(|machine, end| {
        let cause = machine.cause();
        rg_summary {
            size,
            finished: c_int::from(machine.finished().is_some()),
            code: machine.finished().unwrap_or(0),
            stopping: c_int::from(cause.is_some()),
            cause_code: cause.map_or(0, |cause| cause.code),
            cause_index: index(cause.and_then(|cause| cause.index)),
            cause_message: cause.map_or(c"".as_ptr(), |cause| cause.message.as_ptr()),
            started_ns: time(machine.started_at()),
            stopping_ns: time(cause.map(|_| machine.stopping_at())),
            end_ns: time(Some(end)),
            grace_ns: time(machine.grace()),
            order: rg_order::from(machine.order()) as c_int,
            observer_stuck: c_int::from(machine.observer_stuck()),
        }
    });
    // SAFETY: the caller's to write, and large enough.
    unsafe { out.write(summary) };
    Ok(0)
}

/// The report as text, or as a trace.
///
/// @param group   the group, at any time.
/// @param format  RG_FORMAT_TEXT or RG_FORMAT_TRACE; another: the empty text.
/// @param buffer  is given the text and a NUL, cut to fit between characters;
///                NULL is fine with length 0.
/// @param length  the buffer's, in bytes.
///
/// Returns the whole text's length without its NUL, as snprintf does; 0 for a
/// bad handle. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_format_report(
    group: *const rg_group,
    format: c_int,
    buffer: *mut c_char,
    length: usize,
) -> usize {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.format_report)(group, format, buffer, length)) }
}

pub(super) unsafe fn format_report(
    core: &Arc<Core>,
    format: c_int,
    buffer: *mut c_char,
    length: usize,
) -> Result<usize, Error> {
    let report = core.with_end(Report::new);
    // SAFETY: the caller's buffer.
    Ok(unsafe { write(&report, format, buffer, length) })
}

/// # Safety
/// `buffer` is NULL or has `length` bytes.
unsafe fn write(report: &Report, format: c_int, buffer: *mut c_char, length: usize) -> usize {
    let text = match format {
        RG_FORMAT_TEXT => report.to_string(),
        RG_FORMAT_TRACE => report.to_trace(),
        _ => String::new(),
    };
    if !buffer.is_null() && length > 0 {
        let part = prefix(text.as_bytes(), length - 1);
        // SAFETY: the buffer has `length` bytes; the text is shorter, and its
        // NUL follows.
        unsafe {
            ptr::copy_nonoverlapping(part.as_ptr(), buffer.cast(), part.len());
            *buffer.add(part.len()) = 0;
        }
    }
    text.len()
}

/// rg_format_report for a report that the caller has kept, or that is of a
/// group freed since.
///
/// @param summary  from rg_get_summary; NULL, or a size that is too small: the
///                 empty text.
/// @param actors   from rg_get_report, in order of addition, each with the size
///                 of all set; NULL is fine with count 0. A name that is NULL is
///                 "actor-<index>"; other texts may be NULL, too.
/// @param count    how many.
/// @param format   as in rg_format_report.
/// @param buffer   as in rg_format_report.
/// @param length   as in rg_format_report.
///
/// Returns as rg_format_report does. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_format_summary(
    summary: *const rg_summary,
    actors: *const rg_actor_report,
    count: usize,
    format: c_int,
    buffer: *mut c_char,
    length: usize,
) -> usize {
    // SAFETY: NULL, or the caller's; each structure begins with its size.
    boundary("rg_format_summary", || unsafe {
        let summary = sized(summary)?;
        let mut records = Vec::new();
        if count > 0 {
            // A caller's newer header may have a larger structure.
            const SANE: usize = 4096;
            let step = sized(actors)?.size;
            if step > SANE || !step.is_multiple_of(align_of::<rg_actor_report>()) {
                return Err(Error::Invalid);
            }
            for at in 0..count {
                let actor = sized(actors.byte_add(at * step))?;
                records.push(record(actor));
            }
        }
        let nanos = |at: i64| u64::try_from(at).ok();
        let cause = (summary.stopping != 0).then(|| Cause {
            code: summary.cause_code,
            index: usize::try_from(summary.cause_index)
                .ok()
                .filter(|&index| index < count),
            message: read_message(summary.cause_message),
        });
        let report = Report::from_parts(
            records,
            cause,
            (summary.finished != 0).then_some(summary.code),
            nanos(summary.grace_ns),
            abi::order(summary.order).unwrap_or_default(),
            [summary.started_ns, summary.stopping_ns, summary.end_ns].map(nanos),
            summary.observer_stuck != 0,
        );
        Ok(write(&report, format, buffer, length))
    })
}

/// # Safety
/// The texts are NULL or C strings.
unsafe fn record(actor: &rg_actor_report) -> Record {
    let nanos = |at: i64| u64::try_from(at).ok();
    // SAFETY: the caller's promise.
    let (name, message, complaint) = unsafe {
        let name = text(actor.name).map(|_| read_message(actor.name).into_owned());
        (
            name,
            read_message(actor.message),
            read_message(actor.complaint),
        )
    };
    let mut record = Record::new(name);
    record.returned = nanos(actor.returned_ns);
    record.outcome = abi::has_returned(actor.state).then_some(Outcome {
        code: actor.code,
        message,
    });
    record.interrupting = nanos(actor.interrupting_ns);
    record.interrupted = nanos(actor.interrupted_ns);
    record.complaint = (!complaint.is_empty()).then_some(complaint);
    record.stuck = abi::stuck_of(actor.stuck);
    record
}

/// A sentence that says what an error means and what to do about it.
///
/// @param code  any int.
///
/// Returns a constant text, never NULL. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn rg_strerror(code: c_int) -> *const c_char {
    let text: &'static CStr = match Error::from_code(code) {
        Some(error) => error.sentence(),
        None if code == RG_OK => c"no error",
        None => c"not an error of the library: an actor's own code, or 128 plus a signal's number",
    };
    text.as_ptr()
}

/// The name of an error, "RG_EINVAL" say.
///
/// @param code  any int.
///
/// Returns a constant text; NULL: it is no error of the library's. Any thread may call
/// it.
#[unsafe(no_mangle)]
pub extern "C" fn rg_error_name(code: c_int) -> *const c_char {
    match Error::from_code(code) {
        Some(error) => error.name().as_ptr(),
        None if code == RG_OK => c"RG_OK".as_ptr(),
        None => ptr::null(),
    }
}

/// Why the last call of this thread was refused, as a sentence: the function, which
/// argument or actor, and what the system said. For the log, right after a function
/// has returned an error; a call that succeeds does not change it.
///
/// Returns the text, valid until the next refusal on this thread; "" before the first.
/// Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn rg_last_error() -> *const c_char {
    last::sentence()
}

/// Writes the report as text to a descriptor: rg_format_report for those who want to
/// see it.
///
/// @param group  the group.
/// @param fd     2, for stderr, say; written to until all is there.
///
/// Returns 0; RG_EINVAL: a bad handle, or nothing can be written there. Any thread may
/// call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_print_report(group: *const rg_group, fd: c_int) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.print_report)(group, fd)) }
}

pub(super) fn print_report(core: &Arc<Core>, fd: c_int) -> Result<c_int, Error> {
    let text = core.with_end(Report::new).to_string();
    event::write_all(fd, text.as_bytes()).map_err(|error| {
        let error = event::Errno::of(&error);
        because(
            Error::Invalid,
            format_args!("the report cannot be written to {fd}: {error}"),
        )
    })?;
    Ok(0)
}

/// Ends the process at once, for main when actors are stuck (RG_ETIMEDOUT): exit
/// would destroy what they still use. Flushes stdout and stderr, but not a stream
/// whose lock another thread holds, waits at most a second for each to be read, and
/// calls _exit.
///
/// @param code  the process's exit status.
#[unsafe(no_mangle)]
pub extern "C" fn rg_exit(code: c_int) -> ! {
    event::exit_now(code)
}

/// The library's version as a number, to be compared with RG_VERSION_NUMBER.
#[unsafe(no_mangle)]
pub extern "C" fn rg_version_number() -> c_int {
    RG_VERSION_NUMBER
}

/// The library's version, "0.1.0" say: a constant text.
#[unsafe(no_mangle)]
pub extern "C" fn rg_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_agree() {
        let version = format!("{RG_VERSION_MAJOR}.{RG_VERSION_MINOR}.{RG_VERSION_PATCH}");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
}
