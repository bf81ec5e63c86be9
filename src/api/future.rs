//! Actors that are futures, on tokio. (Feature `tokio`.)

use super::actor::IntoOutcome;
use super::builder::ActorBuilder;
use super::completion::Completion;
use super::error::RunError;
use super::group::Group;
use super::token::StopToken;
use crate::error::Error;
use crate::machine::Outcome;
use crate::run::actor::{as_actor, catch};
use std::future::{Future, poll_fn};
use std::os::fd::BorrowedFd;
use std::task::Poll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

impl Group {
    /// Adds an actor that is a future, and gives its index. (Feature `tokio`.)
    ///
    /// `future` is called once, in a task on the runtime in which this function is
    /// called ([`ActorBuilder::runtime`] has another), and gives the actor's execute:
    /// what it returns is handled as in [`Group::add`], a panic included. The actor's
    /// interrupt cancels the token, in its turn (rule 6). It does not drop the
    /// future: that ends by itself, and so can finish what it is about.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use rungroup::Group;
    ///
    /// let mut group = Group::new();
    /// group.add_future("waits", |stop| async move { stop.cancelled().await })?;
    /// group.add_future("returns", |_| async { println!("done") })?;
    /// group.run_async().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Group::add`]; [`Error::State`] also where there is no runtime.
    pub fn add_future<F>(
        &mut self,
        name: impl Into<String>,
        future: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Result<usize, Error>
    where
        F: Future<Output: IntoOutcome> + Send + 'static,
    {
        self.actor(name).add_future(future)
    }

    /// Runs the group as [`Group::run`] does, and does not block: a thread of the
    /// library's drives the run. (Feature `tokio`.)
    ///
    /// Of a group that [was started](Group::start) it waits for the end. Dropping the
    /// future leaves the group running: call this again to go on waiting. Dropping
    /// the group then stops it, and does not wait.
    ///
    /// # Errors
    /// As [`Group::run`].
    ///
    /// # Panics
    /// On a runtime without I/O (`enable_io`), or outside of one.
    pub async fn run_async(&mut self) -> Result<(), RunError> {
        let over = self.core.over.as_fd().and_then(Readable::new);
        let over = over.map_err(RunError::not_run)?;
        self.in_async_code = true;
        if !self.started {
            self.start().map_err(RunError::not_run)?;
        }
        over.wait().await;
        // The run is over: this waits for the driver's thread to end, no more.
        self.wait_until(None).unwrap_or(Ok(()))
    }
}

impl ActorBuilder<'_> {
    /// The runtime for [`ActorBuilder::add_future`]: for a `main` that is not async.
    /// (Feature `tokio`.)
    pub fn runtime(mut self, runtime: &Handle) -> Self {
        self.runtime = Some(runtime.clone());
        self
    }

    /// Adds the actor, a future, and gives its index; see [`Group::add_future`].
    ///
    /// # Errors
    /// As [`Group::add_future`].
    pub fn add_future<F>(
        mut self,
        future: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Result<usize, Error>
    where
        F: Future<Output: IntoOutcome> + Send + 'static,
    {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => Handle::try_current().map_err(|_| Error::State)?,
        };
        self.group.needs_a_thread |= is_single(&runtime);
        let (stop, name) = (CancellationToken::new(), self.name.clone());
        let cancel = stop.clone();
        self.add_async(
            move |done| _ = runtime.spawn(execute(name, future, stop, done)),
            move |_| cancel.cancel(),
        )
    }
}

/// The task: runs the future to its end, and completes the actor.
async fn execute<F>(
    name: String,
    future: impl FnOnce(CancellationToken) -> F,
    stop: CancellationToken,
    done: Completion,
) where
    F: Future<Output: IntoOutcome>,
{
    let result = {
        let future = async move { future(stop).await };
        #[cfg(feature = "tracing")]
        let future = tracing::Instrument::instrument(future, super::trace::span(&name));
        let mut future = Box::pin(future);
        poll_fn(
            |context| match catch(&name, || future.as_mut().poll(context)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(returned)) => Poll::Ready(Ok(returned)),
                Err(text) => Poll::Ready(Err(text)),
            },
        )
        .await
        // The future is dropped here, before the actor counts as returned.
    };
    match result {
        Ok(returned) => as_actor(&name, || done.complete(returned)),
        Err(text) => done.complete(Outcome::of_panic(text)),
    }
}

impl StopToken {
    /// Waits until stopping begins, without blocking the thread. (Feature `tokio`;
    /// an actor that is a future is given a token that is cancelled in its turn.)
    ///
    /// # Panics
    /// On a runtime without I/O (`enable_io`), or outside of one.
    pub async fn stopped(&self) {
        if self.is_stopping() {
            return;
        }
        // A wait that fails ends as if the group stopped: the caller would spin.
        if let Ok(stopping) = self.fd().and_then(Readable::new) {
            stopping.wait().await;
        }
    }
}

/// A descriptor that becomes readable, for a task to wait for.
struct Readable(AsyncFd<std::os::fd::OwnedFd>);

impl Readable {
    /// A copy of it: a runtime takes a descriptor only once.
    fn new(fd: BorrowedFd<'_>) -> Result<Self, Error> {
        let copy = fd.try_clone_to_owned().map_err(|_| Error::Memory)?;
        // Deprecated for descriptors that their owner may close; an `OwnedFd` does
        // not. What replaces it is unsafe, and newer than the tokio asked for.
        #[allow(deprecated)]
        let copy = AsyncFd::with_interest(copy, Interest::READABLE);
        copy.map(Readable).map_err(|_| Error::Memory)
    }

    async fn wait(&self) {
        // An error means that the runtime is shut down, and then this is not polled.
        let _ = self.0.readable().await;
    }
}

fn is_single(runtime: &Handle) -> bool {
    runtime.runtime_flavor() == RuntimeFlavor::CurrentThread
}

/// Whether this is the only thread of a runtime.
pub(super) fn on_single_thread() -> bool {
    Handle::try_current().is_ok_and(|runtime| is_single(&runtime))
}
