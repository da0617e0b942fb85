//! Writes heads and bodies. All text was checked when it was read, or is Keygate's own.

use http::{HeaderMap, Method, StatusCode};

use crate::policy::{Sink, Target};

/// The end of a chunked body without trailer fields (RFC 9112 §7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the request line, with method, path and query byte for byte (RFC 9112 §3.2.1).
pub fn request_line(out: &mut Vec<u8>, method: &Method, target: &Target<'_>) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.path.as_bytes());
    if let Some(query) = target.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes the status line (RFC 9112 §4).
pub fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes one chunk (RFC 9112 §7.1). Writes nothing for empty data, because an empty chunk would
/// end the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let digits = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    out.reserve(data.len() + 20);
    out.extend((0..digits).rev().map(|place| b"0123456789abcdef"[data.len() >> (4 * place) & 15]));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body with trailer fields (RFC 9112 §7.1.2).
pub fn trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        out.put(name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
