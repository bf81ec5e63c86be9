//! How a run ended, as an error and as `main`'s return value.

use super::actor::{BoxedError, Errors};
use crate::error::Error;
use crate::machine::Machine;
use crate::sys::event::{ROOM, exit_now};
use crate::text;
use std::ffi::CStr;
use std::fmt;
use std::io::Write;
use std::process::{ExitCode, Termination};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Why [`Group::run`](crate::Group::run) did not end well.
///
/// Its `source` is the very error that the first actor returned. `Display` says
/// what happened without that error's text; `{:?}`, which std prints for a `main`
/// that returns it, is the sentence with all sources, and `{:#?}` the fields.
pub struct RunError {
    code: i32,
    why: Why,
    stuck: Vec<String>,
    observer_stuck: bool,
}

#[derive(Debug)]
enum Why {
    /// No actor was started.
    NotRun {
        error: Error,
        reason: Option<String>,
    },
    /// A [`Stopper`](crate::Stopper) stopped it.
    Stopped { code: i32 },
    /// This actor returned first.
    Ended {
        actor: String,
        code: i32,
        message: String,
        signal: Option<i32>,
        source: Option<BoxedError>,
    },
}

impl Error {
    /// Why the call that has just returned this error on this thread was refused: which
    /// argument is wrong, or what the system answered ("signal 9 (SIGKILL) cannot be
    /// caught"). `None`: the library has no more to say than the error itself. A reason is
    /// returned once, and only until the thread's next refused call.
    ///
    /// ```
    /// let refused = rungroup::Group::new().add_signals(&[9]).unwrap_err();
    /// assert_eq!(refused, rungroup::Error::Invalid);
    /// assert_eq!(refused.reason().unwrap(), "signal 9 (SIGKILL) cannot be caught");
    /// ```
    pub fn reason(self) -> Option<String> {
        text::reason(self)
    }
}

impl RunError {
    pub(super) fn not_run(error: Error) -> Self {
        RunError {
            code: error.code(),
            why: Why::NotRun {
                error,
                reason: error.reason(),
            },
            stuck: Vec::new(),
            observer_stuck: false,
        }
    }

    /// Of a run that is over.
    pub(super) fn new(
        machine: &mut Machine,
        code: i32,
        signal: Option<i32>,
        errors: &mut Errors,
    ) -> Self {
        let owned = |text: &CStr| text.to_string_lossy().into_owned();
        machine.make_names();
        let records = machine.records();
        let stuck = records.iter().filter(|record| record.stuck.any());
        let stuck = stuck.map(|record| owned(record.name())).collect();
        let why = match machine.cause() {
            None => Why::Stopped { code },
            Some(cause) => match cause.index {
                None => Why::Stopped { code: cause.code },
                Some(index) => Why::Ended {
                    actor: owned(records[index].name()),
                    code: cause.code,
                    message: owned(&cause.message),
                    signal,
                    source: errors.remove(&index),
                },
            },
        };
        RunError {
            code,
            why,
            stuck,
            observer_stuck: machine.observer_stuck(),
        }
    }

    /// What C is given: the first actor's code (1 for an error that it returned),
    /// the stop's, or an [`Error::code`]: actors are stuck, or none was started.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// What the process is to exit with: the code of the cause, also if actors are
    /// stuck; 128 plus the signal's number after a signal; 101 after a panic, as for
    /// any Rust program; 1 where a code does not fit into a byte, or is 0 although
    /// actors are stuck.
    pub fn exit_code(&self) -> u8 {
        let code = match self.why {
            Why::NotRun { .. } => 1,
            Why::Stopped { code } | Why::Ended { code, .. } => code,
        };
        match u8::try_from(code) {
            Ok(0) => 1,
            Ok(code) => code,
            Err(_) if code == Error::Panic.code() => 101,
            Err(_) => 1,
        }
    }

    /// The actor that ended the group; `None`: a stop from outside, or the group was
    /// not run.
    pub fn actor(&self) -> Option<&str> {
        match &self.why {
            Why::Ended { actor, .. } => Some(actor),
            _ => None,
        }
    }

    /// What that actor said, or "".
    pub fn message(&self) -> &str {
        match &self.why {
            Why::Ended { message, .. } => message,
            _ => "",
        }
    }

    /// The signal that ended the group, or a group inside of it: SIGINT after
    /// Ctrl-C.
    pub fn signal(&self) -> Option<i32> {
        match &self.why {
            Why::Ended {
                signal: Some(signal),
                ..
            } => Some(*signal),
            _ => self.downcast_ref::<RunError>()?.signal(),
        }
    }

    /// The names of the actors that had not ended when the grace was over (rule 10).
    /// If there are none and the code is that of [`Error::TimedOut`], an observer is.
    pub fn stuck(&self) -> &[String] {
        &self.stuck
    }

    /// The error that the first actor returned, if it is of this type.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.why {
            Why::Ended { source, .. } => source.as_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// The error that the first actor returned, if it is of this type.
    ///
    /// # Errors
    /// This one, if it is not.
    pub fn downcast<E: std::error::Error + 'static>(mut self) -> Result<Box<E>, Self> {
        if let Why::Ended { source, .. } = &mut self.why {
            match source.take().map(|error| error.downcast()) {
                Some(Ok(error)) => return Ok(error),
                Some(Err(other)) => *source = Some(other),
                None => {}
            }
        }
        Err(self)
    }

    /// The error that the first actor returned.
    pub fn into_source(self) -> Option<BoxedError> {
        match self.why {
            Why::Ended { source, .. } => source,
            _ => None,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::NotRun { reason, .. } => {
                f.write_str("the group was not run")?;
                if let Some(reason) = reason {
                    write!(f, ": {reason}")?;
                }
            }
            Why::Stopped { code } => write!(f, "the group was stopped with code {code}")?,
            Why::Ended {
                message,
                signal: Some(_),
                ..
            } => write!(f, "the group was stopped by {message}")?,
            Why::Ended {
                actor,
                source: Some(_),
                ..
            } => write!(f, "actor \"{actor}\" failed")?,
            Why::Ended {
                actor,
                code,
                message,
                ..
            } => {
                write!(f, "actor \"{actor}\" ")?;
                match *code {
                    code if code == Error::Panic.code() => f.write_str("panicked")?,
                    code => write!(f, "ended the group with code {code}")?,
                }
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
            }
        }
        let mut stuck = self.stuck.clone();
        if self.observer_stuck {
            stuck.push("the observer".to_owned());
        }
        match stuck.is_empty() {
            true => Ok(()),
            false => write!(f, "; stuck when the grace was over: {}", stuck.join(", ")),
        }
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return f.write_str(&text::chain(self));
        }
        f.debug_struct("RunError")
            .field("code", &self.code)
            .field("why", &self.why)
            .field("stuck", &self.stuck)
            .field("observer_stuck", &self.observer_stuck)
            .finish()
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            // The error's own sentence would repeat the reason in other words.
            Why::NotRun {
                reason: Some(_), ..
            } => None,
            Why::NotRun { error, .. } => Some(error),
            Why::Ended { source, .. } => source.as_ref().map(|source| &**source as _),
            Why::Stopped { .. } => None,
        }
    }
}

/// What `main` returns, so that the process ends as the run did: with a sentence on
/// stderr and [`RunError::exit_code`], or with 0. (A `main` that returns the
/// [`RunError`] itself prints the sentence too, but std then exits with 1.)
///
/// If actors are stuck, the process is left at once, without what destructors and
/// `atexit` functions would do to things that those actors still use.
///
/// ```no_run
/// use rungroup::{Exit, Group, StopToken, interrupt_none};
///
/// fn main() -> Result<Exit, rungroup::Error> {
///     let mut group = Group::new();
///     group.add("waits", |stop: StopToken| stop.wait(), interrupt_none)?;
///     group.add_signals(&[])?;
///     Ok(group.run().into()) // Ctrl-C: exit status 130
/// }
/// ```
#[derive(Debug)]
#[must_use = "main is to return it"]
pub struct Exit {
    error: Option<RunError>,
}

impl From<Result<(), RunError>> for Exit {
    fn from(result: Result<(), RunError>) -> Self {
        Exit {
            error: result.err(),
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        let Some(error) = self.error else {
            return ExitCode::SUCCESS;
        };
        let status = error.exit_code();
        let stuck = !error.stuck.is_empty() || error.observer_stuck;
        let say = move || {
            let what = if error.signal().is_some() {
                ""
            } else {
                "Error: "
            };
            // Nobody may read stderr.
            let _ = writeln!(std::io::stderr(), "{what}{error:?}");
            // What Rust's stdout holds is not C's to flush.
            let _ = std::io::stdout().flush();
        };
        if !stuck {
            say();
            return status.into();
        }
        // On a thread that can be left: a stuck actor in a print to a full pipe holds the
        // lock of that stream.
        let (done, said) = mpsc::channel::<()>();
        let last = thread::Builder::new().spawn(move || {
            say();
            drop(done);
        });
        if last.is_ok() {
            let _ = said.recv_timeout(Duration::from_nanos(ROOM));
        }
        exit_now(status.into());
    }
}
