//! The C interface, and every other place where foreign code or the system is
//! called. Unsafe code lives here and in `runner/{thread,stack}.rs`.
//!
//! An exported function (`exports`) finds the function table in the handle it
//! was given and calls through it, so that whichever copy of the library made
//! a group also serves it. The table's functions (`handle`) check arguments,
//! catch panics at one boundary and call the safe core.
#![allow(unsafe_code)]

pub mod actor;
pub mod exports;
pub mod failure;
pub mod foreign;
pub mod handle;
pub mod host;
pub mod os;
pub mod process;
#[cfg_attr(rungroup_model, path = "../model/pthread.rs")]
pub mod pthread;
pub mod sigaction;
