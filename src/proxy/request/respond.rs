//! The main path: a request that was judged is sent on or refused; its answer is passed back.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::http1::ResponseHead;
use crate::policy::{
    Admission, Caller, Known, Refusal, Refused, Sink as _, prepare_response, refuse,
};
use crate::proxy::request::judge::{Judged, Outcome, Reply};
use crate::proxy::request::key_endpoint;
use crate::proxy::request::log_entry::Record;
use crate::proxy::request::response::{Answer, AnswerHead, Length};
use crate::proxy::request::response_body::{ClientBody, Content};
use crate::proxy::upstream::forward::{ReadHead, forward};
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::request_body::RequestBody;
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::current::Current;
use crate::proxy::worker::deadline::Deadline;
use crate::proxy::worker::request_state::Progress;

/// Answers a request that has been judged. `body` is the client's; `deadline` the one that is kept
/// while an answer is waited for.
pub(in crate::proxy) async fn respond(
    pool: &Rc<Pool>,
    current: &Current,
    judged: Judged<'_>,
    body: ClientBody,
    deadline: &mut Deadline,
) -> Answer {
    let worker = pool.worker();
    let Judged { outcome, mut record, reply } = judged;
    match outcome {
        Outcome::Refused(refused) => turn_away(&refused, &reply, record),
        Outcome::Preflight(lines) => permit_page(lines, &reply, record),
        Outcome::KeyEndpoint(admission, call) => {
            // Boxed, because it is rare and would make every request's future larger.
            Box::pin(key_endpoint::answer(worker, &admission, call, body, &reply, record)).await
        }
        Outcome::Forward(admission, outbound) => {
            let body = RequestBody::new(
                body,
                &current.site,
                admission.api_index(),
                reply.grpc && outbound.is_http2(),
            );
            let progress = body.progress().clone();
            let digest = if let Caller::Key { digest, .. } = admission.caller() {
                Some(digest)
            } else {
                None
            };
            record.set_live(digest, admission.api_index(), &progress);
            let reader = HeadReader {
                worker,
                progress: &progress,
                admission: &admission,
                reply: &reply,
                came: Cell::new(0),
            };
            let exchange =
                pin!(forward(pool, current, &admission, outbound, body, deadline, &reader));
            match progress.unless_cut(exchange).await {
                Ok((head, content)) => {
                    let waited = reader.came.get().saturating_sub(reply.now.monotonic);
                    record.set_forwarded(head.status.as_u16(), waited);
                    pass_back(head, content, &reply, record)
                }
                Err(refusal) => {
                    turn_away(&late_refusal(refusal, &admission, &record), &reply, record)
                }
            }
        }
    }
}

/// What a request gets that was sent on and is refused all the same.
fn late_refusal<'s>(refusal: Refusal, admission: &Admission<'s>, record: &Record) -> Refused<'s> {
    match record.cut() {
        // Its limit is not shown to one that is no good any more.
        Some(refusal) if refusal.is_invalid_token() => {
            Refused { grant: None, allowance: None, ..admission.refused(refusal) }
        }
        _ => admission.refused(refusal),
    }
}

/// The answer of an upstream.
fn pass_back(head: AnswerHead, content: Content, reply: &Reply<'_>, record: Record) -> Answer {
    // An HTTP/2 upstream can send content where there is to be none. A switch has its connection.
    let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let content = if is_switch || has_content(head.status, reply.to_head) {
        content
    } else {
        Content::Fixed(Bytes::new())
    };
    Answer::new(head, content, record, reply.grpc && reply.http2)
}

/// Whether an answer may have content, whatever its head says of a length (RFC 9110 §6.4.1). A 205
/// is not to have any, but is framed as if it had (RFC 9112 §6.3).
fn has_content(status: StatusCode, to_head: bool) -> bool {
    !to_head
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Makes of the head of the upstream's answer what the client gets.
struct HeadReader<'r, 's> {
    worker: &'r Worker,
    progress: &'r Progress,
    admission: &'r Admission<'s>,
    reply: &'r Reply<'s>,
    /// When it came, in monotonic nanoseconds.
    came: Cell<u64>,
}

impl ReadHead for HeadReader<'_, '_> {
    type Kept = AnswerHead;

    fn read(&self, head: &ResponseHead<'_, '_>) -> AnswerHead {
        self.came.set(self.worker.now().monotonic);
        self.progress.moved(self.worker.soon(Duration::ZERO));
        answer_head(head, self.admission, self.reply)
    }
}

fn answer_head(
    head: &ResponseHead<'_, '_>,
    admission: &Admission<'_>,
    reply: &Reply<'_>,
) -> AnswerHead {
    let declared = || {
        head.fields
            .first(Known::ContentLength)
            .and_then(|length| std::str::from_utf8(length).ok()?.parse().ok())
    };
    let length = match head.status {
        StatusCode::NO_CONTENT | StatusCode::SWITCHING_PROTOCOLS => Length::Absent,
        status => match declared() {
            Some(length) => Length::Exact(length),
            None if has_content(status, reply.to_head) => Length::Unknown,
            None => Length::Absent,
        },
    };
    let mut answer = AnswerHead::new(reply.http2, head.status, length);
    answer.dated = head.fields.has(Known::Date);
    prepare_response(
        head.fields,
        admission,
        reply.request_id.as_str(),
        reply.now,
        reply.cors,
        &mut answer,
    );
    answer
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
fn permit_page(lines: &[u8], reply: &Reply<'_>, mut record: Record) -> Answer {
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
