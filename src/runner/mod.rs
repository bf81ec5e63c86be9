//! Runs a group on real threads: carries out the steps of the
//! [`Machine`](crate::machine) and reports back what happened.
//!
//! `run` is `start` and `drive`; read these two first. Everything that a stuck
//! thread may touch lives in [`Shared`], which each thread keeps alive.

mod gate;
mod helper;
mod stack;
pub mod thread;

use crate::error::Error;
use crate::ffi::actor::{Actor, Calls, Entry};
use crate::ffi::handle::{Cause as ForeignCause, Completion, Head, Observer, rg_cause};
use crate::ffi::os;
use crate::machine::{Effect, Event, Machine, Message, Nanos, Order, Outcome, Step};
use crate::report::ended_by;
use crate::signals::Listener;
use crate::stop::Latch;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, OnceLock};
use crate::systemd::Manager;
use gate::Gate;
use helper::Helpers;
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::RawFd;
use std::time::Duration;
use thread::{Job, Thread};

/// The stack of a thread whose actor asks for none: what pthreads give, not
/// Rust's 2 MiB.
pub const DEFAULT_STACK: usize = 8 << 20;

/// The stacks that an actor may ask for: a thread cannot do with less, and no
/// machine has more.
const STACKS: std::ops::RangeInclusive<usize> = 16 << 10..=1 << 46;

/// What an actor's thread gets that asks for so many bytes.
fn stack_bytes(size: usize) -> usize {
    match size {
        0 => DEFAULT_STACK,
        size => size.max(libc::PTHREAD_STACK_MIN).next_multiple_of(4096),
    }
}

/// The size that most of them are, the least if there are several such; and
/// how many are of it.
fn commonest(sizes: impl Iterator<Item = usize>) -> (usize, usize) {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    let mut last = 0;
    for size in sizes {
        // Mostly the same as the one before.
        if counts.get(last).is_none_or(|&(of, _)| of != size) {
            last = match counts.binary_search_by_key(&size, |&(of, _)| of) {
                Ok(at) => at,
                Err(at) => {
                    counts.insert(at, (size, 0));
                    at
                }
            };
        }
        counts[last].1 += 1;
    }
    let most = |&(size, count): &(usize, usize)| (count, std::cmp::Reverse(size));
    counts.into_iter().max_by_key(most).unwrap_or_default()
}

/// The state under the lock.
pub struct State {
    /// The contract.
    pub machine: Machine,
    /// `None`: it has not been run.
    began: Option<Instant>,
    /// Whether the library runs some of the actors.
    crewed: bool,
    /// For the observer, oldest first.
    events: VecDeque<Event>,
    /// Handed out by the machine, and to be carried out once `events` is empty.
    pending: Option<usize>,
    /// The last of the interrupts that the host was told to carry out one
    /// after another.
    last_told: Option<usize>,
    /// The driver waits for `changed`: a notification that nobody waits for
    /// costs a system call.
    waiting: bool,
}

impl State {
    fn now(&self) -> Nanos {
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The host has carried out one of several interrupts, and goes on to the
    /// next one at once.
    fn go_on(&mut self, index: usize, at: Nanos) {
        match self.last_told {
            Some(last) if last != index => {
                let next = self.machine.next(at);
                debug_assert!(matches!(next, Step::Interrupt(_)));
            }
            _ => self.last_told = None,
        }
    }
}

/// One group.
#[repr(C)]
pub struct Shared {
    /// First: see there.
    head: Head,
    /// Before the state, whose names they point to: fields are dropped in order.
    /// `None`: the host's own, which it runs and interrupts itself.
    actors: Mutex<Vec<Option<Box<Actor>>>>,
    state: Mutex<State>,
    /// The driver waits here for the machine to have something to say.
    changed: Condvar,
    /// Whether the host drives.
    hosted: AtomicBool,
    /// A host may wait here, in a loop of its own; made when asked for.
    wakes: OnceLock<os::Event>,
    /// Set when stopping begins. Of its own, so that actors can hold it
    /// without keeping the group.
    pub stop: Arc<Latch>,
    /// Set when the run is over and its threads are gone.
    pub over: Latch,
    gate: Gate,
    crew: Mutex<Crew>,
    cause: OnceLock<ForeignCause>,
    observer: Mutex<Option<Observer>>,
    /// Whether signal actors that are added hand a signal on.
    pub chain_signals: AtomicBool,
}

/// The threads of a run.
#[derive(Default)]
struct Crew {
    /// With the index of each one's actor.
    actors: Vec<(usize, Thread)>,
    helpers: Option<Helpers>,
    driver: Option<Thread>,
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

/// What the driver's bare frame does next. Plain values only.
#[derive(Clone, Copy)]
pub enum Call {
    /// Call this interrupt, then [`Shared::interrupted`].
    Interrupt(usize, Calls, *const rg_cause),
    /// For a host that drives: call its actor's interrupt.
    Hosted(usize),
    /// Tell the observer.
    Observe(Observer, Event),
    /// For a host that drives; see [`HostStep::Wait`].
    Wait { time: Option<Nanos>, returns: usize },
    /// The run is over; see [`HostStep::Finish`].
    Finish { code: i32, stuck: usize },
}

impl Shared {
    /// An empty group.
    pub fn new() -> Arc<Self> {
        Arc::new(Shared {
            head: Head::default(),
            state: Mutex::new(State {
                machine: Machine::new(),
                began: None,
                crewed: false,
                events: VecDeque::new(),
                pending: None,
                last_told: None,
                waiting: false,
            }),
            hosted: AtomicBool::new(false),
            changed: Condvar::default(),
            wakes: OnceLock::new(),
            stop: Arc::default(),
            over: Latch::default(),
            actors: Mutex::default(),
            gate: Gate::default(),
            crew: Mutex::default(),
            cause: OnceLock::new(),
            observer: Mutex::new(None),
            chain_signals: AtomicBool::new(false),
        })
    }

    /// Adds an actor. A refused one is handed back: its userdata is still the
    /// caller's (rule 13).
    pub fn add(&self, name: Option<CString>, mut actor: Actor) -> Result<usize, (Error, Actor)> {
        if actor.stack_size != 0 && !STACKS.contains(&actor.stack_size) {
            return Err((Error::Invalid, actor));
        }
        let mut state = self.state.lock();
        match state.machine.add(name) {
            Ok(index) => {
                if let Some(completion) = &mut actor.completion {
                    completion.set_index(index);
                }
                actor.calls.name = state.machine.name(index).as_ptr();
                self.actors.lock().push(Some(Box::new(actor)));
                Ok(index)
            }
            Err(error) => Err((error, actor)),
        }
    }

    /// Adds an actor of the host's.
    pub fn add_hosted(&self, name: Option<CString>) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.machine.add(name)?;
        self.actors.lock().push(None);
        Ok(())
    }

    /// Adds so many actors of the host's.
    pub fn add_hosted_many(&self, count: usize) -> Result<(), Error> {
        let mut state = self.state.lock();
        let mut actors = self.actors.lock();
        actors.try_reserve_exact(count).map_err(|_| Error::Memory)?;
        state.machine.add_many(count)?;
        let all = actors.len() + count;
        actors.resize_with(all, || None);
        Ok(())
    }

    /// Adds a signal actor.
    pub fn add_signals(&self, signals: &[i32]) -> Result<usize, Error> {
        let chain = self.chain_signals.load(SeqCst);
        let listener = Arc::new(Listener::new(signals, chain)?);
        let (stop, waiting) = (self.stop.clone(), listener.clone());
        let execute = move || match waiting.wait(&stop) {
            Ok(Some(signal)) => Outcome {
                code: crate::signals::code(signal),
                message: crate::text::lossy(&crate::signals::name(signal)),
            },
            Ok(None) => Outcome::code(0),
            // Not the error's own code: that would say that nothing was started.
            Err(error) => Outcome {
                code: 1,
                message: crate::text::lossy(&format!("cannot wait for signals: {error}")),
            },
        };
        let mut actor = Actor::from_closures(execute, |_| {});
        actor.listener = Some(listener);
        self.add(Some(c"signals".to_owned()), actor)
            .map_err(|(error, _)| error)
    }

    /// Adds a systemd actor.
    pub fn add_systemd(self: &Arc<Self>) -> Result<usize, Error> {
        let manager = Manager::from_environment();
        let (stop, group) = (self.stop.clone(), Arc::downgrade(self));
        let why = move || {
            let group = group.upgrade();
            group.map_or(String::new(), |group| group.with(ended_by))
        };
        let actor = Actor::from_closures(move || manager.serve(&stop, why), |_| {});
        self.add(Some(c"systemd".to_owned()), actor)
            .map_err(|(error, _)| error)
    }

    /// Sets or clears the observer.
    pub fn observe(&self, observer: Option<Observer>) -> Result<(), Error> {
        self.state.lock().machine.set_observed(observer.is_some())?;
        *self.observer.lock() = observer;
        Ok(())
    }

    /// Looks at, or changes, the machine.
    pub fn with<T>(&self, look: impl FnOnce(&mut Machine) -> T) -> T {
        look(&mut self.state.lock().machine)
    }

    /// The machine and the time now, or when the run was over.
    pub fn with_end<T>(&self, look: impl FnOnce(&mut Machine, Nanos) -> T) -> T {
        let mut state = self.state.lock();
        let end = match state.machine.finished() {
            Some(_) => state.machine.finished_at(),
            None => state.now(),
        };
        look(&mut state.machine, end)
    }

    // ---- the run ----------------------------------------------------------

    /// Runs the group on this thread (rules 1 to 7). Gives its code.
    pub fn run(self: &Arc<Self>) -> Result<i32, Error> {
        self.start(Driver::Caller)?;
        let code = thread::drive(self);
        self.over.set();
        Ok(code)
    }

    /// Starts every actor, or none. The caller goes on as the driver, or there
    /// is a thread for that.
    pub fn start(self: &Arc<Self>, driver: Driver) -> Result<(), Error> {
        let detached = driver == Driver::Thread;
        // Whoever runs second is told so before anything is made.
        let helped = {
            let mut state = self.state.lock();
            let actors = self.actors.lock();
            if driver != Driver::Host && actors.iter().any(Option::is_none) {
                return Err(Error::State);
            }
            let begun = state.machine.begin()?;
            // Not before: who is refused must not turn back another's clock.
            state.began = Some(Instant::now());
            self.hosted.store(driver == Driver::Host, Relaxed);
            if !begun {
                drop((state, actors));
                self.stop.set();
                if detached {
                    // Nothing to wait for but the observer.
                    thread::drive(self);
                    self.over.set();
                }
                return Ok(());
            }
            // Interrupts are bounded by a helper when there is a grace, and
            // when no thread of the caller's stands ready to call them.
            state.crewed = actors.iter().any(Option::is_some);
            if !state.crewed {
                // The host starts its own.
                state.machine.started(0);
                return Ok(());
            }
            driver != Driver::Caller || state.machine.grace().is_some()
        };
        let mut crew = Crew::default();
        if let Err(error) = self.prepare(&mut crew, helped, detached) {
            self.gate.cancel();
            self.dismiss(crew);
            self.gate.reset();
            self.state.lock().machine.retract();
            return Err(error);
        }
        let threads = crew.actors.len();
        *self.crew.lock() = crew;
        {
            let mut state = self.state.lock();
            let now = state.now();
            state.machine.started(now);
        }
        let starts: Vec<_> = self
            .actors
            .lock()
            .iter()
            .flatten()
            .filter_map(|actor| match (&actor.completion, actor.calls.entry) {
                (Some(completion), Entry::Async(start)) => {
                    Some((completion.begin(self), start, actor.calls))
                }
                _ => None,
            })
            .collect();
        self.gate.open(threads);
        for (completion, start, calls) in starts {
            thread::call_start(start, completion, calls);
        }
        if detached {
            self.gate.open_driver();
        }
        Ok(())
    }

    /// Everything that can fail: signals, and all threads, which wait at the
    /// gate.
    fn prepare(
        self: &Arc<Self>,
        crew: &mut Crew,
        helped: bool,
        detached: bool,
    ) -> Result<(), Error> {
        let plan: Vec<_> = {
            let actors = self.actors.lock();
            for actor in actors.iter().flatten() {
                if let Some(listener) = &actor.listener {
                    self.stop.fd()?;
                    listener.start()?;
                }
            }
            let threads = actors.iter().enumerate();
            threads
                .filter_map(|(index, actor)| {
                    let actor = actor.as_ref()?;
                    let Entry::Thread(execute) = actor.calls.entry else {
                        return None;
                    };
                    let stack = stack_bytes(actor.stack_size);
                    Some((index, execute, actor.calls, stack))
                })
                .collect()
        };
        crew.actors.reserve_exact(plan.len());
        thread::reap();
        // Those that want the commonest size share a mapping.
        let (shared_size, sharing) = commonest(plan.iter().map(|&(.., size)| size));
        let mut stacks = stack::stacks(shared_size, sharing);
        for (index, execute, calls, size) in plan {
            let stack = match &mut stacks {
                Some(stacks) if size == shared_size => stacks.next(),
                _ => None,
            };
            let job = Job::actor(self.clone(), index, execute, calls);
            crew.actors.push((index, Thread::spawn(job, size, stack)?));
        }
        if helped {
            crew.helpers = Some(Helpers::new(self)?);
        }
        if detached {
            crew.driver = Some(Thread::spawn(
                Job::driver(self.clone()),
                DEFAULT_STACK,
                None,
            )?);
        }
        Ok(())
    }

    /// Joins what never got going.
    fn dismiss(&self, crew: Crew) {
        for (_, thread) in crew.actors {
            thread.join();
        }
        if let Some(helpers) = crew.helpers {
            helpers.finish();
        }
        if let Some(driver) = crew.driver {
            driver.join();
        }
        self.end_listening();
    }

    /// The next call for the driver's bare frame; blocks until there is one.
    /// `now` saves a look at the clock right after another.
    pub fn advance(self: &Arc<Self>, driver: Driver, mut now: Option<Nanos>) -> Call {
        let mut state = self.state.lock();
        loop {
            let taken = state.machine.take_events();
            state.events.extend(taken);
            if let Some(event) = state.events.pop_front() {
                if let Some(observer) = *self.observer.lock() {
                    return Call::Observe(observer, event);
                }
                continue;
            }
            if let Some(index) = state.pending.take() {
                let crewed = state.crewed;
                drop(state);
                // The descriptor comes before the first interrupt, whoever
                // gets here first.
                self.stop.set();
                if !crewed {
                    return Call::Hosted(index);
                }
                let Some(calls) = self.calls(index) else {
                    return Call::Hosted(index);
                };
                let helped = match &mut self.crew.lock().helpers {
                    Some(helpers) => helpers.post(self, index),
                    None => false,
                };
                if !helped {
                    return Call::Interrupt(index, calls, self.cause());
                }
                state = self.state.lock();
            }
            let now = match now.take() {
                Some(now) => now,
                // Before that the machine does not look at it.
                None if state.machine.cause().is_some() => state.now(),
                None => 0,
            };
            match state.machine.next(now) {
                Step::Interrupt(index) => state.pending = Some(index),
                Step::Wait(until) if driver == Driver::Host => {
                    return Call::Wait {
                        time: until.map(|until| until.saturating_sub(now)),
                        // Of what the library runs, the descriptor tells.
                        returns: match state.crewed {
                            false => state.machine.patience(),
                            true => 1,
                        },
                    };
                }
                Step::Wait(until) => {
                    let until = until.map(Duration::from_nanos);
                    let deadline = until.and_then(|until| state.began?.checked_add(until));
                    state.waiting = true;
                    state = self.changed.wait(state, deadline);
                    state.waiting = false;
                }
                Step::Finish(code) => {
                    if state.machine.has_events() {
                        continue;
                    }
                    let (crewed, stuck) = (state.crewed, state.machine.outstanding());
                    drop(state);
                    if crewed {
                        self.gather();
                    }
                    return Call::Finish { code, stuck };
                }
            }
        }
    }

    /// An actor's functions; `None`: the host's own.
    fn calls(&self, index: usize) -> Option<Calls> {
        let actors = self.actors.lock();
        actors[index].as_ref().map(|actor| actor.calls)
    }

    /// The run is over: joins the threads that have returned, lets the stuck
    /// ones go, and puts the signals back (rules 7, 10, 15).
    fn gather(&self) {
        let (actors, helpers) = {
            let mut crew = self.crew.lock();
            (std::mem::take(&mut crew.actors), crew.helpers.take())
        };
        // Without a grace nobody is stuck, and no lock is needed to see it.
        let bounded = self.with(|machine| machine.grace().is_some());
        for (index, thread) in actors {
            if bounded && self.with(|machine| machine.records()[index].stuck.execute) {
                thread.detach();
            } else {
                thread.join();
            }
        }
        if let Some(helpers) = helpers {
            helpers.finish();
        }
        self.end_listening();
    }

    fn end_listening(&self) {
        for actor in self.actors.lock().iter().flatten() {
            if let Some(listener) = &actor.listener {
                listener.finish();
            }
        }
    }

    // ---- events -------------------------------------------------------------

    /// An execute returned.
    pub fn returned(&self, index: usize, outcome: Outcome) -> Result<Effect, Error> {
        let mut state = self.state.lock();
        let now = state.now();
        let effect = state.machine.returned(index, outcome, now)?;
        self.carry(state, effect);
        Ok(effect)
    }

    /// An interrupt returned; what it complained of, if anything.
    pub fn interrupted(&self, index: usize, complaint: Option<Message>) -> Result<Effect, Error> {
        let mut state = self.state.lock();
        let now = state.now();
        let effect = state.machine.interrupt_returned(index, complaint, now)?;
        state.go_on(index, now);
        self.carry(state, effect);
        Ok(effect)
    }

    /// Tells those whom the event concerns, without the lock.
    fn carry(&self, state: MutexGuard<'_, State>, effect: Effect) {
        let waiting = state.waiting;
        drop(state);
        if effect.first {
            self.stop.set();
        }
        if effect.wake {
            self.wake_driver(waiting);
        }
    }

    /// Stops the group from outside (rule 9). Also if something else came first,
    /// it is seen to be stopping when this returns.
    pub fn stop(&self, code: i32) {
        let mut state = self.state.lock();
        let now = state.now();
        let effect = Effect {
            first: true,
            wake: state.machine.stop(code, now),
            last: false,
        };
        self.carry(state, effect);
    }

    /// The cause as C sees it; null before there is one. Valid as long as the
    /// group.
    pub fn cause(&self) -> *const rg_cause {
        let machine = &mut self.state.lock().machine;
        let Some(index) = machine.cause().map(|cause| cause.index) else {
            return std::ptr::null();
        };
        let name = index.map_or(std::ptr::null(), |index| machine.name(index).as_ptr());
        match machine.cause() {
            None => std::ptr::null(),
            Some(cause) => self
                .cause
                .get_or_init(|| ForeignCause::new(cause, name))
                .as_ptr(),
        }
    }

    // ---- the end ------------------------------------------------------------

    /// Waits until the run is over; its code, or `None` at the deadline.
    pub fn wait(self: &Arc<Self>, deadline: Option<Instant>) -> Result<Option<i32>, Error> {
        if thread::inside(self) || self.with(|machine| machine.adding()) {
            return Err(Error::State);
        }
        if !self.over.wait_until(deadline) {
            return Ok(None);
        }
        self.join_driver();
        Ok(self.with(|machine| machine.finished()))
    }

    fn join_driver(&self) {
        let driver = self.crew.lock().driver.take();
        if let Some(driver) = driver {
            driver.join();
        }
    }

    /// Gives up the handle: releases the actors now, or leaves that to the last
    /// share, which a stuck one has (rules 11, 13). Refused while the group runs.
    pub fn abandon(&self) -> Result<(), Error> {
        {
            let state = self.state.lock();
            let finished = state.machine.finished().is_some() && self.over.is_set();
            if !state.machine.adding() && !finished {
                return Err(Error::State);
            }
        }
        self.join_driver();
        if self.with(|machine| machine.outstanding()) == 0 {
            self.release();
        }
        Ok(())
    }

    /// Nothing of the actors runs any more. Their drops run unlocked, in order
    /// of addition.
    fn release(&self) {
        let actors = std::mem::take(&mut *self.actors.lock());
        drop(actors);
    }

    // ---- driven by the host ---------------------------------------------------

    /// Refuses a group that the host does not drive.
    pub fn must_be_driven(&self) -> Result<(), Error> {
        if self.hosted.load(Relaxed) {
            Ok(())
        } else {
            Err(Error::State)
        }
    }

    /// The next step that is the host's to carry out, without waiting. Times
    /// to wait are from now, which [`Shared::report`] may just have told.
    pub fn drive_next(self: &Arc<Self>, mut now: Option<Nanos>) -> HostStep {
        if let Some(wakes) = self.wakes.get() {
            // First drained, then looked: what comes between is not lost.
            wakes.drain();
        }
        loop {
            match self.advance(Driver::Host, now.take()) {
                Call::Observe(observer, event) => thread::call_observer(self, observer, event),
                Call::Interrupt(index, calls, cause) => {
                    thread::call_interrupt(self, index, calls, cause);
                }
                Call::Hosted(index) => return HostStep::Interrupt(index),
                Call::Wait { time, returns } => return HostStep::Wait { time, returns },
                Call::Finish { code, stuck } => {
                    self.over.set();
                    return HostStep::Finish { code, stuck };
                }
            }
        }
    }

    /// After [`HostStep::Interrupt`]: the host's actors that it may interrupt
    /// one after another from there, without asking in between.
    pub fn row(&self, index: usize) -> Row {
        let mut state = self.state.lock();
        let count = state.machine.consecutive();
        let forward = state.machine.order() == Order::Added;
        let length = if state.crewed {
            let actors = self.actors.lock();
            let hosted = |actor: &&Option<_>| actor.is_none();
            let (before, after) = actors.split_at(index + usize::from(!forward));
            match forward {
                true => after.iter().take(count).take_while(hosted).count(),
                false => before.iter().rev().take(count).take_while(hosted).count(),
            }
        } else {
            count
        };
        let last = match forward {
            true => index + length - 1,
            false => index + 1 - length,
        };
        state.last_told = (last != index).then_some(last);
        // The host does not count the returns of what the library runs.
        let returns = match state.crewed {
            false => state.machine.patience_after(length),
            true => 0,
        };
        let cause = state.machine.cause();
        Row {
            last,
            returns,
            code: cause.map_or(0, |cause| cause.code),
            cause: cause.and_then(|cause| cause.index),
        }
    }

    /// What happened to actors of the host's, oldest first, each so long ago.
    /// A report that is refused does not keep the later ones from being taken.
    /// Gives the time now.
    pub fn report(&self, events: impl Iterator<Item = (HostEvent, Nanos)>) -> Result<Nanos, Error> {
        let mut all = Effect::default();
        let mut failed = None;
        let mut state = self.state.lock();
        let now = state.now();
        for (event, ago) in events {
            let at = now.saturating_sub(ago);
            let effect = match event {
                HostEvent::Returned(index, code) => {
                    state.machine.returned(index, Outcome::code(code), at)
                }
                HostEvent::Interrupted(index) => {
                    let effect = state.machine.interrupt_returned(index, None, at);
                    if effect.is_ok() {
                        state.go_on(index, at);
                    }
                    effect
                }
            };
            match effect {
                Ok(effect) => {
                    all.first |= effect.first;
                    all.wake |= effect.wake;
                    all.last |= effect.last;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.carry(state, all);
        failed.map_or(Ok(now), Err)
    }

    /// A descriptor that is readable when [`Shared::drive_next`] has something
    /// new to say.
    pub fn drive_fd(&self) -> Result<RawFd, Error> {
        if let Some(wakes) = self.wakes.get() {
            return Ok(wakes.fd());
        }
        let wakes = os::Event::new().map_err(|_| Error::Memory)?;
        let wakes = self.wakes.get_or_init(|| wakes);
        // Whatever came before there was a descriptor.
        wakes.signal();
        Ok(wakes.fd())
    }

    fn wake_driver(&self, waiting: bool) {
        if waiting {
            self.changed.notify_one();
        } else if let Some(wakes) = self.wakes.get() {
            wakes.signal();
        }
    }
}

/// Interrupts that a host carries out one after another.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The actor of the last one.
    pub last: usize,
    /// As [`Machine::patience_after`] says.
    pub returns: usize,
    /// The cause's code.
    pub code: i32,
    /// The cause's actor.
    pub cause: Option<usize>,
}

/// What happened to an actor of the host's.
#[derive(Clone, Copy, Debug)]
pub enum HostEvent {
    /// Its execute returned a code.
    Returned(usize, i32),
    /// Its interrupt returned.
    Interrupted(usize),
}

/// What the host does next.
#[derive(Clone, Copy, Debug)]
pub enum HostStep {
    /// Call this actor's interrupt.
    Interrupt(usize),
    /// Nothing, for so long, or until at least so many of its actors' executes
    /// and interrupts have returned, or the descriptor is readable.
    Wait { time: Option<Nanos>, returns: usize },
    /// The run is over, and so many executes and interrupts are stuck.
    Finish { code: i32, stuck: usize },
}

/// For a completion handle: the group, once its start was called.
pub type CompletionSlot = Mutex<Option<Arc<Shared>>>;

/// An async actor completed (rule 4), once.
pub fn complete(completion: &Completion, outcome: Outcome) -> Result<(), Error> {
    // Taken first: the last share of a group given up frees the completion as well.
    let index = completion.index();
    let shared = completion.slot().lock().take().ok_or(Error::State)?;
    shared.returned(index, outcome).map(drop)
}
