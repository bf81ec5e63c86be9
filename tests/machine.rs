//! The state machine against `docs/specification.md`, whose rows and invariants
//! the checks name: every order of events of up to three actors, and random
//! orders of more.
//!
//! In a [`World`] whatever can happen next is a choice: all are taken in turn, from
//! every state that can be reached, or one at random. The driver behaves as the
//! runners do: it asks again only when woken or when its time is over.

use proptest::prelude::*;
use rungroup::machine::{Awaited, Event, EventKind, Machine, Nanos, Outcome, Step};
use rungroup::{Error, Order};
use std::collections::{BTreeSet, HashSet};
use std::ffi::CString;

const ORDERS: [Order; 3] = [Order::Added, Order::Reverse, Order::Staged];

/// What a history is about.
#[derive(Clone, Copy, Debug)]
struct Plan {
    actors: usize,
    /// How many of them, the first, have no thread, but a start.
    starts: usize,
    order: Order,
    grace: Option<Nanos>,
    /// How many stops come from outside.
    stops: usize,
    /// Whether there is an observer.
    observed: bool,
    /// Whether actors may be stuck for ever: histories that stop early.
    stuck: bool,
    /// How often the driver may be late.
    late: usize,
    /// Whether an actor may return before its thread ends.
    first: bool,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happens {
    StartReturns(usize),
    /// And its thread goes on: returns again when that has ended.
    FirstReturns(usize),
    Returns(usize),
    InterruptReturns(usize),
    Stop,
    Ask,
    Time,
    /// Nobody returns any more.
    Stuck,
}

#[derive(Clone, Debug)]
struct World {
    plan: Plan,
    machine: Machine,
    now: Nanos,
    /// The driver is to ask.
    awake: bool,
    /// What the driver was told to wait for.
    until: Option<Nanos>,
    awaited: Awaited,
    /// When the last call's share of the grace is over.
    share: Option<Nanos>,
    stops: usize,
    late: usize,
    stuck: bool,
    punctual: bool,
    // The specification's variables.
    cause: Option<(i32, Option<usize>)>,
    t0: Nanos,
    returned: BTreeSet<usize>,
    /// The one whose thread goes on, and whether there may be one.
    ending: Option<usize>,
    first: bool,
    started: usize,
    starts_returned: usize,
    handed_out: Vec<usize>,
    interrupted: BTreeSet<usize>,
    finished: Option<(i32, String)>,
    events: Vec<Event>,
}

/// The code with which an actor returns.
fn code_of(index: usize) -> i32 {
    100 + index as i32
}

impl World {
    fn new(plan: Plan) -> World {
        let mut machine = Machine::new();
        for index in 0..plan.actors {
            let name = (index % 2 == 0).then(|| CString::new(format!("a{index}")).unwrap());
            let added = match index < plan.starts {
                true => machine.add_async(name),
                false => machine.add(name),
            };
            assert_eq!(added, Ok(index)); // E1
        }
        machine.set_order(plan.order).unwrap();
        machine.set_grace(plan.grace).unwrap();
        machine.set_observed(plan.observed).unwrap();
        World {
            plan,
            machine,
            now: 0,
            awake: true,
            until: None,
            awaited: Awaited::Any,
            share: None,
            stops: plan.stops,
            late: plan.late,
            stuck: false,
            punctual: true,
            cause: None,
            t0: 0,
            returned: BTreeSet::new(),
            ending: None,
            first: plan.first,
            started: 0,
            starts_returned: 0,
            handed_out: Vec::new(),
            interrupted: BTreeSet::new(),
            finished: None,
            events: Vec::new(),
        }
    }

    /// The machine, with all that it holds: what is refused leaves it so (S0).
    fn seen(&self) -> String {
        format!("{:?}", self.machine)
    }

    /// What the report is made from (I11).
    fn report(&self) -> String {
        let records = self.machine.records().iter().map(|record| {
            // That a stuck one returned later is known, but not told.
            let (returned, interrupted) = (record.returned_in_time(), record.interrupted_in_time());
            let (outcome, complaint) = (&record.outcome, &record.complaint);
            format!(
                "{:?}",
                (returned, interrupted, outcome, complaint, record.stuck)
            )
        });
        let records: Vec<_> = records.collect();
        format!(
            "{records:?} {:?} {:?} {}",
            self.machine.cause(),
            self.machine.finished(),
            self.machine.finished_at()
        )
    }

    /// What may happen now; nothing: the history is at its end.
    fn may(&self) -> Vec<Happens> {
        let mut may: Vec<Happens> = Vec::new();
        if !self.stuck && self.started() {
            may.extend(
                (self.starts_returned..self.started)
                    .take(1)
                    .map(Happens::StartReturns),
            );
            let all = 0..self.plan.actors;
            let running = all.filter(|index| !self.has_ended(*index));
            may.extend(running.clone().map(Happens::Returns));
            if self.first {
                let on_threads = running.filter(|&index| index >= self.plan.starts);
                may.extend(on_threads.map(Happens::FirstReturns));
            }
            let open = self.handed_out.iter().copied();
            let open = open.filter(|index| !self.interrupted.contains(index));
            may.extend(open.map(Happens::InterruptReturns));
        }
        if self.stops > 0 {
            may.push(Happens::Stop);
        }
        if self.awake && self.finished.is_none() {
            may.push(Happens::Ask);
        }
        let waits = !self.awake && self.until.is_some();
        let late = self.late > 0 && self.awake && self.cause.is_some();
        if self.finished.is_none() && self.plan.grace.is_some() && (waits || late) {
            may.push(Happens::Time);
        }
        if self.plan.stuck && !self.stuck && self.plan.grace.is_some() && self.cause.is_some() {
            may.push(Happens::Stuck);
        }
        may
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::StartReturns(index) => self.start_returns(index),
            Happens::FirstReturns(index) => self.first_returns(index),
            Happens::Returns(index) => self.returns(index),
            Happens::InterruptReturns(index) => self.interrupt_returns(index),
            Happens::Stop => self.stop(),
            Happens::Ask => self.ask(),
            Happens::Time => self.pass(),
            Happens::Stuck => self.stuck = true,
        }
        self.holds();
        self.refuses();
    }

    fn started(&self) -> bool {
        self.machine.started_at().is_some()
    }

    /// What comes before the actors run, after a stop (E10), with one while they are
    /// made ready (E11), or without.
    fn begin(mut self, stopped: Stopped) -> World {
        assert_eq!(self.machine.next(0), Step::Wait(None)); // N1
        if stopped == Stopped::Before {
            self.stops += 1;
            self.stop();
        }
        let before = self.seen();
        let begun = self.machine.begin().unwrap();
        // E2, E3, E4
        assert_eq!(begun, self.cause.is_none() && self.plan.actors > 0);
        if begun {
            self.machine.retract(); // E5
            assert_eq!(self.seen(), before);
            assert_eq!(self.machine.begin(), Ok(true));
            if stopped == Stopped::Meanwhile {
                self.stops += 1;
                self.stop();
            }
            assert_eq!(self.machine.started(self.now), self.cause.is_none());
        }
        if !self.started() {
            let code = self.cause.map_or(0, |(code, _)| code);
            assert_eq!(self.machine.next(self.now), Step::Finish(code));
            self.finished = Some((code, self.report()));
        }
        self.holds();
        self.refuses();
        self
    }

    /// What no row allows (S0).
    fn refuses(&mut self) {
        let (before, started) = (self.seen(), self.started());
        let (machine, now) = (&mut self.machine, self.now);
        assert_eq!(machine.add(None), Err(Error::State));
        assert_eq!(machine.set_order(Order::Staged), Err(Error::State));
        assert_eq!(machine.set_grace(None), Err(Error::State));
        assert_eq!(machine.set_observed(true), Err(Error::State));
        assert_eq!(machine.begin(), Err(Error::State));
        let outcome = Outcome::code(1);
        let count = self.plan.actors;
        assert!(machine.returned(count, outcome.clone(), now).is_err());
        assert!(machine.interrupt_returned(count, None, now).is_err());
        for index in 0..count {
            if self.returned.contains(&index) || !started {
                let first = machine.first_returned(index, outcome.clone(), now);
                assert!(first.is_err() || self.finished.is_some());
            }
            if (self.returned.contains(&index) && self.ending != Some(index)) || !started {
                let again = machine.returned(index, outcome.clone(), now);
                assert_eq!(again, Err(Error::State));
            }
            if !self.handed_out.contains(&index) || self.interrupted.contains(&index) {
                let wrong = machine.interrupt_returned(index, None, now);
                assert_eq!(wrong, Err(Error::State));
            }
        }
        if self.cause.is_some() || self.finished.is_some() {
            machine.stop(77, now); // E13
        }
        assert_eq!(self.seen(), before);
    }

    fn open(&self) -> usize {
        let all = 2 * self.plan.actors + self.plan.starts + usize::from(self.ending.is_some());
        all - self.returned.len() - self.interrupted.len() - self.starts_returned
    }

    fn deadline(&self) -> Option<Nanos> {
        Some(self.t0 + self.plan.grace?)
    }

    /// Its execute has returned, and its thread ended.
    fn has_ended(&self, index: usize) -> bool {
        self.returned.contains(&index) && self.ending != Some(index)
    }

    fn outcome(index: usize) -> Outcome {
        match index {
            1 => Outcome::panic("no luck"),
            _ => Outcome::code(code_of(index)),
        }
    }

    fn first_returns(&mut self, index: usize) {
        let outcome = World::outcome(index);
        self.first = false;
        self.machine
            .first_returned(index, outcome, self.now)
            .expect("E7', E8'");
        if self.finished.is_none() {
            self.ending = Some(index);
            self.is_cause(index);
        }
    }

    fn returns(&mut self, index: usize) {
        self.machine
            .returned(index, World::outcome(index), self.now)
            .expect("E7, E8, E9, E14");
        self.ending = self.ending.filter(|&ending| ending != index);
        self.is_cause(index);
        self.wakes(Awaited::Execute(index));
    }

    fn is_cause(&mut self, index: usize) {
        self.returned.insert(index);
        if self.cause.is_none() {
            self.cause = Some((World::outcome(index).code, Some(index)));
            self.t0 = self.now;
            self.awake |= self.awaited == Awaited::Any;
        }
    }

    fn start_returns(&mut self, index: usize) {
        self.machine.start_returned(index).expect("E6");
        self.starts_returned += 1;
        self.wakes(Awaited::Start(index));
    }

    fn interrupt_returns(&mut self, index: usize) {
        let complaint = (index % 2 == 1).then(|| CString::new("ouch").unwrap().into());
        self.machine
            .interrupt_returned(index, complaint, self.now)
            .expect("E10");
        self.interrupted.insert(index);
        self.wakes(Awaited::Interrupt(index));
    }

    /// The driver sleeps until what it awaits: that this is enough shows in I9.
    fn wakes(&mut self, what: Awaited) {
        self.awake |= match self.awaited {
            Awaited::Any => true,
            Awaited::Last => self.open() == 0,
            awaited => awaited == what,
        };
    }

    fn stop(&mut self) {
        self.stops -= 1;
        let code = 7 + self.stops as i32;
        self.machine.stop(code, self.now);
        if self.cause.is_none() && self.finished.is_none() {
            self.cause = Some((code, None));
            self.t0 = self.now;
            self.awake |= self.awaited == Awaited::Any;
        }
    }

    /// Time goes on: to when the driver wants to be woken, or a moment further
    /// than it should.
    fn pass(&mut self) {
        if !self.awake
            && let Some(until) = self.until
        {
            self.now = self.now.max(until);
            self.awake = true;
        } else {
            self.late -= 1;
            self.now += 1 + self.plan.grace.unwrap_or(0) / 3;
            self.punctual = false;
        }
    }

    fn ask(&mut self) {
        if self.cause.is_some() && self.started > self.starts_returned && self.share.is_none() {
            // A start that was called before stopping began.
            self.share = self.new_share();
        }
        let step = self.machine.next(self.now);
        match step {
            Step::Start(index) => {
                assert_eq!(index, self.started, "N4");
                assert!(
                    self.handed_out.is_empty(),
                    "a start comes before interrupts"
                );
                let overran = self.share.is_some_and(|until| self.now >= until);
                assert!(self.started == self.starts_returned || overran, "I4");
                self.started += 1;
                self.share = self.new_share();
            }
            Step::Interrupt(index) => {
                // N6, I2, I3
                assert!(self.cause.is_some());
                let position = self.handed_out.len();
                let expected = match self.plan.order {
                    Order::Added => position,
                    _ => self.plan.actors - 1 - position,
                };
                assert_eq!(index, expected);
                // I4, and with a grace only an overrun lets it go on.
                if let Some(&before) = self.handed_out.last() {
                    let settled = self.interrupted.contains(&before)
                        && (self.plan.order != Order::Staged || self.has_ended(before));
                    let overran = self.share.is_some_and(|until| self.now >= until);
                    assert!(settled || overran, "I4");
                }
                assert_eq!(self.started, self.plan.starts, "N4");
                if self.punctual
                    && let Some(deadline) = self.deadline()
                {
                    assert!(self.now <= deadline, "I8");
                }
                self.handed_out.push(index);
                self.share = self.new_share();
            }
            Step::Wait(until) => {
                assert!(self.finished.is_none());
                // N3, N9
                let open = self.handed_out.len() < self.plan.actors;
                let wait = if open { self.share } else { self.deadline() };
                let wait = wait.filter(|_| self.cause.is_some());
                assert!(until == wait || until == self.share, "{until:?} {wait:?}");
                self.awake = false;
                self.until = until;
                self.awaited = self.machine.awaited();
                if let Some(until) = until {
                    assert!(until > self.now, "a wait for what is past spins");
                    assert!(Some(until) <= self.deadline(), "I8");
                } else {
                    assert!(self.cause.is_none() || self.plan.grace.is_none(), "I8");
                }
            }
            Step::Finish(code) => {
                assert_eq!(self.handed_out.len(), self.plan.actors, "I5");
                let cause = self.cause.expect("I6").0;
                if code == Error::TimedOut.code() {
                    let deadline = self.deadline().expect("I7");
                    assert!(self.now >= deadline && self.open() > 0, "I7");
                    assert!(!self.punctual || self.now == deadline, "I8");
                } else {
                    assert_eq!((code, self.open()), (cause, 0), "I6");
                }
                for (index, record) in self.machine.records().iter().enumerate() {
                    let execute = !self.returned.contains(&index);
                    let interrupt = !self.interrupted.contains(&index);
                    assert_eq!(record.stuck.execute, execute, "I7");
                    assert_eq!(record.stuck.interrupt, interrupt, "I7");
                    let start = (self.starts_returned..self.plan.starts).contains(&index);
                    assert_eq!(record.stuck.start, start, "I7");
                    let thread = self.ending == Some(index);
                    assert_eq!(record.stuck.thread, thread, "I7");
                    assert_eq!(record.stuck.any(), execute || interrupt || start || thread);
                    assert_eq!(record.panicked(), index == 1 && !execute);
                }
                assert_eq!(self.machine.finished_at(), self.now);
                self.finished = Some((code, self.report()));
            }
        }
        self.same_again(step);
    }

    /// What is left of the grace, in equal shares; at least 25 ms, or half of it.
    fn new_share(&self) -> Option<Nanos> {
        self.cause?;
        let left = self.deadline()?.saturating_sub(self.now);
        let later = self.plan.actors - self.handed_out.len() + self.plan.starts - self.started;
        let executes = usize::from(self.plan.order != Order::Staged);
        let share = left / (later + 1 + executes) as u64;
        Some(self.now + share.max(left / 2).min(share.max(25_000_000)))
    }

    fn same_again(&mut self, step: Step) {
        // Asking again without an event says the same, unless it was a step.
        if !matches!(step, Step::Interrupt(_) | Step::Start(_)) {
            let before = self.seen();
            assert_eq!(self.machine.next(self.now), step); // N2, N3, N5, N9
            assert_eq!(self.seen(), before);
        }
    }

    /// After every event.
    fn holds(&mut self) {
        let cause = self.machine.cause().map(|cause| (cause.code, cause.index));
        assert_eq!(cause, self.cause, "I1");
        let open = if self.started() { self.open() } else { 0 };
        assert_eq!(self.machine.outstanding(), open);
        if let Some((code, report)) = &self.finished {
            assert_eq!(self.machine.next(self.now), Step::Finish(*code), "N2");
            assert_eq!(self.machine.finished(), Some(*code));
            assert_eq!(&self.report(), report, "I11");
        }
        assert!(self.plan.observed || !self.machine.has_events());
        while let Some(event) = self.machine.next_event() {
            self.events.push(event);
        }
    }

    /// Nothing can happen any more.
    fn ended(&self) {
        // The histories end when nobody can move: then the run is over (I9),
        // unless somebody never returns and there is no grace to end that.
        let (code, _) = self.finished.clone().expect("I9: it hangs");
        if !self.stuck && self.started() {
            assert_eq!(self.open(), 0, "I9");
        }
        if !self.plan.observed {
            return assert!(self.events.is_empty());
        }
        // I12
        let ordered = self.events.windows(2).all(|pair| pair[0].at <= pair[1].at);
        assert!(ordered, "{:?}", self.events);
        let count = |kind, index| {
            let same = |event: &&Event| event.kind == kind && event.index == index;
            self.events.iter().filter(same).count()
        };
        for (index, record) in self.machine.records().iter().enumerate() {
            let of = |kind| count(kind, Some(index));
            let in_time = |stuck: bool, done: bool| usize::from(done && !stuck);
            assert_eq!(of(EventKind::Started), usize::from(self.started()));
            let returned = usize::from(record.returned_in_time().is_some());
            assert_eq!(of(EventKind::Returned), returned);
            let interrupted = in_time(record.stuck.interrupt, record.interrupted.is_some());
            assert_eq!(of(EventKind::Interrupted), interrupted);
            let handed_out = usize::from(record.interrupting.is_some());
            assert_eq!(of(EventKind::Interrupting), handed_out);
            assert_eq!(of(EventKind::Stuck), usize::from(record.stuck.any()));
        }
        if self.started() {
            let who = self.cause.expect("a cause").1;
            assert_eq!(count(EventKind::Stopping, who), 1);
        }
        if let Some(stopping) = position(&self.events, EventKind::Stopping) {
            let started = self
                .events
                .iter()
                .rposition(|event| event.kind == EventKind::Started);
            assert!(started < Some(stopping), "I10");
        }
        let last = self.events.last().expect("the end is one");
        assert_eq!((last.kind, last.code), (EventKind::Stopped, code));
    }
}

fn position(events: &[Event], kind: EventKind) -> Option<usize> {
    events.iter().position(|event| event.kind == kind)
}

/// When a stop comes from outside, that does not come while the actors run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Not,
    Before,
    Meanwhile,
}

/// From every state that can be reached, whatever may happen; gives how many
/// states there are.
fn every_state(plan: Plan) -> usize {
    let mut seen = HashSet::new();
    let mut waiting: Vec<World> = [Stopped::Not, Stopped::Before, Stopped::Meanwhile]
        .map(|stopped| World::new(plan).begin(stopped))
        .into();
    while let Some(world) = waiting.pop() {
        if !seen.insert(format!("{world:?}")) {
            continue;
        }
        let may = world.may();
        if may.is_empty() {
            world.ended();
        }
        for what in may {
            let mut next = world.clone();
            next.happens(what);
            waiting.push(next);
        }
    }
    seen.len()
}

#[test]
fn every_order_of_events_of_up_to_three_actors() {
    let mut states = 0;
    for actors in 0..=3 {
        for order in ORDERS {
            for grace in [None, Some(0), Some(900)] {
                // More with starts, or with a return before the thread's end, are too many
                // states to go through here.
                for (starts, first) in (0..=actors).flat_map(|n| [(n, false), (n, true)]) {
                    if actors == 3 && (starts > 0 || first) {
                        continue;
                    }
                    let plain = actors < 3 && starts == 0 && !first;
                    states += every_state(Plan {
                        actors,
                        starts,
                        order,
                        grace,
                        stops: 1,
                        // Its events tell the orders apart, where else states are one.
                        observed: plain,
                        stuck: true,
                        late: usize::from(plain),
                        first,
                    });
                }
            }
        }
    }
    println!("{states} states");
    assert!(states > 10_000);
}

/// S0, before there is anything that could return.
#[test]
fn nothing_returns_before_it_begins() {
    let mut machine = Machine::default();
    assert_eq!(machine.add(None), Ok(0));
    let early = machine.returned(0, Outcome::code(3), 1);
    assert_eq!(early.err(), Some(Error::State));
    assert_eq!(machine.start_returned(0), Err(Error::State));
    let early = machine.interrupt_returned(0, None, 1);
    assert_eq!(early.err(), Some(Error::State));
    assert_eq!(machine.next(1), Step::Wait(None));
    assert!(machine.begin().unwrap() && machine.cause().is_none());
}

/// I7: of an actor whose execute has returned, its thread is.
#[test]
fn a_thread_that_does_not_end_is_stuck() {
    let mut machine = Machine::default();
    machine.set_grace(Some(10)).unwrap();
    machine.add(None).unwrap();
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    machine.returned(0, Outcome::code(3), 1).unwrap();
    for index in 0..2 {
        assert_eq!(machine.next(1), Step::Interrupt(index));
        machine.interrupt_returned(index, None, 1).unwrap();
    }
    assert_eq!(machine.next(1), Step::Wait(Some(11)));
    machine.ending(1);
    assert_eq!(machine.next(11), Step::Finish(Error::TimedOut.code()));
    let stuck = machine.records()[1].stuck;
    assert_eq!((stuck.execute, stuck.interrupt), (false, false));
    assert!(stuck.thread && !machine.records()[0].stuck.any());
}

/// A group of one actor that has returned and been interrupted, at 1, with a grace of 10
/// and an observer that has a thread of its own.
fn returned_but_not_told() -> Machine {
    let mut machine = Machine::default();
    machine.set_grace(Some(10)).unwrap();
    machine.set_observed(true).unwrap();
    machine.set_observed_apart(true);
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    machine.returned(0, Outcome::code(3), 1).unwrap();
    assert_eq!(machine.next(1), Step::Interrupt(0));
    machine.interrupt_returned(0, None, 1).unwrap();
    assert!(machine.observed_apart() && machine.has_events() && !machine.all_told());
    assert_eq!(machine.next(1), Step::Wait(Some(11)));
    machine
}

/// N7: the run waits until the observer has been called with every event.
#[test]
fn an_observer_with_a_thread_is_waited_for() {
    let mut machine = returned_but_not_told();
    while machine.tell().is_some() {
        assert!(!machine.all_told());
        assert_eq!(machine.next(1), Step::Wait(Some(11)));
        machine.told();
    }
    assert!(machine.all_told() && !machine.has_events());
    assert_eq!(machine.next(1), Step::Finish(3));
    assert!(!machine.observer_stuck());
    // The end itself is one more event.
    assert!(!machine.all_told());
    assert_eq!(
        machine.tell().map(|event| event.kind),
        Some(EventKind::Stopped)
    );
    machine.told();
    assert!(machine.all_told());
}

/// N8: an observer that does not return is stuck, and is told nothing any more.
#[test]
fn an_observer_with_a_thread_may_be_stuck() {
    let mut machine = returned_but_not_told();
    assert!(machine.tell().is_some());
    let timed_out = Error::TimedOut.code();
    assert_eq!(machine.next(11), Step::Finish(timed_out));
    assert!(machine.observer_stuck() && !machine.records()[0].stuck.any());
    machine.told();
    assert!(machine.has_events() && machine.tell().is_none());

    let mut machine = returned_but_not_told();
    while machine.tell().is_some() {
        machine.told();
    }
    assert_eq!(machine.next(1), Step::Finish(3));
    machine.observer_overran();
    assert!(machine.observer_stuck());
    assert_eq!(
        (machine.finished(), machine.finished_at()),
        (Some(timed_out), 1)
    );
}

/// A start that was called before stopping began has a share of the grace as well, and so
/// have those that were not.
#[test]
fn a_start_has_a_share_of_the_grace() {
    const MS: Nanos = 1_000_000;
    let mut machine = Machine::default();
    machine.set_grace(Some(800 * MS)).unwrap();
    machine.add_async(None).unwrap();
    machine.add_async(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    assert_eq!(machine.next(0), Step::Start(0));
    assert_eq!(machine.next(0), Step::Wait(None));
    machine.stop(3, 0);
    // This start, the other one, two interrupts, and the executes.
    assert_eq!(machine.next(0), Step::Wait(Some(160 * MS)));
    assert_eq!(machine.next(160 * MS), Step::Start(1));
    // This start, two interrupts, the executes.
    assert_eq!(machine.next(160 * MS), Step::Wait(Some(320 * MS)));
    assert_eq!(machine.next(320 * MS), Step::Interrupt(0));
    assert_eq!(machine.next(320 * MS), Step::Wait(Some(480 * MS)));
    assert_eq!(machine.next(480 * MS), Step::Interrupt(1));
    assert_eq!(machine.next(480 * MS), Step::Wait(Some(640 * MS)));
    assert_eq!(machine.next(640 * MS), Step::Wait(Some(800 * MS)));
    let timed_out = Error::TimedOut.code();
    assert_eq!(machine.next(800 * MS), Step::Finish(timed_out));
}

/// N4: in order of addition, also with actors that have threads in between.
#[test]
fn starts_are_called_in_order() {
    let mut machine = Machine::default();
    for index in 0..6 {
        match index % 2 {
            0 => machine.add(None).unwrap(),
            _ => machine.add_async(None).unwrap(),
        };
    }
    assert!(machine.begin().unwrap() && machine.started(0));
    for index in [1, 3, 5] {
        assert_eq!(machine.next(0), Step::Start(index));
        machine.start_returned(index).unwrap();
    }
    assert_eq!(machine.next(0), Step::Wait(None));
}

/// The driver is woken by what it waits for, and by nothing else.
#[test]
fn what_is_awaited() {
    let mut machine = Machine::default();
    machine.set_order(Order::Staged).unwrap();
    machine.add_async(None).unwrap();
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    assert_eq!(machine.awaited(), Awaited::Any);
    assert_eq!(machine.next(0), Step::Start(0));
    assert_eq!(
        (machine.next(0), machine.awaited()),
        (Step::Wait(None), Awaited::Any)
    );
    machine.stop(0, 1);
    assert_eq!(machine.awaited(), Awaited::Start(0));
    machine.start_returned(0).unwrap();
    assert_eq!(machine.next(1), Step::Interrupt(1));
    assert_eq!(machine.awaited(), Awaited::Interrupt(1));
    machine.interrupt_returned(1, None, 1).unwrap();
    assert_eq!(machine.awaited(), Awaited::Execute(1));
    machine.returned(1, Outcome::code(0), 1).unwrap();
    assert_eq!(machine.next(1), Step::Interrupt(0));
    machine.interrupt_returned(0, None, 1).unwrap();
    machine.returned(0, Outcome::code(0), 1).unwrap();
    assert_eq!(machine.next(1), Step::Finish(0));

    let mut machine = Machine::default();
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    machine.stop(0, 1);
    assert_eq!(machine.next(1), Step::Interrupt(0));
    machine.interrupt_returned(0, None, 1).unwrap();
    assert_eq!(
        (machine.next(1), machine.awaited()),
        (Step::Wait(None), Awaited::Last)
    );

    // Where there is an observer, each event is told.
    let mut machine = Machine::default();
    machine.set_observed(true).unwrap();
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    machine.stop(0, 1);
    assert_eq!(machine.next(1), Step::Interrupt(0));
    assert_eq!(machine.awaited(), Awaited::Any);
}

/// A group that is being freed takes no actors and does not begin; one that runs goes on.
#[test]
fn a_closed_group_does_not_begin() {
    let mut machine = Machine::default();
    machine.add(None).unwrap();
    machine.close();
    assert!(!machine.adding());
    assert_eq!(machine.add(None), Err(Error::State));
    assert_eq!(machine.begin(), Err(Error::State));

    let mut machine = Machine::default();
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    machine.close();
    assert_eq!(machine.finished(), None);
}

/// What reports and drivers ask for.
#[test]
fn what_is_known() {
    let mut machine = Machine::default();
    assert!(machine.adding() && !machine.observed_apart());
    assert_eq!((machine.grace(), machine.order()), (None, Order::Added));
    machine.set_grace(Some(20)).unwrap();
    machine.set_order(Order::Reverse).unwrap();
    assert_eq!(
        (machine.grace(), machine.order()),
        (Some(20), Order::Reverse)
    );
    machine.add(None).unwrap();
    machine.add(Some(c"named".into())).unwrap();
    assert_eq!(machine.name(0), c"actor-0");
    machine.add(None).unwrap();
    machine.make_names();
    let names: Vec<_> = machine
        .records()
        .iter()
        .map(|record| record.name())
        .collect();
    assert_eq!(names, [c"actor-0", c"named", c"actor-2"]);
    assert!(machine.begin().unwrap() && machine.started(5));
    assert!(!machine.adding());
    assert_eq!(machine.started_at(), Some(5));
    machine.returned(1, Outcome::code(3), 7).unwrap();
    assert_eq!((machine.stopping_at(), machine.deadline()), (7, Some(27)));
    assert_eq!(machine.outstanding(), 5);
    for index in [2, 1, 0] {
        assert_eq!(machine.next(8), Step::Interrupt(index));
        machine.interrupt_returned(index, None, 8).unwrap();
    }
    assert_eq!(machine.next(27), Step::Finish(Error::TimedOut.code()));
    assert_eq!((machine.finished_at(), machine.outstanding()), (27, 2));
    machine.returned(0, Outcome::code(0), 30).unwrap();
    let records = machine.records();
    let (stuck, returned) = (&records[0], &records[1]);
    // After the end: it is in the record, and the report does not show it.
    assert_eq!((stuck.returned, stuck.returned_in_time()), (Some(30), None));
    assert_eq!(returned.returned_in_time(), Some(7));
    assert_eq!(returned.interrupted_in_time(), Some(8));
    // From its own interrupt, or, if it returned before, from when stopping began.
    assert_eq!((stuck.to_stop(7, 27), returned.to_stop(6, 7)), (19, 1));
    assert!(!returned.panicked());
}

/// What a signal actor hears after its return is its outcome in the report (rule 16).
#[test]
fn an_outcome_may_be_amended() {
    let mut machine = Machine::default();
    machine.add(None).unwrap();
    assert!(machine.begin().unwrap() && machine.started(0));
    machine.returned(0, Outcome::code(0), 1).unwrap();
    machine.amend(0, Outcome::code(143));
    let outcome = machine.records()[0].outcome.as_ref();
    assert_eq!(outcome.map(|outcome| outcome.code), Some(143));
    assert_eq!(machine.cause().map(|cause| cause.code), Some(0));
}

/// A refusal is remembered, and only one before the run counts (rule 14).
#[test]
fn a_group_that_refused_an_actor_does_not_begin() {
    let mut machine = Machine::default();
    machine.add(None).unwrap();
    machine.refuse();
    machine.refuse();
    machine.stop(0, 0);
    assert_eq!(machine.begin(), Err(Error::Invalid));
    assert_eq!(machine.begin(), Err(Error::Invalid));

    let mut machine = Machine::default();
    assert_eq!(machine.begin(), Ok(false));
    machine.refuse();
    assert_eq!(machine.begin(), Err(Error::State));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// More actors, later drivers, any grace: whatever order it comes in.
    #[test]
    fn random_histories(
        (actors, starts) in (0..12usize).prop_flat_map(|actors| (Just(actors), 0..=actors)),
        order in 0..3usize,
        grace in proptest::option::of(0..5000u64),
        stops in 0..3usize,
        late in 0..4usize,
        (observed, stuck) in any::<(bool, bool)>(),
        choices in proptest::collection::vec(any::<u16>(), 0..400),
    ) {
        let plan = Plan { actors, starts, order: ORDERS[order], grace, stops, observed, stuck, late, first: true };
        let mut choices = choices.into_iter();
        let stopped = match choices.next().unwrap_or(3) % 8 {
            0 => Stopped::Before,
            1 => Stopped::Meanwhile,
            _ => Stopped::Not,
        };
        let mut world = World::new(plan).begin(stopped);
        loop {
            let may = world.may();
            if may.is_empty() {
                break world.ended();
            }
            // When the choices are used up, what has not happened yet does.
            let choice = choices.next().map_or(0, usize::from);
            world.happens(may[choice % may.len()]);
        }
    }

    /// The largest times overflow nothing.
    #[test]
    fn any_clock(grace in any::<u64>(), at in any::<u64>(), later in any::<u64>()) {
        let mut machine = Machine::new();
        machine.set_grace(Some(grace)).unwrap();
        machine.add(None).unwrap();
        prop_assert!(machine.begin().unwrap());
        prop_assert!(machine.started(at));
        machine.stop(1, at);
        prop_assert_eq!(machine.next(at), Step::Interrupt(0));
        let deadline = at.saturating_add(grace);
        let now = at.max(later);
        match machine.next(now) {
            Step::Wait(Some(until)) => prop_assert!(until > now && until <= deadline),
            Step::Finish(code) => {
                prop_assert_eq!(code, Error::TimedOut.code());
                prop_assert!(now >= deadline);
            }
            step => prop_assert!(false, "{:?}", step),
        }
    }
}
