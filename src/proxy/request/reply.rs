//! Keygate's own responses.

use bytes::Bytes;
use http::StatusCode;

use crate::policy::{Now, Refusal, Refused, Sink as _, refuse};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::request::response::{Response, ResponseHeader};
use crate::proxy::request::response_body::Content;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::request_id::RequestId;
use crate::syntax::has_content;

/// What a response depends on besides its content.
pub(in crate::proxy) struct ResponseContext<'s> {
    pub(in crate::proxy) request_id: RequestId,
    pub(in crate::proxy) now: Now,
    pub(in crate::proxy) http2: bool,
    pub(in crate::proxy) grpc: bool,
    /// Whether the request method is HEAD.
    pub(in crate::proxy) to_head: bool,
    /// CORS header lines.
    pub(in crate::proxy) cors: &'s [u8],
}

/// Builds the response to a refused request.
pub(in crate::proxy) fn refusal_response(
    refused: &Refused<'_>,
    reply: &ResponseContext<'_>,
    mut entry: LogEntry,
) -> Response {
    let mut head = ResponseHeader::new(reply.http2, StatusCode::OK, Length::Absent);
    let (status, body) =
        refuse(refused, reply.request_id.as_str(), reply.grpc, reply.now, &mut head);
    head.status = status;
    head.put_lines(reply.cors);
    entry.set_refused(refused.refusal, head.status.as_u16());
    // The end of a message with malformed framing or a truncated body is a guess, so no bytes
    // behind it are read as another request (RFC 9112 §6.3). The end of a cancelled, slow or too
    // large request is not worth waiting for.
    let unsound = matches!(
        refused.refusal,
        Refusal::MalformedFraming
            | Refusal::MalformedHead
            | Refusal::HeadTooLarge
            | Refusal::ClientAborted
    );
    let unwanted = matches!(refused.refusal, Refusal::BodyTooLarge | Refusal::ClientTimeout);
    let close = unsound || unwanted || entry.cancelled().is_some();
    own_response(head, body, reply, entry, close)
}

/// Builds the response to a preflight with these header lines.
pub(in crate::proxy) fn preflight_response(
    lines: &[u8],
    reply: &ResponseContext<'_>,
    mut entry: LogEntry,
) -> Response {
    let mut head = ResponseHeader::new(reply.http2, StatusCode::NO_CONTENT, Length::Absent);
    head.put("x-request-id", reply.request_id.as_str().as_bytes());
    head.put_lines(lines);
    entry.set_answered(head.status.as_u16());
    own_response(head, Bytes::new(), reply, entry, false)
}

/// Builds a response with this body. `close`: no request may follow on the connection.
pub(in crate::proxy) fn own_response(
    mut head: ResponseHeader,
    body: Bytes,
    reply: &ResponseContext<'_>,
    entry: LogEntry,
    close: bool,
) -> Response {
    let silent = head.status == StatusCode::NO_CONTENT;
    head.length = if silent { Length::Absent } else { Length::Exact(body.len() as u64) };
    // Clients treat unexpected content as a broken stream (RFC 9113 §8.1).
    let body = if has_content(head.status, reply.to_head) { body } else { Bytes::new() };
    Response { close, ..Response::new(head, Content::Fixed(body), entry, false) }
}
