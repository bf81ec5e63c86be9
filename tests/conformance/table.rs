//! Reads `cases.txt`.

use rungroup::machine::Record;
use rungroup::{Error, Order};

/// Every feature that the table knows.
pub const FEATURES: &[&str] = &[
    "async", "codes", "complain", "handles", "message", "misuse", "nested", "null", "panic",
    "process", "stack", "threads",
];

pub type Script = Vec<String>;

#[derive(Clone, Default)]
pub struct Actor {
    pub label: String,
    pub name: String,
    pub is_async: bool,
    pub signals: Vec<String>,
    pub execute: Script,
    pub start: Script,
    pub interrupt: Script,
    pub stack: usize,
    pub refused: i32,
}

#[derive(Clone, Default)]
pub struct Group {
    pub grace: Option<u64>,
    pub order: Order,
    pub actors: Vec<Actor>,
    pub before: Script,
    pub after: Script,
    pub outside: Vec<Script>,
    pub expects: Vec<String>,
    pub child: Option<Box<Group>>,
}

#[derive(Clone, Default)]
pub struct Case {
    pub name: String,
    pub rule: u32,
    pub proves: String,
    pub needs: Vec<String>,
    pub group: Group,
}

/// The first word, and what follows.
pub fn cut(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A number, or the name of an error.
pub fn number(word: &str) -> i32 {
    let error = match word {
        "RG_EINVAL" => Error::Invalid,
        "RG_ESTATE" => Error::State,
        "RG_ENOMEM" => Error::Memory,
        "RG_ESPAWN" => Error::Spawn,
        "RG_ETIMEDOUT" => Error::TimedOut,
        "RG_EPANIC" => Error::Panic,
        digits => {
            return digits
                .parse()
                .unwrap_or_else(|_| panic!("not a number: {word}"));
        }
    };
    error.code()
}

fn script(text: &str) -> Script {
    let actions = text.split(';').map(str::trim);
    actions
        .filter(|action| !action.is_empty())
        .map(str::to_owned)
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The cases, in the order of the file.
pub fn read() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/cases.txt");
    let text = std::fs::read_to_string(path).expect("the table");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, rest) = cut(line);
        if key == "case" {
            cases.push(Case {
                name: rest.to_owned(),
                ..Case::default()
            });
            continue;
        }
        statement(cases.last_mut().expect("a case comes first"), key, rest);
    }
    cases
}

fn statement(case: &mut Case, key: &str, rest: &str) {
    match key {
        "rule" => case.rule = rest.parse().expect("a rule"),
        "proves" => case.proves = rest.to_owned(),
        "needs" => case.needs = words(rest),
        "group" => case.group.child = Some(Box::default()),
        _ => {
            let Case { group, .. } = case;
            let group = match &mut group.child {
                Some(child) => child,
                None => group,
            };
            group_statement(group, key, rest);
        }
    }
}

fn group_statement(group: &mut Group, key: &str, rest: &str) {
    match key {
        "grace" => group.grace = Some(rest.parse().expect("milliseconds")),
        "order" => {
            group.order = match rest {
                "added" => Order::Added,
                "reverse" => Order::Reverse,
                "staged" => Order::Staged,
                _ => panic!("unknown order: {rest}"),
            }
        }
        "before" => group.before = script(rest),
        "after" => group.after = script(rest),
        "outside" => group.outside.push(script(rest)),
        "expect" => group.expects.push(rest.to_owned()),
        "actor" => {
            let (label, kind) = cut(rest);
            group.actors.push(Actor {
                label: label.to_owned(),
                name: label.to_owned(),
                is_async: kind == "async",
                execute: script("wait-stop; return 0"),
                ..Actor::default()
            });
        }
        _ => {
            let actor = group.actors.last_mut().expect("an actor comes first");
            match key {
                "execute" => actor.execute = script(rest),
                "start" => actor.start = script(rest),
                "interrupt" => actor.interrupt = script(rest),
                "stack" => {
                    let bytes: u64 = rest.parse().expect("bytes");
                    actor.stack = usize::try_from(bytes).unwrap_or(usize::MAX); // on 32 bits
                }
                "named" => actor.name = rest.to_owned(),
                "long-name" => actor.name = "n".repeat(rest.parse().expect("a length")),
                "without" => {}
                "on" => actor.signals = words(rest),
                "refused" => actor.refused = number(rest),
                _ => panic!("unknown line: {key} {rest}"),
            }
        }
    }
}

/// What a run left, for the comparison that both drivers share.
pub struct Seen<'a> {
    pub code: i32,
    /// The cause's actor, code and message.
    pub cause: Option<(Option<usize>, i32, String)>,
    pub records: &'a [Record],
    /// As indexes into the group's actors.
    pub interrupted: &'a [usize],
    pub overlap: bool,
}

impl Group {
    /// The actor of that label, as an index into `actors`.
    pub fn find(&self, label: &str) -> usize {
        let found = self.actors.iter().position(|actor| actor.label == label);
        found.unwrap_or_else(|| panic!("no such actor: {label}"))
    }

    /// The index that the library gives the actor.
    pub fn index(&self, actor: usize) -> usize {
        self.actors[..actor]
            .iter()
            .filter(|other| other.refused == 0)
            .count()
    }

    pub fn expects(&self, what: &str) -> bool {
        self.expects.iter().any(|expect| expect == what)
    }

    /// What differs from the expectations.
    pub fn compare(&self, seen: &Seen<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut stuck = vec![(false, false); self.actors.len()];
        let record = |label: &str| &seen.records[self.index(self.find(label))];
        for expect in &self.expects {
            let (what, rest) = cut(expect);
            let (label, values) = cut(rest);
            let good = match what {
                "code" => seen.code == number(rest),
                "cause" if label == "none" => seen.cause.is_none(),
                "cause" => {
                    let (code, text) = cut(values);
                    let index = (label != "outside").then(|| self.index(self.find(label)));
                    seen.cause.as_ref().is_some_and(|(actor, got, message)| {
                        *actor == index && *got == number(code) && message.contains(text)
                    })
                }
                "interrupted" => {
                    let wanted: Vec<_> = words(rest).iter().map(|l| self.find(l)).collect();
                    seen.interrupted == wanted
                }
                "result" => {
                    let (code, text) = cut(values);
                    record(label).outcome.as_ref().is_some_and(|outcome| {
                        outcome.code == number(code)
                            && outcome.message.to_string_lossy().contains(text)
                    })
                }
                "complaint" => record(label).complaint.as_ref().is_some_and(|complaint| {
                    !complaint.is_empty() && complaint.to_string_lossy().contains(values)
                }),
                "stuck" => {
                    stuck[self.find(label)] = (values != "interrupt", values != "execute");
                    true
                }
                "overlap" | "nothing" => true,
                _ => panic!("unknown expect: {expect}"),
            };
            if !good {
                wrong.push(format!(
                    "expected {expect}, got code {}, cause {:?}, interrupted {:?}, {:?}",
                    seen.code, seen.cause, seen.interrupted, seen.records
                ));
            }
        }
        if seen.overlap != self.expects("overlap") {
            wrong.push(format!("interrupts overlapped: {}", seen.overlap));
        }
        let accepted = self
            .actors
            .iter()
            .enumerate()
            .filter(|(_, actor)| actor.refused == 0);
        for ((at, actor), record) in accepted.zip(seen.records) {
            let got = (record.stuck.execute, record.stuck.interrupt);
            if got != stuck[at] {
                wrong.push(format!("{}: stuck {got:?}", actor.label));
            }
            let has_result = record.outcome.is_some();
            if has_result != (!self.expects("nothing") && !stuck[at].0) {
                wrong.push(format!("{}: its result: {:?}", actor.label, record.outcome));
            }
        }
        wrong
    }
}
