//! What every floor knows of a body.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

/// How long a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Length {
    /// In bytes.
    Exact(u64),
    /// It is seen at the end.
    Unknown,
    /// There is none, and nothing is said about it (RFC 9110 §8.6).
    Absent,
}

/// What a body that ends badly ends with. An [`h2::Error`] in it says what an HTTP/2 stream is
/// reset with.
pub(in crate::proxy) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// RFC 9113 §7: the stream is no longer needed.
pub(in crate::proxy) fn cancelled() -> Broken {
    h2::Error::from(h2::Reason::CANCEL).into()
}

/// The body of a client's request, whatever protocol it comes over.
pub(in crate::proxy) trait ClientBody {
    /// Whether there is nothing more.
    fn is_done(&self) -> bool;

    /// How many bytes are to come, where that is known.
    fn length(&self) -> Option<u64>;

    /// Returns the next part, or `None` at the end.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>;
}
