//! The threads of a run, and the frames on them that call foreign code.
//!
//! The start frames are bare: they own nothing that needs dropping and catch
//! nothing, so that `pthread_exit` runs the destructors above it, and a C++
//! exception ends in `std::terminate` (see `sys/unwind.rs`). What a thread owns
//! is its [`Job`]; the destructor of a `pthread_key` takes it back however the
//! thread ends, and posts the return from there.
#![allow(unsafe_code)]

use super::actor::{Actor, Calls, Execute, Work};
use super::core::{Core, Driver};
use super::failure;
use super::inbox::Post;
use super::signals::Listener;
use crate::abi::rg_cause;
use crate::error::Error;
use crate::machine::{Message, NO_MESSAGE, Outcome};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, Time, now, thread_local};
use crate::sys::event::Errno;
use crate::sys::fork::PerProcess;
use crate::sys::memory::try_box;
use crate::sys::signal;
use crate::sys::stack::{self, Stack};
use crate::sys::thread::{self, KeyShare, NAME, ROUNDS};
use crate::text;
use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr;

/// The stack of a thread whose actor asks for no size: the default of pthreads, not
/// Rust's 2 MiB.
const DEFAULT_STACK: usize = 8 << 20;

/// The stack sizes that an actor may ask for: a thread needs the least of them, and no
/// machine has more than the most.
pub const STACKS: std::ops::RangeInclusive<u64> = 16 << 10..=1 << 46;

/// The threads of a run.
#[derive(Default)]
pub struct Threads {
    /// With the index of each one's actor.
    actors: Vec<(usize, Thread)>,
    interrupters: Vec<Thread>,
    observer: Option<Thread>,
    driver: Option<Thread>,
    /// The key whose destructor posts that a thread ends.
    key: Option<KeyShare>,
}

impl Threads {
    /// Makes the threads of a run, which wait at the gate: one for each actor that has
    /// one; two that call interrupts, if `bounded`; one for the observer, if
    /// `observed`; and one that drives the run, if the caller does not.
    pub fn spawn(
        &mut self,
        core: &Arc<Core>,
        actors: &[Option<Box<Actor>>],
        [bounded, observed]: [bool; 2],
        driver: Driver,
    ) -> Result<(), Error> {
        let sizes = || {
            let actors = actors.iter().flatten();
            actors
                .filter(|actor| !matches!(actor.work, Work::Async(..)))
                .map(|actor| stack_bytes(actor.stack_size))
        };
        self.actors
            .try_reserve_exact(sizes().count())
            .map_err(|_| Error::Memory)?;
        self.key = Some(KeyShare::new(exited).ok_or(Error::Spawn)?);
        reap();
        // Stacks of the commonest size share one mapping.
        let (shared_size, sharing) = commonest(sizes());
        let mut stacks = stack::stacks(shared_size, sharing);
        for (index, actor) in actors.iter().enumerate() {
            let Some(actor) = actor else { continue };
            let role = match actor.work {
                Work::Async(..) => continue,
                Work::Thread(execute) => Role::Actor {
                    execute,
                    calls: actor.calls,
                },
                Work::Signals => Role::Signals {
                    listener: actor.listener().map_or(ptr::null(), ptr::from_ref),
                },
            };
            let size = stack_bytes(actor.stack_size);
            let stack = match &mut stacks {
                Some(stacks) if size == shared_size => stacks.next(),
                _ => None,
            };
            // SAFETY: a name lives as long as its group.
            let name = unsafe { CStr::from_ptr(actor.calls.name) };
            let thread = self.thread(core, role, index, name, size, stack)?;
            self.actors.push((index, thread));
        }
        if bounded {
            // Two: if an interrupt hangs, the second thread calls the others. When the group
            // stops it may be too late to make one.
            self.interrupter(core)?;
            self.interrupter(core)?;
        }
        if observed {
            let thread =
                self.thread(core, Role::Observer, 0, c"rg-observer", DEFAULT_STACK, None)?;
            self.observer = Some(thread);
        }
        if driver == Driver::Thread {
            let thread = self.thread(core, Role::Driver, 0, c"rg-driver", DEFAULT_STACK, None)?;
            self.driver = Some(thread);
        }
        Ok(())
    }

    /// Makes one more thread that calls interrupts.
    pub fn interrupter(&mut self, core: &Arc<Core>) -> Result<(), Error> {
        let role = Role::Interrupter {
            calling: Mutex::new(None),
        };
        self.interrupters
            .try_reserve(1)
            .map_err(|_| Error::Memory)?;
        let thread = self.thread(core, role, 0, c"rg-interrupts", DEFAULT_STACK, None)?;
        self.interrupters.push(thread);
        core.interrupter.add_thread();
        Ok(())
    }

    fn thread(
        &self,
        core: &Arc<Core>,
        role: Role,
        index: usize,
        name: &CStr,
        size: usize,
        stack: Option<Stack>,
    ) -> Result<Thread, Error> {
        let key = self.key.as_ref().ok_or(Error::Spawn)?.key();
        let own = Own {
            core: Some(core.clone()),
            index,
            name: thread_name(name),
            called: false,
            outcome: None,
            key,
            rounds: ROUNDS,
        };
        let left = AtomicBool::new(false);
        let job = Job { role, left, own };
        let job = try_box(job).ok_or(Error::Memory)?;
        Thread::spawn(job, size, stack).map_err(|error| {
            let (name, error) = (name.to_str().unwrap_or_default(), Errno(error));
            let reason = format_args!(
                "no thread for \"{name}\": {error}; nothing was started. Raise the limit on \
                 threads, or give the actors smaller stacks"
            );
            text::because(Error::Spawn, reason)
        })
    }

    /// How many threads wait at the gate.
    pub fn at_the_gate(&self) -> usize {
        self.actors.len()
    }

    /// Joins the threads, but for the stuck ones, which are detached: those of actors for
    /// which `stuck` is true, those in a call whose return was not posted, and if
    /// `calls_left`, all that make calls. Those that are no actor's have until `until` to
    /// end: what they have called may have left data whose destructor blocks.
    pub fn end(
        &mut self,
        core: &Core,
        stuck: impl Fn(usize) -> bool,
        calls_left: bool,
        until: Option<Time>,
    ) {
        let mut any_stuck = false;
        for (index, thread) in self.actors.drain(..) {
            let stuck = stuck(index);
            any_stuck |= stuck;
            thread.end(stuck);
        }
        for thread in self.interrupters.drain(..) {
            let in_call = |post: Post| !core.inbox.is_posted(post);
            let stuck =
                calls_left || thread.calling().is_some_and(in_call) || !thread.ends_by(core, until);
            any_stuck |= stuck;
            thread.end(stuck);
        }
        if let Some(thread) = self.observer.take() {
            let stuck =
                core.with(|machine| machine.observer_stuck()) || !thread.ends_by(core, until);
            any_stuck |= stuck;
            thread.end(stuck);
        }
        if any_stuck {
            // Their ends have yet to be posted.
            std::mem::forget(self.key.take());
        } else if self.driver.is_none() {
            self.key = None;
        }
    }

    /// Joins the thread that drove the run.
    pub fn join_driver(threads: &Mutex<Threads>) {
        let driver = threads.lock().driver.take();
        if let Some(driver) = driver {
            driver.join();
            threads.lock().key = None;
        }
    }
}

impl Drop for Threads {
    /// The group is dropped while it runs. The thread that drove it is not joined: it
    /// may be the thread that drops the group.
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.detach();
        }
    }
}

/// The stack size of a thread whose actor asked for this many bytes.
fn stack_bytes(size: usize) -> usize {
    match size {
        0 => DEFAULT_STACK,
        size => size.max(libc::PTHREAD_STACK_MIN).next_multiple_of(4096),
    }
}

/// The size that more than half of the stacks have, or any size if there is none; and
/// the number of stacks of that size.
fn commonest(sizes: impl Iterator<Item = usize> + Clone) -> (usize, usize) {
    // The majority is what is left when pairs of different sizes are taken away.
    let (mut most, mut ahead) = (0, 0);
    for size in sizes.clone() {
        match ahead {
            0 => (most, ahead) = (size, 1),
            _ if size == most => ahead += 1,
            _ => ahead -= 1,
        }
    }
    (most, sizes.filter(|&size| size == most).count())
}

/// What a thread of the library does, and what it holds.
///
/// A job belongs to its thread and to the [`Thread`] handle; whichever lets go last
/// frees it. So a thread that is joined frees nothing: a first free in a new thread
/// costs more than the rest of its start.
struct Job {
    role: Role,
    /// The thread or its handle has let go.
    left: AtomicBool,
    own: Own,
}

/// What the thread alone uses, and the handle does not look at.
struct Own {
    core: Option<Arc<Core>>,
    index: usize,
    name: [u8; NAME],
    /// Its execute was called.
    called: bool,
    /// `None` until the execute returned.
    outcome: Option<Outcome>,
    key: thread::Key,
    /// How many times the key's destructor is still to be called.
    rounds: u8,
}

enum Role {
    Actor {
        execute: Execute,
        calls: Calls,
    },
    Signals {
        listener: *const Listener,
    },
    /// The call that the thread is in, whose return it has not posted.
    Interrupter {
        calling: Mutex<Option<Post>>,
    },
    Observer,
    Driver,
}

impl Job {
    /// # Safety
    /// The caller is the thread, has not let go, and uses no other `Own` of the job's
    /// while it uses this one.
    unsafe fn parts<'a>(job: *mut Job) -> (&'a Role, &'a mut Own) {
        // SAFETY: the job lives until both have let go. The handle only reads the role.
        unsafe { (&(*job).role, &mut (*job).own) }
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

/// A thread that must be joined or detached.
pub struct Thread {
    id: thread::Id,
    job: *mut Job,
    /// `None`: the C library made the stack.
    stack: Option<Stack>,
}

// SAFETY: a pthread_t may be joined from any thread; of the job only what is
// atomic or locked is used.
unsafe impl Send for Thread {}

impl Thread {
    /// Starts a thread for the job, on this stack or on one of that size from
    /// the C library. On failure the job is dropped.
    fn spawn(job: Box<Job>, size: usize, stack: Option<Stack>) -> Result<Thread, i32> {
        let (lowest, size) = match &stack {
            Some(stack) => (Some(stack.lowest), stack.size),
            None => (None, size),
        };
        let job = Box::into_raw(job);
        // SAFETY: the job is shared with the new thread; if there is none, this thread
        // alone has it. No other thread uses the stack, which lives until the join.
        unsafe {
            match thread::create(thread_main, job.cast(), lowest, size) {
                Ok(id) => Ok(Thread { id, job, stack }),
                Err(error) => {
                    drop(Box::from_raw(job));
                    Err(error)
                }
            }
        }
    }

    /// The call that the thread is in, if it makes calls.
    fn calling(&self) -> Option<Post> {
        // SAFETY: the job lives until this handle lets go; the role is not
        // changed while the thread runs.
        match unsafe { &(*self.job).role } {
            Role::Interrupter { calling } => *calling.lock(),
            _ => None,
        }
    }

    /// Whether the thread, which has nothing left to do, has ended by then, or can be
    /// waited for as long as it takes.
    fn ends_by(&self, core: &Core, until: Option<Time>) -> bool {
        let Some(until) = until else { return true };
        loop {
            let seen = core.wakes.get();
            // SAFETY: the job lives until this handle lets go.
            if unsafe { (*self.job).left.load(Ordering::Acquire) } {
                return true;
            }
            if now() >= until {
                return false;
            }
            core.wakes.wait_past(seen, Some(until));
        }
    }

    /// Joins the thread, or detaches it.
    fn end(self, stuck: bool) {
        if stuck {
            self.detach();
        } else {
            self.join();
        }
    }

    /// Joins the thread.
    pub fn join(self) {
        // SAFETY: joined or detached once, since both take `self`.
        unsafe {
            thread::join(self.id);
            Job::let_go(self.job);
        }
    }

    fn detach(self) {
        if self.stack.is_some()
            && let Some(mut stuck) = STUCK.lock()
            && stuck.try_reserve(1).is_ok()
        {
            // Only a join says that its stack is free.
            stuck.push(self);
            return;
        }
        // SAFETY: as above.
        unsafe {
            thread::detach(self.id);
            Job::let_go(self.job);
        }
        // Without memory for this entry its stack is never used again.
        std::mem::forget(self.stack);
    }
}

/// Detached threads whose stacks are the library's.
static STUCK: PerProcess<Vec<Thread>> = PerProcess::new();

/// Joins those of them that have ended since.
pub fn reap() {
    loop {
        let Some(mut stuck) = STUCK.lock() else {
            return;
        };
        // SAFETY: joined once, since it then leaves the list.
        let ended = |thread: &Thread| unsafe { thread::try_join(thread.id) };
        let Some(at) = stuck.iter().position(ended) else {
            return;
        };
        let thread = stuck.swap_remove(at);
        drop(stuck);
        // SAFETY: joined above.
        unsafe { Job::let_go(thread.job) };
    }
}

thread_local! {
    static INSIDE: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// Whether this thread is running an actor, an interrupt or an observer of
/// this group.
pub fn inside(core: &Core) -> bool {
    INSIDE.with(|inside| ptr::eq(inside.get(), core))
}

/// Marks this thread as one of the group's while `body` runs.
pub fn as_inside<R>(core: &Core, body: impl FnOnce() -> R) -> R {
    let before = INSIDE.with(|inside| inside.replace(core));
    let result = body();
    INSIDE.with(|inside| inside.set(before));
    result
}

// ---- the bare frames --------------------------------------------------------

/// What every thread of the library runs.
extern "C-unwind" fn thread_main(job: *mut c_void) -> *mut c_void {
    let job = job.cast::<Job>();
    // SAFETY: `spawn` gave this thread the job, and `exited` takes it back after this
    // frame is gone. Its role does not change.
    unsafe {
        let keyed = enter(job);
        match (&(*job).role, &(*job).own.core) {
            (Role::Actor { .. }, _) => {
                if let Some((execute, calls)) = enter_actor(job) {
                    leave_actor(job, calls.execute(execute), calls);
                }
            }
            (Role::Signals { .. }, _) => listen(job),
            (Role::Interrupter { .. }, _) => {
                while let Some(call) = next_call(job) {
                    let complaint = make_call(job, call);
                    call_done(job, call, complaint);
                }
            }
            (Role::Observer, Some(core)) if core.gate.pass() => core.observe_events(),
            (Role::Driver, Some(core)) if core.gate.pass_driver() => {
                core.drive();
            }
            (Role::Observer | Role::Driver, _) => {} // the start was called off
        }
        leave(job, keyed);
    }
    ptr::null_mut()
}

/// Calls an actor's interrupt, and gives its complaint.
pub fn call_interrupt(calls: Calls, cause: *const rg_cause) -> Message {
    // SAFETY: the actor was accepted and is not released before the run is
    // over; the cause lives as long as the group.
    unsafe { calls.interrupt(cause) }
}

/// Calls an async actor's start.
pub fn call_start(core: &Arc<Core>, actor: *const Actor) {
    // SAFETY: the actor was accepted, and is not released before its start and
    // its execute have returned.
    let actor = unsafe { &*actor };
    if let Work::Async(start, completion) = &actor.work {
        let handle = completion.begin(core);
        // SAFETY: as above; the completion is the actor's.
        if unsafe { actor.calls.start(*start, handle) } {
            const LEFT: &CStr = c"the start ended its thread without returning";
            // It may have been completed before that, or be later: refused then.
            let _ = completion.complete(Outcome::of_panic(Cow::Borrowed(LEFT)));
        }
    }
}

// ---- what the bare frames call ------------------------------------------------

/// Names the thread and gives its job to the key; false: the key had no memory for it.
unsafe fn enter(job: *mut Job) -> bool {
    // SAFETY: the job is this thread's until `exited`; the key exists as long as
    // threads of the run do.
    unsafe {
        let (_, own) = Job::parts(job);
        if let Some(core) = &own.core {
            INSIDE.with(|inside| inside.set(Arc::as_ptr(core)));
        }
        thread::set_name(&own.name);
        thread::set(own.key, job.cast())
    }
}

/// `pthread_setspecific` failed (out of memory), so the key's destructor will not run:
/// the return is posted here instead. A thread that ends by `pthread_exit` never gets
/// here; its actor counts as running until the grace is over.
unsafe fn leave(job: *mut Job, keyed: bool) {
    if !keyed {
        // SAFETY: the job is this thread's until `exited`, which is called here
        // or by the key.
        unsafe { (*job).own.rounds = 0 };
        exited(job.cast());
    }
}

unsafe fn enter_actor(job: *mut Job) -> Option<(Execute, Calls)> {
    // SAFETY: the job is this thread's until `exited`.
    let (role, own) = unsafe { Job::parts(job) };
    own.called = own.core.as_ref()?.gate.pass();
    match *role {
        Role::Actor { execute, calls } if own.called => Some((execute, calls)),
        _ => None,
    }
}

unsafe fn leave_actor(job: *mut Job, code: i32, calls: Calls) {
    // SAFETY: the job is this thread's until `exited`.
    let (_, own) = unsafe { Job::parts(job) };
    let outcome = failure::outcome(code, calls.take_failure);
    signal::renew();
    if let Some(core) = &own.core {
        core.returning(own.index, &outcome);
    }
    own.outcome = Some(outcome);
}

unsafe fn listen(job: *mut Job) {
    // SAFETY: the job is this thread's until `exited`; the actor, which has the
    // listener, is released after its thread was joined.
    let (own, listener) = unsafe {
        let (role, own) = Job::parts(job);
        let Role::Signals { listener } = *role else {
            return;
        };
        (own, &*listener)
    };
    let Some(core) = &own.core else { return };
    listener.unblock();
    own.called = core.gate.pass();
    if own.called {
        listener.listen(|outcome| {
            let _ = core.post(Post::Execute(own.index), outcome);
        });
    }
}

unsafe fn next_call(job: *mut Job) -> Option<Post> {
    // SAFETY: the job is this thread's until `exited`.
    let (role, own) = unsafe { Job::parts(job) };
    match (&own.core, role) {
        (Some(core), Role::Interrupter { calling }) => core.interrupter.next(calling),
        _ => None,
    }
}

unsafe fn make_call(job: *mut Job, call: Post) -> Message {
    // SAFETY: the job is this thread's until `exited`.
    let (_, own) = unsafe { Job::parts(job) };
    match &own.core {
        Some(core) => core.call(call, || core.interrupter.entered()),
        None => NO_MESSAGE,
    }
}

unsafe fn call_done(job: *mut Job, call: Post, complaint: Message) {
    // SAFETY: the job is this thread's until `exited`.
    let (role, own) = unsafe { Job::parts(job) };
    if let (Some(core), Role::Interrupter { calling }) = (&own.core, role) {
        core.interrupter.done(call);
        let _ = core.post(call, Outcome::complaint(complaint));
        *calling.lock() = None;
    }
}

/// The thread is about to end, whether its start frame returned, or
/// `pthread_exit` or a cancellation tore it down. Its thread-locals are gone.
extern "C" fn exited(job: *mut c_void) {
    // SAFETY: `enter` gave the key this job, and the thread uses it no more.
    let (role, own) = unsafe { Job::parts(job.cast()) };
    if let (Role::Actor { .. }, Some(core)) = (role, &own.core)
        && own.called
        && own.outcome.is_none()
    {
        let outcome = left();
        core.returning(own.index, &outcome);
        own.outcome = Some(outcome);
    }
    if own.rounds > 1 {
        // In the last of them only: by then the destructors of other keys have
        // run, which may block, and which the grace is to bound as well.
        own.rounds -= 1;
        if thread::set(own.key, job) {
            return;
        }
    }
    let core = own.core.take();
    if let Some(core) = &core {
        post_end(core, role, own);
    }
    let waited_for = matches!(role, Role::Interrupter { .. } | Role::Observer);
    // SAFETY: the thread's last use of its job.
    unsafe { Job::let_go(job.cast()) };
    if let (Some(core), true) = (&core, waited_for) {
        core.wake(); // see `Thread::ends_by`
    }
    // Last, since it may free the group and release its actors.
    drop(core);
}

/// The outcome of an execute that did not return.
fn left() -> Outcome {
    const LEFT: &CStr = c"the actor's thread ended without returning (pthread_exit, or cancelled)";
    Outcome::of_panic(Cow::Borrowed(LEFT))
}

fn post_end(core: &Core, role: &Role, own: &mut Own) {
    match role {
        Role::Actor { .. } | Role::Signals { .. } if own.called => {
            let outcome = own.outcome.take().unwrap_or_else(left);
            // Refused for a signal actor, which has posted before.
            let _ = core.post(Post::Execute(own.index), outcome);
        }
        Role::Interrupter { calling } => {
            // It ends in a call only where the C library does not unwind.
            if let Some(call) = calling.try_lock().and_then(|calling| *calling) {
                let message = Cow::Borrowed(c"the interrupt ended its thread without returning");
                let _ = core.post(call, Outcome::complaint(message));
            }
        }
        Role::Driver => core.over.set(),
        _ => {}
    }
}

fn thread_name(name: &CStr) -> [u8; NAME] {
    let name = text::prefix(name.to_bytes(), NAME - 1);
    let mut bytes = [0; NAME];
    bytes[..name.len()].copy_from_slice(name);
    bytes
}
