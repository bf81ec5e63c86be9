//! Runs the components of a process as one group: they start together and
//! stop together.
//!
//! Every component is an *actor*, a pair of functions: `execute` does the work,
//! `interrupt` makes it return. All run at the same time, each on a thread of
//! its own; when the first returns, for whatever reason, every one is
//! interrupted, in order, and [`Group::run`] returns once all have returned,
//! with the first one's result.
//!
//! ```no_run
//! use rungroup::{Error, Exit, Group, StopToken, interrupt_none};
//!
//! fn main() -> Result<Exit, Error> {
//!     let mut group = Group::new();
//!     group.add("waits", |stop: StopToken| stop.wait(), interrupt_none)?;
//!     group.add("returns", || println!("done"), interrupt_none)?;
//!     group.add_signals(&[])?; // Ctrl-C ends it, too: exit status 130
//!     Ok(group.run().into())
//! }
//! ```
//!
//! An actor can also be a future, or anything else that has no thread:
//! [`Group::add_async`], and with the feature `tokio` `Group::add_future`.
//!
//! Features, both off by default:
//!
//! - `tokio`: `Group::add_future`, `Group::run_async`, `StopToken::stopped`.
//! - `tracing`: `trace_events`, an observer; and a span for every actor.
//!
//! Rules are quoted by their number in the contract, `docs/contract.md`. Where to read on:
//! [`Group`] for the Rust API, `include/rungroup.h` for the C interface, [`machine`]
//! for the rules themselves, `run` for the threads.
//!
//! The modules are layers. Each uses those above it in this file's list and none
//! below; a test keeps it so.

#[cfg(not(unix))]
compile_error!("rungroup needs a Unix: pthreads, poll and sigaction");

mod error;
mod text;

pub mod machine;
mod report;

mod latch;
#[cfg_attr(rungroup_model, path = "model/sync.rs")]
mod sync;
mod sys;

mod abi;

mod run;

mod api;
mod capi;

#[cfg(rungroup_model)]
mod model;

pub use api::actor::{Execute, IntoComplaint, IntoOutcome, interrupt_none};
pub use api::builder::{ActorBuilder, Builder};
pub use api::completion::Completion;
pub use api::error::{Exit, RunError};
pub use api::event::Event;
pub use api::group::Group;
pub use api::name::{current_actor, install_panic_hook};
pub use api::plugin::Host;
pub use api::token::{StopToken, Stopper};
#[cfg(feature = "tracing")]
pub use api::trace::trace_events;
pub use error::Error;
pub use machine::{EventKind, Order, Outcome, Stuck};
pub use report::{ActorReport, ActorState, Cause, Report};
#[cfg(feature = "tokio")]
pub use tokio_util::sync::CancellationToken;
