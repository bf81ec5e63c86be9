//! The contract as a state machine: events in, next step out.
//!
//! No threads, no clock, no callbacks, no unsafe code. A *driver* reports what
//! happened ([`Machine::begin`], [`Machine::started`], [`Machine::returned`],
//! [`Machine::start_returned`], [`Machine::interrupt_returned`],
//! [`Machine::stop`]) and asks for the [`next`](Machine::next) [`Step`]. Every
//! time is handed in, as nanoseconds since the run began. Order, cause, grace
//! and who is stuck are decided here and nowhere else.
//!
//! ```text
//! Adding --begin--> Starting --started--> Running --first return, stop--> Stopping --> Finished
//!   ^ \---stop, then begin: nothing is started-------------------------------------------^
//!   |                  | \--stop, then started: nothing is started ----------------------^
//!   \--------retract---/ (a thread could not be had)
//! ```

mod record;

use crate::error::Error;
use crate::text;
use record::Start;
pub use record::{
    Cause, Event, EventKind, Message, NO_MESSAGE, Nanos, Order, Outcome, Record, Stuck,
};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call the start of this actor, which has no thread, and report its return.
    Start(usize),
    /// Call this actor's interrupt, and report its return.
    Interrupt(usize),
    /// Nothing until an event comes or the time is reached.
    Wait(Option<Nanos>),
    /// The run is over; this is its code.
    Finish(i32),
}

/// After [`Step::Wait`]: the event without which there is nothing new to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Any event: the first return, or one that the observer has not heard of.
    Any,
    /// The return of this actor's start.
    Start(usize),
    /// The return of this actor's execute.
    Execute(usize),
    /// The return of this actor's interrupt.
    Interrupt(usize),
    /// The last return of all.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Adding,
    Starting,
    Running,
    Stopping,
    Finished(i32),
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Start(usize),
    Interrupt(usize),
}

/// The call in progress. Later ones wait for it until its share of the grace is
/// used up.
#[derive(Clone, Copy, Debug)]
struct Current {
    call: Call,
    until: Option<Nanos>,
}

/// How many events a run of so many actors has at most: recording one must not need
/// memory that cannot be had.
fn most_events(actors: usize) -> usize {
    5 * actors + 2
}

/// The state of one group. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Machine {
    phase: Phase,
    order: Order,
    grace: Option<Nanos>,
    records: Vec<Record>,
    /// How many actors had been added when the first was refused.
    refused_after: Option<usize>,
    cause: Option<Cause>,
    /// When every execute was called, at the same time (rule 3).
    started_at: Option<Nanos>,
    stopping_at: Nanos,
    finished_at: Nanos,
    /// How many actors have been looked at for a start.
    starts_seen: usize,
    /// How many starts have not been called.
    starts_left: usize,
    /// How many interrupts have been handed out.
    handed_out: usize,
    current: Option<Current>,
    /// Starts, executes and interrupts that have not returned. Counts on after
    /// the grace, so that the last stuck one is known.
    outstanding: usize,
    /// Events that nobody has taken, oldest first; `None`: nobody observes.
    events: Option<VecDeque<Event>>,
    /// The observer has a thread of its own, so that one that blocks does not hold
    /// up the driver: the run waits for it, as for an actor (rule 10).
    observed_apart: bool,
    /// The observer was called with an event, and has not returned.
    telling: bool,
    /// When the grace was over, the observer had not been called with every event.
    observer_stuck: bool,
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
            refused_after: None,
            cause: None,
            started_at: None,
            stopping_at: 0,
            finished_at: 0,
            starts_seen: 0,
            starts_left: 0,
            handed_out: 0,
            current: None,
            outstanding: 0,
            events: None,
            observed_apart: false,
            telling: false,
            observer_stuck: false,
        }
    }

    // ---- before the run -------------------------------------------------

    /// Adds an actor and gives its index; without a name it is `actor-<index>`.
    pub fn add(&mut self, name: Option<CString>) -> Result<usize, Error> {
        self.must_be_adding()?;
        self.records.try_reserve(1).map_err(|_| Error::Memory)?;
        self.records.push(Record::new(name));
        Ok(self.records.len() - 1)
    }

    /// Adds an actor that has no thread, but a start to be called.
    pub fn add_async(&mut self, name: Option<CString>) -> Result<usize, Error> {
        let index = self.add(name)?;
        self.records[index].start = Start::Waiting;
        Ok(index)
    }

    /// An actor was refused as invalid: the group will not run (rule 14).
    pub fn refuse(&mut self) {
        if self.phase == Phase::Adding {
            self.refused_after.get_or_insert(self.records.len());
        }
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
        self.events = observed.then(VecDeque::new);
        Ok(())
    }

    /// Whether the observer has a thread of its own, in the run that begins.
    pub fn set_observed_apart(&mut self, apart: bool) {
        self.observed_apart = apart;
    }

    fn must_be_adding(&self) -> Result<(), Error> {
        match self.phase {
            Phase::Adding => Ok(()),
            _ => Err(Error::State),
        }
    }

    // ---- events in ------------------------------------------------------

    /// The run begins. True: the driver makes every actor's thread, and then calls
    /// [`Machine::started`] or [`Machine::retract`]. False: the run is over already,
    /// since there are no actors (rule 1) or the group was stopped before (rule 9).
    ///
    /// # Errors
    /// [`Error::Invalid`] if an actor was refused (rule 14); [`Error::State`] for a second
    /// run; [`Error::Memory`].
    pub fn begin(&mut self) -> Result<bool, Error> {
        self.must_be_adding()?;
        if let Some(added) = self.refused_after {
            let reason = format_args!(
                "an actor was refused after {added} were added: look at what adding it returned"
            );
            return Err(text::because(Error::Invalid, reason));
        }
        if let Some(events) = &mut self.events {
            let most = most_events(self.records.len());
            events.try_reserve(most).map_err(|_| Error::Memory)?;
        }
        if self.finish_unstarted(0) {
            return Ok(false);
        }
        self.phase = Phase::Starting;
        let starts = |record: &&Record| record.start == Start::Waiting;
        self.starts_left = self.records.iter().filter(starts).count();
        self.outstanding = 2 * self.records.len() + self.starts_left;
        Ok(true)
    }

    /// The group is being freed: release functions that try to add actors to it, or
    /// to run it, are refused.
    pub fn close(&mut self) {
        if self.phase == Phase::Adding {
            self.phase = Phase::Finished(0);
        }
    }

    /// Not every actor's thread could be made: nothing was called, and the group is
    /// as it was before [`Machine::begin`] (rule 2).
    pub fn retract(&mut self) {
        debug_assert!(self.phase == Phase::Starting);
        self.phase = Phase::Adding;
        self.starts_left = 0;
        self.outstanding = 0;
    }

    /// Every actor is ready. True: every execute is called now. False: the
    /// group was stopped meanwhile, so nothing is started and the run is over
    /// (rule 9).
    pub fn started(&mut self, now: Nanos) -> bool {
        debug_assert!(self.phase == Phase::Starting);
        if self.finish_unstarted(now) {
            self.starts_left = 0;
            self.outstanding = 0;
            return false;
        }
        self.phase = Phase::Running;
        self.started_at = Some(now);
        if self.events.is_some() {
            for index in 0..self.records.len() {
                self.note(EventKind::Started, Some(index), 0, now);
            }
        }
        true
    }

    fn finish_unstarted(&mut self, now: Nanos) -> bool {
        match &self.cause {
            Some(cause) => self.finish(cause.code, now),
            None if self.records.is_empty() => self.finish(0, now),
            None => return false,
        }
        true
    }

    /// Actor `index`'s execute returned, and nothing of it goes on. Once an actor: a
    /// second report, or one from an actor that does not exist or does not run, is
    /// refused.
    pub fn returned(&mut self, index: usize, outcome: Outcome, now: Nanos) -> Result<(), Error> {
        let finished = match self.phase {
            Phase::Adding | Phase::Starting => return Err(Error::State),
            Phase::Finished(_) => true,
            Phase::Running | Phase::Stopping => false,
        };
        let record = self.records.get_mut(index).ok_or(Error::Invalid)?;
        let known = record.returned.is_some();
        if (known && !record.ending) || (finished && !record.stuck.on_its_thread()) {
            return Err(Error::State);
        }
        record.ending = false;
        self.outstanding -= 1;
        if known {
            return Ok(());
        }
        record.returned = Some(now);
        if !finished {
            self.has_returned(index, outcome, now);
        } // else the report stays as it was when the run ended
        Ok(())
    }

    /// Actor `index`'s execute returned, but its thread goes on: what it still does
    /// may wait for the group's stop, so that this is not put off until it has ended
    /// (rule 4). [`Machine::returned`] follows.
    pub fn first_returned(
        &mut self,
        index: usize,
        outcome: Outcome,
        now: Nanos,
    ) -> Result<(), Error> {
        let record = self.records.get_mut(index).ok_or(Error::Invalid)?;
        match self.phase {
            Phase::Running | Phase::Stopping if record.returned.is_none() => {
                record.ending = true;
                record.returned = Some(now);
                self.has_returned(index, outcome, now);
                Ok(())
            }
            Phase::Finished(_) => Ok(()),
            _ => Err(Error::State),
        }
    }

    fn has_returned(&mut self, index: usize, outcome: Outcome, now: Nanos) {
        self.note(EventKind::Returned, Some(index), outcome.code, now);
        if self.phase == Phase::Running {
            let Outcome { code, message } = outcome.copy();
            let index = Some(index);
            let cause = Cause {
                code,
                index,
                message,
            };
            self.stopping(cause, now);
        }
        self.records[index].outcome = Some(outcome);
    }

    /// The start of actor `index` returned; a panic in it ends nothing but the
    /// call.
    pub fn start_returned(&mut self, index: usize) -> Result<(), Error> {
        let record = self.records.get_mut(index).ok_or(Error::Invalid)?;
        if record.start != Start::Called {
            return Err(Error::State);
        }
        record.start = Start::Returned;
        self.outstanding -= 1;
        Ok(())
    }

    /// Actor `index`'s interrupt returned; `complaint` is its panic, if any.
    pub fn interrupt_returned(
        &mut self,
        index: usize,
        complaint: Option<Message>,
        now: Nanos,
    ) -> Result<(), Error> {
        let record = self.records.get_mut(index).ok_or(Error::Invalid)?;
        if record.interrupting.is_none() || record.interrupted.is_some() {
            return Err(Error::State);
        }
        record.interrupted = Some(now);
        self.outstanding -= 1;
        if !matches!(self.phase, Phase::Finished(_)) {
            record.complaint = complaint;
            self.note(EventKind::Interrupted, Some(index), 0, now);
        }
        Ok(())
    }

    /// Actor `index`'s execute returned, but its thread has not ended, so that it
    /// does not count as returned (rule 10).
    pub fn ending(&mut self, index: usize) {
        self.records[index].ending = true;
    }

    /// The group is stopped from outside (rule 9).
    pub fn stop(&mut self, code: i32, now: Nanos) {
        if self.cause.is_some() || matches!(self.phase, Phase::Finished(_)) {
            return;
        }
        let cause = Cause {
            code,
            index: None,
            message: NO_MESSAGE,
        };
        match self.phase {
            Phase::Adding | Phase::Starting => self.cause = Some(cause),
            _ => self.stopping(cause, now),
        }
    }

    /// What a signal actor heard after its execute had returned (rule 16): the
    /// report has it for the actor's outcome.
    pub fn amend(&mut self, index: usize, outcome: Outcome) {
        self.records[index].outcome = Some(outcome);
    }

    fn stopping(&mut self, cause: Cause, now: Nanos) {
        self.note(EventKind::Stopping, cause.index, cause.code, now);
        self.cause = Some(cause);
        self.phase = Phase::Stopping;
        self.stopping_at = now;
    }

    // ---- next step out --------------------------------------------------

    /// What to do now. Ask again after each step that was carried out, after
    /// each event, and when the time waited for is reached.
    pub fn next(&mut self, now: Nanos) -> Step {
        let stopping = match self.phase {
            Phase::Adding | Phase::Starting => return Step::Wait(None),
            Phase::Finished(code) => return Step::Finish(code),
            Phase::Running => false,
            Phase::Stopping => true,
        };
        if let Some(mut current) = self.current {
            if stopping && current.until.is_none() {
                // A start that was called before stopping began.
                current.until = self.share(now);
                self.current = Some(current);
            }
            let overran = current.until.is_some_and(|until| now >= until);
            if !self.settled(current.call) && !overran {
                return Step::Wait(current.until);
            }
            self.current = None;
        }
        if let Some(index) = self.next_start(now) {
            return Step::Start(index);
        }
        if !stopping {
            return Step::Wait(None);
        }
        if let Some(index) = self.next_interrupt() {
            self.handed_out += 1;
            self.records[index].interrupting = Some(now);
            self.note(EventKind::Interrupting, Some(index), 0, now);
            self.call(Call::Interrupt(index), now);
            return Step::Interrupt(index);
        }
        let deadline = self.deadline();
        if self.outstanding == 0 && self.all_told() {
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

    /// The next start to be called, in order of addition (rule 3): what
    /// [`Machine::next`] hands out first. A driver whose thread may be held up by
    /// a start takes them all before it asks for the next step.
    pub fn next_start(&mut self, now: Nanos) -> Option<usize> {
        if self.starts_left == 0 {
            return None;
        }
        let waits = |record: &Record| record.start == Start::Waiting;
        let index = self.starts_seen + self.records[self.starts_seen..].iter().position(waits)?;
        self.starts_seen = index;
        self.starts_left -= 1;
        self.records[index].start = Start::Called;
        self.call(Call::Start(index), now);
        Some(index)
    }

    fn call(&mut self, call: Call, now: Nanos) {
        let until = match self.phase {
            Phase::Stopping => self.share(now),
            _ => None,
        };
        self.current = Some(Current { call, until });
    }

    /// Whether the next interrupt may be called although this call has not returned.
    fn settled(&self, call: Call) -> bool {
        match call {
            Call::Start(index) => self.records[index].start == Start::Returned,
            Call::Interrupt(index) => {
                let record = &self.records[index];
                record.interrupted.is_some()
                    && (self.order != Order::Staged
                        || (record.returned.is_some() && !record.ending))
            }
        }
    }

    fn next_interrupt(&self) -> Option<usize> {
        let count = self.records.len();
        (self.handed_out < count).then(|| match self.order {
            Order::Added => self.handed_out,
            Order::Reverse | Order::Staged => count - 1 - self.handed_out,
        })
    }

    /// After [`Step::Wait`]: what must happen before there is something new to
    /// do, the time apart.
    pub fn awaited(&self) -> Awaited {
        match self.current.map(|current| current.call) {
            _ if self.events.is_some() => Awaited::Any,
            Some(Call::Interrupt(index)) if self.records[index].interrupted.is_some() => {
                Awaited::Execute(index)
            }
            Some(Call::Interrupt(index)) => Awaited::Interrupt(index),
            // Also the first return, from which this start's share of the grace counts.
            Some(Call::Start(index)) if self.phase == Phase::Stopping => Awaited::Start(index),
            Some(Call::Start(_)) => Awaited::Any,
            None if self.phase == Phase::Stopping => Awaited::Last,
            None => Awaited::Any,
        }
    }

    /// When the grace is over; `None`: there is none, or stopping has not begun.
    pub fn deadline(&self) -> Option<Nanos> {
        let grace = self.grace.filter(|_| self.phase == Phase::Stopping)?;
        Some(self.stopping_at.saturating_add(grace))
    }

    /// Until when the call just handed out may hold up the next: an equal share
    /// of what is left of the grace, so that each gets its turn. Unless staged,
    /// one share more is kept for the executes. Shares of some microseconds
    /// would call the next interrupt before the thread that makes this call got
    /// to run, out of order, hence a floor.
    fn share(&self, now: Nanos) -> Option<Nanos> {
        const FLOOR: Nanos = 25_000_000;
        let left = self.deadline()?.saturating_sub(now);
        let later = self.records.len() - self.handed_out + self.starts_left;
        let shares = later + 1 + usize::from(self.order != Order::Staged);
        let share = (left / shares as u64).max(FLOOR.min(left / 2));
        Some(now.saturating_add(share))
    }

    fn mark_stuck(&mut self, now: Nanos) {
        let told = self.all_told();
        for index in 0..self.records.len() {
            let record = &mut self.records[index];
            let returned = record.returned.is_some();
            record.stuck = Stuck {
                execute: !returned && !record.ending,
                start: record.start == Start::Called,
                interrupt: record.interrupted.is_none(),
                thread: record.ending,
            };
            if record.stuck.any() {
                self.note(EventKind::Stuck, Some(index), 0, now);
            }
        }
        self.observer_stuck = !told;
    }

    /// The observer has not taken the last events in time either.
    pub fn observer_overran(&mut self) {
        self.observer_stuck = true;
        self.phase = Phase::Finished(Error::TimedOut.code());
    }

    fn finish(&mut self, code: i32, now: Nanos) {
        self.phase = Phase::Finished(code);
        self.finished_at = now;
        self.note(EventKind::Stopped, None, code, now);
    }

    fn note(&mut self, kind: EventKind, index: Option<usize>, code: i32, at: Nanos) {
        if let Some(events) = &mut self.events {
            events.push_back(Event {
                kind,
                index,
                code,
                at,
            });
        }
    }

    // ---- what is known --------------------------------------------------

    /// Whether there are events that nobody has taken.
    pub fn has_events(&self) -> bool {
        self.events
            .as_ref()
            .is_some_and(|events| !events.is_empty())
    }

    /// Whether the observer has been called with every event. True where it has no
    /// thread: there the driver calls it before each step.
    pub fn all_told(&self) -> bool {
        !self.observed_apart || !(self.telling || self.has_events())
    }

    /// The next event for the observer's thread, which calls [`Machine::told`] once the
    /// observer has returned. None: there is no event, or the run is over.
    pub fn tell(&mut self) -> Option<Event> {
        if self.observer_stuck {
            return None;
        }
        let event = self.next_event();
        self.telling = event.is_some();
        event
    }

    /// The observer has returned.
    pub fn told(&mut self) {
        self.telling = false;
    }

    /// Whether the observer had not returned when the grace was over.
    pub fn observer_stuck(&self) -> bool {
        self.observer_stuck
    }

    /// Whether the observer has a thread of its own.
    pub fn observed_apart(&self) -> bool {
        self.observed_apart
    }

    /// Takes the oldest event that nobody has taken.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.as_mut()?.pop_front()
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

    /// How many starts, executes and interrupts have not returned.
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
