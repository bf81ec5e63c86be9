//! What an actor's closures take and return.

use super::error::RunError;
use super::token::StopToken;
use crate::abi::rg_cause;
use crate::error::Error;
use crate::machine::{Message, NO_MESSAGE, Outcome};
use crate::report::Cause;
use crate::text;
use std::collections::HashMap;

pub(super) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The errors that actors returned, by index, until somebody takes them.
pub(super) type Errors = HashMap<usize, BoxedError>;

/// The interrupt of an actor that watches a [`StopToken`].
pub fn interrupt_none(_cause: &Cause<'_>) {}

/// The cause that an interrupt is handed.
pub(super) fn cause(cause: &rg_cause) -> Cause<'_> {
    Cause {
        code: cause.code,
        actor: cause.actor(),
        message: cause.message(),
        index: usize::try_from(cause.index).ok(),
    }
}

/// An actor's execute: a closure without arguments, or one that takes its group's
/// [`StopToken`]. `Form` is `fn() -> R` or `fn(StopToken) -> R`, and the compiler
/// finds it; the closure must name the token's type:
///
/// ```
/// use rungroup::{Group, StopToken, interrupt_none};
///
/// fn serve(stop: StopToken) -> std::io::Result<()> {
///     stop.wait();
///     Ok(())
/// }
///
/// let mut group = Group::new();
/// group.add("first", |stop: StopToken| stop.wait(), interrupt_none)?;
/// group.add("second", serve, interrupt_none)?;
/// group.add("third", || println!("returns"), interrupt_none)?;
/// group.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no execute of an actor",
    label = "takes nothing or a `StopToken`, and returns (), i32, ! or a Result of these",
    note = "a closure that takes the token names its type: `|stop: StopToken| ...`",
    note = "it must be `Send` and `'static`: it runs on another thread"
)]
pub trait Execute<Form>: Send + 'static {
    /// What it returns.
    type Output: IntoOutcome;

    /// The closure with its argument, if it takes one.
    ///
    /// # Errors
    /// What `token` gives.
    #[doc(hidden)]
    fn bind(
        self,
        token: impl FnOnce() -> Result<StopToken, Error>,
    ) -> Result<impl FnOnce() -> Self::Output + Send + 'static, Error>;
}

impl<F, R> Execute<fn() -> R> for F
where
    F: FnOnce() -> R + Send + 'static,
    R: IntoOutcome,
{
    type Output = R;

    fn bind(
        self,
        _token: impl FnOnce() -> Result<StopToken, Error>,
    ) -> Result<impl FnOnce() -> R + Send + 'static, Error> {
        Ok(self)
    }
}

impl<F, R> Execute<fn(StopToken) -> R> for F
where
    F: FnOnce(StopToken) -> R + Send + 'static,
    R: IntoOutcome,
{
    type Output = R;

    fn bind(
        self,
        token: impl FnOnce() -> Result<StopToken, Error>,
    ) -> Result<impl FnOnce() -> R + Send + 'static, Error> {
        let token = token()?;
        Ok(move || self(token))
    }
}

/// What an execute may return: nothing, a code, an [`Outcome`] (a code and a message),
/// a `Result` of these, or never. Other crates cannot implement it: theirs return an
/// [`Outcome`].
pub trait IntoOutcome {
    /// The code and message, and the error itself.
    fn into_outcome(self) -> (Outcome, Option<BoxedError>);
}

/// Code 0.
impl IntoOutcome for () {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        (Outcome::code(0), None)
    }
}

/// The code.
impl IntoOutcome for i32 {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        (Outcome::code(self), None)
    }
}

/// Itself.
impl IntoOutcome for Outcome {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        (self, None)
    }
}

/// Code 1, with the error's text, and those of its sources, as message. The error
/// of a group inside of this one keeps its code.
impl<T: IntoOutcome, E: Into<BoxedError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        let error: BoxedError = match self {
            Ok(value) => return value.into_outcome(),
            Err(error) => error.into(),
        };
        let inner = error.downcast_ref::<RunError>();
        let outcome = Outcome {
            code: inner.map_or(1, RunError::code),
            message: text_of(&error),
        };
        (outcome, Some(error))
    }
}

/// What an interrupt may return: nothing, a `Result`, or never. An error is a
/// complaint: it changes nothing, and the report has its text. Other crates cannot
/// implement it.
pub trait IntoComplaint {
    /// The error.
    fn into_complaint(self) -> Option<BoxedError>;
}

impl IntoComplaint for () {
    fn into_complaint(self) -> Option<BoxedError> {
        None
    }
}

impl<T: IntoComplaint, E: Into<BoxedError>> IntoComplaint for Result<T, E> {
    fn into_complaint(self) -> Option<BoxedError> {
        match self {
            Ok(value) => value.into_complaint(),
            Err(error) => Some(error.into()),
        }
    }
}

/// The text of an interrupt's complaint.
pub(super) fn complaint(returned: impl IntoComplaint) -> Message {
    let complaint = returned.into_complaint();
    complaint.map_or(NO_MESSAGE, |error| text_of(&error))
}

fn text_of(error: &BoxedError) -> Message {
    text::lossy(&text::chain(&**error)).into()
}

/// Gives a function's return type.
pub trait Returns {
    /// The return type.
    type Type;
}

impl<R> Returns for fn() -> R {
    type Type = R;
}

/// The type `!`, whose name is not stable yet: what a closure that only panics, or
/// loops for ever, returns. (This is why other crates cannot implement the traits: the
/// compiler does not look through `Returns` when it compares their implementations.)
type Never = <fn() -> ! as Returns>::Type;

impl IntoOutcome for Never {
    fn into_outcome(self) -> (Outcome, Option<BoxedError>) {
        self
    }
}

impl IntoComplaint for Never {
    fn into_complaint(self) -> Option<BoxedError> {
        self
    }
}
