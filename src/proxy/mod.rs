//! The data plane: what happens between a client's connection and the upstream's.
//!
//! Each worker is a thread with a runtime of its own, its own connections to upstreams and its own
//! counters, so that a request touches nothing that another core writes. `judge` and `handler`
//! are the main path. Workers never block, resolve a name or touch the disk.

mod accept;
mod access_log;
mod answer;
mod body;
mod charge_over;
mod client;
mod client_connection;
mod closing;
mod connection;
mod deadline;
mod exchange;
mod forward;
mod handler;
mod http1;
mod http2;
mod http2_stream;
mod judge;
mod key_endpoint;
mod live;
mod pool;
mod progress;
mod ready;
mod record;
mod request_body;
mod request_id;
mod responder;
mod stream;
mod upload;
mod websocket;
mod worker;

pub use accept::bind;
pub use access_log::{LogWriter, Logged};
pub use worker::Worker;
