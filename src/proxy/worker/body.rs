//! Body types that every layer uses.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

/// Length of a body, as its message declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Length {
    /// Length in bytes.
    Exact(u64),
    /// Known only at the end of the body.
    Unknown,
    /// No body, and no length to declare (RFC 9110 §8.6).
    Absent,
}

/// Error that a truncated body ends with. An [`h2::Error`] in its chain is the reason that an
/// HTTP/2 stream is reset with.
pub(in crate::proxy) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Returns an error with the code CANCEL: the stream is no longer needed (RFC 9113 §7).
pub(in crate::proxy) fn cancelled() -> Broken {
    h2::Error::from(h2::Reason::CANCEL).into()
}

/// Body of a client's request, over either protocol.
pub(in crate::proxy) trait ClientBody {
    /// Returns whether the whole body, trailers included, has been returned.
    fn is_done(&self) -> bool;

    /// Returns the number of bytes still to come, or `None` if it is unknown.
    fn length(&self) -> Option<u64>;

    /// Returns the next data or trailers frame, or `None` at the end of the body.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>;
}
