//! One group on real threads: carries out the steps of the
//! [`Machine`](crate::machine), and posts back what happened.
//!
//! Read [`core`] first: `run` is `start` and `drive`. What one completion does
//! is `threads.rs` (an execute returns, its thread ends), `inbox.rs` (the post),
//! `drive.rs` (the driver wakes, drains, and takes the next step).

pub mod actor;
pub mod core;
pub mod drive;
pub mod failure;
mod gate;
pub mod inbox;
mod interrupter;
mod signals;
mod systemd;
pub mod threads;
