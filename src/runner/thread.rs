//! Threads on which foreign code runs, and the frames that call it.
//!
//! The start frames are bare: they own nothing that needs dropping and catch
//! nothing, so that `pthread_exit` runs the destructors above it, and a C++
//! exception ends in `std::terminate` (see `ffi/foreign.rs`). What a thread
//! owns is its [`Job`]; the destructor of a `pthread_key` takes it back however
//! the thread ends, and reports the return from there.
#![allow(unsafe_code)]

use super::helper::HelperRef;
use super::stack::Stack;
use super::{Call, Driver, Shared};
use crate::error::Error;
use crate::ffi::actor::{Calls, Execute, Start};
use crate::ffi::failure;
use crate::ffi::handle::{Observer, rg_cause, rg_completion};
use crate::ffi::process::PerProcess;
use crate::ffi::pthread::{self, NAME};
use crate::machine::{Event, Message, Outcome};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, thread_local};
use crate::text;
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr;

/// What a thread of the library is there for, and what it keeps alive.
///
/// It belongs to the thread and to its [`Thread`] handle; the last of the two
/// to let go frees it. A thread that is joined therefore frees nothing: in a
/// fresh thread that costs more than all the rest of its start.
pub struct Job {
    shared: Option<Arc<Shared>>,
    role: Role,
    name: [u8; NAME],
    /// The key calls `exited` at the thread's end.
    keyed: bool,
    /// One of the two has let go.
    left: AtomicBool,
}

enum Role {
    Actor {
        index: usize,
        execute: Execute,
        calls: Calls,
        called: bool,
        /// `None` until execute returned.
        outcome: Option<Outcome>,
    },
    Helper {
        helper: HelperRef,
        interrupting: Option<usize>,
    },
    Driver,
}

impl Job {
    /// Runs an actor's execute.
    pub fn actor(shared: Arc<Shared>, index: usize, execute: Execute, calls: Calls) -> Box<Job> {
        let name = shared.with(|machine| thread_name(machine.name(index)));
        let role = Role::Actor {
            index,
            execute,
            calls,
            called: false,
            outcome: None,
        };
        Job::new(shared, role, name)
    }

    /// Calls interrupts.
    pub fn helper(shared: Arc<Shared>, helper: HelperRef) -> Box<Job> {
        let role = Role::Helper {
            helper,
            interrupting: None,
        };
        Job::new(shared, role, thread_name(c"rg-interrupts"))
    }

    /// Drives a run.
    pub fn driver(shared: Arc<Shared>) -> Box<Job> {
        Job::new(shared, Role::Driver, thread_name(c"rg-driver"))
    }

    fn new(shared: Arc<Shared>, role: Role, name: [u8; NAME]) -> Box<Job> {
        Box::new(Job {
            shared: Some(shared),
            role,
            name,
            keyed: false,
            left: AtomicBool::new(false),
        })
    }

    /// # Safety
    /// The caller is the thread or its handle, and does not use `job` again.
    unsafe fn let_go(job: *mut Job) {
        // SAFETY: the job lives until both have let go; the second, ordered
        // after the first by the swap, frees it.
        unsafe {
            if (*job).left.swap(true, Ordering::AcqRel) {
                drop(Box::from_raw(job));
            }
        }
    }
}

/// A thread that must be joined or let go.
pub struct Thread {
    id: pthread::Id,
    job: *mut Job,
    /// `None`: the C library's own.
    stack: Option<Stack>,
}

// SAFETY: a pthread_t may be joined from any thread; the job is only let go.
unsafe impl Send for Thread {}

impl Thread {
    /// Starts a thread for the job, on this stack or on one of that size from
    /// the C library. On failure the job is dropped.
    pub fn spawn(job: Box<Job>, size: usize, stack: Option<Stack>) -> Result<Thread, Error> {
        let _ = key().ok_or(Error::Spawn)?;
        let start: pthread::Start = match job.role {
            Role::Actor { .. } => actor_main,
            Role::Helper { .. } => helper_main,
            Role::Driver => driver_main,
        };
        let (lowest, size) = match &stack {
            Some(stack) => (Some(stack.lowest), stack.size),
            None => (None, size),
        };
        let job = Box::into_raw(job);
        // SAFETY: the job is shared with the new thread, or ours alone if there
        // is none. Nobody else runs on the stack, which is kept until a join.
        unsafe {
            match pthread::create(start, job.cast(), lowest, size) {
                Some(id) => Ok(Thread { id, job, stack }),
                None => {
                    drop(Box::from_raw(job));
                    Err(Error::Spawn)
                }
            }
        }
    }

    /// Whether it has ended; then it is joined.
    fn ended(&self) -> bool {
        // SAFETY: joined once, since it then leaves the list of those asked.
        unsafe { pthread::try_join(self.id) }
    }

    /// Waits for its end.
    pub fn join(self) {
        // SAFETY: joined or detached once, since both take `self`.
        unsafe {
            pthread::join(self.id);
            Job::let_go(self.job);
        }
    }

    /// Lets it go: its end is not waited for.
    pub fn detach(self) {
        if self.stack.is_some() {
            // Only a join tells that its stack is free.
            STUCK.lock().push(self);
            return;
        }
        // SAFETY: as above.
        unsafe {
            pthread::detach(self.id);
            Job::let_go(self.job);
        }
    }
}

/// Threads that were let go, on stacks of ours.
static STUCK: PerProcess<Vec<Thread>> = PerProcess::new();

/// Joins those that have ended since.
pub fn reap() {
    let mut stuck = STUCK.lock();
    if stuck.is_empty() {
        return;
    }
    let ended: Vec<Thread> = stuck.extract_if(.., |thread| thread.ended()).collect();
    drop(stuck);
    for thread in ended {
        // SAFETY: joined by `ended`.
        unsafe { Job::let_go(thread.job) };
    }
}

/// The key whose destructor takes a job back; `None` as long as the process
/// has used up its keys.
fn key() -> Option<pthread::Key> {
    pthread::key(exited)
}

thread_local! {
    static INSIDE: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

/// Whether this thread is running an actor, an interrupt or an observer of
/// this group.
pub fn inside(shared: &Shared) -> bool {
    INSIDE.with(|inside| ptr::eq(inside.get(), shared))
}

// ---- the bare frames --------------------------------------------------------

extern "C-unwind" fn actor_main(job: *mut c_void) -> *mut c_void {
    let job = job.cast::<Job>();
    // SAFETY: `spawn` gave this thread the job, and `exited` takes it back
    // after this frame is gone.
    unsafe {
        if let Some((execute, calls)) = enter_actor(job) {
            leave_actor(job, calls.execute(execute));
        }
        leave(job);
    }
    ptr::null_mut()
}

extern "C-unwind" fn helper_main(job: *mut c_void) -> *mut c_void {
    let job = job.cast::<Job>();
    // SAFETY: as above.
    unsafe {
        let _ = enter(job);
        while let Some((index, calls, cause)) = next_interrupt(job) {
            calls.interrupt(cause);
            interrupt_done(job, index, calls);
        }
        leave(job);
    }
    ptr::null_mut()
}

extern "C-unwind" fn driver_main(job: *mut c_void) -> *mut c_void {
    let job = job.cast::<Job>();
    // SAFETY: as above.
    unsafe {
        if let Some(shared) = enter(job)
            && shared.gate.pass_driver()
        {
            drive(shared);
        }
        leave(job);
    }
    ptr::null_mut()
}

/// Carries out the steps of the run on this thread, and gives its code.
/// Foreign code is called from this frame only, which owns nothing.
pub fn drive(shared: &Arc<Shared>) -> i32 {
    let before = INSIDE.with(|inside| inside.replace(Arc::as_ptr(shared)));
    let code = loop {
        match shared.advance(Driver::Caller, None) {
            Call::Interrupt(index, calls, cause) => call_interrupt(shared, index, calls, cause),
            // The host's alone.
            Call::Wait { .. } | Call::Hosted(_) => {}
            Call::Observe(observer, event) => call_observer(shared, observer, event),
            Call::Finish { code, .. } => break code,
        }
    };
    INSIDE.with(|inside| inside.set(before));
    code
}

/// Calls an interrupt, and reports its return.
pub fn call_interrupt(shared: &Shared, index: usize, calls: Calls, cause: *const rg_cause) {
    failure::forget();
    // SAFETY: the actor was accepted and is not released before the run is
    // over; the cause lives as long as the group.
    unsafe { calls.interrupt(cause) };
    let _ = shared.interrupted(index, complaint(calls));
}

/// Calls an async actor's start.
pub fn call_start(start: Start, completion: *mut rg_completion, calls: Calls) {
    // SAFETY: as for an interrupt; the completion lives until the actor is
    // released.
    unsafe { calls.start(start, completion) }
}

/// Tells the observer.
pub fn call_observer(shared: &Shared, observer: Observer, event: Event) {
    observer.call(shared, event);
}

// ---- what the bare frames call ------------------------------------------------

/// Names the thread and gives its job to the key.
unsafe fn enter<'a>(job: *mut Job) -> Option<&'a Arc<Shared>> {
    // SAFETY: the job is this thread's until `exited`; the key exists since
    // `spawn` made it.
    unsafe {
        let shared = (*job).shared.as_ref()?;
        INSIDE.with(|inside| inside.set(Arc::as_ptr(shared)));
        pthread::set_name(&(*job).name);
        (*job).keyed = key().is_some_and(|key| pthread::set(key, job.cast()));
        Some(shared)
    }
}

/// Without memory the key did not take the job. Then it is taken back here,
/// where a thread does not come that `pthread_exit` ends: its actor counts as
/// running, which a grace bounds.
unsafe fn leave(job: *mut Job) {
    // SAFETY: the job is this thread's until `exited`, which is called once:
    // here, or else by the key.
    unsafe {
        if !(*job).keyed {
            exited(job.cast());
        }
    }
}

unsafe fn enter_actor(job: *mut Job) -> Option<(Execute, Calls)> {
    // SAFETY: the job is this thread's until `exited`.
    unsafe {
        if !enter(job)?.gate.pass() {
            return None;
        }
        match &mut (*job).role {
            Role::Actor {
                execute,
                calls,
                called,
                ..
            } => {
                *called = true;
                Some((*execute, *calls))
            }
            _ => None,
        }
    }
}

unsafe fn leave_actor(job: *mut Job, code: i32) {
    // SAFETY: the job is this thread's until `exited`.
    if let Role::Actor { calls, outcome, .. } = unsafe { &mut (*job).role } {
        *outcome = Some(failure::outcome(code, calls.take_failure));
    }
}

unsafe fn next_interrupt(job: *mut Job) -> Option<(usize, Calls, *const rg_cause)> {
    // SAFETY: the job is this thread's until `exited`.
    let Job { shared, role, .. } = unsafe { &mut *job };
    let Role::Helper {
        helper,
        interrupting,
    } = role
    else {
        return None;
    };
    let index = helper.next()?;
    *interrupting = Some(index);
    failure::forget();
    let shared = shared.as_ref()?;
    let calls = shared.calls(index)?;
    Some((index, calls, shared.cause()))
}

unsafe fn interrupt_done(job: *mut Job, index: usize, calls: Calls) {
    // SAFETY: the job is this thread's until `exited`.
    let Job { shared, role, .. } = unsafe { &mut *job };
    if let Role::Helper {
        helper,
        interrupting,
    } = role
    {
        *interrupting = None;
        helper.free();
    }
    if let Some(shared) = shared {
        let _ = shared.interrupted(index, complaint(calls));
    }
}

fn complaint(calls: Calls) -> Option<Message> {
    failure::taken(calls.take_failure).map(|(_, message)| message)
}

/// The thread is about to end, whether its start frame returned, or
/// `pthread_exit` or a cancellation tore it down. Its thread-locals are gone.
extern "C" fn exited(job: *mut c_void) {
    let job = job.cast::<Job>();
    // SAFETY: `enter` gave the key this job, and the key calls back once.
    let Job { shared, role, .. } = unsafe { &mut *job };
    let shared = shared.take();
    if let Some(shared) = &shared {
        report_end(shared, role);
    }
    // SAFETY: the thread's last use of its job.
    unsafe { Job::let_go(job) };
    // Last, since it may free the group and release its actors.
    drop(shared);
}

fn report_end(shared: &Shared, role: &mut Role) {
    match role {
        Role::Actor { called: false, .. } => {}
        Role::Actor { index, outcome, .. } => {
            let outcome = outcome.take().unwrap_or_else(|| {
                Outcome::panic(
                    "the actor's thread ended without returning (pthread_exit, or cancelled)",
                )
            });
            let _ = shared.returned(*index, outcome);
        }
        Role::Helper {
            helper,
            interrupting,
        } => {
            helper.lost();
            if let Some(index) = interrupting {
                let why = text::lossy("the interrupt ended its thread without returning");
                let _ = shared.interrupted(*index, Some(why));
            }
        }
        Role::Driver => shared.over.set(),
    }
}

fn thread_name(name: &CStr) -> [u8; NAME] {
    let name = name.to_string_lossy();
    let name = text::prefix(&name, NAME - 1).as_bytes();
    let mut bytes = [0; NAME];
    bytes[..name.len()].copy_from_slice(name);
    bytes
}
