//! What is known of each actor, and the values that the machine speaks in.

use crate::error::Error;
use crate::text;
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// What an actor says of its outcome. An empty one allocates nothing, which in
/// a thread that never allocated costs as much as the thread's start.
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

    /// An outcome with a message.
    pub fn new(code: i32, message: &str) -> Self {
        Outcome {
            code,
            message: text::lossy(message).into(),
        }
    }

    /// What is told of an interrupt that returned: what it complained of, if
    /// anything.
    pub fn complaint(message: Message) -> Self {
        Outcome { code: 0, message }
    }

    /// A panic, an exception, a thread that ended without returning: rule 12.
    pub fn panic(message: &str) -> Self {
        Outcome::of_panic(text::lossy(message).into())
    }

    /// The same with a message that is one already.
    pub fn of_panic(message: Message) -> Self {
        Outcome {
            code: Error::Panic.code(),
            message,
        }
    }

    /// A copy. Without memory its message is lost: a clone would abort.
    pub fn copy(&self) -> Self {
        let message = match &self.message {
            Message::Borrowed(text) => Message::Borrowed(text),
            Message::Owned(text) => text::copy(text).map_or(NO_MESSAGE, Message::Owned),
        };
        let code = self.code;
        Outcome { code, message }
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

/// What had not ended when the grace was over (rule 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// The execute has not returned.
    pub execute: bool,
    /// The start of an actor without a thread has not returned.
    pub start: bool,
    /// The interrupt has not returned.
    pub interrupt: bool,
    /// The execute has returned, but its thread has not ended.
    pub thread: bool,
}

impl Stuck {
    /// Whether anything has not ended.
    pub fn any(self) -> bool {
        self.execute || self.start || self.interrupt || self.thread
    }

    /// Whether the actor's thread goes on: in its execute, or after it.
    pub fn on_its_thread(self) -> bool {
        self.execute || self.thread
    }
}

/// What became of the start of an actor without a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The actor has a thread, or is the host's.
    None,
    Waiting,
    Called,
    Returned,
}

/// All that is known of one actor.
#[derive(Clone, Debug)]
pub struct Record {
    /// Made when it is first asked for, if its users gave none.
    name: Option<CString>,
    pub(super) start: Start,
    /// The execute returned, but its thread has not ended.
    pub(super) ending: bool,
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
            start: Start::None,
            ending: false,
            returned: None,
            outcome: None,
            interrupting: None,
            interrupted: None,
            complaint: None,
            stuck: Stuck::default(),
        }
    }

    /// Unique only if its users made it so; empty until
    /// [`make_names`](super::Machine::make_names), if they gave none.
    pub fn name(&self) -> &CStr {
        self.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn make_name(&mut self, index: usize) -> &CStr {
        // Without memory it is empty: to abort would be worse.
        self.name
            .get_or_insert_with(|| text::numbered(index).unwrap_or_default())
    }

    /// Whether its execute ended by a panic, an exception or a thread's exit.
    pub fn panicked(&self) -> bool {
        self.outcome.as_ref().is_some_and(Outcome::panicked)
    }

    /// When its execute returned, as the report shows it: a return after the
    /// run was over changes nothing.
    pub fn returned_in_time(&self) -> Option<Nanos> {
        self.returned.filter(|_| self.outcome.is_some())
    }

    /// When its interrupt returned, likewise.
    pub fn interrupted_in_time(&self) -> Option<Nanos> {
        self.interrupted.filter(|_| !self.stuck.interrupt)
    }

    /// How long it took to stop by `until`, when its execute returned, or now: from
    /// its own interrupt, or if it did not need that, from when stopping began.
    pub fn to_stop(&self, stopping_at: Nanos, until: Nanos) -> Nanos {
        let own = self.interrupting.filter(|&at| at <= until);
        until.saturating_sub(own.unwrap_or(stopping_at))
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
    /// Something of an actor had not ended when the grace was over.
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
