//! Threads on which foreign code runs, and the frames that call it.
//!
//! The start frames are bare: they own nothing that needs dropping and catch
//! nothing, so that a C++ exception ends in `std::terminate` with its text, and
//! `pthread_exit` runs the destructors above it. What a thread owns is its
//! [`Job`]; the destructor of a `pthread_key` takes it back however the thread
//! ends, and reports the return from there.
#![allow(unsafe_code)]

use super::helper::HelperRef;
use super::{Call, DEFAULT_STACK, Driver, Shared};
use crate::error::Error;
use crate::ffi::actor::{Calls, Execute, Start};
use crate::ffi::failure;
use crate::ffi::handle::{Observer, rg_cause, rg_completion};
use crate::machine::{Event, Outcome};
use crate::text;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::OnceLock;

/// What a thread of the library is there for, and what it keeps alive.
pub struct Job {
    shared: Arc<Shared>,
    role: Role,
}

enum Role {
    Actor {
        index: usize,
        execute: Execute,
        calls: Calls,
        /// `None` until execute returned, and for a thread that was sent home.
        outcome: Option<Outcome>,
        called: bool,
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
        Box::new(Job {
            shared,
            role: Role::Actor {
                index,
                execute,
                calls,
                outcome: None,
                called: false,
            },
        })
    }

    /// Calls interrupts.
    pub fn helper(shared: Arc<Shared>, helper: HelperRef) -> Box<Job> {
        Box::new(Job {
            shared,
            role: Role::Helper {
                helper,
                interrupting: None,
            },
        })
    }

    /// Drives a run.
    pub fn driver(shared: Arc<Shared>) -> Box<Job> {
        Box::new(Job {
            shared,
            role: Role::Driver,
        })
    }
}

/// A thread that must be joined or let go.
#[derive(Debug)]
pub struct Thread(libc::pthread_t);

// SAFETY: a pthread_t may be joined from any thread.
unsafe impl Send for Thread {}

impl Thread {
    /// Starts a thread for the job. On failure the job is dropped.
    pub fn spawn(job: Box<Job>, stack_size: usize) -> Result<Thread, Error> {
        let _ = key().ok_or(Error::Spawn)?;
        let stack_size = match stack_size {
            0 => DEFAULT_STACK,
            size => size.max(libc::PTHREAD_STACK_MIN).next_multiple_of(4096),
        };
        let start: extern "C-unwind" fn(*mut c_void) -> *mut c_void = match job.role {
            Role::Actor { .. } => actor_main,
            Role::Helper { .. } => helper_main,
            Role::Driver => driver_main,
        };
        let job = Box::into_raw(job);
        // SAFETY: the attributes are initialized before use and destroyed once;
        // the start function has the form asked for but for its unwinding,
        // which pthreads allow; the job is the new thread's from here on, or
        // ours again if there is no new thread.
        unsafe {
            let start = std::mem::transmute::<
                extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                extern "C" fn(*mut c_void) -> *mut c_void,
            >(start);
            let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
            if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
                drop(Box::from_raw(job));
                return Err(Error::Spawn);
            }
            let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
            let mut failed =
                libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack_size) != 0;
            if !failed {
                failed = libc::pthread_create(
                    thread.as_mut_ptr(),
                    attributes.as_ptr(),
                    start,
                    job.cast(),
                ) != 0;
            }
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            if failed {
                drop(Box::from_raw(job));
                return Err(Error::Spawn);
            }
            Ok(Thread(thread.assume_init()))
        }
    }

    /// Waits for its end.
    pub fn join(self) {
        // SAFETY: joined or detached once, since both take `self`.
        unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }

    /// Lets it go.
    pub fn detach(self) {
        // SAFETY: as above.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// The key whose destructor takes a job back; `None` if the process has used
/// up its keys.
fn key() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = MaybeUninit::uninit();
        // SAFETY: the pointer is valid, and `exited` is never unmapped
        // (nodelete).
        let made = unsafe { libc::pthread_key_create(key.as_mut_ptr(), Some(exited)) };
        // SAFETY: written by the successful call.
        (made == 0).then(|| unsafe { key.assume_init() })
    })
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
        if let Some((execute, userdata)) = enter_actor(job) {
            leave_actor(job, execute(userdata));
        }
    }
    ptr::null_mut()
}

extern "C-unwind" fn helper_main(job: *mut c_void) -> *mut c_void {
    let job = job.cast::<Job>();
    // SAFETY: as above.
    unsafe {
        enter(job, c"rg-interrupts");
        while let Some((index, calls, cause)) = next_interrupt(job) {
            (calls.interrupt)(cause, calls.userdata);
            interrupt_done(job, index, calls);
        }
    }
    ptr::null_mut()
}

extern "C-unwind" fn driver_main(job: *mut c_void) -> *mut c_void {
    let job = job.cast::<Job>();
    // SAFETY: as above.
    unsafe {
        enter(job, c"rg-driver");
        let shared = &(*job).shared;
        if shared.gate.pass_driver() {
            drive(shared);
        }
    }
    ptr::null_mut()
}

/// Carries out the steps of the run on this thread, and gives its code.
/// Foreign code is called from this frame only, which owns nothing.
pub fn drive(shared: &Arc<Shared>) -> i32 {
    let before = INSIDE.with(|inside| inside.replace(Arc::as_ptr(shared)));
    let code = loop {
        match shared.advance(Driver::Caller) {
            Call::Interrupt(index, calls, cause) => call_interrupt(shared, index, calls, cause),
            Call::Wait(_) => {}
            Call::Observe(observer, event) => call_observer(shared, observer, event),
            Call::Finish(code) => break code,
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
    unsafe { (calls.interrupt)(cause, calls.userdata) };
    let _ = shared.interrupted(index, complaint(calls));
}

/// Calls an async actor's start.
pub fn call_start(start: Start, completion: *mut rg_completion, userdata: *mut c_void) {
    // SAFETY: as for an interrupt; the completion lives until the actor is
    // released.
    unsafe { start(completion, userdata) }
}

/// Tells the observer.
pub fn call_observer(shared: &Shared, observer: Observer, event: Event) {
    observer.call(shared, event);
}

// ---- what the bare frames call ------------------------------------------------

/// Names the thread and gives its job to the key.
unsafe fn enter(job: *mut Job, name: &CStr) {
    // SAFETY: the job is this thread's; the key exists since `spawn` made it.
    unsafe {
        INSIDE.with(|inside| inside.set(Arc::as_ptr(&(*job).shared)));
        set_name(name);
        if let Some(key) = key() {
            // Fails only without memory; then the job is leaked and its actor
            // counts as running, which a grace bounds.
            libc::pthread_setspecific(key, job.cast());
        }
    }
}

unsafe fn enter_actor(job: *mut Job) -> Option<(Execute, *mut c_void)> {
    // SAFETY: the job is this thread's alone.
    let job = unsafe { &mut *job };
    let Role::Actor {
        index,
        execute,
        calls,
        called,
        ..
    } = &mut job.role
    else {
        return None;
    };
    let name = job
        .shared
        .with(|machine| thread_name(&machine.records()[*index].name));
    let start = (*execute, calls.userdata);
    let shared: *const Shared = &*job.shared;
    // SAFETY: the job outlives the thread's body, and `enter` only reads it.
    unsafe {
        let called: *mut bool = called;
        enter(job, &name);
        if !(*shared).gate.pass() {
            return None;
        }
        *called = true;
    }
    Some(start)
}

unsafe fn leave_actor(job: *mut Job, code: i32) {
    // SAFETY: the job is this thread's alone.
    if let Role::Actor { calls, outcome, .. } = unsafe { &mut (*job).role } {
        *outcome = Some(failure::outcome(code, calls.take_failure));
    }
}

unsafe fn next_interrupt(job: *mut Job) -> Option<(usize, Calls, *const rg_cause)> {
    // SAFETY: the job is this thread's alone.
    let Job { shared, role } = unsafe { &mut *job };
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
    let calls = shared.actors.lock()[index].calls;
    Some((index, calls, shared.cause()))
}

unsafe fn interrupt_done(job: *mut Job, index: usize, calls: Calls) {
    // SAFETY: the job is this thread's alone.
    let Job { shared, role } = unsafe { &mut *job };
    if let Role::Helper {
        helper,
        interrupting,
    } = role
    {
        *interrupting = None;
        helper.free();
    }
    let _ = shared.interrupted(index, complaint(calls));
}

fn complaint(calls: Calls) -> Option<CString> {
    failure::taken(calls.take_failure).map(|(_, message)| message)
}

/// The thread is about to end, whether its start frame returned, or
/// `pthread_exit` or a cancellation tore it down. Its thread-locals are gone.
extern "C" fn exited(job: *mut c_void) {
    // SAFETY: `enter` gave the key this job, and the key calls back once.
    let Job { shared, role } = *unsafe { Box::from_raw(job.cast::<Job>()) };
    match role {
        Role::Actor {
            index,
            outcome,
            called: true,
            ..
        } => {
            let outcome = outcome.unwrap_or_else(|| {
                Outcome::panic(
                    "the actor's thread ended without returning (pthread_exit, or cancelled)",
                )
            });
            let _ = shared.returned(index, outcome);
        }
        Role::Actor { .. } => {}
        Role::Helper {
            helper,
            interrupting,
        } => {
            helper.lost();
            if let Some(index) = interrupting {
                let why = text::lossy("the interrupt ended its thread without returning");
                let _ = shared.interrupted(index, Some(why));
            }
        }
        Role::Driver => shared.over.set(),
    }
}

/// Linux allows 15 bytes.
fn thread_name(name: &CStr) -> CString {
    let name = name.to_string_lossy();
    text::lossy(text::prefix(&name, 15))
}

fn set_name(name: &CStr) {
    // SAFETY: the name is a C string of at most 15 bytes.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::pthread_setname_np(libc::pthread_self(), name.as_ptr());
    }
    #[cfg(target_os = "macos")]
    unsafe {
        libc::pthread_setname_np(name.as_ptr());
    }
}
