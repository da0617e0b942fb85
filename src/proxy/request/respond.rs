//! Main path: a judged request is forwarded or refused, and its response is passed back.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::http1::ResponseHead;
use crate::policy::{Admission, Caller, HeaderKind, Refusal, Refused, prepare_response};
use crate::proxy::request::judge::{Disposition, Judged};
use crate::proxy::request::key_endpoint;
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::request::page;
use crate::proxy::request::reply::{ResponseContext, preflight_response, refusal_response};
use crate::proxy::request::response::{Response, ResponseHeader};
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
use crate::proxy::worker::request_state::RequestState;
use crate::syntax::has_content;

/// Answers a judged request. `body` is the client's. `deadline` holds the timeouts until the
/// response begins.
pub(in crate::proxy) async fn respond(
    pool: &Rc<Pool>,
    current: &Current,
    judged: Judged<'_>,
    body: Option<Rc<dyn ClientBody>>,
    deadline: &mut Deadline,
) -> Response {
    let worker = pool.worker();
    let Judged { disposition, mut entry, reply } = judged;
    match disposition {
        Disposition::Refused(refused) => refusal_response(&refused, &reply, entry),
        Disposition::Preflight(lines) => preflight_response(lines, &reply, entry),
        Disposition::KeyEndpoint(admission, call) => {
            // Boxed, because it is rare and would make every request's future larger.
            Box::pin(key_endpoint::answer(worker, &admission, *call, body, &reply, entry)).await
        }
        // Boxed for the same reason.
        Disposition::Page(call) => Box::pin(page::answer(worker, *call, body, &reply, entry)).await,
        Disposition::Forward(admission, outbound) => {
            let body = RequestBody::new(
                body,
                &current.runtime,
                admission.api_index(),
                reply.grpc && outbound.is_http2(),
            );
            let state = body.state().clone();
            let digest = if let Caller::Key { digest, .. } = admission.caller() {
                Some(digest)
            } else {
                None
            };
            entry.set_in_flight(digest, admission.api_index(), &state);
            let reader = HeadReader {
                worker,
                state: &state,
                admission: &admission,
                reply: &reply,
                came: Cell::new(0),
            };
            let exchange =
                pin!(forward(pool, current, &admission, outbound, body, deadline, &reader));
            match state.unless_cancelled(exchange).await {
                Ok((head, body)) => {
                    let waited = reader.came.get().saturating_sub(reply.now.monotonic);
                    entry.set_forwarded(head.status.as_u16(), waited);
                    pass_back(head, body, &reply, entry)
                }
                Err(refusal) => {
                    refusal_response(&late_refusal(refusal, &admission, &entry), &reply, entry)
                }
            }
        }
    }
}

/// Builds the refusal of a request that was already forwarded.
fn late_refusal<'s>(refusal: Refusal, admission: &Admission<'s>, entry: &LogEntry) -> Refused<'s> {
    match entry.cancelled() {
        // A key that is no longer valid is not told its limit.
        Some(refusal) if refusal.is_invalid_token() => {
            Refused { grant: None, allowance: None, ..admission.refused(refusal) }
        }
        _ => admission.refused(refusal),
    }
}

/// Builds the response from the upstream's.
fn pass_back(
    head: ResponseHeader,
    body: UpstreamBody,
    reply: &ResponseContext<'_>,
    entry: LogEntry,
) -> Response {
    // An HTTP/2 upstream can send content where none is allowed. A protocol switch needs its
    // connection.
    let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let content = if is_switch || has_content(head.status, reply.to_head) {
        Content::Upstream(body)
    } else {
        body.release();
        Content::Fixed(Bytes::new())
    };
    Response::new(head, content, entry, reply.grpc && reply.http2)
}

/// Turns the upstream's response head into the one for the client.
struct HeadReader<'r, 's> {
    worker: &'r Worker,
    state: &'r RequestState,
    admission: &'r Admission<'s>,
    reply: &'r ResponseContext<'s>,
    /// When the head arrived, in monotonic nanoseconds.
    came: Cell<u64>,
}

impl ReadHead for HeadReader<'_, '_> {
    type Kept = ResponseHeader;

    fn read(&self, head: &ResponseHead<'_, '_>) -> ResponseHeader {
        self.came.set(self.worker.now().monotonic);
        self.state.moved(self.worker.soon(Duration::ZERO));
        response_header(head, self.admission, self.reply)
    }
}

fn response_header(
    head: &ResponseHead<'_, '_>,
    admission: &Admission<'_>,
    reply: &ResponseContext<'_>,
) -> ResponseHeader {
    let declared = || {
        head.fields
            .first(HeaderKind::ContentLength)
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
    let mut answer = ResponseHeader::new(reply.http2, head.status, length);
    answer.dated = head.fields.has(HeaderKind::Date);
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
