//! What the tests share: the gateway's process, an upstream that records every request, and a
//! client that sends and reads exact bytes.

mod bare;
mod certificates;
mod client;
mod gateway;
mod keys;
mod message;
mod preload;
mod upstream;
mod websocket;

pub(crate) use bare::{bare_upstream, upstream_after_head};
pub(crate) use certificates::Certificates;
pub(crate) use client::{Client, Request};
pub(crate) use gateway::{Gateway, Setup, field, send_signal};
pub(crate) use keys::{Key, hex_digest};
pub(crate) use message::Message;
pub(crate) use preload::library;
pub(crate) use upstream::{Answer, Upstream};
pub(crate) use websocket::{SWITCH, WebSocket, echo_frames};

use std::time::{Duration, Instant};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `look` returns a value. Panics after [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
