//! A group: made, given its actors, run, freed.

use super::table::head;
use super::{deadline, null, prompt, read_message, read_name, sized, via};
use crate::abi::{
    self, rg_actor, rg_cause, rg_completion, rg_execute_fn, rg_group, rg_interrupt_fn,
    rg_release_fn, rg_start_fn,
};
use crate::error::Error;
use crate::latch::Latch;
use crate::machine::Outcome;
use crate::run::actor::{Actor, Calls, Completion, TakeFailure, Work};
use crate::run::core::{Core, Driver};
use crate::run::failure;
use crate::sync::Arc;
use crate::sys::memory::{Room, try_box};
use crate::text;
use libc::{c_char, c_int, c_void};
use std::ffi::CString;
use std::ptr;

/// Makes an empty group.
///
/// Returns the group, to be freed with rg_free; NULL: out of memory.
/// Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn rg_new() -> *mut rg_group {
    prompt("rg_new", || {
        // An `Arc` aborts without memory, so that is asked for first, with the
        // counts that it keeps beside its value.
        let group = Room::<(usize, usize, Core)>::new().ok_or(Error::Memory)?;
        let stop = Room::<(usize, usize, Latch)>::new().ok_or(Error::Memory)?;
        drop(std::hint::black_box((group, stop)));
        Ok(Arc::into_raw(Core::new(head())).cast_mut().cast())
    })
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
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM.
/// Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_add(
    group: *mut rg_group,
    execute: rg_execute_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { rg_add_named(group, ptr::null(), execute, interrupt, userdata) }
}

/// Adds an actor with a name: as rg_add.
///
/// @param group      the group, which has not been run.
/// @param name       for the report, and the thread's; copied; UTF-8 of at most 255
///                   bytes, another one is RG_EINVAL; NULL: "actor-<index>".
/// @param execute    does the work; NULL is RG_EINVAL.
/// @param interrupt  as for rg_add.
/// @param userdata   as for rg_add.
///
/// Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_add_named(
    group: *mut rg_group,
    name: *const c_char,
    execute: rg_execute_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
) -> c_int {
    let actor = rg_actor {
        size: size_of::<rg_actor>(),
        name,
        execute,
        interrupt,
        userdata,
        release: None,
        stack_size: 0,
    };
    // SAFETY: see `via`.
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
/// RG_ENOMEM: the userdata is still the caller's. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_add_actor(group: *mut rg_group, actor: *const rg_actor) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.add_actor)(group, actor, failure::take)) }
}

pub(super) unsafe fn add_actor(
    core: &Arc<Core>,
    actor: *const rg_actor,
    take_failure: TakeFailure,
) -> Result<c_int, Error> {
    // SAFETY: NULL, or the caller's structure that begins with its size.
    core.adding(|| add(core, unsafe { read_actor(actor, take_failure)? }))
}

/// The name and the actor.
///
/// # Safety
/// NULL, or the caller's structure that begins with its size.
unsafe fn read_actor(
    actor: *const rg_actor,
    take_failure: TakeFailure,
) -> Result<(Option<CString>, Actor), Error> {
    // A structure that is so large was not zeroed.
    const SANE: usize = 4096;
    // SAFETY: the caller's promise.
    let given = unsafe { sized(actor)? };
    if given.size > SANE {
        let reason = format_args!("the structure's size is {}: was it set?", given.size);
        return Err(text::because(Error::Invalid, reason));
    }
    let known = size_of::<rg_actor>();
    // SAFETY: the caller's structure is as large as it says.
    let newer = unsafe {
        let rest = actor.cast::<u8>().add(known);
        std::slice::from_raw_parts(rest, given.size - known)
    };
    if newer.iter().any(|&byte| byte != 0) {
        // Left out without a word, what it asks for would not be done.
        let reason = format_args!("a field of a newer header is set, unknown to this library");
        return Err(text::because(Error::Invalid, reason));
    }
    let calls = Calls {
        interrupt: given.interrupt.ok_or_else(no_interrupt)?,
        userdata: given.userdata,
        take_failure,
        name: ptr::null(),
    };
    // SAFETY: NULL or a C string, by the caller's promise.
    let name = unsafe { read_name(given.name)? };
    let actor = Actor {
        calls,
        work: Work::Thread(given.execute.ok_or_else(|| null("execute"))?),
        release: given.release,
        stack_size: given.stack_size,
    };
    Ok((name, actor))
}

fn no_interrupt() -> Error {
    null("interrupt (rg_interrupt_none is one that does nothing)")
}

fn add(core: &Core, (name, actor): (Option<CString>, Actor)) -> Result<c_int, Error> {
    match core.add(name, actor) {
        Ok(_) => Ok(0),
        Err((error, mut actor)) => {
            // Refused: the userdata is still the caller's.
            actor.release = None;
            Err(error)
        }
    }
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
/// Returns as rg_add_actor does. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_add_async(
    group: *mut rg_group,
    name: *const c_char,
    start: rg_start_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
    release: rg_release_fn,
) -> c_int {
    let take = failure::take;
    // SAFETY: see `via`.
    unsafe {
        via(group, |t| {
            (t.add_async)(group, name, start, interrupt, userdata, release, take)
        })
    }
}

pub(super) unsafe fn add_async(
    core: &Arc<Core>,
    name: *const c_char,
    start: rg_start_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
    release: rg_release_fn,
    take_failure: TakeFailure,
) -> Result<c_int, Error> {
    core.adding(|| {
        let start = start.ok_or_else(|| null("start"))?;
        let interrupt = interrupt.ok_or_else(no_interrupt)?;
        // SAFETY: NULL or a C string, by the caller's promise.
        let name = unsafe { read_name(name)? };
        let completion = try_box(Completion::new(head())).ok_or(Error::Memory)?;
        let actor = Actor {
            calls: Calls {
                interrupt,
                userdata,
                take_failure,
                name: ptr::null(),
            },
            work: Work::Async(start, completion),
            release,
            stack_size: 0,
        };
        add(core, (name, actor))
    })
}

/// Reports that an async actor has returned (rule 4). Never blocks.
///
/// @param done     what its start was given.
/// @param code     its result.
/// @param message  copied; other bytes than UTF-8 are replaced; NULL: none.
///
/// Returns 0; RG_ESTATE: it was reported before (while the group is not freed;
/// after that the handle is invalid); RG_EINVAL. Any thread may call it, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_complete(
    done: *mut rg_completion,
    code: c_int,
    message: *const c_char,
) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(done, |t| (t.complete)(done, code, message)) }
}

pub(super) unsafe fn complete(
    completion: &*const Completion,
    code: c_int,
    message: *const c_char,
) -> Result<c_int, Error> {
    // SAFETY: NULL or a C string, by the caller's promise.
    let message = unsafe { read_message(message) };
    // SAFETY: valid by the caller's promise, and longer than this reference to
    // it: the share that comes back is the last to go.
    let share = unsafe { (**completion).complete(Outcome { code, message })? };
    drop(share);
    Ok(0)
}

/// Sets the grace: how long after stopping began rg_run returns at the latest,
/// whatever is stuck (rule 10). It also bounds what an async actor's start may
/// hold up. With a grace, starts and interrupts are called on a thread of the
/// library's, or on several once one of them hangs. If such a thread does not end in
/// time, because the destructor of thread-specific data that they set there blocks, it
/// is left behind.
///
/// @param group       the group, which has not been run.
/// @param timeout_ms  in milliseconds; negative (the default): wait for ever.
///
/// Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_grace(group: *mut rg_group, timeout_ms: i64) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.set_grace)(group, timeout_ms)) }
}

pub(super) fn set_grace(core: &Arc<Core>, timeout_ms: i64) -> Result<c_int, Error> {
    let millis = u64::try_from(timeout_ms).ok();
    let grace = millis.map(|millis| millis.saturating_mul(1_000_000));
    core.with(|machine| machine.set_grace(grace))?;
    Ok(0)
}

/// Sets the order of interrupts (rule 6).
///
/// @param group  the group, which has not been run.
/// @param order  one of rg_order; another number is RG_EINVAL.
///
/// Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_set_order(group: *mut rg_group, order: c_int) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.set_order)(group, order)) }
}

pub(super) fn set_order(core: &Arc<Core>, order: c_int) -> Result<c_int, Error> {
    let order = abi::order(order)?;
    core.with(|machine| machine.set_order(order))?;
    Ok(0)
}

/// Runs the group: starts every actor, waits for the first to return,
/// interrupts all in order, and returns when all have returned (rules 1 to 7),
/// or when the grace is over (rule 10). Without a grace, starts and interrupts
/// are called on this thread.
///
/// @param group  the group; it runs once.
///
/// Returns the first actor's code, or rg_stop's; RG_ETIMEDOUT: some actors are
/// stuck, and rg_get_report tells which; RG_ESPAWN or RG_ENOMEM: nothing was
/// started, and the group may be run again; RG_ESTATE or RG_EINVAL. The signal
/// mask, the signals' dispositions, the locale and the working directory are
/// then as before (rule 15). Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_run(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.run)(group)) }
}

pub(super) fn run(core: &Arc<Core>) -> Result<c_int, Error> {
    // A share: another thread's rg_wait may return, and free the handle, just
    // before this call does.
    core.clone().run()
}

/// Starts every actor, or none (rule 2), and returns: for a host that waits in
/// a loop of its own. Threads of the library call the interrupts, and with a
/// grace the starts.
///
/// @param group  the group; it runs once.
///
/// Returns 0, and rg_wait must follow at some time before rg_free; or RG_ESPAWN,
/// RG_ENOMEM (nothing was started), RG_ESTATE, RG_EINVAL. Any thread may call it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rg_start(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.start)(group)) }
}

pub(super) fn start(core: &Arc<Core>) -> Result<c_int, Error> {
    core.clone().start(Driver::Thread)?;
    Ok(0)
}

/// A descriptor that is readable once rg_wait would not block.
///
/// @param group  the group. The descriptor is its own, closed by rg_free, and
///               must not be read from.
///
/// Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL. Any
/// thread may call it, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_done_fd(group: *mut rg_group) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.done_fd)(group)) }
}

pub(super) fn done_fd(core: &Arc<Core>) -> Result<c_int, Error> {
    core.over.fd()
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
/// started, or this is one of its own actors; RG_EINVAL. Several threads may
/// wait, and after one of them rg_free may be called at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_wait(group: *mut rg_group, timeout_ms: i64, code: *mut c_int) -> c_int {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.wait)(group, timeout_ms, code)) }
}

pub(super) unsafe fn wait(
    core: &Arc<Core>,
    timeout_ms: i64,
    code: *mut c_int,
) -> Result<c_int, Error> {
    let Some(result) = core.clone().wait(deadline(timeout_ms))? else {
        return Ok(0);
    };
    // SAFETY: NULL or the caller's to write.
    if let Some(code) = unsafe { code.as_mut() } {
        *code = result;
    }
    Ok(1)
}

/// Frees a group that was not run, or whose run is over, and calls its actors'
/// release functions. If actors are stuck, the caller gives it up, and all of it
/// is freed, and released, when the last of them returns (rule 11).
///
/// @param group  NULL is fine. Nobody may use it afterwards but stuck actors,
///               until they return; freeing it twice is forbidden. Other
///               threads that wait in rg_wait, rg_wait_stop or rg_poll, or are
///               inside rg_stop, may go on; but no call may begin while this
///               one runs, or later: end the threads that would make one
///               first. A group that runs is not freed: one sentence on stderr
///               says so, and it stays valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rg_free(group: *mut rg_group) {
    // SAFETY: see `via`.
    unsafe { via(group, |t| (t.free)(group)) }
}

pub(super) unsafe fn free(core: &Arc<Core>) -> Result<(), Error> {
    if core.abandon().is_err() {
        // Not worth a panic if stderr is closed.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"rungroup: rg_free: the group is running, so nothing was freed: call rg_stop, and \
              wait for rg_run or rg_wait first\n",
        );
        return Ok(());
    }
    // SAFETY: the handle's share, which the caller gives up, once. Stuck actors,
    // which may still use the group, have shares of their own.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(core)) };
    Ok(())
}
