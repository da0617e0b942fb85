//! The state of a client's HTTP/2 connection.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::http2::{self, Limits};
use crate::proxy::downstream::http2::ready_set::ReadySet;
use crate::proxy::downstream::http2::responder::Responder;
use crate::proxy::downstream::http2::stream::Slot;
use crate::proxy::request::connection::Connection;
use crate::proxy::worker::deadline::{Deadline, TransferTimeout};
use crate::proxy::worker::stream::Stream;

/// Timeout for a client to answer a PING.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time that a closing connection stays open without a request in flight, to write what is
/// left.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time without a request after which a connection releases the memory that it keeps for the next
/// one.
pub(super) const RELEASE_AFTER: Duration = Duration::from_secs(2);

/// One connection.
pub(super) struct Client {
    pub(super) connection: Rc<Connection>,
    pub(super) stream: Stream,
    /// HTTP/2 state. A slot is `None` only until the header block that opened its stream has been
    /// read.
    pub(super) http: http2::Connection<Option<Slot>>,
    /// Received bytes of an incomplete frame.
    pub(super) rest: Vec<u8>,
    /// When reading was last suspended because the client does not read either, in monotonic
    /// nanoseconds.
    pub(super) unread: u64,
    /// Number of bytes of the output buffer that have been sent.
    pub(super) sent: usize,
    pub(super) ready: Arc<ReadySet>,
    /// Wakers of the streams, by slab key.
    pub(super) wakers: Vec<Waker>,
    /// Idle responders.
    pub(super) responders: Vec<Responder>,
    /// Slab key of the stream that is served first.
    pub(super) turn: usize,
    /// Timeout for the client to take what is sent. `None` until the client has first blocked a
    /// write.
    pub(super) write_timeout: Option<TransferTimeout>,
    /// When to check all timeouts.
    pub(super) deadline: Deadline,
    /// When bytes were last received, and when an unanswered PING was sent, in monotonic
    /// nanoseconds.
    pub(super) received_at: u64,
    pub(super) pinged_at: Option<u64>,
    /// Whether the connection closes as soon as everything has been sent.
    pub(super) is_closing: bool,
}

impl Client {
    /// Creates the state of a new connection.
    pub(super) fn new(connection: Rc<Connection>, stream: Stream) -> Self {
        let worker = &connection.worker;
        let now = worker.now().monotonic;
        let current = worker.current();
        let server = &current.runtime.server;
        let limits = Limits {
            streams: server.max_streams,
            size: server.max_header_size,
            fields: server.max_headers,
            budget: server.http2_frame_budget as u64,
        };
        Self {
            stream,
            http: http2::Connection::new(limits, now),
            rest: Vec::new(),
            unread: now,
            sent: 0,
            ready: ReadySet::new(server.max_streams as usize),
            wakers: Vec::new(),
            responders: Vec::new(),
            turn: 0,
            write_timeout: None,
            deadline: Deadline::new(
                Instant::now() + server.idle_timeout.min(server.header_timeout).min(RELEASE_AFTER),
            ),
            received_at: now,
            pinged_at: None,
            is_closing: false,
            connection,
        }
    }

    /// Returns the byte stream. Drops all HTTP/2 streams.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
}
