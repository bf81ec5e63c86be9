//! The machine alone: scripts are stepped in an order that a seed decides, and
//! the clock moves on only when nobody can. What hangs here is known to hang.

use crate::table::{Actor, Case, Group, Script, Seen, cut, number};
use rungroup::Error;
use rungroup::machine::{Awaited, Machine, Message, Nanos, Outcome, Step};
use std::collections::HashSet;
use std::ffi::CString;

pub const FEATURES: &[&str] = &["async", "complain", "message", "misuse", "panic"];

const SEEDS: u64 = 100;
const MILLISECOND: Nanos = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Execute(usize),
    Interrupt(usize),
    Outside,
}

/// A script that is being played.
struct Play {
    role: Role,
    script: Script,
    at: usize,
}

struct World<'a> {
    group: &'a Group,
    machine: Machine,
    now: Nanos,
    /// Whether the driver was woken: what it awaits has happened.
    awake: bool,
    awaited: Awaited,
    until: Option<Nanos>,
    code: Option<i32>,
    plays: Vec<Play>,
    gates: HashSet<String>,
    left: HashSet<usize>,
    executed: Vec<usize>,
    interrupted: Vec<usize>,
    interrupting: usize,
    overlap: bool,
    wrong: Vec<String>,
}

/// Every seed must agree.
pub fn run(case: &Case) -> Vec<String> {
    for seed in 1..=SEEDS {
        let mut wrong = World::run(&case.group, seed);
        if !wrong.is_empty() {
            wrong.insert(0, format!("seed {seed}"));
            return wrong;
        }
    }
    Vec::new()
}

fn message(text: &str) -> Message {
    CString::new(text).expect("no NUL").into()
}

impl<'a> World<'a> {
    fn run(group: &'a Group, seed: u64) -> Vec<String> {
        let mut world = World {
            group,
            machine: Machine::new(),
            now: 0,
            awake: true,
            awaited: Awaited::Any,
            until: None,
            code: None,
            plays: Vec::new(),
            gates: HashSet::new(),
            left: HashSet::new(),
            executed: Vec::new(),
            interrupted: Vec::new(),
            interrupting: 0,
            overlap: false,
            wrong: Vec::new(),
        };
        let mut random = seed;
        world.build();
        world.at_once(&group.before);
        for script in &group.outside {
            world.play(Role::Outside, script);
        }
        match world.machine.begin() {
            Ok(begun) => {
                if begun {
                    world.start();
                }
                world.simulate(&mut random);
            }
            Err(error) => world.code = Some(error.code()),
        }
        world.finish(&mut random);
        world.wrong
    }

    fn build(&mut self) {
        self.machine.set_order(self.group.order).unwrap();
        let grace = self.group.grace.map(|grace| grace * MILLISECOND);
        self.machine.set_grace(grace).unwrap();
        // The machine knows no limit of a name: its callers check that.
        for actor in &self.group.actors {
            if actor.refused != 0 {
                self.machine.refuse();
                continue;
            }
            let name = CString::new(&*actor.name).expect("no NUL");
            self.machine.add(Some(name)).unwrap();
        }
    }

    fn play(&mut self, role: Role, script: &Script) {
        self.plays.push(Play {
            role,
            script: script.clone(),
            at: 0,
        });
    }

    fn start(&mut self) {
        assert!(self.machine.started(self.now));
        for at in accepted(self.group) {
            let Actor {
                is_async, execute, ..
            } = &self.group.actors[at];
            self.executed.push(at);
            if !is_async {
                self.play(Role::Execute(at), execute);
            }
        }
        for at in accepted(self.group) {
            let Actor {
                is_async, start, ..
            } = &self.group.actors[at];
            if *is_async {
                self.at_once(start);
            }
        }
    }

    /// Plays a script that does not wait.
    fn at_once(&mut self, script: &Script) {
        for action in script {
            assert!(!self.waits(action), "{action} waits where nothing may");
            self.act(action);
        }
    }

    /// Until the run is over and nobody can go on.
    fn simulate(&mut self, random: &mut u64) {
        loop {
            let ready: Vec<usize> = (0..self.plays.len())
                .filter(|&at| {
                    !self.plays[at]
                        .script
                        .get(self.plays[at].at)
                        .is_some_and(|action| self.waits(action))
                })
                .collect();
            let driver = self.awake && self.code.is_none();
            let choices = ready.len() + usize::from(driver);
            if choices == 0 {
                match self.until {
                    _ if self.code.is_some() => return,
                    Some(until) => {
                        self.now = self.now.max(until);
                        self.awake = true;
                    }
                    None => {
                        self.wrong.push("it hangs".to_owned());
                        return;
                    }
                }
                continue;
            }
            // xorshift: any order will do, if the seed decides it.
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            match ready.get((*random % choices as u64) as usize) {
                Some(&at) => self.step(at),
                None => self.drive(),
            }
        }
    }

    fn drive(&mut self) {
        match self.machine.next(self.now) {
            Step::Start(index) => panic!("the start of {index} is the library's threads' matter"),
            Step::Interrupt(index) => {
                let at = accepted(self.group)[index];
                self.interrupted.push(at);
                self.overlap |= self.interrupting > 0;
                self.interrupting += 1;
                let script = &self.group.actors[at].interrupt;
                self.play(Role::Interrupt(at), script);
            }
            Step::Wait(until) => {
                self.awake = false;
                self.until = until;
                self.awaited = self.machine.awaited();
            }
            Step::Finish(code) => {
                self.code = Some(code);
                self.bounded(code);
            }
        }
    }

    /// Rule 10, to the nanosecond.
    fn bounded(&mut self, code: i32) {
        let Some(grace) = self.machine.grace() else {
            return;
        };
        let deadline = self.machine.stopping_at() + grace;
        let late = self.machine.finished_at() > deadline;
        let timed_out = code == Error::TimedOut.code();
        // An actor may return that code itself.
        let own = self.machine.cause().is_some_and(|cause| cause.code == code);
        let early = timed_out && !own && self.machine.finished_at() < deadline;
        if late || early {
            self.wrong.push(format!(
                "finished at {}, deadline {deadline}",
                self.machine.finished_at()
            ));
        }
    }

    fn waits(&self, action: &str) -> bool {
        match cut(action) {
            ("wait", gate) => !self.gates.contains(gate),
            ("wait-stop" | "wait-fd", _) => self.machine.cause().is_none(),
            _ => false,
        }
    }

    fn step(&mut self, at: usize) {
        let Play {
            role,
            script,
            at: position,
        } = &mut self.plays[at];
        let role = *role;
        let action = script.get(*position).cloned();
        *position += 1;
        let action = action.unwrap_or_else(|| "return 0".to_owned());
        let (verb, rest) = cut(&action);
        let outcome = match verb {
            "return" => Outcome::code(number(rest)),
            "fail" => {
                let (code, text) = cut(rest);
                Outcome {
                    code: number(code),
                    message: message(text),
                }
            }
            "panic" => Outcome::panic(rest),
            _ => return self.act(&action),
        };
        self.plays.swap_remove(at);
        match role {
            Role::Outside => {}
            Role::Execute(actor) => {
                self.left.insert(actor);
                let got = self.returned(actor, outcome);
                self.must(got, "a return");
            }
            Role::Interrupt(actor) => {
                self.interrupting -= 1;
                let complaint = Some(outcome.message).filter(|text| !text.is_empty());
                let index = self.group.index(actor);
                let got = self.machine.interrupt_returned(index, complaint, self.now);
                self.wakes(Awaited::Interrupt(index));
                self.must(got, "an interrupt's return");
            }
        }
    }

    fn returned(&mut self, actor: usize, outcome: Outcome) -> Result<(), Error> {
        let index = self.group.index(actor);
        self.machine.returned(index, outcome, self.now)?;
        self.wakes(Awaited::Execute(index));
        Ok(())
    }

    fn wakes(&mut self, what: Awaited) {
        self.awake |= match self.awaited {
            Awaited::Any => true,
            Awaited::Last => self.machine.outstanding() == 0,
            awaited => awaited == what,
        };
    }

    fn must(&mut self, got: Result<(), Error>, what: &str) {
        if let Err(error) = got {
            self.wrong.push(format!("{what} was refused: {error:?}"));
        }
    }

    fn act(&mut self, action: &str) {
        let (verb, rest) = cut(action);
        let (first, text) = cut(rest);
        match verb {
            "open" => drop(self.gates.insert(rest.to_owned())),
            "wait" | "wait-stop" | "wait-fd" => {}
            "stop" => {
                self.machine.stop(number(rest), self.now);
                self.awake |= self.awaited == Awaited::Any;
            }
            "check" => self.check(first, text),
            "try" => self.misuse(first, text),
            "complete" => {
                let (code, text) = cut(text);
                let got = self.complete(first, number(code), text);
                self.must(got, "a completion");
            }
            _ => panic!("unknown action: {action}"),
        }
    }

    fn complete(&mut self, label: &str, code: i32, text: &str) -> Result<(), Error> {
        let actor = self.group.find(label);
        self.left.insert(actor);
        self.returned(
            actor,
            Outcome {
                code,
                message: message(text),
            },
        )
    }

    fn check(&mut self, what: &str, which: &str) {
        let left = |world: &Self| world.left.contains(&world.group.find(which));
        let good = match what {
            "stopping" | "fd" => self.machine.cause().is_some(),
            "not-stopping" | "not-fd" => self.machine.cause().is_none(),
            "left" => left(self),
            "not-left" => !left(self),
            "open" => self.gates.contains(which),
            "closed" => !self.gates.contains(which),
            _ => panic!("unknown check: {what}"),
        };
        if !good {
            self.wrong.push(format!("check {what} {which} failed"));
        }
    }

    fn misuse(&mut self, what: &str, rest: &str) {
        let (got, error) = match what {
            "add" => (self.machine.add(None).map(drop), rest),
            "run" => (self.machine.begin().map(drop), rest),
            "grace" => (self.machine.set_grace(None), rest),
            "order" => (self.machine.set_order(self.group.order), rest),
            "complete" => {
                let (label, error) = cut(rest);
                (self.complete(label, 99, ""), error)
            }
            _ => panic!("unknown try: {what}"),
        };
        if got.err().map(Error::code) != Some(number(error)) {
            self.wrong.push(format!("try {what} gave {got:?}"));
        }
    }

    /// What is expected; then the stuck ones are let go.
    fn finish(&mut self, random: &mut u64) {
        let Some(code) = self.code else { return };
        for action in &self.group.after {
            while self.waits(action) && !self.plays.is_empty() {
                self.simulate(random);
            }
            self.act(action);
            self.simulate(random);
        }
        let cause = self.machine.cause().map(|cause| {
            (
                cause.index,
                cause.code,
                cause.message.to_string_lossy().into_owned(),
            )
        });
        self.wrong.extend(self.group.compare(&Seen {
            code,
            cause,
            records: self.machine.records(),
            interrupted: &self.interrupted,
            overlap: self.overlap,
        }));
        self.gates.insert("end".to_owned());
        self.simulate(random);
        let all = accepted(self.group);
        let called = if self.executed.is_empty() {
            Vec::new()
        } else {
            all
        };
        let mut interrupted = self.interrupted.clone();
        interrupted.sort_unstable();
        if self.executed != called || interrupted != called {
            self.wrong.push("not each was called once".to_owned());
        }
        if self.executed.is_empty()
            != (self.group.expects("nothing") || self.group.actors.is_empty())
        {
            self.wrong.push(format!("called: {:?}", self.executed));
        }
        if self.machine.outstanding() != 0 {
            self.wrong.push("something has not returned".to_owned());
        }
    }
}

/// The actors that are not refused, by their index in the library.
fn accepted(group: &Group) -> Vec<usize> {
    let actors = group.actors.iter().enumerate();
    actors
        .filter(|(_, actor)| actor.refused == 0)
        .map(|(at, _)| at)
        .collect()
}
