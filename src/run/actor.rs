//! An actor's functions, as the threads call them, and closures as such.
#![allow(unsafe_code)]

use super::core::Core;
use super::failure;
use super::inbox::Post;
use super::signals::Listener;
use crate::abi::{self, Head, rg_cause, rg_completion, rg_event};
use crate::error::Error;
use crate::machine::{Event, Message, Outcome};
use crate::sync::{Arc, Mutex, thread_local};
use crate::sys::unwind::{Callee, call};
use crate::text;
use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

/// Runs an actor; see `rg_execute_fn`.
pub type Execute = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;
/// Interrupts an actor; see `rg_interrupt_fn`.
pub type Interrupt = unsafe extern "C-unwind" fn(*const rg_cause, *mut c_void);
/// Gives an actor's userdata back; see `rg_release_fn`.
pub type Release = unsafe extern "C-unwind" fn(*mut c_void);
/// Starts an actor without a thread; see `rg_start_fn`.
pub type Start = unsafe extern "C-unwind" fn(*mut rg_completion, *mut c_void);
/// Hands over what `rg_fail` saved on this thread, if anything. The function belongs to
/// the copy of the library that added the actor, since it reads that copy's thread-local.
pub type TakeFailure =
    unsafe extern "C" fn(put: unsafe extern "C" fn(*mut c_void, c_int, *const c_char), *mut c_void);

/// What runs for an actor: its execute, or what takes its place.
pub enum Work {
    /// A function that runs on a thread of its own.
    Thread(Execute),
    /// A function that returns soon, and the completion that it is given.
    Async(Start, Box<Completion>),
    /// The library's signal actor, on a thread of its own.
    Signals,
}

/// An actor's functions and what they are called with. Plain values: the
/// frames that call foreign code must own nothing.
#[derive(Clone, Copy)]
pub struct Calls {
    /// Makes the execute return.
    pub interrupt: Interrupt,
    /// Handed to every function.
    pub userdata: *mut c_void,
    /// See `rg_release_fn`.
    pub take_failure: TakeFailure,
    /// The actor's name, once it is accepted. It lives as long as the group.
    pub name: *const c_char,
}

impl Calls {
    /// Calls the execute, and gives its code.
    ///
    /// # Safety
    /// For all of these: the actor is accepted and not released. For this one:
    /// the frames above own nothing that needs dropping.
    pub unsafe fn execute(&self, execute: Execute) -> c_int {
        let callee = self.callee("execute", true);
        // SAFETY: the function has one argument, and the caller may call it.
        unsafe { call(self.userdata, ptr::null_mut(), execute as _, &callee) }
    }

    /// Calls the interrupt; gives what it complained of.
    ///
    /// # Safety
    /// As above; the cause lives during the call.
    pub unsafe fn interrupt(&self, cause: *const rg_cause) -> Message {
        const LEFT: &CStr =
            c"the interrupt ended its thread without returning (pthread_exit, or cancelled)";
        failure::forget();
        let callee = self.callee("interrupt", false);
        // SAFETY: the function has two arguments, and the caller may call it.
        unsafe {
            let cause = cause.cast_mut().cast();
            call(cause, self.userdata, self.interrupt as _, &callee)
        };
        match failure::taken(self.take_failure) {
            Some((_, complaint)) => complaint,
            None if callee.left.get() => Cow::Borrowed(LEFT),
            None => crate::machine::NO_MESSAGE,
        }
    }

    /// Calls an async actor's start; true: it did not return, but left its thread.
    ///
    /// # Safety
    /// As above; the completion lives until the actor is released.
    pub unsafe fn start(&self, start: Start, completion: *mut rg_completion) -> bool {
        let callee = self.callee("start", false);
        // SAFETY: the function has two arguments, and the caller may call it.
        unsafe { call(completion.cast(), self.userdata, start as _, &callee) };
        callee.left.get()
    }

    fn callee(&self, function: &'static str, may_exit: bool) -> Callee {
        Callee {
            actor: self.name,
            function,
            may_exit,
            left: Cell::new(false),
        }
    }
}

// SAFETY: the caller of `rg_add` promises that the functions may be called with the
// userdata on any thread; for closures the compiler checks `Send`.
unsafe impl Send for Calls {}

/// An accepted actor. Its drop runs `release`, once (rule 13).
pub struct Actor {
    /// The functions.
    pub calls: Calls,
    /// What runs for the actor.
    pub work: Work,
    /// `None`: the userdata needs no release.
    pub release: Option<Release>,
    /// In bytes; 0: the default.
    pub stack_size: usize,
}

// SAFETY: as for `Calls`; the release function is part of the same promise.
unsafe impl Send for Actor {}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            let callee = self.calls.callee("release", false);
            // SAFETY: an actor is dropped when its execute and interrupt can no
            // longer run, and only once.
            unsafe { call(self.calls.userdata, ptr::null_mut(), release as _, &callee) };
        }
    }
}

impl Actor {
    /// An actor of two closures; the interrupt gives its complaint. A panic in
    /// either is recorded (rule 12). [`current_name`] is `name` while one of them
    /// runs.
    pub fn from_closures<E, I>(name: String, execute: E, interrupt: I) -> Self
    where
        E: FnOnce() -> Outcome + Send + 'static,
        I: FnOnce(&rg_cause) -> Message + Send + 'static,
    {
        let work = Work::Thread(run_execute::<E, I>);
        Actor::of_closures(Closures::new(name, execute, interrupt), work)
    }

    /// The same without a thread: `start` returns soon, and hands on what the
    /// actor completes with.
    pub fn from_async_closures<S, I>(name: String, head: Head, start: S, interrupt: I) -> Self
    where
        S: FnOnce(Done) + Send + 'static,
        I: FnOnce(&rg_cause) -> Message + Send + 'static,
    {
        let work = Work::Async(run_start::<S, I>, Box::new(Completion::new(head)));
        Actor::of_closures(Closures::new(name, start, interrupt), work)
    }

    fn of_closures<E, I>(closures: Box<Closures<E, I>>, work: Work) -> Self
    where
        I: FnOnce(&rg_cause) -> Message,
    {
        Actor {
            calls: Calls {
                interrupt: run_interrupt::<E, I>,
                userdata: Box::into_raw(closures).cast(),
                take_failure: failure::take,
                name: ptr::null(),
            },
            work,
            release: Some(drop_closures::<E, I>),
            stack_size: 0,
        }
    }

    /// The signal actor.
    pub(super) fn of_listener(listener: Box<Listener>) -> Self {
        Actor {
            calls: Calls {
                interrupt: interrupt_listener,
                userdata: Box::into_raw(listener).cast(),
                take_failure: failure::take,
                name: ptr::null(),
            },
            work: Work::Signals,
            release: Some(drop_listener),
            stack_size: 0,
        }
    }

    /// The listener of a signal actor.
    pub(super) fn listener(&self) -> Option<&Listener> {
        match self.work {
            // SAFETY: `of_listener` made the userdata, and it lives as long as
            // the actor.
            Work::Signals => Some(unsafe { &*self.calls.userdata.cast::<Listener>() }),
            _ => None,
        }
    }
}

unsafe extern "C-unwind" fn interrupt_listener(_: *const rg_cause, userdata: *mut c_void) {
    // SAFETY: `of_listener` made the userdata, and it lives until `release`.
    unsafe { &*userdata.cast::<Listener>() }.interrupt();
}

unsafe extern "C-unwind" fn drop_listener(userdata: *mut c_void) {
    // SAFETY: `of_listener` made it, and `release` runs once.
    drop(unsafe { Box::from_raw(userdata.cast::<Listener>()) });
}

thread_local! {
    /// The name of the actor one of whose closures runs on this thread. A plain
    /// pointer: it has no destructor, which a thread that ends would pay for.
    static CURRENT: Cell<Option<NonNull<str>>> = const { Cell::new(None) };
}

/// The name of the actor one of whose closures this thread runs.
pub fn current_name() -> Option<String> {
    let name = CURRENT.with(Cell::get)?;
    // SAFETY: `as_actor` borrows the name until it takes the pointer back.
    Some(unsafe { name.as_ref() }.to_owned())
}

/// Runs `body` as a part of the actor with this name.
pub fn as_actor<R>(name: &str, body: impl FnOnce() -> R) -> R {
    struct Reset(Option<NonNull<str>>);
    impl Drop for Reset {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(self.0));
        }
    }
    // Also where the body panics.
    let _reset = Reset(CURRENT.with(|current| current.replace(Some(NonNull::from(name)))));
    body()
}

/// The closures of an actor. They run on different threads, maybe at the same
/// time: a lock each.
struct Closures<E, I> {
    name: String,
    /// Or start.
    execute: Mutex<Option<E>>,
    interrupt: Mutex<Option<I>>,
}

impl<E, I> Closures<E, I> {
    fn new(name: String, execute: E, interrupt: I) -> Box<Self> {
        Box::new(Closures {
            name,
            execute: Mutex::new(Some(execute)),
            interrupt: Mutex::new(Some(interrupt)),
        })
    }
}

unsafe extern "C-unwind" fn run_execute<E, I>(userdata: *mut c_void) -> c_int
where
    E: FnOnce() -> Outcome,
{
    // SAFETY: `from_closures` made the userdata, and it lives until `release`.
    let closures = unsafe { &*userdata.cast::<Closures<E, I>>() };
    let execute = closures.execute.lock().take();
    let execute = execute.map(|execute| catch(&closures.name, execute));
    let outcome = match execute {
        Some(Ok(outcome)) => outcome,
        Some(Err(text)) => Outcome::of_panic(text),
        None => Outcome::code(Error::State.code()),
    };
    failure::keep(outcome.code, outcome.message);
    outcome.code
}

unsafe extern "C-unwind" fn run_start<S, I>(completion: *mut rg_completion, userdata: *mut c_void)
where
    S: FnOnce(Done),
{
    // SAFETY: as above; an actor of closures is added by the copy of the library
    // whose group it is in, so the completion is this copy's.
    let (closures, completion) = unsafe {
        let completion = &*completion.cast::<Completion>();
        (&*userdata.cast::<Closures<S, I>>(), completion)
    };
    let start = closures.execute.lock().take();
    if let (Some(start), Some(owed)) = (start, completion.take()) {
        let done = Done(Some(owed.clone()));
        match catch(&closures.name, || start(done)) {
            Ok(()) => give_up(owed),
            Err(text) => pay(&owed, Outcome::of_panic(text)),
        }
    }
}

unsafe extern "C-unwind" fn run_interrupt<E, I>(cause: *const rg_cause, userdata: *mut c_void)
where
    I: FnOnce(&rg_cause) -> Message,
{
    // SAFETY: as above; the cause is valid for the call.
    let (closures, cause) = unsafe { (&*userdata.cast::<Closures<E, I>>(), &*cause) };
    let interrupt = closures.interrupt.lock().take();
    if let Some(interrupt) = interrupt {
        let complaint = catch(&closures.name, || interrupt(cause));
        failure::keep(Error::Panic.code(), complaint.unwrap_or_else(|text| text));
    }
}

/// Calls an actor's closure; a panic's text is the error.
pub fn catch<R>(name: &str, closure: impl FnOnce() -> R) -> Result<R, Message> {
    catch_unwind(AssertUnwindSafe(|| as_actor(name, closure))).map_err(panic_text)
}

unsafe extern "C-unwind" fn drop_closures<E, I>(userdata: *mut c_void) {
    // SAFETY: `from_closures` made it, and `release` runs once. A panic of a
    // captured value's drop ends here.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe {
        drop(Box::from_raw(userdata.cast::<Closures<E, I>>()))
    }));
}

/// What a panic said.
fn panic_text(panic: Box<dyn Any + Send>) -> Message {
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
    text.into()
}

/// An observer's function and its userdata.
#[derive(Clone, Copy)]
pub struct Observer {
    /// See `rg_observer_fn`.
    pub function: unsafe extern "C-unwind" fn(*const rg_event, *mut c_void),
    /// Handed to it.
    pub userdata: *mut c_void,
}

// SAFETY: the caller of `rg_set_observer` promises that the observer may be called on any
// thread; for closures the compiler checks `Send`.
unsafe impl Send for Observer {}

impl Observer {
    /// A closure as the observer, for as long as that lives. Its panics end here.
    pub fn of_closure<F: FnMut(&rg_event) + Send>(closure: &Mutex<F>) -> Self {
        Observer {
            function: run_observer::<F>,
            userdata: ptr::from_ref(closure).cast_mut().cast(),
        }
    }

    /// Calls it. The texts live as long as the group.
    pub fn call(self, event: Event, actor: *const c_char, message: *const c_char) {
        let event = rg_event {
            size: size_of::<rg_event>(),
            kind: abi::event_kind(event.kind),
            code: event.code,
            index: abi::index(event.index),
            actor,
            message,
            time_ns: abi::time(Some(event.at)),
        };
        let callee = Callee {
            actor: ptr::null(),
            function: "observer",
            may_exit: false,
            left: Cell::new(false),
        };
        // SAFETY: the event lives for the call, its texts as long as the group.
        unsafe {
            let event = ptr::from_ref(&event).cast_mut().cast();
            call(event, self.userdata, self.function as _, &callee);
        }
    }
}

unsafe extern "C-unwind" fn run_observer<F>(event: *const rg_event, userdata: *mut c_void)
where
    F: FnMut(&rg_event),
{
    // SAFETY: `of_closure` made the userdata, which the group owns as long as it has the
    // observer; the event is valid for the call.
    let (closure, event) = unsafe { (&*userdata.cast::<Mutex<F>>(), &*event) };
    let _ = catch_unwind(AssertUnwindSafe(|| (closure.lock())(event)));
}

/// What a `rg_completion` of this copy really is.
#[repr(C)]
pub struct Completion {
    /// Must be the first field: a `rg_completion *` is a pointer to this struct,
    /// and other copies of the library read the function table through it.
    head: Head,
    index: usize,
    /// The group, from the call of start until the actor completes: a stuck
    /// actor completes after `rg_free`.
    group: Mutex<Option<Arc<Core>>>,
}

impl Completion {
    /// `None`: the actor is not added yet.
    pub fn new(head: Head) -> Self {
        Completion {
            head,
            index: 0,
            group: Mutex::new(None),
        }
    }

    pub(super) fn set_index(&mut self, index: usize) {
        self.index = index;
    }

    /// From now on it can be completed. Gives the handle for start.
    pub(super) fn begin(&self, core: &Arc<Core>) -> *mut rg_completion {
        *self.group.lock() = Some(core.clone());
        ptr::from_ref(self).cast_mut().cast()
    }

    /// What it completes, for a [`Done`]; `None`: it was completed, or taken.
    fn take(&self) -> Option<Arc<Owed>> {
        let core = self.group.lock().take()?;
        Some(Arc::new(Mutex::new(Some((core, self.index)))))
    }

    /// The actor completed (rule 4). Once: a second time is refused. Gives its
    /// share of the group, which may be the last, and whose end is the
    /// completion's.
    pub fn complete(&self, outcome: Outcome) -> Result<Arc<Core>, Error> {
        // A thread that holds the lock is completing the actor already.
        let taken = self.group.try_lock().and_then(|mut group| group.take());
        let core = taken.ok_or(Error::State)?;
        core.post(Post::Execute(self.index), outcome)?;
        Ok(core)
    }
}

/// What an async actor of closures completes with. It has a share of the group.
/// Dropped without a result, it completes as a panic does: otherwise the group
/// would wait for ever.
pub struct Done(Option<Arc<Owed>>);

/// The group and the actor's index, until the actor has completed.
type Owed = Mutex<Option<(Arc<Core>, usize)>>;

impl Done {
    /// The actor completed (rule 4).
    pub fn complete(mut self, outcome: Outcome) {
        if let Some(owed) = self.0.take() {
            pay(&owed, outcome);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(owed) = self.0.take() {
            give_up(owed);
        }
    }
}

/// Completes the actor, unless it has completed.
fn pay(owed: &Owed, outcome: Outcome) {
    let taken = owed.lock().take();
    if let Some((core, index)) = taken {
        let _ = core.post(Post::Execute(index), outcome);
    }
}

/// Nobody completes the actor any more, if this was the last share: while start
/// runs, it has one, since its panic's text is the better message.
fn give_up(owed: Arc<Owed>) {
    const DROPPED: &CStr = c"the actor's completion was dropped without a result";
    if let Some(owed) = Arc::into_inner(owed) {
        pay(&owed, Outcome::of_panic(Cow::Borrowed(DROPPED)));
    }
}
