//! The types of the C interface, and the functions behind it.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

use super::actor::{Actor, Calls, Entry, Interrupt, Release, Start, TakeFailure};
use super::failure;
use super::foreign::{self, Callee};
use super::os;
use crate::error::Error;
use crate::machine::{self, Event, EventKind, Message, NO_MESSAGE, Order, Outcome, Record, Stuck};
use crate::report::Report;
use crate::runner::{self, CompletionSlot, Driver, HostEvent, HostStep, Shared};
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::{Arc, Instant, Mutex};
use crate::text;
use libc::{c_char, c_int, c_void, pollfd};
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Duration;

// ---- the types of the header -------------------------------------------------

/// A group of actors. Opaque: made by rg_new, freed by rg_free. Any thread may
/// use it at any time, but for rg_free, after which nobody may.
pub struct rg_group {
    _opaque: [u8; 0],
}

/// The handle by which an async actor reports its return; see rg_add_async.
/// Opaque: the group's, valid from the call of start until rg_free.
pub struct rg_completion {
    _opaque: [u8; 0],
}

/// Why a group stops (contract, rule 4). Handed to every interrupt, for the
/// length of the call; from rg_get_cause it is valid until rg_free.
#[repr(C)]
#[derive(Debug)]
pub struct rg_cause {
    /// What rg_run returns, unless actors get stuck.
    pub code: c_int,
    /// The name of the actor that returned first; NULL: stopped from outside.
    pub actor: *const c_char,
    /// What that actor said of it; never NULL, "" where there is nothing.
    pub message: *const c_char,
    /// The actor's index, in order of addition; -1: stopped from outside.
    pub index: i64,
}

/// An actor's work (rule 3). Called once, on a thread of its own, at the same
/// time as the other actors'; returns any int. It must end once its interrupt
/// was called. A C++ exception that leaves it ends the process, with a
/// sentence that names the actor (rule 12).
pub type rg_execute_fn = Option<unsafe extern "C-unwind" fn(userdata: *mut c_void) -> c_int>;

/// Makes the actor's execute return (rule 5). Called once, also when its
/// execute has returned already or has not got going yet, never at the same
/// time as another interrupt that returns in time. Called by the thread in
/// rg_run; by a thread of the library when a grace is set or after rg_start.
/// It must not wait for its execute, and must not call rg_wait. cause is valid
/// during the call.
pub type rg_interrupt_fn =
    Option<unsafe extern "C-unwind" fn(cause: *const rg_cause, userdata: *mut c_void)>;

/// Gives an accepted actor's userdata back (rule 13). Called once, when its
/// execute and interrupt can no longer run: by the thread in rg_free, or by the
/// last stuck actor's when that returns.
pub type rg_release_fn = Option<unsafe extern "C-unwind" fn(userdata: *mut c_void)>;

/// Sets an actor without a thread going (rule 3). Called once, in order of
/// addition, by the thread in rg_run or rg_start; must return soon. done is
/// the group's; pass it to rg_complete once, from any thread, also from here.
pub type rg_start_fn =
    Option<unsafe extern "C-unwind" fn(done: *mut rg_completion, userdata: *mut c_void)>;

/// All that rg_add takes, and more. Zero the rest.
#[repr(C)]
pub struct rg_actor {
    /// sizeof(rg_actor), since newer fields may follow.
    pub size: usize,
    /// UTF-8, at most 255 bytes, copied; NULL: "actor-<index>". Its first 15
    /// bytes are also the thread's name.
    pub name: *const c_char,
    /// Required.
    pub execute: rg_execute_fn,
    /// Required; rg_interrupt_none for an actor that watches for the stop.
    pub interrupt: rg_interrupt_fn,
    /// Handed to the three functions; may be NULL. Lent until release.
    pub userdata: *mut c_void,
    /// May be NULL.
    pub release: rg_release_fn,
    /// Bytes of stack; 0: 8 MiB. From 16 KiB to 2^46.
    pub stack_size: usize,
}

/// Something that happened; see rg_set_observer.
#[repr(C)]
pub struct rg_event {
    /// sizeof(rg_event) of the library.
    pub size: usize,
    /// RG_EVENT_...
    pub kind: c_int,
    /// Of RETURNED, STOPPING and STOPPED; else 0.
    pub code: c_int,
    /// The actor's; -1 for STOPPED, and for a stop from outside.
    pub index: i64,
    /// Its name, valid until rg_free; NULL where index is -1.
    pub actor: *const c_char,
    /// Of RETURNED and STOPPING what was said, of INTERRUPTED the complaint;
    /// valid until rg_free; never NULL.
    pub message: *const c_char,
    /// Nanoseconds since the run began.
    pub time_ns: i64,
}

/// What became of an actor; see rg_get_report. Strings are valid until
/// rg_free and never NULL. Times are nanoseconds since the run began, -1: it
/// has not happened.
#[repr(C)]
pub struct rg_actor_report {
    /// sizeof(rg_actor_report), set by the caller, since newer fields may
    /// follow.
    pub size: usize,
    /// The actor's name.
    pub name: *const c_char,
    /// RG_STATE_...
    pub state: c_int,
    /// What its execute returned; 0 before.
    pub code: c_int,
    /// What it said of it (rg_fail, rg_complete, a panic's text), or "".
    pub message: *const c_char,
    /// RG_STUCK_EXECUTE and RG_STUCK_INTERRUPT, or'ed; 0: not stuck.
    pub stuck: c_int,
    /// Execute was called.
    pub started_ns: i64,
    /// Execute returned.
    pub returned_ns: i64,
    /// Interrupt was called.
    pub interrupting_ns: i64,
    /// Interrupt returned.
    pub interrupted_ns: i64,
    /// What its interrupt said (rg_fail, a panic's text), or "".
    pub complaint: *const c_char,
}

/// What became of a group as a whole; see rg_get_summary. Times are
/// nanoseconds since the run began, -1: it has not happened.
#[repr(C)]
pub struct rg_summary {
    /// sizeof(rg_summary), set by the caller, since newer fields may follow.
    pub size: usize,
    /// 1 once the run is over, else 0.
    pub finished: c_int,
    /// What rg_run returned; 0 before.
    pub code: c_int,
    /// 1 once there is a cause (rule 4), else 0.
    pub stopping: c_int,
    /// The cause's code; 0 before.
    pub cause_code: c_int,
    /// The cause's actor; -1: stopped from outside, or not stopping.
    pub cause_index: i64,
    /// What that actor said, valid until rg_free; never NULL.
    pub cause_message: *const c_char,
    /// The executes were called.
    pub started_ns: i64,
    /// Stopping began.
    pub stopping_ns: i64,
    /// The run was over; before that: now.
    pub end_ns: i64,
    /// The grace; -1: none.
    pub grace_ns: i64,
    /// One of rg_order.
    pub order: c_int,
}

/// What happened to a driven actor; see rg_drive_report. Nothing in it is a
/// pointer.
#[repr(C)]
pub struct rg_drive_event {
    /// The actor's.
    pub index: usize,
    /// RG_EVENT_RETURNED or RG_EVENT_INTERRUPTED.
    pub kind: c_int,
    /// Of RETURNED: its result.
    pub code: c_int,
    /// When, in nanoseconds on any clock of the host's.
    pub time_ns: i64,
}

/// What the host that drives a group does next; see rg_drive_report.
#[repr(C)]
pub struct rg_step {
    /// sizeof(rg_step), set by the caller, since newer fields may follow.
    pub size: usize,
    /// Of RG_STEP_INTERRUPT: call the interrupts of the actors from this index
    pub first: usize,
    /// to this one, which may be lower, one after another; each is to be
    /// reported, together or not.
    pub last: usize,
    /// Of RG_STEP_WAIT: how long at most, in nanoseconds; -1: for ever.
    pub wait_ns: i64,
    /// Of RG_STEP_WAIT: how many more executes and interrupts of driven actors
    /// must return at least until there is something new to do. It is never
    /// wrong to report fewer, and rg_drive_fd and rg_stop end the wait as well.
    /// Of RG_STEP_INTERRUPT the same, those interrupts included; 0: report as
    /// soon as they have been called.
    pub returns: usize,
    /// Of RG_STEP_FINISH: how many executes and interrupts have not returned.
    /// They are to be reported when they do.
    pub stuck: usize,
    /// Of RG_STEP_FINISH: the run's code; of RG_STEP_INTERRUPT: the cause's.
    pub code: c_int,
    /// Of RG_STEP_INTERRUPT: the actor that is the cause; -1: stopped from
    /// outside.
    pub cause_index: i64,
}

/// rg_actor_report without its texts; see rg_drive_records. Nothing in it is a
/// pointer.
#[repr(C)]
pub struct rg_drive_record {
    /// As in rg_actor_report.
    pub returned_ns: i64,
    /// As in rg_actor_report.
    pub interrupting_ns: i64,
    /// As in rg_actor_report.
    pub interrupted_ns: i64,
    /// As in rg_actor_report.
    pub code: c_int,
    /// As in rg_actor_report.
    pub state: i16,
    /// As in rg_actor_report.
    pub stuck: i16,
}

/// Told what happens; see rg_set_observer. event is valid during the call.
pub type rg_observer_fn =
    Option<unsafe extern "C-unwind" fn(event: *const rg_event, userdata: *mut c_void)>;

// ---- handles -------------------------------------------------------------------

const MAGIC: u64 = u64::from_ne_bytes(*b"rungroup");
/// Raised when a field of the table, or what one means, is changed. Fields are
/// only appended.
const ABI: u32 = 0;

/// The functions of the copy of the library that made a handle. The layout is
/// part of the binary interface.
#[repr(C)]
pub struct Table {
    magic: u64,
    abi: u32,
    size: u32,
    pub add_actor: unsafe extern "C" fn(*mut rg_group, *const rg_actor, TakeFailure) -> c_int,
    pub run: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub free: unsafe extern "C" fn(*mut rg_group),
    pub start: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub done_fd: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub wait: unsafe extern "C" fn(*mut rg_group, i64, *mut c_int) -> c_int,
    pub add_async: unsafe extern "C" fn(
        *mut rg_group,
        *const c_char,
        rg_start_fn,
        rg_interrupt_fn,
        *mut c_void,
        rg_release_fn,
        TakeFailure,
    ) -> c_int,
    pub complete: unsafe extern "C" fn(*mut rg_completion, c_int, *const c_char) -> c_int,
    pub stop: unsafe extern "C" fn(*mut rg_group, c_int) -> c_int,
    pub stopping: unsafe extern "C" fn(*const rg_group) -> c_int,
    pub wait_stop: unsafe extern "C" fn(*const rg_group, i64) -> c_int,
    pub stop_fd: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub poll: unsafe extern "C" fn(*mut rg_group, *mut pollfd, usize, i64) -> c_int,
    pub add_signals: unsafe extern "C" fn(*mut rg_group, *const c_int, usize) -> c_int,
    pub set_chain_signals: unsafe extern "C" fn(*mut rg_group, c_int) -> c_int,
    pub set_grace: unsafe extern "C" fn(*mut rg_group, i64) -> c_int,
    pub set_order: unsafe extern "C" fn(*mut rg_group, c_int) -> c_int,
    pub set_observer: unsafe extern "C" fn(*mut rg_group, rg_observer_fn, *mut c_void) -> c_int,
    pub get_cause: unsafe extern "C" fn(*const rg_group) -> *const rg_cause,
    pub actor_count: unsafe extern "C" fn(*const rg_group) -> usize,
    pub get_report: unsafe extern "C" fn(*const rg_group, usize, *mut rg_actor_report) -> c_int,
    pub format_report: unsafe extern "C" fn(*const rg_group, c_int, *mut c_char, usize) -> usize,
    pub drive_add: unsafe extern "C" fn(*mut rg_group, *const c_char) -> c_int,
    pub drive_begin: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub drive_return: unsafe extern "C" fn(*mut rg_group, usize, c_int, *const c_char) -> c_int,
    pub drive_next: unsafe extern "C" fn(*mut rg_group, *mut i64) -> c_int,
    pub drive_fd: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub drive_interrupted: unsafe extern "C" fn(*mut rg_group, usize, *const c_char) -> c_int,
    pub add_systemd: unsafe extern "C" fn(*mut rg_group) -> c_int,
    pub get_summary: unsafe extern "C" fn(*const rg_group, *mut rg_summary) -> c_int,
    pub drive_add_many: unsafe extern "C" fn(*mut rg_group, usize) -> c_int,
    pub drive_report: unsafe extern "C" fn(
        *mut rg_group,
        *const rg_drive_event,
        usize,
        i64,
        *mut rg_step,
    ) -> c_int,
    pub drive_records: unsafe extern "C" fn(*const rg_group, *mut rg_drive_record, usize) -> c_int,
}

static TABLE: Table = Table {
    magic: MAGIC,
    abi: ABI,
    size: size_of::<Table>() as u32,
    add_actor,
    run,
    free,
    start,
    done_fd,
    wait,
    add_async,
    complete: complete_async,
    stop,
    stopping,
    wait_stop,
    stop_fd,
    poll,
    add_signals,
    set_chain_signals,
    set_grace,
    set_order,
    set_observer,
    get_cause,
    actor_count,
    get_report,
    format_report,
    drive_add,
    drive_begin,
    drive_return,
    drive_next,
    drive_fd,
    drive_interrupted,
    add_systemd,
    get_summary,
    drive_add_many,
    drive_report,
    drive_records,
};

/// The table behind a handle of any copy of the library.
pub unsafe fn table<'a, H>(handle: *const H) -> Result<&'a Table, Error> {
    if handle.is_null() {
        return Err(Error::Invalid);
    }
    // SAFETY: every handle begins with a pointer to its table, and a table with
    // its magic and ABI number; more is read only when these are right. What
    // the caller passes instead of a handle must at least be readable.
    unsafe {
        let table = *handle.cast::<*const Table>();
        if table.is_null() || !table.is_aligned() || (*table).magic != MAGIC || (*table).abi != ABI
        {
            return Err(Error::Abi);
        }
        if ((*table).size as usize) < size_of::<Table>() {
            return Err(Error::Abi);
        }
        Ok(&*table)
    }
}

/// What makes a pointer to a [`Shared`], which begins with it, a handle.
#[repr(transparent)]
pub struct Head(*const Table);

// SAFETY: the table is constant.
unsafe impl Send for Head {}
// SAFETY: as above.
unsafe impl Sync for Head {}

impl Default for Head {
    fn default() -> Self {
        Head(&TABLE)
    }
}

/// What a `rg_completion` of this copy really is.
#[repr(C)]
pub struct Completion {
    table: *const Table,
    index: usize,
    /// The group, from the call of start until the actor completes.
    slot: CompletionSlot,
}

// SAFETY: the table is constant; the rest may be shared.
unsafe impl Send for Completion {}
// SAFETY: as above.
unsafe impl Sync for Completion {}

impl Completion {
    fn new() -> Box<Self> {
        Box::new(Completion {
            table: &TABLE,
            index: 0,
            slot: Mutex::new(None),
        })
    }

    /// The actor's index.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Set once, before anyone can have the handle.
    pub fn set_index(&mut self, index: usize) {
        self.index = index;
    }

    /// Where the group is kept.
    pub fn slot(&self) -> &CompletionSlot {
        &self.slot
    }

    /// From now on it can be completed. Gives the handle for start.
    pub fn begin(&self, shared: &Arc<Shared>) -> *mut rg_completion {
        *self.slot.lock() = Some(shared.clone());
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// A cause that owns nothing: its texts are the machine's, which never change.
#[derive(Debug)]
pub struct Cause(rg_cause);

// SAFETY: it points to texts that live, unchanged, as long as the group that
// holds both.
unsafe impl Send for Cause {}
// SAFETY: as above.
unsafe impl Sync for Cause {}

impl Cause {
    /// The machine's cause, for C.
    pub fn new(cause: &machine::Cause, actor: *const c_char) -> Self {
        Cause(rg_cause {
            code: cause.code,
            actor,
            message: cause.message.as_ptr(),
            index: cause.index.map_or(-1, |index| index as i64),
        })
    }

    /// The pointer that interrupts are given.
    pub fn as_ptr(&self) -> *const rg_cause {
        &self.0
    }
}

/// An observer's function and its userdata.
#[derive(Clone, Copy)]
pub struct Observer {
    function: unsafe extern "C-unwind" fn(*const rg_event, *mut c_void),
    userdata: *mut c_void,
}

// SAFETY: whoever sets it promises that it may be called from another thread.
unsafe impl Send for Observer {}

impl Observer {
    /// Calls it.
    pub fn call(self, shared: &Shared, event: Event) {
        let (actor, message) = shared.with(|machine| {
            let name = event
                .index
                .map_or(ptr::null(), |index| machine.name(index).as_ptr());
            let record = event.index.map(|index| &machine.records()[index]);
            let said = |text: Option<&Message>| text.map_or(c"".as_ptr(), |text| text.as_ptr());
            let message = match event.kind {
                EventKind::Returned => said(
                    record
                        .and_then(|record| record.outcome.as_ref())
                        .map(|outcome| &outcome.message),
                ),
                EventKind::Stopping => said(machine.cause().map(|cause| &cause.message)),
                EventKind::Interrupted => said(record.and_then(|record| record.complaint.as_ref())),
                _ => c"".as_ptr(),
            };
            (name, message)
        });
        let event = rg_event {
            size: size_of::<rg_event>(),
            kind: event.kind as c_int,
            code: event.code,
            index: event.index.map_or(-1, |index| index as i64),
            actor,
            message,
            time_ns: event.at as i64,
        };
        // SAFETY: the event lives for the call, its texts as long as the group.
        unsafe {
            let callee = Callee {
                actor: ptr::null(),
                function: "observer",
            };
            let event = ptr::from_ref(&event).cast_mut().cast();
            foreign::call(event, self.userdata, self.function as _, &callee);
        }
    }
}

/// For Rust interrupts. Sound because a reference to a `rg_cause` only comes
/// from the library, whose texts are UTF-8 and live as long as the group.
impl rg_cause {
    /// The actor's name.
    pub fn actor(&self) -> Option<&str> {
        if self.actor.is_null() {
            return None;
        }
        // SAFETY: a text of the machine's.
        let actor = unsafe { CStr::from_ptr(self.actor) };
        Some(actor.to_str().unwrap_or_default())
    }

    /// What the actor said.
    pub fn message(&self) -> &str {
        // SAFETY: a text of the machine's.
        let message = unsafe { CStr::from_ptr(self.message) };
        message.to_str().unwrap_or_default()
    }
}

// ---- helpers ---------------------------------------------------------------------

/// The one place where a panic of the library's own ends.
pub fn boundary<R>(failed: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(failed)
}

fn status(result: Result<(), Error>) -> c_int {
    result.map_or_else(Error::code, |()| 0)
}

fn checked(body: impl FnOnce() -> Result<(), Error>) -> c_int {
    boundary(Error::Panic.code(), || status(body()))
}

/// What a `rg_group` of this copy really is.
fn group<'a>(handle: *const rg_group) -> &'a Shared {
    // SAFETY: `table` has checked that it is a handle, and it is one of this
    // copy since this copy's table led here; the caller has not freed it, or is
    // an actor, which has a share.
    unsafe { &*handle.cast::<Shared>() }
}

/// A share of it, for where the handle may be freed meanwhile.
fn share(handle: *const rg_group) -> Arc<Shared> {
    let shared = handle.cast::<Shared>();
    // SAFETY: as in `group`; `new` got the pointer from an `Arc`.
    unsafe {
        Arc::increment_strong_count(shared);
        Arc::from_raw(shared)
    }
}

/// `None`: wait for ever.
fn deadline(timeout_ms: i64) -> Option<Instant> {
    let millis = u64::try_from(timeout_ms).ok()?;
    Instant::now().checked_add(Duration::from_millis(millis))
}

/// NULL is no name; otherwise UTF-8 of at most 255 bytes.
unsafe fn read_name(name: *const c_char) -> Result<Option<CString>, Error> {
    const LIMIT: usize = 255;
    if name.is_null() {
        return Ok(None);
    }
    // SAFETY: a C string, by the caller's promise; no more than one byte past
    // the limit is looked at.
    let name = unsafe {
        if libc::strnlen(name, LIMIT + 1) > LIMIT {
            return Err(Error::Invalid);
        }
        CStr::from_ptr(name)
    };
    name.to_str().map_err(|_| Error::Invalid)?;
    Ok(Some(name.to_owned()))
}

/// NULL is the empty message.
unsafe fn read_message(message: *const c_char) -> Message {
    if message.is_null() {
        return NO_MESSAGE;
    }
    // SAFETY: a C string, by the caller's promise.
    unsafe { failure::copy(message) }
}

fn add(group: &Shared, name: Option<CString>, actor: Actor) -> Result<(), Error> {
    group
        .add(name, actor)
        .map(drop)
        .map_err(|(error, mut actor)| {
            // Refused: the userdata is still the caller's.
            actor.release = None;
            error
        })
}

// ---- the functions behind the table ------------------------------------------------

/// A new handle; null without memory.
pub fn new() -> *mut rg_group {
    // The standard library aborts where there is none, so that is asked first.
    let mut room: Vec<Shared> = Vec::new();
    if room.try_reserve_exact(1).is_err() {
        return ptr::null_mut();
    }
    drop(std::hint::black_box(room));
    Arc::into_raw(Shared::new()).cast_mut().cast()
}

unsafe extern "C" fn add_actor(
    handle: *mut rg_group,
    actor: *const rg_actor,
    take_failure: TakeFailure,
) -> c_int {
    // Version 0.1's size. Later fields are read only where `size` has them.
    const SIZE: usize = size_of::<rg_actor>();
    const SANE: usize = 4096;
    checked(|| {
        if actor.is_null() {
            return Err(Error::Invalid);
        }
        // SAFETY: the caller passes a structure that begins with its size.
        let size = unsafe { (*actor).size };
        if !(SIZE..=SANE).contains(&size) {
            return Err(Error::Invalid);
        }
        // SAFETY: at least as large as ours, as its size says.
        let actor = unsafe { &*actor };
        let execute = actor.execute.ok_or(Error::Invalid)?;
        let interrupt = actor.interrupt.ok_or(Error::Invalid)?;
        // SAFETY: NULL or a C string, by the caller's promise.
        let name = unsafe { read_name(actor.name)? };
        let calls = Calls {
            entry: Entry::Thread(execute),
            interrupt,
            userdata: actor.userdata,
            take_failure,
            name: ptr::null(),
        };
        let actor = Actor {
            calls,
            release: actor.release,
            stack_size: actor.stack_size,
            listener: None,
            completion: None,
        };
        add(group(handle), name, actor)
    })
}

unsafe extern "C" fn add_async(
    handle: *mut rg_group,
    name: *const c_char,
    start: rg_start_fn,
    interrupt: rg_interrupt_fn,
    userdata: *mut c_void,
    release: rg_release_fn,
    take_failure: TakeFailure,
) -> c_int {
    checked(|| {
        let start: Start = start.ok_or(Error::Invalid)?;
        let interrupt: Interrupt = interrupt.ok_or(Error::Invalid)?;
        let release: Option<Release> = release;
        // SAFETY: NULL or a C string, by the caller's promise.
        let name = unsafe { read_name(name)? };
        let actor = Actor {
            calls: Calls {
                entry: Entry::Async(start),
                interrupt,
                userdata,
                take_failure,
                name: ptr::null(),
            },
            release,
            stack_size: 0,
            listener: None,
            completion: Some(Completion::new()),
        };
        add(group(handle), name, actor)
    })
}

unsafe extern "C" fn complete_async(
    handle: *mut rg_completion,
    code: c_int,
    message: *const c_char,
) -> c_int {
    checked(|| {
        // SAFETY: a completion of this copy, since its table led here; valid
        // by the caller's promise. The message is NULL or a C string.
        let (completion, message) =
            unsafe { (&*handle.cast::<Completion>(), read_message(message)) };
        runner::complete(completion, Outcome { code, message })
    })
}

unsafe extern "C" fn run(handle: *mut rg_group) -> c_int {
    boundary(Error::Panic.code(), || {
        // Kept: another thread's rg_wait may return, and free the handle, just
        // before this call does.
        let shared = share(handle);
        shared.run().unwrap_or_else(Error::code)
    })
}

unsafe extern "C" fn free(handle: *mut rg_group) {
    boundary((), || {
        if group(handle).abandon().is_err() {
            // Not worth a panic if stderr is closed.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"rungroup: rg_free: the group is running, so nothing was freed: call rg_stop, \
                  and wait for rg_run or rg_wait first\n",
            );
            return;
        }
        // SAFETY: `new` got it from an `Arc`, and the caller gives it up, once.
        // Stuck actors, which may still use it, have shares of their own.
        drop(unsafe { Arc::from_raw(handle.cast::<Shared>()) });
    });
}

unsafe extern "C" fn start(handle: *mut rg_group) -> c_int {
    checked(|| share(handle).start(Driver::Thread))
}

unsafe extern "C" fn done_fd(handle: *mut rg_group) -> c_int {
    boundary(Error::Panic.code(), || {
        group(handle).over.fd().unwrap_or_else(Error::code)
    })
}

unsafe extern "C" fn wait(handle: *mut rg_group, timeout_ms: i64, code: *mut c_int) -> c_int {
    boundary(Error::Panic.code(), || {
        let shared = share(handle);
        match shared.wait(deadline(timeout_ms)) {
            Err(error) => error.code(),
            Ok(None) => 0,
            Ok(Some(result)) => {
                // SAFETY: NULL or the caller's to write.
                if let Some(code) = unsafe { code.as_mut() } {
                    *code = result;
                }
                1
            }
        }
    })
}

unsafe extern "C" fn stop(handle: *mut rg_group, code: c_int) -> c_int {
    checked(|| {
        group(handle).stop(code);
        Ok(())
    })
}

unsafe extern "C" fn stopping(handle: *const rg_group) -> c_int {
    c_int::from(group(handle).stop.is_set())
}

unsafe extern "C" fn wait_stop(handle: *const rg_group, timeout_ms: i64) -> c_int {
    boundary(Error::Panic.code(), || {
        c_int::from(group(handle).stop.wait_until(deadline(timeout_ms)))
    })
}

unsafe extern "C" fn stop_fd(handle: *mut rg_group) -> c_int {
    boundary(Error::Panic.code(), || {
        group(handle).stop.fd().unwrap_or_else(Error::code)
    })
}

unsafe extern "C" fn poll(
    handle: *mut rg_group,
    fds: *mut pollfd,
    count: usize,
    timeout_ms: i64,
) -> c_int {
    let body = || -> Result<usize, Error> {
        if (fds.is_null() && count > 0) || count >= c_int::MAX as usize {
            return Err(Error::Invalid);
        }
        let fds = if count == 0 {
            &mut []
        } else {
            // SAFETY: the caller's array of that many, exclusive for the call.
            unsafe { std::slice::from_raw_parts_mut(fds, count) }
        };
        let mut polled = fds.to_vec();
        polled.push(pollfd {
            fd: group(handle).stop.fd()?,
            events: libc::POLLIN,
            revents: 0,
        });
        os::poll(&mut polled, deadline(timeout_ms)).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::ENOMEM) => Error::Memory,
                _ => Error::Invalid,
            }
        })?;
        for (fd, polled) in fds.iter_mut().zip(&polled) {
            fd.revents = polled.revents;
        }
        Ok(fds.iter().filter(|fd| fd.revents != 0).count())
    };
    boundary(Error::Panic.code(), || {
        body().map_or_else(Error::code, |ready| ready as c_int)
    })
}

unsafe extern "C" fn add_signals(
    handle: *mut rg_group,
    signals: *const c_int,
    count: usize,
) -> c_int {
    checked(|| {
        let signals = match (signals.is_null(), count) {
            (true, 0) => &[libc::SIGINT, libc::SIGTERM][..],
            (true, _) | (false, 0) => return Err(Error::Invalid),
            (false, 1025..) => return Err(Error::Invalid),
            // SAFETY: the caller's array of that many.
            (false, count) => unsafe { std::slice::from_raw_parts(signals, count) },
        };
        group(handle).add_signals(signals).map(drop)
    })
}

unsafe extern "C" fn add_systemd(handle: *mut rg_group) -> c_int {
    checked(|| share(handle).add_systemd().map(drop))
}

unsafe extern "C" fn set_chain_signals(handle: *mut rg_group, on: c_int) -> c_int {
    checked(|| {
        let group = group(handle);
        if !group.with(|machine| machine.adding()) {
            return Err(Error::State);
        }
        group.chain_signals.store(on != 0, SeqCst);
        Ok(())
    })
}

unsafe extern "C" fn set_grace(handle: *mut rg_group, timeout_ms: i64) -> c_int {
    checked(|| {
        let grace = u64::try_from(timeout_ms).ok();
        let grace = grace.map(|millis| millis.saturating_mul(1_000_000));
        group(handle).with(|machine| machine.set_grace(grace))
    })
}

unsafe extern "C" fn set_order(handle: *mut rg_group, order: c_int) -> c_int {
    checked(|| {
        let order = self::order(order)?;
        group(handle).with(|machine| machine.set_order(order))
    })
}

unsafe extern "C" fn set_observer(
    handle: *mut rg_group,
    observer: rg_observer_fn,
    userdata: *mut c_void,
) -> c_int {
    checked(|| {
        let observer = observer.map(|function| Observer { function, userdata });
        group(handle).observe(observer)
    })
}

unsafe extern "C" fn get_cause(handle: *const rg_group) -> *const rg_cause {
    boundary(ptr::null(), || group(handle).cause())
}

unsafe extern "C" fn actor_count(handle: *const rg_group) -> usize {
    group(handle).with(|machine| machine.records().len())
}

/// -1: it has not happened.
fn time(at: Option<u64>) -> i64 {
    at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX))
}

impl rg_drive_record {
    fn new(record: &Record, started: Option<u64>) -> Self {
        let state = match (started, record.returned, record.panicked()) {
            (None, ..) => 0,
            (_, Some(_), true) => 3,
            (_, Some(_), false) if record.outcome.is_some() => 2,
            _ => 1,
        };
        rg_drive_record {
            returned_ns: time(record.returned.filter(|_| !record.stuck.execute)),
            interrupting_ns: time(record.interrupting),
            interrupted_ns: time(record.interrupted.filter(|_| !record.stuck.interrupt)),
            code: record.outcome.as_ref().map_or(0, |outcome| outcome.code),
            state,
            stuck: i16::from(record.stuck.execute) | i16::from(record.stuck.interrupt) << 1,
        }
    }
}

unsafe extern "C" fn get_summary(handle: *const rg_group, out: *mut rg_summary) -> c_int {
    checked(|| {
        // SAFETY: NULL, or the caller's structure that begins with its size.
        if out.is_null() || unsafe { (*out).size } < size_of::<rg_summary>() {
            return Err(Error::Invalid);
        }
        let summary = group(handle).with_end(|machine, end| {
            let cause = machine.cause();
            rg_summary {
                // SAFETY: checked above.
                size: unsafe { (*out).size },
                finished: c_int::from(machine.finished().is_some()),
                code: machine.finished().unwrap_or(0),
                stopping: c_int::from(cause.is_some()),
                cause_code: cause.map_or(0, |cause| cause.code),
                cause_index: cause
                    .and_then(|cause| cause.index)
                    .map_or(-1, |index| index as i64),
                cause_message: cause.map_or(c"".as_ptr(), |cause| cause.message.as_ptr()),
                started_ns: time(machine.started_at()),
                stopping_ns: time(cause.map(|_| machine.stopping_at())),
                end_ns: time(Some(end)),
                grace_ns: time(machine.grace()),
                order: machine.order() as c_int,
            }
        });
        // SAFETY: the caller's to write, and large enough.
        unsafe { out.write(summary) };
        Ok(())
    })
}

/// NULL is empty.
///
/// # Safety
/// `text` is NULL or a C string.
unsafe fn owned(text: *const c_char) -> CString {
    // SAFETY: the caller's promise.
    unsafe { read_message(text) }.into_owned()
}

/// A report that the caller kept, as text; see `rg_format_summary`.
///
/// # Safety
/// As the header says of `rg_format_summary`.
pub unsafe fn format_summary(
    summary: *const rg_summary,
    actors: *const rg_actor_report,
    count: usize,
    format: c_int,
    buffer: *mut c_char,
    length: usize,
) -> usize {
    let nanos = |at: i64| u64::try_from(at).ok();
    boundary(0, || {
        // SAFETY: NULL, or structures that begin with their size.
        unsafe {
            if summary.is_null() || (*summary).size < size_of::<rg_summary>() {
                return 0;
            }
            if count > 0 && (actors.is_null() || (*actors).size != size_of::<rg_actor_report>()) {
                return 0;
            }
        }
        let actors = match count {
            0 => &[],
            // SAFETY: the caller's array of that many.
            count => unsafe { std::slice::from_raw_parts(actors, count) },
        };
        // SAFETY: checked above.
        let summary = unsafe { &*summary };
        let records = actors.iter().map(|actor| {
            // SAFETY: NULL or C strings, by the caller's promise.
            let (name, message, complaint) = unsafe {
                let name = (!actor.name.is_null()).then(|| owned(actor.name));
                (
                    name,
                    read_message(actor.message),
                    read_message(actor.complaint),
                )
            };
            let mut record = Record::new(name);
            record.returned = nanos(actor.returned_ns);
            record.outcome = (actor.state >= 2).then_some(Outcome {
                code: actor.code,
                message,
            });
            record.interrupting = nanos(actor.interrupting_ns);
            record.interrupted = nanos(actor.interrupted_ns);
            record.complaint = (!complaint.is_empty()).then_some(complaint);
            record.stuck = Stuck {
                execute: actor.stuck & 1 != 0,
                interrupt: actor.stuck & 2 != 0,
            };
            record
        });
        let index = usize::try_from(summary.cause_index);
        let cause = (summary.stopping != 0).then(|| machine::Cause {
            code: summary.cause_code,
            index: index.ok().filter(|&index| index < count),
            // SAFETY: NULL or a C string, by the caller's promise.
            message: unsafe { read_message(summary.cause_message) },
        });
        let report = Report::from_parts(
            records.collect(),
            cause,
            (summary.finished != 0).then_some(summary.code),
            nanos(summary.grace_ns),
            order(summary.order).unwrap_or_default(),
            [summary.started_ns, summary.stopping_ns, summary.end_ns].map(nanos),
        );
        // SAFETY: the caller's buffer.
        unsafe { write_report(&report, format, buffer, length) }
    })
}

fn order(number: c_int) -> Result<Order, Error> {
    match number {
        0 => Ok(Order::Added),
        1 => Ok(Order::Reverse),
        2 => Ok(Order::Staged),
        _ => Err(Error::Invalid),
    }
}

unsafe extern "C" fn get_report(
    handle: *const rg_group,
    index: usize,
    out: *mut rg_actor_report,
) -> c_int {
    const SIZE: usize = size_of::<rg_actor_report>();
    checked(|| {
        // SAFETY: NULL, or the caller's structure that begins with its size.
        if out.is_null() || unsafe { (*out).size } < SIZE {
            return Err(Error::Invalid);
        }
        let report = group(handle).with(|machine| {
            if index >= machine.records().len() {
                return Err(Error::Invalid);
            }
            let name = machine.name(index).as_ptr();
            let record = &machine.records()[index];
            let plain = rg_drive_record::new(record, machine.started_at());
            let outcome = record.outcome.as_ref();
            Ok(rg_actor_report {
                // SAFETY: checked above.
                size: unsafe { (*out).size },
                name,
                state: c_int::from(plain.state),
                code: plain.code,
                message: outcome.map_or(c"".as_ptr(), |outcome| outcome.message.as_ptr()),
                stuck: c_int::from(plain.stuck),
                started_ns: time(machine.started_at()),
                returned_ns: plain.returned_ns,
                interrupting_ns: plain.interrupting_ns,
                interrupted_ns: plain.interrupted_ns,
                complaint: record
                    .complaint
                    .as_ref()
                    .map_or(c"".as_ptr(), |complaint| complaint.as_ptr()),
            })
        })?;
        // SAFETY: the caller's to write, and large enough.
        unsafe { out.write(report) };
        Ok(())
    })
}

unsafe extern "C" fn format_report(
    handle: *const rg_group,
    format: c_int,
    buffer: *mut c_char,
    length: usize,
) -> usize {
    boundary(0, || {
        let report = group(handle).with_end(Report::new);
        // SAFETY: the caller's buffer.
        unsafe { write_report(&report, format, buffer, length) }
    })
}

/// # Safety
/// `buffer` is NULL or has `length` bytes.
unsafe fn write_report(
    report: &Report,
    format: c_int,
    buffer: *mut c_char,
    length: usize,
) -> usize {
    let text = match format {
        0 => report.to_string(),
        1 => report.to_trace(),
        _ => String::new(),
    };
    if !buffer.is_null() && length > 0 {
        let part = text::prefix(&text, length - 1);
        // SAFETY: the buffer has `length` bytes; the text is shorter, and its
        // NUL follows.
        unsafe {
            ptr::copy_nonoverlapping(part.as_ptr(), buffer.cast(), part.len());
            *buffer.add(part.len()) = 0;
        }
    }
    text.len()
}

// ---- driven groups -------------------------------------------------------------------

unsafe extern "C" fn drive_add(handle: *mut rg_group, name: *const c_char) -> c_int {
    checked(|| {
        // SAFETY: NULL or a C string, by the caller's promise.
        let name = unsafe { read_name(name)? };
        group(handle).add_hosted(name)
    })
}

unsafe extern "C" fn drive_add_many(handle: *mut rg_group, count: usize) -> c_int {
    checked(|| group(handle).add_hosted_many(count))
}

unsafe extern "C" fn drive_begin(handle: *mut rg_group) -> c_int {
    checked(|| share(handle).start(Driver::Host))
}

fn effect(effect: machine::Effect) -> c_int {
    c_int::from(effect.first) | c_int::from(effect.wake) << 1 | c_int::from(effect.last) << 2
}

unsafe extern "C" fn drive_return(
    handle: *mut rg_group,
    index: usize,
    code: c_int,
    message: *const c_char,
) -> c_int {
    boundary(Error::Panic.code(), || {
        // Kept past the unlock: the host may free the group as soon as its
        // last actor has returned.
        let shared = share(handle);
        // SAFETY: NULL or a C string, by the caller's promise.
        let message = unsafe { read_message(message) };
        shared
            .must_be_driven()
            .and_then(|()| shared.returned(index, Outcome { code, message }))
            .map_or_else(Error::code, effect)
    })
}

unsafe extern "C" fn drive_next(handle: *mut rg_group, value: *mut i64) -> c_int {
    boundary(Error::Panic.code(), || {
        // Kept: after the last step another thread may free the handle.
        let shared = share(handle);
        // SAFETY: NULL or the caller's to write.
        let Some(value) = (unsafe { value.as_mut() }) else {
            return Error::Invalid.code();
        };
        if let Err(error) = shared.must_be_driven() {
            return error.code();
        }
        let (kind, number) = match shared.drive_next(None) {
            HostStep::Interrupt(index) => (1, index as i64),
            HostStep::Wait { time, .. } => (2, wait_ns(time)),
            HostStep::Finish { code, .. } => (3, i64::from(code)),
        };
        *value = number;
        kind
    })
}

fn wait_ns(time: Option<u64>) -> i64 {
    time.map_or(-1, |time| i64::try_from(time).unwrap_or(i64::MAX))
}

fn host_event(event: &rg_drive_event) -> Result<HostEvent, Error> {
    const RETURNED: c_int = EventKind::Returned as c_int;
    const INTERRUPTED: c_int = EventKind::Interrupted as c_int;
    match event.kind {
        RETURNED => Ok(HostEvent::Returned(event.index, event.code)),
        INTERRUPTED => Ok(HostEvent::Interrupted(event.index)),
        _ => Err(Error::Invalid),
    }
}

unsafe extern "C" fn drive_report(
    handle: *mut rg_group,
    events: *const rg_drive_event,
    count: usize,
    now_ns: i64,
    next: *mut rg_step,
) -> c_int {
    boundary(Error::Panic.code(), || {
        // Kept: after the last step another thread may free the handle.
        let shared = share(handle);
        let events = match (events.is_null(), count) {
            (_, 0) => &[],
            (true, _) => return Error::Invalid.code(),
            // SAFETY: the caller's array of that many.
            (false, count) => unsafe { std::slice::from_raw_parts(events, count) },
        };
        // SAFETY: NULL, or the caller's structure that begins with its size.
        if !next.is_null() && unsafe { (*next).size } < size_of::<rg_step>() {
            return Error::Invalid.code();
        }
        let reported = || {
            shared.must_be_driven()?;
            if events.is_empty() {
                return Ok(None);
            }
            if events.iter().any(|event| host_event(event).is_err()) {
                return Err(Error::Invalid);
            }
            let since = |event: &rg_drive_event| {
                let ago = now_ns.saturating_sub(event.time_ns);
                Some((host_event(event).ok()?, u64::try_from(ago).unwrap_or(0)))
            };
            shared.report(events.iter().filter_map(since)).map(Some)
        };
        let now = match reported() {
            Ok(now) => now,
            Err(error) => return error.code(),
        };
        // SAFETY: NULL, or the caller's to write, and large enough.
        let Some(next) = (unsafe { next.as_mut() }) else {
            return 0;
        };
        let mut step = rg_step {
            size: next.size,
            first: 0,
            last: 0,
            wait_ns: -1,
            returns: 0,
            stuck: 0,
            code: 0,
            cause_index: -1,
        };
        let kind = match shared.drive_next(now) {
            HostStep::Interrupt(index) => {
                let row = shared.row(index);
                step.first = index;
                step.last = row.last;
                step.returns = row.returns;
                step.code = row.code;
                step.cause_index = row.cause.map_or(-1, |index| index as i64);
                1
            }
            HostStep::Wait { time, returns } => {
                step.wait_ns = wait_ns(time);
                step.returns = returns;
                2
            }
            HostStep::Finish { code, stuck } => {
                step.code = code;
                step.stuck = stuck;
                3
            }
        };
        *next = step;
        kind
    })
}

unsafe extern "C" fn drive_records(
    handle: *const rg_group,
    out: *mut rg_drive_record,
    count: usize,
) -> c_int {
    checked(|| {
        group(handle).with(|machine| {
            let records = machine.records();
            if (out.is_null() && count > 0) || count > records.len() {
                return Err(Error::Invalid);
            }
            for (at, record) in records[..count].iter().enumerate() {
                let plain = rg_drive_record::new(record, machine.started_at());
                // SAFETY: the caller's array of that many.
                unsafe { out.add(at).write(plain) };
            }
            Ok(())
        })
    })
}

unsafe extern "C" fn drive_fd(handle: *mut rg_group) -> c_int {
    boundary(Error::Panic.code(), || {
        group(handle).drive_fd().unwrap_or_else(Error::code)
    })
}

unsafe extern "C" fn drive_interrupted(
    handle: *mut rg_group,
    index: usize,
    complaint: *const c_char,
) -> c_int {
    boundary(Error::Panic.code(), || {
        let shared = share(handle);
        // SAFETY: NULL or a C string, by the caller's promise.
        let complaint = unsafe { read_message(complaint) };
        let complaint = (!complaint.is_empty()).then_some(complaint);
        shared
            .must_be_driven()
            .and_then(|()| shared.interrupted(index, complaint))
            .map_or_else(Error::code, effect)
    })
}
