//! HTTP/1.1 as bytes (RFC 9112), without input or output: heads and bodies are read out of what has
//! arrived and written into buffers. One reading only: what the standard lets a lenient parser
//! repair (a bare LF, a folded line, white space before a colon, two lengths) is refused, because
//! another parser could read it differently.

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
    /// The head, or a body's trailer section, is larger than allowed or has more fields; or a body
    /// in chunks has more besides its data than allowed.
    #[error("it is larger than allowed")]
    TooLarge,
    /// It breaks the grammar.
    #[error("it breaks the grammar of HTTP/1.1")]
    Syntax,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    #[error("it is of another version than HTTP/1.0 and HTTP/1.1")]
    Version,
    /// Where the body ends can be read in two ways, or in none.
    #[error("its length can be read in two ways, or in none")]
    Framing,
}
