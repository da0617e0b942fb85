//! Responses under construction, in the encoding of the client's protocol.

use http::StatusCode;

use crate::http2::HeaderBlock;
use crate::policy::Sink;
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::request::response_body::{Content, ResponseBody};
use crate::proxy::worker::body::Length;

/// Response head, without the fields about the connection.
pub(in crate::proxy) struct ResponseHeader {
    pub(in crate::proxy) status: StatusCode,
    pub(in crate::proxy) length: Length,
    /// Whether the fields include `Date` (RFC 9110 §6.6.1).
    pub(in crate::proxy) dated: bool,
    pub(in crate::proxy) fields: ResponseFields,
}

/// Encoded header fields.
pub(in crate::proxy) enum ResponseFields {
    /// Field lines between the status line and those about the connection.
    Http1(Vec<u8>),
    /// All fields but `:status`, `content-length` and the `date` that Keygate adds.
    Http2(HeaderBlock),
}

/// Initial capacity in bytes, enough for most heads.
const ROOM: usize = 1000;

impl ResponseHeader {
    /// Creates a head without fields. `http2`: the client speaks HTTP/2.
    pub(in crate::proxy) fn new(http2: bool, status: StatusCode, length: Length) -> Self {
        let fields = if http2 {
            ResponseFields::Http2(HeaderBlock::with_capacity(ROOM))
        } else {
            ResponseFields::Http1(Vec::with_capacity(ROOM))
        };
        Self { status, length, dated: false, fields }
    }
}

impl Sink for ResponseHeader {
    fn put(&mut self, name: &str, value: &[u8]) {
        match &mut self.fields {
            ResponseFields::Http1(head) => head.put(name, value),
            ResponseFields::Http2(fields) => fields.put(name, value),
        }
    }

    fn put_lines(&mut self, lines: &[u8]) {
        match &mut self.fields {
            ResponseFields::Http1(head) => head.put_lines(lines),
            ResponseFields::Http2(fields) => fields.put_lines(lines),
        }
    }
}

/// A complete response.
pub(in crate::proxy) struct Response {
    pub(in crate::proxy) head: ResponseHeader,
    pub(in crate::proxy) body: ResponseBody,
    /// Whether no request may follow on the connection.
    pub(in crate::proxy) close: bool,
}

impl Response {
    /// Creates a response. `grpc`: cancellation is reported in trailers with a gRPC status.
    pub(in crate::proxy) fn new(
        head: ResponseHeader,
        content: Content,
        entry: LogEntry,
        grpc: bool,
    ) -> Self {
        Self { head, body: ResponseBody::new(content, entry, grpc), close: false }
    }
}
