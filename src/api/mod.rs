//! The Rust API.

pub mod group;
pub mod plugin;
