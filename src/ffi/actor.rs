//! An actor's functions, as the threads call them, and closures as such.

use super::failure;
use super::foreign::{Callee, call};
use super::handle::{Completion, rg_cause, rg_completion};
use crate::error::Error;
use crate::machine::{Message, Outcome};
use crate::signals::Listener;
use crate::sync::{Arc, Mutex};
use crate::text;
use std::any::Any;
use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// Runs an actor; see `rg_execute_fn`.
pub type Execute = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;
/// Interrupts an actor; see `rg_interrupt_fn`.
pub type Interrupt = unsafe extern "C-unwind" fn(*const rg_cause, *mut c_void);
/// Gives an actor's userdata back; see `rg_release_fn`.
pub type Release = unsafe extern "C-unwind" fn(*mut c_void);
/// Starts an actor without a thread; see `rg_start_fn`.
pub type Start = unsafe extern "C-unwind" fn(*mut rg_completion, *mut c_void);
/// Hands over what `rg_fail` kept on this thread, if anything. It belongs to
/// the copy of the library that added the actor, whose thread-local it reads.
pub type TakeFailure =
    unsafe extern "C" fn(put: unsafe extern "C" fn(*mut c_void, c_int, *const c_char), *mut c_void);

/// How an actor is set going.
#[derive(Clone, Copy)]
pub enum Entry {
    /// On a thread of its own.
    Thread(Execute),
    /// By a function that returns soon.
    Async(Start),
}

/// An actor's functions and what they are called with. Plain values: the
/// frames that call foreign code must own nothing.
#[derive(Clone, Copy)]
pub struct Calls {
    pub entry: Entry,
    pub interrupt: Interrupt,
    pub userdata: *mut c_void,
    pub take_failure: TakeFailure,
    /// The actor's name, once it is accepted. It lives as long as the group.
    pub name: *const c_char,
}

impl Calls {
    /// Calls the execute, and gives its code.
    ///
    /// # Safety
    /// For all of these: the actor is accepted and not released.
    pub unsafe fn execute(&self, execute: Execute) -> c_int {
        let callee = self.callee("execute");
        // SAFETY: the function has one argument, and the caller may call it.
        unsafe { call(self.userdata, ptr::null_mut(), execute as _, &callee) }
    }

    /// Calls the interrupt.
    ///
    /// # Safety
    /// As above; the cause lives during the call.
    pub unsafe fn interrupt(&self, cause: *const rg_cause) {
        let callee = self.callee("interrupt");
        // SAFETY: the function has two arguments, and the caller may call it.
        unsafe {
            call(
                cause.cast_mut().cast(),
                self.userdata,
                self.interrupt as _,
                &callee,
            )
        };
    }

    /// Calls an async actor's start.
    ///
    /// # Safety
    /// As above; the completion lives until the actor is released.
    pub unsafe fn start(&self, start: Start, completion: *mut rg_completion) {
        let callee = self.callee("start");
        // SAFETY: the function has two arguments, and the caller may call it.
        unsafe { call(completion.cast(), self.userdata, start as _, &callee) };
    }

    fn callee(&self, function: &'static str) -> Callee {
        Callee {
            actor: self.name,
            function,
        }
    }
}

// SAFETY: whoever adds an actor promises that its functions may be called with
// its userdata from any thread (see `rg_add`); for closures `Send` says so.
unsafe impl Send for Calls {}

/// An accepted actor. Its drop runs `release`, once (rule 13).
pub struct Actor {
    pub calls: Calls,
    pub release: Option<Release>,
    pub stack_size: usize,
    pub listener: Option<Arc<Listener>>,
    /// Async actors only: the handle that `start` is given.
    pub completion: Option<Box<Completion>>,
}

// SAFETY: as for `Calls`; the release function is part of the same promise.
unsafe impl Send for Actor {}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            let callee = self.calls.callee("release");
            // SAFETY: the runner drops an actor when its execute and interrupt
            // can no longer run, and only once.
            unsafe { call(self.calls.userdata, ptr::null_mut(), release as _, &callee) };
        }
    }
}

impl Actor {
    /// An actor of two closures. A panic in either is recorded (rule 12).
    pub fn from_closures<E, I>(execute: E, interrupt: I) -> Self
    where
        E: FnOnce() -> Outcome + Send + 'static,
        I: FnOnce(&rg_cause) + Send + 'static,
    {
        let closures = Box::new(Closures {
            execute: Mutex::new(Some(execute)),
            interrupt: Mutex::new(Some(interrupt)),
        });
        Actor {
            calls: Calls {
                entry: Entry::Thread(run_execute::<E, I>),
                interrupt: run_interrupt::<E, I>,
                userdata: Box::into_raw(closures).cast(),
                take_failure: failure::take,
                name: ptr::null(),
            },
            release: Some(drop_closures::<E, I>),
            stack_size: 0,
            listener: None,
            completion: None,
        }
    }
}

/// The two run on different threads, maybe at the same time: a lock each.
struct Closures<E, I> {
    execute: Mutex<Option<E>>,
    interrupt: Mutex<Option<I>>,
}

unsafe extern "C-unwind" fn run_execute<E, I>(userdata: *mut c_void) -> c_int
where
    E: FnOnce() -> Outcome,
{
    // SAFETY: `from_closures` made the userdata, and it lives until `release`.
    let closures = unsafe { &*userdata.cast::<Closures<E, I>>() };
    let execute = closures.execute.lock().take();
    let outcome = match execute.map(|execute| catch_unwind(AssertUnwindSafe(execute))) {
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => Outcome {
            code: Error::Panic.code(),
            message: panic_text(panic),
        },
        None => Outcome::code(Error::State.code()),
    };
    failure::keep(outcome.code, outcome.message);
    outcome.code
}

unsafe extern "C-unwind" fn run_interrupt<E, I>(cause: *const rg_cause, userdata: *mut c_void)
where
    I: FnOnce(&rg_cause),
{
    // SAFETY: as above; the cause is valid for the call.
    let (closures, cause) = unsafe { (&*userdata.cast::<Closures<E, I>>(), &*cause) };
    let interrupt = closures.interrupt.lock().take();
    if let Some(interrupt) = interrupt
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| interrupt(cause)))
    {
        failure::keep(Error::Panic.code(), panic_text(panic));
    }
}

unsafe extern "C-unwind" fn drop_closures<E, I>(userdata: *mut c_void) {
    // SAFETY: `from_closures` made it, and `release` runs once. A panic of a
    // captured value's drop ends here.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe {
        drop(Box::from_raw(userdata.cast::<Closures<E, I>>()))
    }));
}

/// What a panic said.
pub fn panic_text(panic: Box<dyn Any + Send>) -> Message {
    let said = if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic whose value is no text"
    };
    let text = text::lossy(said);
    // The value's own drop may panic as well.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
    text
}
