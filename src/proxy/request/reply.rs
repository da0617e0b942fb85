//! Keygate's own responses.

use bytes::Bytes;
use http::StatusCode;

use crate::policy::{Now, Refusal, Refused, Sink as _, refuse};
use crate::proxy::request::log_entry::Record;
use crate::proxy::request::response::{Answer, AnswerHead, has_content};
use crate::proxy::request::response_body::Content;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::request_id::RequestId;

/// What an answer depends on besides its content.
pub(in crate::proxy) struct Reply<'s> {
    pub(in crate::proxy) request_id: RequestId,
    pub(in crate::proxy) now: Now,
    pub(in crate::proxy) http2: bool,
    pub(in crate::proxy) grpc: bool,
    /// Whether the request is a HEAD.
    pub(in crate::proxy) to_head: bool,
    /// What browsers are told about pages of other origins.
    pub(in crate::proxy) cors: &'s [u8],
}

/// Keygate's own answer to a request that it refuses.
pub(in crate::proxy) fn turn_away(
    refused: &Refused<'_>,
    reply: &Reply<'_>,
    mut record: Record,
) -> Answer {
    let mut head = AnswerHead::new(reply.http2, StatusCode::OK, Length::Absent);
    let (status, body) =
        refuse(refused, reply.request_id.as_str(), reply.grpc, reply.now, &mut head);
    head.status = status;
    head.put_lines(reply.cors);
    record.set_refused(refused.refusal, head.status.as_u16());
    // Where a request with such framing, or whose body broke off, ends is a guess, so nothing
    // behind it is read as another one (RFC 9112 §6.3); the end of one that was cut, is too slow or
    // too large is not waited for.
    let unsound = matches!(
        refused.refusal,
        Refusal::MalformedFraming
            | Refusal::MalformedHead
            | Refusal::HeadTooLarge
            | Refusal::ClientAborted
    );
    let unwanted = matches!(refused.refusal, Refusal::BodyTooLarge | Refusal::ClientTimeout);
    let close = unsound || unwanted || record.cut().is_some();
    own_answer(head, body, reply, record, close)
}

/// The answer to a preflight.
pub(in crate::proxy) fn permit_page(lines: &[u8], reply: &Reply<'_>, mut record: Record) -> Answer {
    let mut head = AnswerHead::new(reply.http2, StatusCode::NO_CONTENT, Length::Absent);
    head.put("x-request-id", reply.request_id.as_str().as_bytes());
    head.put_lines(lines);
    record.set_answered(head.status.as_u16());
    own_answer(head, Bytes::new(), reply, record, false)
}

/// An answer of Keygate's own with this body.
pub(in crate::proxy) fn own_answer(
    mut head: AnswerHead,
    body: Bytes,
    reply: &Reply<'_>,
    record: Record,
    close: bool,
) -> Answer {
    let silent = head.status == StatusCode::NO_CONTENT;
    head.length = if silent { Length::Absent } else { Length::Exact(body.len() as u64) };
    // Clients take content for a broken stream where there is to be none (RFC 9113 §8.1).
    let body = if has_content(head.status, reply.to_head) { body } else { Bytes::new() };
    Answer { close, ..Answer::new(head, Content::Fixed(body), record, false) }
}
