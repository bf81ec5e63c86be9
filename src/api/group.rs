//! The Rust API: closures for actors, Rust errors for results.

use crate::abi::rg_cause;
use crate::capi::table::head;
use crate::error::Error;
use crate::latch::Latch;
use crate::machine::{Machine, Order, Outcome};
use crate::report::Report;
use crate::run::actor::Actor;
use crate::run::core::Core;
use crate::sync::{Arc, Mutex, Time, Weak, after, now};
use crate::sys::{event, signal};
use crate::text;
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The errors that actors returned, by index, kept as they are.
type Kept = Arc<Mutex<HashMap<usize, BoxedError>>>;

/// Actors that live and die together. See the [crate]'s documentation.
///
/// Dropping a group that has stuck actors leaves them what they still use;
/// their closures are dropped when the last of them returns.
pub struct Group {
    core: Arc<Core>,
    kept: Kept,
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actors = self.core.with(|machine| machine.records().len());
        f.debug_struct("Group")
            .field("actors", &actors)
            .finish_non_exhaustive()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // `run` borrows the group, so it is not running.
        let _ = self.core.abandon();
    }
}

impl Group {
    /// An empty group that waits for its actors for ever.
    pub fn new() -> Self {
        Group {
            core: Core::new(head()),
            kept: Kept::default(),
        }
    }

    /// A group with a grace or another order.
    ///
    /// ```
    /// use rungroup::{Group, Order};
    /// use std::time::Duration;
    ///
    /// let group = Group::builder().grace(Duration::from_secs(10)).order(Order::Staged).build();
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Adds an actor and gives its index.
    ///
    /// `execute` runs on a thread of that name; it returns nothing, an `i32`,
    /// or a `Result` whose error [`Group::run`] hands back. `interrupt` is
    /// called once, when the group stops, and makes `execute` return;
    /// [`interrupt_none`] is for an actor that watches a [`StopToken`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name longer than 255 bytes or with a NUL;
    /// [`Error::State`] once the group has run.
    pub fn add<R: IntoOutcome>(
        &mut self,
        name: impl Into<String>,
        execute: impl FnOnce() -> R + Send + 'static,
        interrupt: impl FnOnce(&Cause<'_>) + Send + 'static,
    ) -> Result<usize, Error> {
        self.actor(name).add(execute, interrupt)
    }

    /// An actor with options.
    ///
    /// ```
    /// let mut group = rungroup::Group::new();
    /// group.actor("parser").stack_size(64 << 20).add(|| 0, rungroup::interrupt_none)?;
    /// # Ok::<(), rungroup::Error>(())
    /// ```
    pub fn actor(&mut self, name: impl Into<String>) -> ActorBuilder<'_> {
        ActorBuilder {
            group: self,
            name: name.into(),
            stack_size: 0,
        }
    }

    /// Adds an actor that returns when one of the signals comes (none given:
    /// SIGINT and SIGTERM), with 128 plus its number. It listens until the run is
    /// over: the same signal sent once more is absorbed, but a second Ctrl-C after a
    /// quarter of a second kills (rule 16).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a signal that cannot be caught or that means a
    /// fault; [`Error::State`] once the group has run.
    pub fn add_signals(&mut self, signals: &[i32]) -> Result<usize, Error> {
        let signals = match signals {
            [] => signal::TERMINATION,
            given => given,
        };
        self.core.add_signals(signals)
    }

    /// Adds an actor, named "systemd", that tells the service manager that
    /// started the process how the group is: READY=1 once all run, STOPPING=1
    /// with the cause as STATUS, and WATCHDOG=1 twice as often as the unit's
    /// WatchdogSec asks, until the group stops. Without a manager that wants
    /// to know (no `$NOTIFY_SOCKET`) it only waits for the stop.
    ///
    /// # Errors
    /// [`Error::State`] once the group has run. If the manager cannot be told,
    /// the actor returns 1 and says why, which ends the group.
    pub fn add_systemd(&mut self) -> Result<usize, Error> {
        self.core.add_systemd()
    }

    /// Runs the group and waits for all its actors, or for the grace to end.
    ///
    /// # Errors
    /// The first actor's error or non-zero code, a stop with a non-zero code,
    /// a panic, or actors that are stuck: see [`RunError`].
    pub fn run(&mut self) -> Result<(), RunError> {
        let code = match self.core.run() {
            Ok(0) => return Ok(()),
            Ok(code) => code,
            Err(error) => return Err(RunError::refused(error)),
        };
        let mut kept = self.kept.lock();
        Err(self
            .core
            .with(|machine| RunError::new(machine, code, &mut kept)))
    }

    /// Where actors see, and wait for, the stop.
    pub fn stop_token(&self) -> StopToken {
        StopToken {
            stop: Stop::Own(self.core.stop.clone()),
        }
    }

    /// A handle that stops the group from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            core: Arc::downgrade(&self.core),
        }
    }

    /// What became of the actors; its `Display` is for people.
    pub fn report(&self) -> Report {
        self.core.with_end(Report::new)
    }

    /// What a later actor's error was, if it was not the one that `run`
    /// returned.
    pub fn take_error(&mut self, index: usize) -> Option<BoxedError> {
        self.kept.lock().remove(&index)
    }
}

/// Options of a [`Group`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Builder {
    grace: Option<Duration>,
    order: Order,
}

impl Builder {
    /// `run` returns at most this long after stopping began, whatever is stuck.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The order of interrupts.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The group.
    pub fn build(self) -> Group {
        let group = Group::new();
        let grace = self
            .grace
            .map(|g| u64::try_from(g.as_nanos()).unwrap_or(u64::MAX));
        group.core.with(|machine| {
            // A new group takes every setting.
            let _ = machine.set_grace(grace).and(machine.set_order(self.order));
        });
        group
    }
}

/// Options of an actor; see [`Group::actor`].
#[derive(Debug)]
pub struct ActorBuilder<'a> {
    group: &'a mut Group,
    name: String,
    stack_size: usize,
}

impl ActorBuilder<'_> {
    /// Bytes of stack, from 16 KiB to 2^46; the default is 8 MiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Adds it; see [`Group::add`].
    ///
    /// # Errors
    /// As [`Group::add`].
    pub fn add<R: IntoOutcome>(
        self,
        execute: impl FnOnce() -> R + Send + 'static,
        interrupt: impl FnOnce(&Cause<'_>) + Send + 'static,
    ) -> Result<usize, Error> {
        let name = CString::new(self.name).map_err(|_| Error::Invalid)?;
        let name = text::name(&name)?;
        let kept = self.group.kept.clone();
        let index = self.group.core.with(|machine| machine.records().len());
        let mut actor = Actor::from_closures(
            move || {
                let (outcome, error) = execute().into_outcome();
                if let Some(error) = error {
                    kept.lock().insert(index, error);
                }
                outcome
            },
            move |cause| interrupt(&Cause::new(cause)),
        );
        actor.stack_size = self.stack_size;
        // A refused actor's closures are dropped with it.
        self.group
            .core
            .add(Some(name), actor)
            .map_err(|(error, _)| error)
    }
}

/// Why the group stops, as an interrupt sees it.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    cause: &'a rg_cause,
}

impl<'a> Cause<'a> {
    pub(crate) fn new(cause: &'a rg_cause) -> Self {
        Cause { cause }
    }

    /// The first actor's code, or the stop's.
    pub fn code(&self) -> i32 {
        self.cause.code
    }

    /// The actor that returned first; `None`: stopped from outside.
    pub fn actor(&self) -> Option<&str> {
        self.cause.actor()
    }

    /// What it said, or empty.
    pub fn message(&self) -> &str {
        self.cause.message()
    }

    /// Its index; `None`: stopped from outside.
    pub fn index(&self) -> Option<usize> {
        usize::try_from(self.cause.index).ok()
    }
}

/// The interrupt of an actor that watches a [`StopToken`].
pub fn interrupt_none(_cause: &Cause<'_>) {}

/// Tells an actor that the group stops. Once it does, it does for ever.
#[derive(Clone, Debug)]
pub struct StopToken {
    stop: Stop,
}

#[derive(Clone, Debug)]
enum Stop {
    Own(Arc<Latch>),
    /// A copy of the descriptor of a group that another copy of the library
    /// may have made.
    Host(Arc<OwnedFd>),
}

impl StopToken {
    pub(crate) fn of_host(fd: OwnedFd) -> Self {
        StopToken {
            stop: Stop::Host(Arc::new(fd)),
        }
    }

    fn wait_until(&self, deadline: Option<Time>) -> bool {
        match &self.stop {
            Stop::Own(latch) => latch.wait_until(deadline),
            // Not to be able to wait is to stop: nobody must spin.
            Stop::Host(fd) => {
                !matches!(event::poll_readable(&[fd.as_raw_fd()], deadline), Ok(None))
            }
        }
    }

    /// Whether stopping has begun.
    pub fn is_stopping(&self) -> bool {
        match &self.stop {
            Stop::Own(latch) => latch.is_set(),
            Stop::Host(_) => self.wait_until(Some(now())),
        }
    }

    /// Waits until stopping begins.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Waits until stopping begins, or for so long; true: stopping.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(after(timeout))
    }

    /// A descriptor that is readable once stopping began, for poll and event
    /// loops. It is the token's; do not read from it or close it.
    ///
    /// # Errors
    /// [`Error::Memory`] when the process has no descriptor left.
    pub fn fd(&self) -> Result<RawFd, Error> {
        match &self.stop {
            Stop::Own(latch) => latch.fd(),
            Stop::Host(fd) => Ok(fd.as_raw_fd()),
        }
    }
}

/// Stops a group from any thread. It does not keep the group alive.
#[derive(Clone)]
pub struct Stopper {
    core: Weak<Core>,
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopper")
    }
}

impl Stopper {
    /// Ends the group with this code, unless it is ending already. Before
    /// `run`: nothing will be started.
    pub fn stop(&self, code: i32) {
        if let Some(core) = self.core.upgrade() {
            // Refused in a child of a fork, where the group does not run.
            let _ = core.stop(code);
        }
    }
}

/// What an `execute` may return.
pub trait IntoOutcome {
    /// The code and message, and the error itself.
    fn into_outcome(self) -> (Outcome, Option<BoxedError>);
}

impl IntoOutcome for () {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        (Outcome::code(0), None)
    }
}

impl IntoOutcome for i32 {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        (Outcome::code(self), None)
    }
}

/// An error is code 1, with its text as message.
impl<T: IntoOutcome, E: Into<BoxedError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => {
                let error = error.into();
                let outcome = Outcome {
                    code: 1,
                    message: text::lossy(&error.to_string()).into(),
                };
                (outcome, Some(error))
            }
        }
    }
}

/// Why [`Group::run`] did not end well.
#[derive(Debug)]
pub struct RunError {
    code: i32,
    actor: Option<String>,
    message: String,
    stuck: Vec<String>,
    source: Option<BoxedError>,
}

impl RunError {
    fn refused(error: Error) -> Self {
        RunError {
            code: error.code(),
            actor: None,
            message: error.to_string(),
            stuck: Vec::new(),
            source: Some(error.into()),
        }
    }

    fn new(machine: &mut Machine, code: i32, kept: &mut HashMap<usize, BoxedError>) -> Self {
        let name = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        machine.make_names();
        let cause = machine.cause();
        let index = cause.and_then(|cause| cause.index);
        let actor = index.map(|index| name(machine.records()[index].name()));
        RunError {
            code,
            actor,
            message: cause.map_or(String::new(), |cause| name(&cause.message)),
            stuck: machine
                .records()
                .iter()
                .filter(|record| record.stuck.any())
                .map(|record| name(record.name()))
                .collect(),
            source: index.and_then(|index| kept.remove(&index)),
        }
    }

    /// What C would have been given: the first actor's code (1 for an error
    /// that it returned), the stop's, or an [`Error::code`]. Fit for
    /// `std::process::exit`.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The actor that ended the group; `None`: a stop from outside, or it was
    /// not run at all.
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// What that actor said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The actors that had not returned when the grace was over.
    pub fn stuck(&self) -> &[String] {
        &self.stuck
    }

    /// The very error that the first actor returned.
    pub fn into_source(self) -> Option<BoxedError> {
        self.source
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.actor {
            Some(actor) => write!(f, "actor \"{actor}\" ended the group")?,
            None if self.source.is_some() => return f.write_str(&self.message),
            None => write!(f, "the group was stopped")?,
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        } else if self.stuck.is_empty() {
            write!(f, " with code {}", self.code)?;
        }
        if !self.stuck.is_empty() {
            write!(
                f,
                "; stuck when the grace was over: {}",
                self.stuck.join(", ")
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
