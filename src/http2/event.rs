//! The types in which a connection reports to its user: limits, events, incomplete input.

use http::HeaderMap;

use super::Reason;
use super::flow::Credit;

/// The client connection preface (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The limits that a client must keep.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most concurrent streams.
    pub streams: u32,
    /// The most bytes of a request head, as defined in RFC 9113 §6.5.2.
    pub size: usize,
    /// The most header fields of a request.
    pub fields: usize,
    /// The budget for frames that make no request; half of it is refilled per second. A frame costs
    /// 1, a stream that served no purpose 50.
    pub budget: u64,
}

/// What a frame, or a part of one, means to the user of the connection.
#[derive(Debug)]
pub enum Event<'i> {
    /// Nothing that concerns a stream.
    Nothing,
    /// A request, whose head is in the block.
    Request {
        /// The key of the stream, valid until the stream is closed.
        key: usize,
        /// Whether the request has ended, so that it has no body.
        ended: bool,
    },
    /// A part of a request body. Its frame may not have been received completely.
    Data {
        /// The key of the stream.
        key: usize,
        /// The data.
        data: &'i [u8],
        /// The flow-control credit that the data occupies until this is dropped.
        credit: Credit,
        /// Whether this is the last part. If the response has ended, too, the stream is now closed.
        ended: bool,
    },
    /// The trailers, which end a request body.
    Trailers {
        /// The key of the stream.
        key: usize,
        /// The trailer fields.
        trailers: HeaderMap,
    },
    /// The stream was reset, and is closed.
    Reset {
        /// The key that the stream had.
        key: usize,
    },
    /// The send window of one stream, or of all streams, may have grown.
    Window {
        /// The key of the stream, or `None` for all streams.
        key: Option<usize>,
    },
}

/// What a client has begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The connection preface, or the SETTINGS frame after it.
    Opening,
    /// A header block, of which CONTINUATION frames are missing.
    HeaderBlock,
    /// The payload of a DATA frame on an open stream.
    Data,
    /// The payload of a DATA frame on a closed stream.
    ClosedData,
    /// Any other frame, or a frame header.
    Frame,
}

/// The event of a frame, or the error with which the connection ends.
pub(super) type Outcome<'i> = Result<Event<'i>, Reason>;
/// How many bytes were consumed, and their event; `None` if more must be received first.
pub(super) type Read<'i> = Result<Option<(usize, Event<'i>)>, Reason>;
