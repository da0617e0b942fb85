//! Reads and writes HTTP/1.1 messages (RFC 9112) in memory, without I/O. Heads and bodies are
//! parsed from received bytes and written into buffers. Each message has exactly one reading: what
//! the standard lets a lenient parser repair (a bare LF, a folded line, white space before a colon,
//! two lengths) is refused, because another parser could read it differently.

mod body;
mod chunks;
mod fields;
mod head;
#[cfg(test)]
mod tests;
mod write;

pub use body::{Body, Piece};
pub use head::{
    Limits, RequestHead, ResponseHead, find_end, keeps_alive, request, request_body, response,
    response_body,
};
pub use write::{LAST_CHUNK, chunk, request_line, status_line, trailers};

/// Why bytes are not a message that Keygate accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The head or the trailer section is larger than allowed or has too many fields, or a chunked
    /// body has more framing overhead than allowed.
    #[error("it is larger than allowed")]
    TooLarge,
    /// The message breaks the grammar.
    #[error("it breaks the grammar of HTTP/1.1")]
    Syntax,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    #[error("it is of another version than HTTP/1.0 and HTTP/1.1")]
    Version,
    /// The length of the body is ambiguous or undefined (RFC 9112 §6.3).
    #[error("its length can be read in two ways, or in none")]
    Framing,
}
