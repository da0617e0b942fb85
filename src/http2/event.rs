//! What a connection is made of that its user sees: what it may do, what has come, what has not.

use http::HeaderMap;

use super::Reason;
use super::flow::Credit;

/// What a client starts with (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// Bytes of a request's head, as RFC 9113 §6.5.2 counts them.
    pub size: usize,
    /// Header fields of a request.
    pub fields: usize,
    /// What frames that ask for nothing may cost at once; half of it comes back in a second. A
    /// frame costs 1, a stream that comes to nothing 50.
    pub budget: u64,
}

/// What has come.
#[derive(Debug)]
pub enum Event<'i> {
    /// Nothing that concerns a stream.
    Nothing,
    /// A request; its head is in the block. `ended`: it has no body.
    Request {
        /// Key of the stream, until it is closed.
        key: usize,
        /// Whether the request has ended.
        ended: bool,
    },
    /// A part of a request's body, perhaps of a frame that has not come whole.
    Data {
        /// Key of the stream.
        key: usize,
        /// The data.
        data: &'i [u8],
        /// The room that the data takes up, as long as it is kept.
        credit: Credit,
        /// Whether it is the last part. The stream is closed then if it has been answered.
        ended: bool,
    },
    /// The end of a request's body.
    Trailers {
        /// Key of the stream.
        key: usize,
        /// The fields.
        trailers: HeaderMap,
    },
    /// The stream that had this key was reset, and is closed.
    Reset {
        /// The key.
        key: usize,
    },
    /// More may be sent on one stream, or on all.
    Window {
        /// Key of the one stream.
        key: Option<usize>,
    },
}

/// What a client has begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The preface, or the SETTINGS behind it.
    Opening,
    /// A header block: CONTINUATION is to come.
    HeaderBlock,
    /// The payload of DATA on an open stream.
    Data,
    /// The payload of DATA on a stream that is closed.
    ClosedData,
    /// Any other frame, or the head of one.
    Frame,
}

/// What a frame says, or why the connection ends.
pub(super) type Outcome<'i> = Result<Event<'i>, Reason>;
/// How much of the input was read, and what it said; `None`: more must come first.
pub(super) type Read<'i> = Result<Option<(usize, Event<'i>)>, Reason>;
