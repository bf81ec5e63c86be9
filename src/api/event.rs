//! What happens in a group, as its observers are told.

use crate::abi::{event_kind_of, rg_event};
use crate::machine::EventKind;
use std::time::Duration;

/// Something that happened; see [`Group::observe`](crate::Group::observe).
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    kind: EventKind,
    code: i32,
    index: Option<usize>,
    actor: Option<&'a str>,
    message: &'a str,
    at: Duration,
}

impl<'a> Event<'a> {
    /// `None`: a kind that this version does not know.
    pub(super) fn new(event: &'a rg_event) -> Option<Self> {
        Some(Event {
            kind: event_kind_of(event.kind)?,
            code: event.code,
            index: usize::try_from(event.index).ok(),
            actor: event.actor(),
            message: event.message(),
            at: Duration::from_nanos(u64::try_from(event.time_ns).unwrap_or(0)),
        })
    }

    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// What the actor returned, or the group's code (`Returned`, `Stopping`,
    /// `Stopped`); else 0.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The actor's index; `None`: the run is over, or it was stopped from outside.
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// The actor's name; `None` where there is no index.
    pub fn actor(&self) -> Option<&'a str> {
        self.actor
    }

    /// What the actor said (`Returned`, `Stopping`), what its interrupt complained
    /// of (`Interrupted`); else "".
    pub fn message(&self) -> &'a str {
        self.message
    }

    /// When, since the run began.
    pub fn at(&self) -> Duration {
        self.at
    }
}
