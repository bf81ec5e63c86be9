//! The Rust API: closures and futures for actors, Rust errors for results.

pub mod actor;
pub mod builder;
pub mod completion;
pub mod error;
pub mod event;
pub mod group;
pub mod name;
pub mod plugin;
pub mod token;

#[cfg(feature = "tokio")]
pub mod future;
#[cfg(feature = "tracing")]
pub mod trace;
