//! The operating system in safe forms. Nothing here knows of groups.
#![allow(unsafe_code)]

pub mod clock;
pub mod event;
pub mod fork;
pub mod futex;
pub mod memory;
pub mod signal;
pub mod stack;
#[cfg_attr(rungroup_model, path = "../model/thread.rs")]
pub mod thread;
pub mod tsan;
pub mod unwind;
