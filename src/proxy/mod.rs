//! The data plane: what happens between a client's connection and the upstream's.
//!
//! Each worker is a thread with a runtime of its own, its own connections to upstreams and its own
//! counters, so that a request touches nothing that another core writes. `judge` and `handler`
//! are the main path. Workers never block, resolve a name or touch the disk.

mod downstream;
mod request;
mod upstream;
mod worker;

pub use downstream::accept::bind;
pub use worker::context::Worker;
pub use worker::log::{LogWriter, Logged};
