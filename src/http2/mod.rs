//! The server side of HTTP/2 (RFC 9113, RFC 7541) in memory, without I/O. Frames are parsed from
//! received bytes and written into a buffer. What the standard calls malformed is refused, never
//! repaired. A client that causes work without making requests exhausts its budget.

mod budget;
mod connection;
mod data;
mod decode;
mod disorder;
mod encode;
mod event;
mod flow;
mod frame;
mod huffman;
mod inbound;
mod request;
mod send;
mod streams;
mod table;
#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use decode::Block;
pub use encode::HeaderBlock;
pub use event::{Event, Limits, PREFACE, Unfinished};
pub use flow::Credit;
pub use request::{Malformed, RequestHead, request};
pub use send::Sender;

/// The error code with which a connection or a stream ends (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u32);

#[allow(missing_docs, reason = "each is the code of this name in RFC 9113 §7")]
impl Reason {
    pub const NO_ERROR: Self = Self(0);
    pub const PROTOCOL_ERROR: Self = Self(1);
    pub const INTERNAL_ERROR: Self = Self(2);
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    pub const STREAM_CLOSED: Self = Self(5);
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    pub const REFUSED_STREAM: Self = Self(7);
    pub const CANCEL: Self = Self(8);
    pub const COMPRESSION_ERROR: Self = Self(9);
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}
