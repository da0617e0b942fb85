//! The main path: a request that was judged is sent on or refused; its answer is passed back.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::http1::ResponseHead;
use crate::policy::{Admission, Caller, Known, Refusal, Refused, prepare_response};
use crate::proxy::request::judge::{Judged, Outcome};
use crate::proxy::request::key_endpoint;
use crate::proxy::request::log_entry::Record;
use crate::proxy::request::reply::{Reply, permit_page, turn_away};
use crate::proxy::request::response::{Answer, AnswerHead, has_content};
use crate::proxy::request::response_body::Content;
use crate::proxy::upstream::forward::forward;
use crate::proxy::upstream::outbound::ReadHead;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::request_body::RequestBody;
use crate::proxy::upstream::response::UpstreamBody;
use crate::proxy::worker::body::ClientBody;
use crate::proxy::worker::body::Length;
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
    body: Option<Rc<dyn ClientBody>>,
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
                Ok((head, body)) => {
                    let waited = reader.came.get().saturating_sub(reply.now.monotonic);
                    record.set_forwarded(head.status.as_u16(), waited);
                    pass_back(head, body, &reply, record)
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
fn pass_back(head: AnswerHead, body: UpstreamBody, reply: &Reply<'_>, record: Record) -> Answer {
    // An HTTP/2 upstream can send content where there is to be none. A switch has its connection.
    let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let content = if is_switch || has_content(head.status, reply.to_head) {
        Content::Upstream(body)
    } else {
        Content::Fixed(Bytes::new())
    };
    Answer::new(head, content, record, reply.grpc && reply.http2)
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
