//! The report's data, as Rust programs read it: texts are `&str`, times are
//! [`Duration`]s since the run began.

use super::Report;
use crate::machine::{Nanos, Record, Stuck};
use std::ffi::CStr;
use std::time::Duration;

/// Why a group stops (rule 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    pub(crate) code: i32,
    pub(crate) actor: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) index: Option<usize>,
}

impl<'a> Cause<'a> {
    /// The code of the actor that returned first, or of the stop from outside.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The name of the actor that returned first; `None`: stopped from outside.
    pub fn actor(&self) -> Option<&'a str> {
        self.actor
    }

    /// What that actor said of it, or "".
    pub fn message(&self) -> &'a str {
        self.message
    }

    /// The index of the actor that returned first, in order of addition; `None`:
    /// stopped from outside.
    pub fn index(&self) -> Option<usize> {
        self.index
    }
}

/// What an actor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActorState {
    /// Its execute was not called.
    NotStarted,
    /// Its execute has not returned.
    Running,
    /// Its execute returned.
    Returned,
    /// Its execute panicked, threw an exception or left its thread.
    Panicked,
}

/// What became of one actor; see [`Report::actors`].
#[derive(Clone, Copy, Debug)]
pub struct ActorReport<'a> {
    record: &'a Record,
    index: usize,
    started: Option<Nanos>,
    stopping: Option<Nanos>,
}

impl<'a> ActorReport<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        text(self.record.name())
    }

    /// Its index, in order of addition.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What it is doing, or how it ended.
    pub fn state(&self) -> ActorState {
        match &self.record.outcome {
            _ if self.started.is_none() => ActorState::NotStarted,
            None => ActorState::Running,
            Some(_) if self.record.panicked() => ActorState::Panicked,
            Some(_) => ActorState::Returned,
        }
    }

    /// What its execute returned; `None`: it has not returned.
    pub fn code(&self) -> Option<i32> {
        self.record.outcome.as_ref().map(|outcome| outcome.code)
    }

    /// The message of that: the text of an error or a panic, or "".
    pub fn message(&self) -> &'a str {
        let outcome = self.record.outcome.as_ref();
        outcome.map_or("", |outcome| text(&outcome.message))
    }

    /// What went wrong in its interrupt: the text of an error or a panic.
    pub fn complaint(&self) -> Option<&'a str> {
        self.record.complaint.as_deref().map(text)
    }

    /// What of it had not ended when the grace was over (rule 10).
    pub fn stuck(&self) -> Stuck {
        self.record.stuck
    }

    /// When its execute was called.
    pub fn started(&self) -> Option<Duration> {
        self.started.map(Duration::from_nanos)
    }

    /// When its execute returned.
    pub fn returned(&self) -> Option<Duration> {
        self.record.returned_in_time().map(Duration::from_nanos)
    }

    /// When its interrupt was called.
    pub fn interrupting(&self) -> Option<Duration> {
        self.record.interrupting.map(Duration::from_nanos)
    }

    /// When its interrupt returned.
    pub fn interrupted(&self) -> Option<Duration> {
        self.record.interrupted_in_time().map(Duration::from_nanos)
    }

    /// How long its execute took to return: from its own interrupt, or if it returned
    /// before that, from when stopping began. `None`: it has not returned, or the group
    /// is not stopping.
    pub fn time_to_stop(&self) -> Option<Duration> {
        let until = self.record.returned_in_time()?;
        let took = self.record.to_stop(self.stopping?, until);
        Some(Duration::from_nanos(took))
    }
}

impl Report {
    /// The actors, in order of addition.
    pub fn actors(&self) -> impl ExactSizeIterator<Item = ActorReport<'_>> + DoubleEndedIterator {
        (0..self.records.len()).map(|index| self.view(index))
    }

    /// The actor with this index.
    pub fn actor(&self, index: usize) -> Option<ActorReport<'_>> {
        (index < self.records.len()).then(|| self.view(index))
    }

    fn view(&self, index: usize) -> ActorReport<'_> {
        ActorReport {
            record: &self.records[index],
            index,
            started: self.started_at,
            stopping: self.cause.as_ref().map(|_| self.stopping_at),
        }
    }

    /// The machine's records of the actors, in order of addition.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether the observer had not taken all events when the grace was over.
    pub fn observer_stuck(&self) -> bool {
        self.observer_stuck
    }

    /// Why the group stops, once it does.
    pub fn cause(&self) -> Option<Cause<'_>> {
        let cause = self.cause.as_ref()?;
        Some(Cause {
            code: cause.code,
            actor: cause.index.map(|index| text(self.records[index].name())),
            message: text(&cause.message),
            index: cause.index,
        })
    }

    /// What [`Group::run`](crate::Group::run) returned, as C is given it (0:
    /// `Ok`), once the run is over.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// When stopping began, once it has.
    pub fn stopping(&self) -> Option<Duration> {
        self.cause.as_ref()?;
        Some(Duration::from_nanos(self.stopping_at))
    }

    /// When the run was over, or the report was made.
    pub fn end(&self) -> Duration {
        Duration::from_nanos(self.end)
    }
}

/// A text of the machine, which accepts UTF-8 only.
fn text(text: &CStr) -> &str {
    text.to_str().unwrap_or_default()
}
