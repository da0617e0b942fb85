//! Why a request to an HTTP/1.1 upstream has no response.

use std::io;

use crate::http1::Malformed;
use crate::proxy::upstream::request_body::RequestBody;

/// Why an exchange has no response.
pub(in crate::proxy) enum Failed {
    /// The upstream closed the connection without sending a byte.
    Closed {
        /// The request that was to be sent.
        request: Unanswered,
        /// Whether no byte of it had been sent.
        unsent: bool,
    },
    /// The client's body was truncated, or forwarding of it was stopped.
    Client,
    /// Any other failure.
    Upstream(io::Error),
}

/// A request without a response.
pub(in crate::proxy) struct Unanswered {
    pub(in crate::proxy) head: Vec<u8>,
    pub(in crate::proxy) body: RequestBody,
}

impl Failed {
    pub(super) fn malformed(malformed: Malformed) -> Self {
        Self::Upstream(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the upstream's answer is malformed: {malformed}"),
        ))
    }
}
