//! One group: what is added to it, how it starts, and how it ends.
//!
//! `run` is `start` and `drive` (`drive.rs`). Everything that a stuck thread may
//! touch lives in [`Core`], of which each thread has a share.

use super::actor::{Actor, Observer, Work};
use super::gate::Gate;
use super::inbox::{Caller, Inbox, Post};
use super::interrupter::Interrupter;
use super::signals::{self, Heard, Listener};
use super::systemd::Manager;
use super::threads::{self, STACKS, Threads};
use crate::abi::{Head, HeldCause, rg_cause, rg_event};
use crate::error::Error;
use crate::latch::Latch;
use crate::machine::{Event, EventKind, Machine, Message, NO_MESSAGE, Nanos, Step};
use crate::report::ended_by;
use crate::sync::atomic::{
    AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst,
};
use crate::sync::{Arc, Mutex, MutexGuard, OnceLock, Time, now};
use crate::sys::event::Event as Descriptor;
use crate::sys::fork;
use crate::sys::futex::Word;
use crate::sys::memory::{Room, try_box};
use crate::sys::signal::{self, listens, send_again};
use crate::sys::tsan;
use crate::text;
use std::any::Any;
use std::ffi::{CString, c_char};
use std::sync::Once;

/// The state under the lock.
pub struct State {
    /// The contract.
    pub machine: Machine,
    /// `None`: it has not been run.
    pub(super) began: Option<Time>,
    /// The time of the last event in the machine. Without it a report's times would
    /// run backwards: two threads may read the clock in one order and post in the
    /// other.
    latest: Nanos,
    /// A step that is carried out once the observer has been called with its event.
    pub(super) pending: Option<Step>,
    /// Whether the driver has set `Core::stop`: before the first interrupt (rule 5), and
    /// not again, since each time writes to its descriptor.
    pub(super) stop_told: bool,
}

impl State {
    /// The time, for the machine.
    pub fn now(&self) -> Nanos {
        self.since_began(now())
    }

    /// The time of an event that happens now, not before any that was drained.
    pub(super) fn now_at_last(&mut self) -> Nanos {
        self.latest = self.now();
        self.latest
    }

    /// Until when the run, which is over, may be held up by what outlasts its last
    /// return: the grace's end, or a moment. `None`: for ever.
    pub(super) fn last_moment(&self) -> Option<Nanos> {
        const MOMENT: Nanos = 50_000_000;
        let end = self
            .machine
            .stopping_at()
            .saturating_add(self.machine.grace()?);
        Some(end.max(self.machine.finished_at().saturating_add(MOMENT)))
    }

    fn since_began(&self, at: Time) -> Nanos {
        let since = self.began.map_or(0, |began| at.saturating_sub(began));
        since.max(self.latest)
    }

    // Not inlined: mostly the inbox is empty, and `Core::state` would save this function's
    // registers all the same.
    #[inline(never)]
    fn drain(&mut self, inbox: &Inbox) {
        for (post, outcome, at) in inbox.take() {
            let at = self.since_began(at);
            self.latest = at;
            let taken = match post {
                Post::Stop => {
                    self.machine.stop(outcome.code, at);
                    Ok(())
                }
                Post::First => {
                    let index = inbox.first_actor();
                    self.machine.first_returned(index, outcome, at)
                }
                Post::Start(index) => self.machine.start_returned(index),
                Post::Execute(index) => self.machine.returned(index, outcome, at),
                Post::Interrupt(index) => {
                    let complaint = Some(outcome.message).filter(|text| !text.is_empty());
                    self.machine.interrupt_returned(index, complaint, at)
                }
            };
            debug_assert!(
                taken.is_ok(),
                "{post:?}: a slot is armed only for what is called"
            );
        }
    }
}

/// One group.
#[repr(C)]
pub struct Core {
    /// Must be the first field: an `rg_group *` is a pointer to this struct, and
    /// other copies of the library read the function table through it.
    head: Head,
    /// `None`: an actor that the host runs and interrupts. Boxed, since threads
    /// hold an actor's address while others are added.
    pub(super) actors: Mutex<Vec<Option<Box<Actor>>>>,
    pub(super) state: Mutex<State>,
    /// Events that are not yet in `state`.
    pub(super) inbox: Inbox,
    /// Changes when the driver has something to do.
    pub(super) wakes: Word,
    /// The descriptor that says the same to a host's loop; made when asked for.
    pub(super) wake_event: OnceLock<Descriptor>,
    /// Set when stopping begins. An allocation of its own, so that a stop token does
    /// not hold the whole group.
    pub stop: Arc<Latch>,
    /// Set when the run is over and its threads are gone.
    pub over: Latch,
    pub(super) gate: Gate,
    pub(super) threads: Mutex<Threads>,
    pub(super) interrupter: Interrupter,
    /// Whether the library runs some of the actors.
    pub(super) has_own: AtomicBool,
    /// Whether starts and interrupts are called on a thread of the library's, so
    /// that one that blocks does not hold up the driver.
    pub(super) bounded: AtomicBool,
    /// Whether the host drives.
    hosted: AtomicBool,
    /// The process that runs the group; 0: it was not run.
    process: AtomicI32,
    /// A share of the group for its host, which posts what is stuck after it has
    /// freed its handle; and how many posts it still owes.
    pub(super) host_share: Mutex<Option<Arc<Core>>>,
    pub(super) host_owes: AtomicUsize,
    cause: OnceLock<HeldCause>,
    pub(super) observer: Mutex<Option<Observer>>,
    /// Changes when the observer's thread has something to do.
    pub(super) events: Word,
    /// What the observer's userdata points to, if the library owns that.
    observer_closure: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether signal actors that are added hand a signal on.
    pub chain_signals: AtomicBool,
}

/// Who carries out the steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The thread that called `rg_run`.
    Caller,
    /// A thread of the library's, after `rg_start`.
    Thread,
    /// The host, by `rg_drive_next`: its own actors have no threads here.
    Host,
}

impl Core {
    /// An empty group.
    pub fn new(head: Head) -> Arc<Self> {
        static FIRST: Once = Once::new();
        FIRST.call_once(tsan::find);
        Arc::new(Core {
            head,
            actors: Mutex::default(),
            state: Mutex::new(State {
                machine: Machine::new(),
                began: None,
                latest: 0,
                pending: None,
                stop_told: false,
            }),
            inbox: Inbox::default(),
            wakes: Word::default(),
            wake_event: OnceLock::new(),
            stop: Arc::default(),
            over: Latch::default(),
            gate: Gate::default(),
            threads: Mutex::default(),
            interrupter: Interrupter::default(),
            has_own: AtomicBool::new(false),
            bounded: AtomicBool::new(false),
            hosted: AtomicBool::new(false),
            process: AtomicI32::new(0),
            host_share: Mutex::new(None),
            host_owes: AtomicUsize::new(0),
            cause: OnceLock::new(),
            observer: Mutex::new(None),
            events: Word::default(),
            observer_closure: Mutex::new(None),
            chain_signals: AtomicBool::new(false),
        })
    }

    /// Locks the state, after moving what was posted into it.
    // Not inlined: it has many callers, and the library would be 7 KiB larger.
    #[inline(never)]
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        // Also if there is nothing to drain: another thread may have copied the texts.
        tsan::acquire(&self.inbox);
        if !self.inbox.is_empty() {
            state.drain(&self.inbox);
        }
        tsan::release(&self.inbox); // with the texts that were copied
        state
    }

    // ---- before the run ---------------------------------------------------

    /// Adds an actor by `add`, and remembers a refusal: if the caller ignored the error,
    /// the group would run without the actor and succeed (rule 14). After
    /// [`Error::Memory`] the caller may try again.
    pub fn adding<T>(&self, add: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        add().inspect_err(|&error| {
            if error == Error::Invalid {
                self.with(Machine::refuse);
            }
        })
    }

    /// Adds an actor. A refused one is handed back: its userdata is still the
    /// caller's (rule 13).
    pub fn add(&self, name: Option<CString>, mut actor: Actor) -> Result<usize, (Error, Actor)> {
        if actor.stack_size != 0 && !STACKS.contains(&(actor.stack_size as u64)) {
            let (bytes, least) = (actor.stack_size, STACKS.start());
            let reason = format_args!("a stack of {bytes} bytes: at least {least}, or 0");
            return Err((text::because(Error::Invalid, reason), actor));
        }
        let mut state = self.state();
        let mut actors = self.actors.lock();
        let index = actors.len();
        let ready = actors
            .try_reserve(1)
            .map_err(|_| Error::Memory)
            .and_then(|()| name.map_or_else(|| text::numbered(index), Ok));
        let name = match ready {
            Ok(name) => name,
            Err(error) => return Err((error, actor)),
        };
        // The name belongs to the record, and its address does not change.
        actor.calls.name = name.as_ptr();
        if let Work::Async(_, completion) = &mut actor.work {
            completion.set_index(index);
        }
        let Some(room) = Room::new() else {
            return Err((Error::Memory, actor));
        };
        let added = match actor.work {
            Work::Async(..) => state.machine.add_async(Some(name)),
            _ => state.machine.add(Some(name)),
        };
        if let Err(error) = added {
            return Err((error, actor));
        }
        actors.push(Some(room.fill(actor)));
        Ok(index)
    }

    /// Adds an actor of the host's.
    pub fn add_hosted(&self, name: Option<CString>) -> Result<(), Error> {
        let mut state = self.state();
        let mut actors = self.actors.lock();
        actors.try_reserve(1).map_err(|_| Error::Memory)?;
        state.machine.add(name)?;
        actors.push(None);
        Ok(())
    }

    /// Adds a signal actor.
    pub fn add_signals(&self, signals: &[i32]) -> Result<usize, Error> {
        if !self.with(|machine| machine.adding()) {
            return Err(Error::State);
        }
        let listener = Listener::new(signals, self.chain_signals.load(SeqCst))?;
        let listener = try_box(listener).ok_or(Error::Memory)?;
        let name = text::copy(c"signals")?;
        self.add(Some(name), Actor::of_listener(listener))
            .map_err(|(error, _)| error)
    }

    /// Adds a systemd actor.
    pub fn add_systemd(self: &Arc<Self>) -> Result<usize, Error> {
        let manager = Manager::from_environment();
        let (stop, core) = (self.stop.clone(), Arc::downgrade(self));
        let why = move || {
            let core = core.upgrade();
            core.map_or(String::new(), |core| core.with(ended_by))
        };
        let name = "systemd".to_owned();
        let execute = move || manager.serve(&stop, why);
        let actor = Actor::from_closures(name, execute, |_| NO_MESSAGE);
        self.add(Some(c"systemd".to_owned()), actor)
            .map_err(|(error, _)| error)
    }

    /// Sets or clears the observer.
    pub fn observe(&self, observer: Option<Observer>) -> Result<(), Error> {
        self.state().machine.set_observed(observer.is_some())?;
        *self.observer.lock() = observer;
        Ok(())
    }

    /// Sets a closure as the observer. It lives as long as the group.
    pub fn observe_by<F>(&self, closure: F) -> Result<(), Error>
    where
        F: FnMut(&rg_event) + Send + 'static,
    {
        let closure = Box::new(Mutex::new(closure));
        self.observe(Some(Observer::of_closure(&closure)))?;
        *self.observer_closure.lock() = Some(closure);
        Ok(())
    }

    /// Looks at, or changes, the machine.
    pub fn with<T>(&self, look: impl FnOnce(&mut Machine) -> T) -> T {
        look(&mut self.state().machine)
    }

    /// The machine and the time now, or when the run was over.
    pub fn with_end<T>(&self, look: impl FnOnce(&mut Machine, Nanos) -> T) -> T {
        let mut state = self.state();
        let end = match state.machine.finished() {
            Some(_) => state.machine.finished_at(),
            None => state.now(),
        };
        look(&mut state.machine, end)
    }

    // ---- the start ----------------------------------------------------------

    /// Runs the group on this thread (rules 1 to 7). Gives its code.
    pub fn run(self: &Arc<Self>) -> Result<i32, Error> {
        self.start(Driver::Caller)?;
        let code = threads::as_inside(self, || self.drive());
        self.over.set();
        Ok(code)
    }

    /// Starts every actor, or none (rule 2). The caller goes on as the driver, or
    /// there is a thread for that.
    pub fn start(self: &Arc<Self>, driver: Driver) -> Result<(), Error> {
        // A second call is refused before it makes anything.
        if !self.begin(driver)? {
            return self.finish_unstarted(driver);
        }
        if let Err(error) = self.prepare(driver) {
            // The signals first, so that their threads end.
            let mut unheard = 0u64;
            self.end_listening(|_, heard| {
                if !heard.handed_on {
                    unheard |= 1 << heard.signal;
                }
            });
            self.dismiss();
            self.state().machine.retract();
            // A signal that came meanwhile was seen by nobody: it is raised again, for the
            // dispositions that are there now.
            (1..64)
                .filter(|signal| unheard & (1 << signal) != 0 && !listens(*signal))
                .for_each(send_again);
            return Err(error);
        }
        let started = {
            let mut state = self.state();
            let now = state.now_at_last();
            state.machine.started(now)
        };
        if !started {
            // Stopped while the threads were made.
            self.note_signals();
            self.dismiss();
            return self.finish_unstarted(driver);
        }
        let threads = self.threads.lock().at_the_gate();
        self.gate.open(threads);
        if !self.bounded.load(Relaxed) {
            self.call_starts();
        }
        if driver == Driver::Thread {
            self.gate.open_driver();
        }
        Ok(())
    }

    fn begin(self: &Arc<Self>, driver: Driver) -> Result<bool, Error> {
        let mut state = self.state();
        let actors = self.actors.lock();
        let host = driver == Driver::Host;
        if !host && actors.iter().any(Option::is_none) {
            return Err(Error::State);
        }
        let mut own = actors.iter().flatten();
        let with_starts = own
            .clone()
            .any(|actor| matches!(actor.work, Work::Async(..)));
        self.inbox.make(actors.len(), with_starts)?;
        let begun = state.machine.begin()?;
        // Only after `begin` succeeded: a second, refused `rg_run` must not reset
        // the start time of the run in progress.
        state.began = Some(now());
        state.latest = 0;
        self.hosted.store(host, Relaxed);
        self.process.store(fork::id(), Relaxed);
        if !begun {
            return Ok(false);
        }
        self.has_own.store(own.clone().next().is_some(), Relaxed);
        let bounded = own.any(|actor| actor.listener().is_none())
            && (host || state.machine.grace().is_some());
        self.bounded.store(bounded, Relaxed);
        let apart = !host && state.machine.grace().is_some() && self.observer.lock().is_some();
        state.machine.set_observed_apart(apart);
        self.inbox.expect(state.machine.outstanding());
        let mut owed = 0;
        for (index, actor) in actors.iter().enumerate() {
            let caller = match actor {
                Some(_) => Caller::Own,
                None => Caller::Host,
            };
            self.inbox.arm(Post::Execute(index), caller);
            owed += if actor.is_none() { 2 } else { 0 };
        }
        self.host_owes.store(owed, SeqCst);
        *self.host_share.lock() = (owed > 0).then(|| self.clone());
        Ok(true)
    }

    /// Ends a run in which nothing was called.
    fn finish_unstarted(self: &Arc<Self>, driver: Driver) -> Result<(), Error> {
        self.host_share.lock().take();
        self.with(|machine| machine.set_observed_apart(false));
        for index in 0..self.actors.lock().len() {
            self.inbox.disarm(Post::Execute(index));
        }
        self.stop.set();
        if driver == Driver::Thread {
            // Nothing to wait for but the observer.
            threads::as_inside(self, || self.drive());
            self.over.set();
        }
        Ok(())
    }

    /// Everything that can fail: signals, and all threads, which wait at the
    /// gate.
    fn prepare(self: &Arc<Self>, driver: Driver) -> Result<(), Error> {
        // Before the actors are locked: a thread that adds one holds the state's lock and
        // waits for the actors', so that asking after it would be a deadlock.
        let observed = self.with(|machine| machine.observed_apart());
        let actors = self.actors.lock();
        let mut listeners = actors.iter().flatten().filter_map(|actor| actor.listener());
        listeners.try_for_each(Listener::begin)?;
        if !self.has_own.load(Relaxed) {
            return Ok(());
        }
        let bounded = self.bounded.load(Relaxed);
        if bounded {
            // A start and an interrupt each.
            self.interrupter.reserve(2 * actors.len())?;
        }
        let mut threads = self.threads.lock();
        threads.spawn(self, &actors, [bounded, observed], driver)
    }

    /// Ends the threads, none of which got going.
    fn dismiss(&self) {
        self.gate.cancel();
        self.host_share.lock().take();
        self.interrupter.close();
        self.end_threads(|_| false, false, None);
        Threads::join_driver(&self.threads);
        self.gate.reset();
    }

    fn end_threads(&self, stuck: impl Fn(usize) -> bool, calls_left: bool, until: Option<Time>) {
        // Without the lock, which other threads may want meanwhile.
        let mut threads = std::mem::take(&mut *self.threads.lock());
        threads.end(self, stuck, calls_left, until);
        *self.threads.lock() = threads;
    }

    /// The dispositions are as before, and the threads that listened end. Tells
    /// the first signal that each listener heard.
    fn end_listening(&self, mut heard: impl FnMut(usize, Heard)) {
        let mut from = 0;
        loop {
            let actors = self.actors.lock();
            let listener = |index: &usize| actors[*index].as_ref()?.listener();
            let Some(index) = (from..actors.len()).find(|index| listener(index).is_some()) else {
                return;
            };
            let signal = listener(&index).and_then(Listener::finish);
            // A thread that adds an actor takes the state's lock before this one.
            drop(actors);
            if let Some(signal) = signal {
                heard(index, signal);
            }
            from = index + 1;
        }
    }

    /// What signal actors heard after they had returned is in the report for
    /// their outcome (rule 16).
    fn note_signals(&self) {
        self.end_listening(|index, Heard { signal, .. }| {
            self.with(|machine| machine.amend(index, signals::outcome(signal)));
        });
    }

    // ---- the end ------------------------------------------------------------

    /// The run is over: joins the threads that have ended, lets the stuck ones go,
    /// and puts the signals back (rules 7, 10, 15).
    pub(super) fn gather(&self) {
        self.note_signals();
        let calls_left = !self.interrupter.close();
        let end = self.state().last_moment();
        // Without a grace no actor is stuck, and the lock is not needed.
        let is_stuck = |index: usize| {
            let stuck = |machine: &mut Machine| machine.records()[index].stuck;
            end.is_some() && self.with(stuck).on_its_thread()
        };
        self.end_threads(is_stuck, calls_left, self.deadline(end));
    }

    /// Waits until the run is over; its code, or `None` at the deadline.
    pub fn wait(&self, deadline: Option<Time>) -> Result<Option<i32>, Error> {
        if threads::inside(self) || self.with(|machine| machine.adding()) {
            return Err(Error::State);
        }
        // The event loop that the host ran until now may have left the default.
        signal::renew();
        if !self.over.wait_until(deadline) {
            return Ok(None);
        }
        Threads::join_driver(&self.threads);
        Ok(self.with(|machine| machine.finished()))
    }

    /// Frees the handle. The actors are released now, or by the stuck actor that holds
    /// the last share (rules 11, 13). Refused while the group runs.
    pub fn abandon(&self) -> Result<(), Error> {
        let left = self.with(|machine| {
            let over = machine.finished().is_some() && self.over.is_set();
            if !over && !machine.adding() {
                return Err(Error::State);
            }
            machine.close();
            Ok(machine.outstanding())
        })?;
        self.over.set();
        Threads::join_driver(&self.threads);
        if left == 0 {
            // Their drops run unlocked, in order of addition. A signal actor's thread
            // goes on with its listener after its return, and may have been let go:
            // that one lives as long as the thread's share.
            let actors = std::mem::take(&mut *self.actors.lock());
            for actor in actors.into_iter().flatten() {
                if actor.listener().is_some() {
                    self.actors.lock().push(Some(actor));
                }
            }
        }
        Ok(())
    }

    // ---- what is known ----------------------------------------------------------

    /// The cause as C sees it; null before there is one. Valid as long as the
    /// group.
    pub fn cause(&self) -> *const rg_cause {
        // A cause never changes, so the text is made by the first interrupt only.
        if let Some(cause) = self.cause.get() {
            return cause.as_ptr();
        }
        let machine = &mut self.state().machine;
        let Some(index) = machine.cause().map(|cause| cause.index) else {
            return std::ptr::null();
        };
        let name = index.map_or(std::ptr::null(), |index| machine.name(index).as_ptr());
        match machine.cause() {
            None => std::ptr::null(),
            Some(cause) => self
                .cause
                .get_or_init(|| HeldCause::new(cause, name))
                .as_ptr(),
        }
    }

    /// The signal that ended the group, if one did.
    pub fn ending_signal(&self) -> Option<i32> {
        let cause = self.with(|machine| machine.cause().map(|cause| (cause.index, cause.code)));
        let (index, code) = cause?;
        let actors = self.actors.lock();
        actors.get(index?)?.as_ref()?.listener()?;
        // 1: it could not wait for signals.
        Some(code - signals::CODE_BASE).filter(|&signal| signal > 0)
    }

    /// The texts of an event: the actor's name or null, and what was said. Valid as
    /// long as the group.
    pub(super) fn texts(&self, event: Event) -> (*const c_char, *const c_char) {
        self.with(|machine| {
            let name = event
                .index
                .map_or(std::ptr::null(), |index| machine.name(index).as_ptr());
            let record = event.index.map(|index| &machine.records()[index]);
            let said: Option<&Message> = match event.kind {
                EventKind::Returned => record
                    .and_then(|record| record.outcome.as_ref())
                    .map(|outcome| &outcome.message),
                EventKind::Stopping => machine.cause().map(|cause| &cause.message),
                EventKind::Interrupted => record.and_then(|record| record.complaint.as_ref()),
                _ => None,
            };
            (name, said.map_or(c"".as_ptr(), |text| text.as_ptr()))
        })
    }

    /// Refuses a group that another process runs: this one is a child of a fork,
    /// which shares the group's descriptors, but has a memory of its own.
    pub(super) fn must_be_ours(&self) -> Result<(), Error> {
        match self.process.load(Relaxed) {
            0 => Ok(()),
            process if process == fork::id() => Ok(()),
            _ => Err(Error::State),
        }
    }

    /// Refuses a group that the host does not drive.
    pub fn must_be_driven(&self) -> Result<(), Error> {
        match self.hosted.load(Relaxed) {
            true => Ok(()),
            false => Err(Error::State),
        }
    }
}
