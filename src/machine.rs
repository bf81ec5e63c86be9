//! The contract as a state machine: events in, next step out.
//!
//! No threads, no clock, no callbacks, no unsafe code. A *driver* reports what
//! happened ([`Machine::begin`], [`Machine::returned`],
//! [`Machine::interrupt_returned`], [`Machine::stop`]) and asks for the
//! [`next`](Machine::next) [`Step`]; every time is handed in, as nanoseconds
//! since the run began. Order, cause, grace and who is stuck are decided here
//! and nowhere else.
//!
//! ```text
//! Adding --begin--> Running --first return, stop--> Stopping --> Finished
//!   ^  \--stop, then begin: nothing is started ------------------^
//!   \-- retract (a thread could not be had)
//! ```

use crate::error::Error;
use crate::text;
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// What an actor says of its outcome. An empty one allocates nothing, which in
/// a thread that never allocated costs as much as its start.
pub type Message = Cow<'static, CStr>;

/// The empty message.
pub const NO_MESSAGE: Message = Cow::Borrowed(c"");

/// Nanoseconds since the run began.
pub type Nanos = u64;

/// The order in which the actors are interrupted (rule 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were added.
    #[default]
    Added,
    /// The last added first.
    Reverse,
    /// The last added first, and each has returned before the next is
    /// interrupted.
    Staged,
}

/// How an execute ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The actor's code; [`Error::Panic`]'s for a panic.
    pub code: i32,
    /// What the actor said of it, or empty.
    pub message: Message,
}

impl Outcome {
    /// An outcome without a message.
    pub fn code(code: i32) -> Self {
        Outcome {
            code,
            message: NO_MESSAGE,
        }
    }

    /// A panic, an exception, a thread that exited: rule 12.
    pub fn panic(message: &str) -> Self {
        Outcome {
            code: Error::Panic.code(),
            message: text::lossy(message),
        }
    }

    fn panicked(&self) -> bool {
        self.code == Error::Panic.code()
    }
}

/// Who ended the group, and why (rule 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The code that `run` returns unless actors get stuck.
    pub code: i32,
    /// The actor that returned first; `None`: stopped from outside.
    pub index: Option<usize>,
    /// Its message, or empty.
    pub message: Message,
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call this actor's interrupt, and report its return.
    Interrupt(usize),
    /// Nothing until an event comes or the time is reached.
    Wait(Option<Nanos>),
    /// The run is over; this is its code.
    Finish(i32),
}

/// What an actor's return means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// It began the stopping: wake every waiter.
    pub first: bool,
    /// [`Machine::next`] now has something new to say: wake the driver.
    pub wake: bool,
    /// Nothing of the group is running any more.
    pub last: bool,
}

/// What has not returned when the grace is over (rule 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// The execute has not returned.
    pub execute: bool,
    /// The interrupt has not returned.
    pub interrupt: bool,
}

impl Stuck {
    /// Whether either has not returned.
    pub fn any(self) -> bool {
        self.execute || self.interrupt
    }
}

/// All that is known of one actor.
#[derive(Clone, Debug)]
pub struct Record {
    /// Made when it is first asked for, if its users gave none.
    name: Option<CString>,
    /// When its execute returned.
    pub returned: Option<Nanos>,
    /// What it returned.
    pub outcome: Option<Outcome>,
    /// When its interrupt was called.
    pub interrupting: Option<Nanos>,
    /// When its interrupt returned.
    pub interrupted: Option<Nanos>,
    /// What its interrupt complained of: a panic, say.
    pub complaint: Option<Message>,
    /// Decided when the run finishes, and not changed after.
    pub stuck: Stuck,
}

impl Record {
    /// An actor of which nothing is known but its name.
    pub fn new(name: Option<CString>) -> Self {
        Record {
            name,
            returned: None,
            outcome: None,
            interrupting: None,
            interrupted: None,
            complaint: None,
            stuck: Stuck::default(),
        }
    }

    /// Unique only if its users made it so; empty until
    /// [`Machine::make_names`], if they gave none.
    pub fn name(&self) -> &CStr {
        self.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn make_name(&mut self, index: usize) -> &CStr {
        self.name
            .get_or_insert_with(|| text::lossy(&format!("actor-{index}")).into())
    }

    /// Whether its execute ended by a panic, an exception or a thread's exit.
    pub fn panicked(&self) -> bool {
        self.outcome.as_ref().is_some_and(Outcome::panicked)
    }
}

/// What happened, for an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An actor's execute was called.
    Started,
    /// An actor's execute returned.
    Returned,
    /// The group began to stop.
    Stopping,
    /// An actor's interrupt is about to be called.
    Interrupting,
    /// An actor's interrupt returned.
    Interrupted,
    /// An actor had not returned when the grace was over.
    Stuck,
    /// The run is over.
    Stopped,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The actor; `None` for the group's own events.
    pub index: Option<usize>,
    /// The actor's or the group's code, else 0.
    pub code: i32,
    /// When.
    pub at: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Adding,
    Running,
    Stopping,
    Finished(i32),
}

/// The interrupt in hand. Later ones wait for it until its share of the grace
/// is used up.
#[derive(Clone, Copy, Debug)]
struct Current {
    index: usize,
    until: Option<Nanos>,
}

/// The state of one group. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Machine {
    phase: Phase,
    order: Order,
    grace: Option<Nanos>,
    records: Vec<Record>,
    cause: Option<Cause>,
    /// When every execute was called, at the same time (rule 3).
    started_at: Option<Nanos>,
    stopping_at: Nanos,
    finished_at: Nanos,
    /// How many interrupts have been handed out.
    handed_out: usize,
    current: Option<Current>,
    /// Executes and interrupts that have not returned. Counts on after a
    /// timeout, so that the last stuck one is known.
    outstanding: usize,
    events: Option<Vec<Event>>,
}

impl Default for Machine {
    fn default() -> Self {
        Machine::new()
    }
}

impl Machine {
    /// An empty group.
    pub fn new() -> Self {
        Machine {
            phase: Phase::Adding,
            order: Order::Added,
            grace: None,
            records: Vec::new(),
            cause: None,
            started_at: None,
            stopping_at: 0,
            finished_at: 0,
            handed_out: 0,
            current: None,
            outstanding: 0,
            events: None,
        }
    }

    // ---- before the run -------------------------------------------------

    /// Adds an actor and gives its index; without a name it is `actor-<index>`.
    pub fn add(&mut self, name: Option<CString>) -> Result<usize, Error> {
        self.must_be_adding()?;
        self.records.push(Record::new(name));
        Ok(self.records.len() - 1)
    }

    /// Adds so many actors without names of their own.
    pub fn add_many(&mut self, count: usize) -> Result<(), Error> {
        self.must_be_adding()?;
        self.records
            .try_reserve_exact(count)
            .map_err(|_| Error::Memory)?;
        let all = self.records.len() + count;
        self.records.resize_with(all, || Record::new(None));
        Ok(())
    }

    /// Sets the order of interrupts.
    pub fn set_order(&mut self, order: Order) -> Result<(), Error> {
        self.must_be_adding()?;
        self.order = order;
        Ok(())
    }

    /// Sets the grace; `None`: wait for ever.
    pub fn set_grace(&mut self, grace: Option<Nanos>) -> Result<(), Error> {
        self.must_be_adding()?;
        self.grace = grace;
        Ok(())
    }

    /// Records events from now on, or no longer.
    pub fn set_observed(&mut self, observed: bool) -> Result<(), Error> {
        self.must_be_adding()?;
        self.events = observed.then(Vec::new);
        Ok(())
    }

    fn must_be_adding(&self) -> Result<(), Error> {
        match self.phase {
            Phase::Adding => Ok(()),
            _ => Err(Error::State),
        }
    }

    // ---- events in ------------------------------------------------------

    /// The run begins. True: every actor is to be started, and
    /// [`Machine::started`] follows. False: it is over already, since there are
    /// no actors (rule 1) or it was stopped before (rule 9).
    pub fn begin(&mut self) -> Result<bool, Error> {
        self.must_be_adding()?;
        if let Some(code) = self.cause.as_ref().map(|cause| cause.code) {
            self.finish(code, 0);
            return Ok(false);
        }
        if self.records.is_empty() {
            self.finish(0, 0);
            return Ok(false);
        }
        self.phase = Phase::Running;
        self.outstanding = 2 * self.records.len();
        Ok(true)
    }

    /// The actors could not all be had: nothing was called, and the group is
    /// as it was before [`Machine::begin`] (rule 2).
    pub fn retract(&mut self) {
        debug_assert!(self.started_at.is_none());
        self.phase = Phase::Adding;
        self.outstanding = 0;
        if let Some(events) = &mut self.events {
            events.clear();
        }
    }

    /// Every execute is being called now.
    pub fn started(&mut self, now: Nanos) {
        self.started_at = Some(now);
        if self.events.is_some() {
            for index in 0..self.records.len() {
                self.note(EventKind::Started, Some(index), 0, now);
            }
        }
    }

    /// Actor `index`'s execute returned. Once an actor: a second report, or one
    /// from an actor that does not exist or does not run, is refused.
    pub fn returned(
        &mut self,
        index: usize,
        outcome: Outcome,
        now: Nanos,
    ) -> Result<Effect, Error> {
        let finished = match self.phase {
            Phase::Adding => return Err(Error::State),
            Phase::Finished(_) => true,
            Phase::Running | Phase::Stopping => false,
        };
        let record = self.records.get_mut(index).ok_or(Error::Invalid)?;
        if record.returned.is_some() {
            return Err(Error::State);
        }
        if finished && !record.stuck.execute {
            return Err(Error::State);
        }
        let code = outcome.code;
        let message = if self.phase == Phase::Running {
            outcome.message.clone()
        } else {
            NO_MESSAGE
        };
        record.returned = Some(now);
        self.outstanding -= 1;
        if finished {
            // The report stays as it was when the run ended.
            return Ok(Effect {
                last: self.outstanding == 0,
                ..Effect::default()
            });
        }
        record.outcome = Some(outcome);
        self.note(EventKind::Returned, Some(index), code, now);
        let first = self.phase == Phase::Running;
        if first {
            self.stopping(
                Cause {
                    code,
                    index: Some(index),
                    message,
                },
                now,
            );
        }
        Ok(self.effect(first, index))
    }

    /// Actor `index`'s interrupt returned; `complaint` is its panic, if any.
    pub fn interrupt_returned(
        &mut self,
        index: usize,
        complaint: Option<Message>,
        now: Nanos,
    ) -> Result<Effect, Error> {
        let record = self.records.get_mut(index).ok_or(Error::Invalid)?;
        if record.interrupting.is_none() || record.interrupted.is_some() {
            return Err(Error::State);
        }
        record.interrupted = Some(now);
        self.outstanding -= 1;
        if matches!(self.phase, Phase::Finished(_)) {
            return Ok(Effect {
                last: self.outstanding == 0,
                ..Effect::default()
            });
        }
        record.complaint = complaint;
        self.note(EventKind::Interrupted, Some(index), 0, now);
        Ok(self.effect(false, index))
    }

    /// The group is stopped from outside (rule 9); true if this began it.
    pub fn stop(&mut self, code: i32, now: Nanos) -> bool {
        if self.cause.is_some() || matches!(self.phase, Phase::Finished(_)) {
            return false;
        }
        let cause = Cause {
            code,
            index: None,
            message: NO_MESSAGE,
        };
        if self.phase == Phase::Adding {
            self.cause = Some(cause);
        } else {
            self.stopping(cause, now);
        }
        true
    }

    fn stopping(&mut self, cause: Cause, now: Nanos) {
        self.note(EventKind::Stopping, cause.index, cause.code, now);
        self.cause = Some(cause);
        self.phase = Phase::Stopping;
        self.stopping_at = now;
    }

    fn effect(&self, first: bool, index: usize) -> Effect {
        let last = self.outstanding == 0;
        let awaited = self
            .current
            .is_some_and(|current| current.index == index && self.settled(index));
        Effect {
            first,
            last,
            wake: first || last || awaited || self.events.is_some(),
        }
    }

    // ---- next step out --------------------------------------------------

    /// What to do now. Ask again after each step that was carried out, after
    /// each event, and when the time waited for is reached.
    pub fn next(&mut self, now: Nanos) -> Step {
        match self.phase {
            Phase::Adding | Phase::Running => return Step::Wait(None),
            Phase::Finished(code) => return Step::Finish(code),
            Phase::Stopping => {}
        }
        if let Some(current) = self.current {
            let overran = current.until.is_some_and(|until| now >= until);
            if !self.settled(current.index) && !overran {
                return Step::Wait(current.until);
            }
            self.current = None;
        }
        if let Some(index) = self.next_interrupt() {
            self.handed_out += 1;
            self.current = Some(Current {
                index,
                until: self.share(now),
            });
            self.records[index].interrupting = Some(now);
            self.note(EventKind::Interrupting, Some(index), 0, now);
            return Step::Interrupt(index);
        }
        let deadline = self.deadline();
        if self.outstanding == 0 {
            let code = self.cause.as_ref().map_or(0, |cause| cause.code);
            self.finish(code, now);
            Step::Finish(code)
        } else if deadline.is_some_and(|deadline| now >= deadline) {
            self.mark_stuck(now);
            let code = Error::TimedOut.code();
            self.finish(code, now);
            Step::Finish(code)
        } else {
            Step::Wait(deadline)
        }
    }

    /// Whether the next interrupt need not wait for this actor any longer.
    fn settled(&self, index: usize) -> bool {
        let record = &self.records[index];
        record.interrupted.is_some() && (self.order != Order::Staged || record.returned.is_some())
    }

    fn next_interrupt(&self) -> Option<usize> {
        let count = self.records.len();
        (self.handed_out < count).then(|| match self.order {
            Order::Added => self.handed_out,
            Order::Reverse | Order::Staged => count - 1 - self.handed_out,
        })
    }

    /// After [`Step::Interrupt`]: how many interrupts follow one another from
    /// there, whatever else happens. Each begins when the one before returned;
    /// a driver may carry them out without asking in between.
    pub fn consecutive(&self) -> usize {
        if self.undisturbed() {
            self.records.len() - self.handed_out + 1
        } else {
            1
        }
    }

    /// After [`Step::Interrupt`]: how many returns, those of the interrupts
    /// included, must come at least before there is something new to do once
    /// so many interrupts were carried out; 0: ask then.
    pub fn patience_after(&self, interrupts: usize) -> usize {
        if self.undisturbed() && interrupts == self.consecutive() {
            self.outstanding
        } else {
            0
        }
    }

    /// Whether interrupts wait for nothing but one another.
    fn undisturbed(&self) -> bool {
        self.grace.is_none() && self.order != Order::Staged && self.events.is_none()
    }

    /// After [`Step::Wait`]: how many returns must come at least before there
    /// is something new to do.
    pub fn patience(&self) -> usize {
        let all_interrupted = self.phase == Phase::Stopping
            && self.handed_out == self.records.len()
            && self.current.is_none();
        if all_interrupted && self.events.is_none() {
            self.outstanding.max(1)
        } else {
            1
        }
    }

    fn deadline(&self) -> Option<Nanos> {
        self.grace
            .map(|grace| self.stopping_at.saturating_add(grace))
    }

    /// Until when the interrupt just handed out may hold up the next: an equal
    /// share of what is left of the grace, so that each gets its turn. Unless
    /// staged, one share more is kept for the executes.
    fn share(&self, now: Nanos) -> Option<Nanos> {
        let left = self.deadline()?.saturating_sub(now);
        let later = self.records.len() - self.handed_out;
        let shares = later + 1 + usize::from(self.order != Order::Staged);
        Some(now.saturating_add(left / shares as u64))
    }

    fn mark_stuck(&mut self, now: Nanos) {
        for index in 0..self.records.len() {
            let record = &mut self.records[index];
            record.stuck = Stuck {
                execute: record.returned.is_none(),
                interrupt: record.interrupted.is_none(),
            };
            if record.stuck.any() {
                self.note(EventKind::Stuck, Some(index), 0, now);
            }
        }
    }

    fn finish(&mut self, code: i32, now: Nanos) {
        self.phase = Phase::Finished(code);
        self.finished_at = now;
        self.note(EventKind::Stopped, None, code, now);
    }

    fn note(&mut self, kind: EventKind, index: Option<usize>, code: i32, at: Nanos) {
        if let Some(events) = &mut self.events {
            events.push(Event {
                kind,
                index,
                code,
                at,
            });
        }
    }

    // ---- what is known --------------------------------------------------

    /// The events since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether events wait to be taken.
    pub fn has_events(&self) -> bool {
        self.events
            .as_ref()
            .is_some_and(|events| !events.is_empty())
    }

    /// The cause, once there is one.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// An actor's name.
    pub fn name(&mut self, index: usize) -> &CStr {
        self.records[index].make_name(index)
    }

    /// Gives every actor without a name its own.
    pub fn make_names(&mut self) {
        for (index, record) in self.records.iter_mut().enumerate() {
            record.make_name(index);
        }
    }

    /// The actors, in order of addition.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether actors are running, or being stopped.
    pub fn running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping)
    }

    /// The run's code, once it is over.
    pub fn finished(&self) -> Option<i32> {
        match self.phase {
            Phase::Finished(code) => Some(code),
            _ => None,
        }
    }

    /// Whether nothing was begun yet.
    pub fn adding(&self) -> bool {
        self.phase == Phase::Adding
    }

    /// Whether anything that was started has not returned.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The grace, if one is set.
    pub fn grace(&self) -> Option<Nanos> {
        self.grace
    }

    /// The order of interrupts.
    pub fn order(&self) -> Order {
        self.order
    }

    /// When every execute was called; `None`: not yet, or never.
    pub fn started_at(&self) -> Option<Nanos> {
        self.started_at
    }

    /// When stopping began.
    pub fn stopping_at(&self) -> Nanos {
        self.stopping_at
    }

    /// When the run was over.
    pub fn finished_at(&self) -> Nanos {
        self.finished_at
    }
}
