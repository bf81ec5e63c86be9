//! Every exported function: its documentation, and the way to the handle's own
//! copy of the library.
// The constants are the header's; most have no other user.
#![allow(clippy::missing_safety_doc, dead_code)]

use super::failure;
use super::handle::{
    Table, boundary, format_summary, new, rg_actor, rg_actor_report, rg_cause, rg_completion,
    rg_drive_event, rg_drive_record, rg_execute_fn, rg_group, rg_interrupt_fn, rg_observer_fn,
    rg_release_fn, rg_start_fn, rg_step, rg_summary, table,
};
use crate::error::Error;
use libc::{c_char, c_int, c_void, pollfd};
use std::ffi::CStr;

/// No error.
pub const RG_OK: c_int = 0;
/// An argument is wrong; nothing was changed.
pub const RG_EINVAL: c_int = -10001;
/// Not now: the group runs or has run (or has not begun, or is waited for from
/// one of its own actors).
pub const RG_ESTATE: c_int = -10002;
/// No memory or no file descriptor is left.
pub const RG_ENOMEM: c_int = -10003;
/// A thread could not be had; nothing was started, the group is as before.
pub const RG_ESPAWN: c_int = -10004;
/// The grace was over and some actors had not returned.
pub const RG_ETIMEDOUT: c_int = -10005;
/// An actor panicked, threw an exception or left its thread.
pub const RG_EPANIC: c_int = -10006;
/// The handle is not one of a compatible version of this library.
pub const RG_EABI: c_int = -10007;
/// Not on this platform.
pub const RG_ENOTSUP: c_int = -10008;

/// rg_event.kind: execute was called.
pub const RG_EVENT_STARTED: c_int = 0;
/// rg_event.kind: execute returned.
pub const RG_EVENT_RETURNED: c_int = 1;
/// rg_event.kind: the group began to stop.
pub const RG_EVENT_STOPPING: c_int = 2;
/// rg_event.kind: interrupt is about to be called.
pub const RG_EVENT_INTERRUPTING: c_int = 3;
/// rg_event.kind: interrupt returned.
pub const RG_EVENT_INTERRUPTED: c_int = 4;
/// rg_event.kind: not returned when the grace was over.
pub const RG_EVENT_STUCK: c_int = 5;
/// rg_event.kind: the run is over.
pub const RG_EVENT_STOPPED: c_int = 6;

/// rg_actor_report.state: not started.
pub const RG_STATE_ADDED: c_int = 0;
/// rg_actor_report.state: execute has not returned.
pub const RG_STATE_RUNNING: c_int = 1;
/// rg_actor_report.state: execute returned.
pub const RG_STATE_RETURNED: c_int = 2;
/// rg_actor_report.state: execute panicked, or left its thread.
pub const RG_STATE_PANICKED: c_int = 3;

/// rg_actor_report.stuck: execute had not returned when the grace was over.
pub const RG_STUCK_EXECUTE: c_int = 1;
/// rg_actor_report.stuck: interrupt had not returned when the grace was over.
pub const RG_STUCK_INTERRUPT: c_int = 2;

/// rg_format_report: for people.
pub const RG_FORMAT_TEXT: c_int = 0;
/// rg_format_report: JSON in the trace event form, which trace viewers open.
pub const RG_FORMAT_TRACE: c_int = 1;

/// rg_drive_return: this return began the stopping.
pub const RG_DRIVE_FIRST: c_int = 1;
/// rg_drive_return: call rg_drive_next now.
pub const RG_DRIVE_WAKE: c_int = 2;
/// rg_drive_return: nothing of the group runs any more.
pub const RG_DRIVE_LAST: c_int = 4;
/// rg_drive_next: call the interrupt of the actor with that index.
pub const RG_STEP_INTERRUPT: c_int = 1;
/// rg_drive_next: wait that many nanoseconds, or for an event; -1: for an event.
pub const RG_STEP_WAIT: c_int = 2;
/// rg_drive_next: the run is over, with that code.
pub const RG_STEP_FINISH: c_int = 3;

/// This header's version; rg_version has the library's.
pub const RG_VERSION_MAJOR: c_int = 0;
/// See RG_VERSION_MAJOR.
pub const RG_VERSION_MINOR: c_int = 1;
/// See RG_VERSION_MAJOR.
pub const RG_VERSION_PATCH: c_int = 0;
/// Major times 10000, plus minor times 100, plus patch.
pub const RG_VERSION_NUMBER: c_int = 100;

/// The order of interrupts; see rg_set_order.
#[repr(C)]
#[allow(non_camel_case_types)]
pub enum rg_order {
    /// As added.
    RG_ORDER_ADDED,
    /// The last added first.
    RG_ORDER_REVERSE,
    /// The last added first, and each actor has returned before the next is
    /// interrupted.
    RG_ORDER_STAGED,
}

/// Calls through the handle's own table.
unsafe fn via<H, R>(
    handle: *const H,
    failed: impl FnOnce(Error) -> R,
    call: impl FnOnce(&Table) -> R,
) -> R {
    // SAFETY: the caller passes NULL or a handle.
    match unsafe { table(handle) } {
        Ok(table) => call(table),
        Err(error) => failed(error),
    }
}

// SAFETY of every `unsafe` block below: the table was checked to be one of a
// compatible copy, whose functions take what these were given; what the caller
// promises of pointers stands in each function's description.

/// Makes an empty group.
///
/// Returns the group, to be freed with rg_free; NULL: out of memory.
/// Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn rg_new() -> *mut rg_group {
    boundary(std::ptr::null_mut(), new)
}

/// Adds an actor (rule 3): rg_add_actor without its options.
///
/// @param group      the group, which has not been run.
/// @param execute    does the work; NULL is RG_EINVAL.
/// @param interrupt  makes execute return; NULL is RG_EINVAL, since a forgotten
///                   one is a hang: pass rg_interrupt_none to an actor that
///                   watches rg_wait_stop or rg_stop_fd.
/// @param userdata   handed to both; may be NULL; the caller's to free, after
///                   rg_free (see rg_free for stuck actors).
///
/// Returns 0, RG_EINVAL, RG_ESTATE (it runs or has run) or RG_EABI.
/// Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_add(
    group: *mut rg_group,
    execute: rg_execute_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
) -> c_int {
    let actor = rg_actor {
        size: size_of::<rg_actor>(),
        name: std::ptr::null(),
        execute,
        interrupt,
        userdata,
        release: None,
        stack_size: 0,
    };
    // SAFETY: see above.
    unsafe { rg_add_actor(group, &actor) }
}

/// Adds an actor with a name, a release function, a stack size.
///
/// @param group  the group, which has not been run.
/// @param actor  read and copied during the call, the name included; NULL, a
///               wrong size, a missing function, a bad name or stack size is
///               RG_EINVAL.
///
/// Returns 0: release will be called once (rule 13); or RG_EINVAL, RG_ESTATE,
/// RG_EABI: the userdata is still the caller's. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_add_actor(group: *mut rg_group, actor: *const rg_actor) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.add_actor)(group, actor, failure::take)
        })
    }
}

/// Runs the group: starts every actor, waits for the first to return,
/// interrupts all in order, and returns when all have returned (rules 1 to 7),
/// or when the grace is over (rule 10). It is rg_start and rg_wait, but for
/// this: without a grace the interrupts are called on this thread.
///
/// @param group  the group; it runs once.
///
/// Returns the first actor's code, or rg_stop's; RG_ETIMEDOUT: some actors are
/// stuck, and rg_get_report tells which; RG_ESPAWN or RG_ENOMEM: nothing was
/// started, and the group may be run again; RG_ESTATE: it runs or has run;
/// RG_EINVAL, RG_EABI. The signal mask, the signals' dispositions, the locale
/// and the working directory are then as before (rule 15).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_run(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.run)(group)) }
}

/// Frees a group that was not run, or whose run is over, and calls its actors'
/// release functions. If actors are stuck, the caller gives it up, and all of it
/// is freed, and released, when the last of them returns (rule 11).
///
/// @param group  NULL is fine. Nobody may use it afterwards but stuck actors,
///               until they return; freeing it twice is forbidden. A group
///               that runs is not freed: one sentence on stderr says so, and
///               it stays valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_free(group: *mut rg_group) {
    // SAFETY: see above.
    unsafe { via(group, |_| (), |t| (t.free)(group)) }
}

/// Starts every actor, or none (rule 2), and returns: for a host that waits in
/// a loop of its own. Threads of the library call the interrupts.
///
/// @param group  the group; it runs once.
///
/// Returns 0, and rg_wait must follow at some time before rg_free; or RG_ESPAWN,
/// RG_ENOMEM (nothing was started), RG_ESTATE, RG_EINVAL, RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_start(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.start)(group)) }
}

/// A descriptor that is readable once rg_wait would not block.
///
/// @param group  the group. The descriptor is its own, closed by rg_free, and
///               must not be read from.
///
/// Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL,
/// RG_EABI. Any thread may call it, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_done_fd(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.done_fd)(group)) }
}

/// Waits for the end of a run that rg_start (or rg_run on another thread)
/// began.
///
/// @param group       the group.
/// @param timeout_ms  how long to wait, in milliseconds; negative: for ever.
/// @param code        is given what rg_run would have returned; NULL: not wanted.
///                    Written only when 1 is returned.
///
/// Returns 1: the run is over; 0: timed out; RG_ESTATE: it has not been
/// started, or this is one of its own actors; RG_EINVAL, RG_EABI. Several
/// threads may wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_wait(group: *mut rg_group, timeout_ms: i64, code: *mut c_int) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.wait)(group, timeout_ms, code)) }
}

/// An interrupt that does nothing: for actors that watch rg_wait_stop,
/// rg_stop_fd or rg_poll.
///
/// @param cause     not used.
/// @param userdata  not used.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn rg_interrupt_none(cause: *const rg_cause, userdata: *mut c_void) {
    let _ = (cause, userdata);
}

/// Adds an actor that has no thread: an event loop's, say (rule 3).
///
/// @param group      the group, which has not been run.
/// @param name       as in rg_actor; NULL: "actor-<index>".
/// @param start      sets it going; NULL is RG_EINVAL.
/// @param interrupt  makes it complete; NULL is RG_EINVAL.
/// @param userdata   handed to the three; may be NULL.
/// @param release    may be NULL.
///
/// Returns as rg_add_actor does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_add_async(
    group: *mut rg_group,
    name: *const c_char,
    start: rg_start_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
    release: rg_release_fn,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.add_async)(
                group,
                name,
                start,
                interrupt,
                userdata,
                release,
                failure::take,
            )
        })
    }
}

/// Reports that an async actor has returned (rule 4).
///
/// @param done     what its start was given.
/// @param code     its result.
/// @param message  copied; other bytes than UTF-8 are replaced; NULL: none.
///
/// Returns 0; RG_ESTATE: it was reported before (while the group is not freed;
/// after that the handle is invalid); RG_EINVAL, RG_EABI. Any thread may call
/// it, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_complete(
    done: *mut rg_completion,
    code: c_int,
    message: *const c_char,
) -> c_int {
    // SAFETY: see above.
    unsafe { via(done, Error::code, |t| (t.complete)(done, code, message)) }
}

/// Stops the group (rule 9). Before rg_run: rg_run will return the code without
/// starting anything. If it is stopping already, nothing changes.
///
/// @param group  the group.
/// @param code   what rg_run returns.
///
/// Returns 0, RG_EINVAL or RG_EABI. Any thread may call it, any number of
/// times; not a signal handler (see rg_add_signals).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_stop(group: *mut rg_group, code: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.stop)(group, code)) }
}

/// Whether stopping has begun (rule 5). It is never undone.
///
/// @param group  the group.
///
/// Returns 1 or 0; RG_EINVAL, RG_EABI. Any thread may call it; it never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_stopping(group: *const rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.stopping)(group)) }
}

/// Waits until stopping begins: a sleep that ends when it should.
///
/// @param group       the group.
/// @param timeout_ms  how long, in milliseconds; negative: for ever.
///
/// Returns 1: stopping; 0: timed out; RG_EINVAL, RG_EABI. Any thread may call
/// it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_wait_stop(group: *const rg_group, timeout_ms: i64) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.wait_stop)(group, timeout_ms)) }
}

/// A descriptor that is readable once stopping began (rule 5), for poll, epoll
/// and event loops.
///
/// @param group  the group. The descriptor is its own, closed by rg_free, and
///               must not be read from.
///
/// Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL,
/// RG_EABI. Any thread may call it, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_stop_fd(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.stop_fd)(group)) }
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
/// stopping, which rg_stopping tells apart; RG_EINVAL, RG_ENOMEM, RG_EABI. Any
/// thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_poll(
    group: *mut rg_group,
    fds: *mut pollfd,
    count: usize,
    timeout_ms: i64,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.poll)(group, fds, count, timeout_ms)
        })
    }
}

/// Adds an actor, named "signals", that returns when one of the signals comes,
/// with 128 plus its number and its name as message. It listens from before
/// the first execute to the first delivery or the end of the run; the previous
/// dispositions are then back, so that a second Ctrl-C kills (rule 15). A
/// signal that is ignored when the run begins (nohup) stays ignored. Several
/// groups may listen for one signal: each is told. If the system does not let
/// it wait, the actor returns 1, with a message, which ends the group (rule 4).
///
/// @param group    the group, which has not been run.
/// @param signals  the numbers; NULL, with count 0: SIGINT and SIGTERM. One that
///                 cannot be caught or that means a fault (SIGKILL, SIGSTOP,
///                 SIGSEGV, ...) is RG_EINVAL.
/// @param count    how many; 0 only with NULL.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_add_signals(
    group: *mut rg_group,
    signals: *const c_int,
    count: usize,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.add_signals)(group, signals, count)
        })
    }
}

/// Whether the signal actors added from now on also hand a signal on to the
/// handler that was there before: for hosts whose runtime must see it too.
///
/// @param group  the group, which has not been run.
/// @param on     0 (the default): no; else: yes.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_chain_signals(group: *mut rg_group, on: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.set_chain_signals)(group, on)) }
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
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_add_systemd(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.add_systemd)(group)) }
}

/// Sets the grace: how long after stopping began rg_run returns at the latest,
/// whatever is stuck (rule 10). A thread is kept ready to call the interrupts;
/// only if one of them hangs and no other thread is to be had does the driver
/// call the next itself, and waits for it.
///
/// @param group       the group, which has not been run.
/// @param timeout_ms  in milliseconds; negative (the default): wait for ever.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_grace(group: *mut rg_group, timeout_ms: i64) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.set_grace)(group, timeout_ms)) }
}

/// Sets the order of interrupts (rule 6).
///
/// @param group  the group, which has not been run.
/// @param order  one of rg_order; another number is RG_EINVAL.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_order(group: *mut rg_group, order: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.set_order)(group, order)) }
}

/// Has the group's events told to a function: one at a time and in order, by
/// the thread that drives the run (rg_run's, or the library's own after
/// rg_start). It should return soon, since the run waits for it.
///
/// @param group     the group, which has not been run.
/// @param observer  NULL: no longer.
/// @param userdata  handed to it; must live until rg_run or rg_wait returned.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_observer(
    group: *mut rg_group,
    observer: rg_observer_fn,
    userdata: *mut c_void,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.set_observer)(group, observer, userdata)
        })
    }
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
    boundary(code, || {
        failure::forget();
        if !message.is_null() {
            // SAFETY: a C string, by the caller's promise.
            failure::keep(code, unsafe { failure::copy(message) });
        }
        code
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
    // SAFETY: see above.
    unsafe { via(group, |_| std::ptr::null(), |t| (t.get_cause)(group)) }
}

/// How many actors were added, signal actors included.
///
/// @param group  the group; NULL or a bad handle: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_actor_count(group: *const rg_group) -> usize {
    // SAFETY: see above.
    unsafe { via(group, |_| 0, |t| (t.actor_count)(group)) }
}

/// What became of an actor, now or at the end.
///
/// @param group  the group.
/// @param index  the actor's, in order of addition, below rg_actor_count.
/// @param out    the caller's, with its size set; written only on success.
///
/// Returns 0; RG_EINVAL: NULL, no such actor, or a size that is too small;
/// RG_EABI. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_get_report(
    group: *const rg_group,
    index: usize,
    out: *mut rg_actor_report,
) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.get_report)(group, index, out)) }
}

/// What became of the group as a whole, now or at the end.
///
/// @param group  the group.
/// @param out    the caller's, with its size set; written only on success.
///
/// Returns 0; RG_EINVAL: NULL, or a size that is too small; RG_EABI. Any thread
/// may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_get_summary(group: *const rg_group, out: *mut rg_summary) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.get_summary)(group, out)) }
}

/// rg_format_report for a report that the caller has kept, or that is of a
/// group freed since.
///
/// @param summary  from rg_get_summary; NULL, or a wrong size: the empty text.
/// @param actors   from rg_get_report, in order of addition, each with its size
///                 set; NULL is fine with count 0. A name that is NULL is
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
    // SAFETY: see above.
    unsafe { format_summary(summary, actors, count, format, buffer, length) }
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
    // SAFETY: see above.
    unsafe {
        via(
            group,
            |_| 0,
            |t| (t.format_report)(group, format, buffer, length),
        )
    }
}

/// A sentence that says what an error means and what to do about it.
///
/// @param code  any int.
///
/// Returns a constant text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn rg_strerror(code: c_int) -> *const c_char {
    let text: &'static CStr = match Error::from_code(code) {
        Some(error) => error.sentence(),
        None if code == 0 => c"no error",
        None => c"not an error of the library: an actor's own code, or 128 plus a signal's number",
    };
    text.as_ptr()
}

/// Ends the process at once, with what was printed: for main, when actors are
/// stuck (RG_ETIMEDOUT), since exit would destroy what they still use. Flushes
/// stdout and stderr, and calls _exit.
///
/// @param code  the process's exit status.
#[unsafe(no_mangle)]
pub extern "C" fn rg_exit(code: c_int) {
    super::os::exit_now(code)
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
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_add(group: *mut rg_group, name: *const c_char) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.drive_add)(group, name)) }
}

/// Begins a run that the host drives: the library's actors are started, and the
/// host's count as started. Without actors, or after rg_stop, there is nothing
/// to start: rg_stopping is 1, and rg_drive_next says RG_STEP_FINISH at once.
///
/// @param group  the group; it runs once.
///
/// Returns 0; RG_ESPAWN, RG_ENOMEM (nothing was started), RG_ESTATE, RG_EINVAL,
/// RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_begin(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.drive_begin)(group)) }
}

/// Reports that a driven actor's execute has returned. After RG_DRIVE_LAST the
/// group is not touched any more.
///
/// @param group    the group.
/// @param index    the actor's.
/// @param code     its result.
/// @param message  copied; NULL: none.
///
/// Returns RG_DRIVE_... bits; or RG_ESTATE (reported before, or not running),
/// RG_EINVAL, RG_EABI. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_return(
    group: *mut rg_group,
    index: usize,
    code: c_int,
    message: *const c_char,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.drive_return)(group, index, code, message)
        })
    }
}

/// The next thing for the host to do. Does not wait, except for threads that
/// are about to end. One thread at a time calls it, which also calls the
/// observer from here.
///
/// @param group  the group.
/// @param value  is given the step's number; NULL is RG_EINVAL.
///
/// Returns RG_STEP_...; or RG_ESTATE, RG_EINVAL, RG_EABI. It is asked again
/// after each step, after RG_DRIVE_WAKE, when the time is over, and when
/// rg_drive_fd is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_next(group: *mut rg_group, value: *mut i64) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.drive_next)(group, value)) }
}

/// A descriptor that is readable when rg_drive_next has something new to say,
/// also because of rg_stop or of an actor that the library runs. rg_drive_next
/// drains it.
///
/// @param group  the group; the descriptor is its own, closed by rg_free.
///
/// Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL,
/// RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_fd(group: *mut rg_group) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.drive_fd)(group)) }
}

/// Reports that a driven actor's interrupt has returned.
///
/// @param group      the group.
/// @param index      the actor's.
/// @param complaint  what went wrong in it, copied; NULL: nothing.
///
/// Returns as rg_drive_return does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_interrupted(
    group: *mut rg_group,
    index: usize,
    complaint: *const c_char,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.drive_interrupted)(group, index, complaint)
        })
    }
}

/// Adds so many actors that the host runs: rg_drive_add without names.
///
/// @param group  the group, which has not been run.
/// @param count  how many.
///
/// Returns 0; RG_ENOMEM: none was added; RG_ESTATE, RG_EINVAL or RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_add_many(group: *mut rg_group, count: usize) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.drive_add_many)(group, count)) }
}

/// Reports what happened to driven actors, and asks for the next thing to do:
/// rg_drive_return, rg_drive_interrupted and rg_drive_next in one call, for
/// many actors at once, but without texts.
///
/// @param group   the group.
/// @param events  oldest first, read during the call; NULL is fine with count 0.
///                An unknown kind is RG_EINVAL, and none is taken.
/// @param count   how many.
/// @param now_ns  the time now, on the clock of the events' times.
/// @param next    is given the step, with its size set by the caller; NULL:
///                only report, which any thread may do at any time. Otherwise
///                as for rg_drive_next: one thread at a time.
///
/// Returns RG_STEP_..., or 0 if next is NULL; or RG_ESTATE (not running, or one
/// of them was reported before; the others were taken, and next was not
/// written), RG_EINVAL, RG_EABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_report(
    group: *mut rg_group,
    events: *const rg_drive_event,
    count: usize,
    now_ns: i64,
    next: *mut rg_step,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        via(group, Error::code, |t| {
            (t.drive_report)(group, events, count, now_ns, next)
        })
    }
}

/// rg_get_report for the first actors at once, without texts.
///
/// @param group  the group.
/// @param out    the caller's array, written only on success.
/// @param count  how many; at most rg_actor_count.
///
/// Returns 0, RG_EINVAL or RG_EABI. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_drive_records(
    group: *const rg_group,
    out: *mut rg_drive_record,
    count: usize,
) -> c_int {
    // SAFETY: see above.
    unsafe { via(group, Error::code, |t| (t.drive_records)(group, out, count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_agree() {
        let codes = [
            RG_EINVAL,
            RG_ESTATE,
            RG_ENOMEM,
            RG_ESPAWN,
            RG_ETIMEDOUT,
            RG_EPANIC,
            RG_EABI,
            RG_ENOTSUP,
        ];
        assert_eq!(Error::ALL.map(Error::code), codes);
        let version = format!("{RG_VERSION_MAJOR}.{RG_VERSION_MINOR}.{RG_VERSION_PATCH}");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        let number = RG_VERSION_MAJOR * 10000 + RG_VERSION_MINOR * 100 + RG_VERSION_PATCH;
        assert_eq!(RG_VERSION_NUMBER, number);
    }
}
