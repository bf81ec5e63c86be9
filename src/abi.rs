//! The types and constants of the header. Data only: what they mean is written
//! beside the functions that use them (`capi`).
#![allow(non_camel_case_types, unsafe_code)]

use crate::error::Error;
use crate::machine::{self, EventKind, Order, Record};
use crate::text::because;
use libc::{c_char, c_int, c_void};
use std::ffi::CStr;

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

/// rg_actor_report.stuck: execute (or an async actor's start) had not returned when
/// the grace was over.
pub const RG_STUCK_EXECUTE: c_int = 1;
/// rg_actor_report.stuck: interrupt had not returned when the grace was over.
pub const RG_STUCK_INTERRUPT: c_int = 2;
/// rg_actor_report.stuck: execute returned, but its thread has not ended: a
/// destructor of thread-specific data blocks, say.
pub const RG_STUCK_THREAD: c_int = 4;

/// rg_format_report: for people.
pub const RG_FORMAT_TEXT: c_int = 0;
/// rg_format_report: JSON in the trace event form, which trace viewers open.
pub const RG_FORMAT_TRACE: c_int = 1;

/// rg_drive_return, rg_drive_interrupted: call rg_drive_next now.
pub const RG_DRIVE_WAKE: c_int = 1;
/// rg_drive_next: call the interrupt of the actor with that index.
pub const RG_STEP_INTERRUPT: c_int = 1;
/// rg_drive_next: wait that many nanoseconds, or for an event; -1: for an event.
pub const RG_STEP_WAIT: c_int = 2;
/// rg_drive_next: the run is over, with that code.
pub const RG_STEP_FINISH: c_int = 3;

/// The order of interrupts; see rg_set_order.
#[repr(C)]
pub enum rg_order {
    /// As added.
    RG_ORDER_ADDED,
    /// The last added first.
    RG_ORDER_REVERSE,
    /// The last added first, and each actor has returned before the next is
    /// interrupted.
    RG_ORDER_STAGED,
}

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
/// addition, by the thread in rg_run or rg_start; with a grace by a thread of
/// the library's, so that one that blocks is bounded, too. It must return soon.
/// done is the group's; pass it to rg_complete once, from any thread, also from
/// here.
pub type rg_start_fn =
    Option<unsafe extern "C-unwind" fn(done: *mut rg_completion, userdata: *mut c_void)>;

/// All that rg_add takes, and more. Zero the rest.
#[repr(C)]
pub struct rg_actor {
    /// sizeof(rg_actor), since newer fields may follow. A library that is older than
    /// its header refuses an actor with one of those set.
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
    /// RG_STUCK_..., or'ed; 0: not stuck.
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
    /// 1: the observer had not taken all events when the grace was over; else 0.
    pub observer_stuck: c_int,
}

/// Told what happens; see rg_set_observer. event is valid during the call.
pub type rg_observer_fn =
    Option<unsafe extern "C-unwind" fn(event: *const rg_event, userdata: *mut c_void)>;

/// Must be the first field of what a handle points to: the function table of the
/// copy of the library that made it. Other copies read it.
#[derive(Debug)]
#[repr(transparent)]
pub struct Head(pub *const c_void);

// SAFETY: the table is constant.
unsafe impl Send for Head {}
// SAFETY: as above.
unsafe impl Sync for Head {}

/// A cause that owns nothing: its texts are the machine's, which never change.
#[derive(Debug)]
pub struct HeldCause(rg_cause);

// SAFETY: it points to texts that live, unchanged, as long as the group that
// holds both.
unsafe impl Send for HeldCause {}
// SAFETY: as above.
unsafe impl Sync for HeldCause {}

impl HeldCause {
    /// The machine's cause, for C.
    pub fn new(cause: &machine::Cause, actor: *const c_char) -> Self {
        HeldCause(rg_cause {
            code: cause.code,
            actor,
            message: cause.message.as_ptr(),
            index: index(cause.index),
        })
    }

    /// The pointer that interrupts are given.
    pub fn as_ptr(&self) -> *const rg_cause {
        &self.0
    }
}

/// A text of the machine's; `None`: there is none. Sound for those of a `rg_cause` or
/// a `rg_event`: a reference to one only comes from the library, whose texts are
/// UTF-8 and live as long as the group.
fn text<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: null, or a C string that lives as long as the group.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })?;
    Some(text.to_str().unwrap_or_default())
}

/// For Rust interrupts.
impl rg_cause {
    /// The actor's name.
    pub fn actor(&self) -> Option<&str> {
        text(self.actor)
    }

    /// What the actor said.
    pub fn message(&self) -> &str {
        text(self.message).unwrap_or_default()
    }
}

/// For Rust observers.
impl rg_event {
    /// The actor's name.
    pub fn actor(&self) -> Option<&str> {
        text(self.actor)
    }

    /// What was said, or the complaint.
    pub fn message(&self) -> &str {
        text(self.message).unwrap_or_default()
    }
}

// ---- how the machine's values cross ------------------------------------------

/// -1: there is none.
pub fn index(index: Option<usize>) -> i64 {
    index.map_or(-1, |index| index as i64)
}

/// -1: it has not happened.
pub fn time(at: Option<u64>) -> i64 {
    at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX))
}

/// One of `RG_EVENT_...`.
pub fn event_kind(kind: EventKind) -> c_int {
    match kind {
        EventKind::Started => RG_EVENT_STARTED,
        EventKind::Returned => RG_EVENT_RETURNED,
        EventKind::Stopping => RG_EVENT_STOPPING,
        EventKind::Interrupting => RG_EVENT_INTERRUPTING,
        EventKind::Interrupted => RG_EVENT_INTERRUPTED,
        EventKind::Stuck => RG_EVENT_STUCK,
        EventKind::Stopped => RG_EVENT_STOPPED,
    }
}

/// The kind with this number.
pub fn event_kind_of(number: c_int) -> Option<EventKind> {
    [
        EventKind::Started,
        EventKind::Returned,
        EventKind::Stopping,
        EventKind::Interrupting,
        EventKind::Interrupted,
        EventKind::Stuck,
        EventKind::Stopped,
    ]
    .into_iter()
    .find(|&kind| event_kind(kind) == number)
}

/// One of `RG_STATE_...`.
pub fn state(record: &Record, started: bool) -> c_int {
    match &record.outcome {
        _ if !started => RG_STATE_ADDED,
        None => RG_STATE_RUNNING,
        Some(_) if record.panicked() => RG_STATE_PANICKED,
        Some(_) => RG_STATE_RETURNED,
    }
}

/// `RG_STUCK_...`, or'ed.
pub fn stuck(stuck: machine::Stuck) -> c_int {
    let bit = |is: bool, bit: c_int| if is { bit } else { 0 };
    bit(stuck.execute || stuck.start, RG_STUCK_EXECUTE)
        | bit(stuck.interrupt, RG_STUCK_INTERRUPT)
        | bit(stuck.thread, RG_STUCK_THREAD)
}

/// The machine's value for `RG_STUCK_...` bits.
pub fn stuck_of(bits: c_int) -> machine::Stuck {
    machine::Stuck {
        execute: bits & RG_STUCK_EXECUTE != 0,
        start: false,
        interrupt: bits & RG_STUCK_INTERRUPT != 0,
        thread: bits & RG_STUCK_THREAD != 0,
    }
}

/// Whether an actor in this state has a result.
pub fn has_returned(state: c_int) -> bool {
    matches!(state, RG_STATE_RETURNED | RG_STATE_PANICKED)
}

impl From<Order> for rg_order {
    fn from(order: Order) -> Self {
        match order {
            Order::Added => rg_order::RG_ORDER_ADDED,
            Order::Reverse => rg_order::RG_ORDER_REVERSE,
            Order::Staged => rg_order::RG_ORDER_STAGED,
        }
    }
}

/// The order with this number.
pub fn order(number: c_int) -> Result<Order, Error> {
    [Order::Added, Order::Reverse, Order::Staged]
        .into_iter()
        .find(|&order| rg_order::from(order) as c_int == number)
        .ok_or_else(|| {
            because(
                Error::Invalid,
                format_args!("{number} is no order of interrupts"),
            )
        })
}
