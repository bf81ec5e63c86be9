//! A group: made, given its actors, run, dropped.

use super::actor::{BoxedError, Errors, Execute, IntoComplaint};
use super::builder::{ActorBuilder, Builder};
use super::completion::Completion;
use super::error::RunError;
use super::event::Event;
use super::token::{StopToken, Stopper};
use crate::capi::table::head;
use crate::error::Error;
use crate::report::{Cause, Report};
use crate::run::core::{Core, Driver};
use crate::sync::{Arc, Mutex, Time, after};
use crate::sys::signal;
use crate::text;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

type Observer = Box<dyn FnMut(&Event<'_>) + Send>;

/// Actors that live and die together. See the [crate]'s documentation.
///
/// Dropping a group that [was started](Group::start) and is not over stops it with
/// code 0, and waits for its actors, as long as the grace lets them; where that is
/// impossible (in one of its own actors), or would block async code (after
/// `run_async`), it does not wait. What stuck actors still use stays: their closures
/// are dropped when the last of them returns (rule 11).
pub struct Group {
    pub(super) core: Arc<Core>,
    pub(super) errors: Arc<Mutex<Errors>>,
    /// `None`: nobody observes.
    observers: Option<Arc<Mutex<Vec<Observer>>>>,
    /// Whether [`Group::start`] or `run_async` started it.
    pub(super) started: bool,
    /// Whether the drop of a group that runs must not wait.
    pub(super) in_async_code: bool,
    /// Whether it has a future on a runtime of one thread.
    #[cfg(feature = "tokio")]
    pub(super) needs_a_thread: bool,
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("actors", &self.next_index())
            .finish_non_exhaustive()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.core.abandon().is_ok() {
            return;
        }
        let _ = self.core.stop(0);
        let may_wait = !self.in_async_code && self.may_block().is_ok();
        if may_wait && self.core.wait(None).is_ok() {
            let _ = self.core.abandon();
        }
        // Otherwise the last of its threads releases the actors.
    }
}

impl Group {
    /// An empty group that waits for its actors for ever.
    pub fn new() -> Self {
        Group {
            core: Core::new(head()),
            errors: Arc::default(),
            observers: None,
            started: false,
            in_async_code: false,
            #[cfg(feature = "tokio")]
            needs_a_thread: false,
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

    /// Adds an actor and gives its index (rule 3).
    ///
    /// - `name`: at most 255 bytes. The system knows the actor's thread by its first
    ///   15 bytes.
    /// - `execute` is called once, on a thread of its own, at the same time as those
    ///   of the other actors. It takes nothing, or the group's [`StopToken`]; see
    ///   [`Execute`]. It returns nothing, an `i32`, or a `Result` of these, whose
    ///   error [`Group::run`] hands back. A panic is its return (rule 12).
    /// - `interrupt` is called once, when the group stops, and makes `execute` return
    ///   (rule 5): by the thread in [`Group::run`]; by one of the library's with a
    ///   grace or after [`Group::start`]. It may be called before `execute` has got
    ///   going (rule 8). An error that it returns is a complaint for the report.
    ///   [`interrupt_none`](crate::interrupt_none) is for an actor that watches a
    ///   [`StopToken`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name longer than 255 bytes or with a NUL;
    /// [`Error::State`] once the group was run; [`Error::Memory`]. The closures are
    /// dropped then. A group that refused an actor as invalid does not run (rule 14).
    pub fn add<Form, C: IntoComplaint + 'static>(
        &mut self,
        name: impl Into<String>,
        execute: impl Execute<Form>,
        interrupt: impl FnOnce(&Cause<'_>) -> C + Send + 'static,
    ) -> Result<usize, Error> {
        self.actor(name).add(execute, interrupt)
    }

    /// Adds an actor without a thread, for an event loop say, and gives its index.
    ///
    /// - `start` is called once, in order of addition, by the thread in
    ///   [`Group::run`] or [`Group::start`]; with a grace by one of the library's. It
    ///   must return soon. Whoever has the [`Completion`] says when the actor has
    ///   returned, and what.
    /// - `interrupt` makes that happen; otherwise as in [`Group::add`].
    ///
    /// ```
    /// use rungroup::Group;
    /// use std::thread;
    ///
    /// let mut group = Group::new();
    /// group.add_async("elsewhere", |done| _ = thread::spawn(|| done.complete(3)), |_| ())?;
    /// assert_eq!(group.run().unwrap_err().code(), 3);
    /// # Ok::<(), rungroup::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Group::add`].
    pub fn add_async<C: IntoComplaint + 'static>(
        &mut self,
        name: impl Into<String>,
        start: impl FnOnce(Completion) + Send + 'static,
        interrupt: impl FnOnce(&Cause<'_>) -> C + Send + 'static,
    ) -> Result<usize, Error> {
        self.actor(name).add_async(start, interrupt)
    }

    /// An actor with options.
    ///
    /// ```
    /// let mut group = rungroup::Group::new();
    /// group.actor("parser").stack_size(64 << 20).add(|| 0, rungroup::interrupt_none)?;
    /// # Ok::<(), rungroup::Error>(())
    /// ```
    pub fn actor(&mut self, name: impl Into<String>) -> ActorBuilder<'_> {
        ActorBuilder::new(self, name.into())
    }

    /// The index of the actor that is added next.
    pub(super) fn next_index(&self) -> usize {
        self.core.with(|machine| machine.records().len())
    }

    /// Adds an actor, named "signals", that returns when one of the signals comes
    /// (none given: SIGINT and SIGTERM), with 128 plus its number:
    /// [`RunError::signal`] tells. It listens until the run is over: the same signal
    /// sent once more is absorbed, but a second Ctrl-C after a quarter of a second
    /// kills (rule 16). [`Builder::chain_signals`] hands signals on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a signal that cannot be caught or that means a
    /// fault; [`Error::State`] once the group was run.
    pub fn add_signals(&mut self, signals: &[i32]) -> Result<usize, Error> {
        let signals = match signals {
            [] => signal::TERMINATION,
            given => given,
        };
        self.core.adding(|| self.core.add_signals(signals))
    }

    /// Adds an actor, named "systemd", that tells the service manager that
    /// started the process how the group is: READY=1 once all run, STOPPING=1
    /// with the cause as STATUS, and WATCHDOG=1 twice as often as the unit's
    /// WatchdogSec asks, until the group stops. Without a manager that wants
    /// to know (no `$NOTIFY_SOCKET`) it only waits for the stop.
    ///
    /// # Errors
    /// [`Error::State`] once the group was run. If the manager cannot be told,
    /// the actor returns 1 and says why, which ends the group.
    pub fn add_systemd(&mut self) -> Result<usize, Error> {
        self.core.adding(|| self.core.add_systemd())
    }

    /// Has `observer` told of everything that happens: that an actor was started,
    /// interrupted, has returned, is stuck, and how the run ended. Called in order,
    /// never twice at once: by the thread that drives the run, which waits for it; with
    /// a grace by one of the library's, and one that has not taken all events when the
    /// grace is over is stuck ([`Error::TimedOut`]). It must not wait for the group.
    /// Its panics change nothing. Several observers are told in the order in which
    /// they were added.
    ///
    /// ```
    /// use rungroup::{EventKind, Group};
    ///
    /// let mut group = Group::new();
    /// group.observe(|event| {
    ///     if event.kind() == EventKind::Returned {
    ///         println!("{:?} returned {}", event.actor(), event.code());
    ///     }
    /// })?;
    /// # Ok::<(), rungroup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::State`] once the group was run.
    pub fn observe(
        &mut self,
        observer: impl FnMut(&Event<'_>) + Send + 'static,
    ) -> Result<(), Error> {
        if !self.core.with(|machine| machine.adding()) {
            return Err(Error::State);
        }
        if let Some(observers) = &self.observers {
            observers.lock().push(Box::new(observer));
            return Ok(());
        }
        let observers: Arc<Mutex<Vec<Observer>>> = Arc::new(Mutex::new(vec![Box::new(observer)]));
        let told = observers.clone();
        self.core.observe_by(move |event| {
            if let Some(event) = Event::new(event) {
                let mut observers = told.lock();
                observers.iter_mut().for_each(|observer| observer(&event));
            }
        })?;
        self.observers = Some(observers);
        Ok(())
    }

    /// Runs the group on this thread: starts every actor, waits for the first to
    /// return, interrupts all, and returns when all have returned (rules 1 to 7), or
    /// when the grace is over (rule 10).
    ///
    /// ```
    /// let mut group = rungroup::Group::new();
    /// group.add("db", || "nothing there".parse::<i32>(), rungroup::interrupt_none)?;
    /// let error = group.run().unwrap_err();
    /// assert_eq!(error.actor(), Some("db"));
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// # Ok::<(), rungroup::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first actor's error, non-zero code or panic, a signal, a stop with a
    /// non-zero code, or actors that are stuck: see [`RunError`]. If no thread could
    /// be had, or no memory, nothing was started, and the group may be run again. A
    /// group runs once ([`Error::State`]).
    pub fn run(&mut self) -> Result<(), RunError> {
        self.may_block()?;
        text::forget();
        let code = self.core.run().map_err(RunError::not_run)?;
        self.result(code)
    }

    /// Starts every actor, or none (rule 2), and returns: for a program that waits
    /// in a loop of its own. A thread of the library's drives the run. Then call
    /// [`Group::wait`], when [`Group::done_fd`] is readable say.
    ///
    /// # Errors
    /// [`Error::Spawn`] or [`Error::Memory`]: nothing was started; [`Error::State`]:
    /// the group was run before.
    pub fn start(&mut self) -> Result<(), Error> {
        text::forget();
        self.core.start(Driver::Thread)?;
        self.started = true;
        Ok(())
    }

    /// Waits until the run that [`Group::start`] began is over. Several threads may
    /// wait; the first of them is given the actor's own error.
    ///
    /// # Errors
    /// As [`Group::run`]; [`Error::State`]: the group was not started, or this is
    /// one of its own actors.
    pub fn wait(&self) -> Result<(), RunError> {
        self.may_block()?;
        self.wait_until(None).unwrap_or(Ok(()))
    }

    /// The same for at most so long; `None`: the run is not over.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<(), RunError>> {
        self.wait_until(after(timeout))
    }

    pub(super) fn wait_until(&self, deadline: Option<Time>) -> Option<Result<(), RunError>> {
        let code = match self.core.wait(deadline) {
            Ok(code) => code?,
            Err(error) => return Some(Err(RunError::not_run(error))),
        };
        Some(self.result(code))
    }

    /// A descriptor that is readable once [`Group::wait`] would not block, for poll
    /// and event loops. It is the group's; do not read from it.
    ///
    /// # Errors
    /// [`Error::Memory`] when the process has no descriptor left.
    pub fn done_fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.core.over.as_fd()
    }

    fn result(&self, code: i32) -> Result<(), RunError> {
        if code == 0 {
            return Ok(());
        }
        let signal = self.core.ending_signal();
        let mut errors = self.errors.lock();
        Err(self
            .core
            .with(|machine| RunError::new(machine, code, signal, &mut errors)))
    }

    /// Refuses to block the only thread that a future of the group can run on: that
    /// would be for ever.
    fn may_block(&self) -> Result<(), RunError> {
        #[cfg(feature = "tokio")]
        if self.needs_a_thread && super::future::on_single_thread() {
            return Err(RunError::not_run(Error::State));
        }
        Ok(())
    }

    /// Where actors see, and wait for, the stop. An execute can also take it as its
    /// argument.
    pub fn stop_token(&self) -> StopToken {
        StopToken::new(self.core.stop.clone())
    }

    /// A handle that stops the group from elsewhere (rule 9).
    pub fn stopper(&self) -> Stopper {
        Stopper::new(&self.core)
    }

    /// What became of the actors, so far or at the end; its `Display` is for people.
    pub fn report(&self) -> Report {
        self.core.with_end(Report::new)
    }

    /// The error that the actor with this index returned, unless `run` has handed it
    /// back: a later actor's.
    pub fn take_error(&mut self, index: usize) -> Option<BoxedError> {
        self.errors.lock().remove(&index)
    }
}
