//! The main path: a request's head is judged, counted, sent on or refused; its answer is passed
//! back.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Version};

use super::access_log::redacted;
use super::answer::{Answer, AnswerHead, Length};
use super::body::{ClientBody, Content, RequestBody};
use super::deadline::Deadline;
use super::forward::{Outbound, forward};
use super::key_endpoint;
use super::record::Record;
use super::request_id::RequestId;
use super::worker::{Current, Worker};
use crate::http1::ResponseHead;
use crate::policy::{
    Admission, Caller, Head, Known, Now, Peer, Permit, Refusal, Refused, Responder, Sink as _,
    authorise, client_address, contains_key, digest_presented, is_grpc, prepare_response, refuse,
};
use crate::state::{KeyCall, RefusedKey, RefusedRequest};

/// What all requests of one connection share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    /// Whether there are so many connections that this one is open only to be told so.
    pub(super) surplus: bool,
    /// Requests whose answer has not ended.
    in_flight: Cell<usize>,
    /// Since when there is none, in monotonic nanoseconds.
    quiet_since: Cell<u64>,
}

impl Connection {
    pub(super) fn new(worker: &Rc<Worker>, peer: Peer, surplus: bool) -> Rc<Self> {
        let quiet_since = Cell::new(worker.now().monotonic);
        Rc::new(Self {
            worker: worker.clone(),
            peer,
            surplus,
            in_flight: Cell::new(0),
            quiet_since,
        })
    }

    pub(super) fn request_started(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn request_ended(&self, now: u64) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.quiet_since.set(now);
    }

    /// Counts the time without a request from now.
    pub(super) fn restart_quiet(&self) {
        self.quiet_since.set(self.worker.now().monotonic);
    }

    /// Whether a request is in flight, and else for how long there has been none.
    pub(super) fn quiet(&self) -> Option<Duration> {
        let quiet = self.worker.now().monotonic.saturating_sub(self.quiet_since.get());
        (self.in_flight.get() == 0).then_some(Duration::from_nanos(quiet))
    }
}

/// What is kept of a request's head once it has been judged.
pub(super) struct Judged<'s> {
    pub(super) outcome: Outcome<'s>,
    pub(super) record: Record,
    reply: Reply<'s>,
}

/// What the verdict on a request asks for.
pub(super) enum Outcome<'s> {
    /// A request that goes on to the upstream.
    Forward(Admission<'s>, Outbound),
    /// One that Keygate's own key endpoints answer.
    KeyEndpoint(Admission<'s>, KeyCall),
    /// A browser's preflight, which gets these lines.
    Preflight(&'s [u8]),
    Refused(Refused<'s>),
}

/// What an answer depends on besides its content.
pub(super) struct Reply<'s> {
    pub(super) request_id: RequestId,
    pub(super) now: Now,
    pub(super) http2: bool,
    pub(super) grpc: bool,
    /// Whether the request is a HEAD.
    pub(super) to_head: bool,
    /// What browsers are told about pages of other origins.
    pub(super) cors: &'s [u8],
}

/// Judges a request by its head. Nothing of the head is borrowed any more when this returns.
/// `body`: how long it is, or why the message as a whole is refused.
pub(super) fn judge<'s>(
    connection: &Rc<Connection>,
    current: &'s Current,
    head: &Head<'_>,
    version: Version,
    body: Result<Length, Refusal>,
    now: Now,
) -> Judged<'s> {
    let worker = &connection.worker;
    let request_id = worker.request_id(head.fields, current);
    let mut record = Record::start(connection, current, head, version, &request_id, now);
    let http2 = version == Version::HTTP_2;
    let mut reply = Reply {
        request_id,
        now,
        http2,
        grpc: is_grpc(head.fields),
        to_head: *head.method == Method::HEAD,
        cors: &[],
    };
    let body = if connection.surplus { Err(Refusal::Overloaded) } else { body };
    let admitted = body.map_err(Refused::early).and_then(|body| {
        let permit = authorise(head, &current.snapshot, now)?;
        match has_room(worker, current, &permit, body) {
            Ok(()) => Ok((worker.charge(permit, now)?, body)),
            Err(refusal) => Err(permit.refused(refusal, now)),
        }
    });
    let outcome = match admitted {
        Ok((admission, body)) => {
            let key = if let Caller::Key { record, .. } = admission.caller() {
                Some(record)
            } else {
                None
            };
            if let Some(key) = admission.note_use(now) {
                worker.add_used_key(key);
            }
            record.set_caller(Some(admission.api_index()), key, Some(admission.client()));
            reply.cors = admission.api().cors_lines(head.fields);
            match admission.responder() {
                Responder::Upstream => match Outbound::new(
                    current,
                    &admission,
                    head,
                    version,
                    body,
                    reply.request_id.as_str(),
                ) {
                    Ok(outbound) => Outcome::Forward(admission, outbound),
                    Err(refusal) => Outcome::Refused(admission.refused(refusal)),
                },
                Responder::KeyEndpoints => {
                    let call = key_endpoint::call(&admission, head, reply.request_id.as_str());
                    Outcome::KeyEndpoint(admission, call)
                }
                Responder::Preflight => {
                    Outcome::Preflight(admission.api().preflight_lines(head.fields))
                }
            }
        }
        Err(refused) => {
            record.set_caller(refused.api.map(|(index, _)| index), refused.key, None);
            reply.cors = refused.api.map_or(&[], |(_, api)| api.cors_lines(head.fields));
            remember(worker, head, &refused, reply.request_id.as_str(), now);
            if let Some(key) = refused.note_use(now) {
                worker.add_used_key(key);
            }
            Outcome::Refused(refused)
        }
    };
    Judged { outcome, record, reply }
}

/// Whether a request that was authorised is not too large, and its API not serving as many as it
/// may already. Only a worker that has more than its share, or that knows of many elsewhere, looks
/// at what the others have.
fn has_room(
    worker: &Worker,
    current: &Current,
    permit: &Permit<'_>,
    body: Length,
) -> Result<(), Refusal> {
    let forwarded = permit.responder() == Responder::Upstream;
    let Some(api) = current.site.apis.get(permit.api_index()).filter(|_| forwarded) else {
        return Ok(());
    };
    if let Length::Exact(length) = body
        && length > api.config.max_body_size as u64
    {
        return Err(Refusal::BodyTooLarge);
    }
    let most = api.config.max_requests as u64;
    let (own, elsewhere) = api
        .stats
        .get(worker.index())
        .map_or((0, 0), |stats| (stats.in_flight.value(), stats.elsewhere.value()));
    let may_be_full = (own + 1) * api.stats.len() as u64 > most || own + elsewhere >= most;
    if may_be_full && api.in_flight() >= most { Err(Refusal::Overloaded) } else { Ok(()) }
}

/// Answers a request that has been judged. `body` is the client's; `deadline` the one that is kept
/// while an answer is waited for.
pub(super) async fn respond(
    worker: &Rc<Worker>,
    current: &Current,
    judged: Judged<'_>,
    body: ClientBody,
    deadline: &mut Deadline,
) -> Answer {
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
            let answered = Cell::new(0);
            let mut read = |head: &ResponseHead<'_, '_>| {
                answered.set(worker.now().monotonic);
                progress.moved(worker.soon(Duration::ZERO));
                pass_back(head, &admission, &reply)
            };
            let exchange =
                pin!(forward(worker, current, &admission, outbound, body, deadline, &mut read));
            match progress.unless_cut(exchange).await {
                Ok((head, content)) => {
                    record.set_forwarded(
                        head.status.as_u16(),
                        answered.get().saturating_sub(reply.now.monotonic),
                    );
                    Answer::new(head, content, record, reply.grpc && reply.http2)
                }
                Err(refusal) => {
                    let refused = match record.cut() {
                        // Its limit is not shown to one that is no good any more.
                        Some(refusal) if refusal.is_invalid_token() => {
                            Refused { grant: None, allowance: None, ..admission.refused(refusal) }
                        }
                        _ => admission.refused(refusal),
                    };
                    turn_away(&refused, &reply, record)
                }
            }
        }
    }
}

/// What the client gets of the head of the upstream's answer.
fn pass_back(
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
        StatusCode::NOT_MODIFIED => declared().map_or(Length::Absent, Length::Exact),
        _ if reply.to_head => declared().map_or(Length::Absent, Length::Exact),
        _ => declared().map_or(Length::Unknown, Length::Exact),
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

/// Keeps what it takes to say later why a request was refused.
fn remember(worker: &Worker, head: &Head<'_>, refused: &Refused<'_>, request_id: &str, now: Now) {
    let current = worker.current();
    let apis = current.site.routes.apis();
    let safe = |text| redacted(text, |text| contains_key(apis, text));
    let field = |name| {
        head.fields
            .first(name)
            .and_then(|value| std::str::from_utf8(value).ok())
            .unwrap_or_default()
    };
    let host = head.target.authority.unwrap_or_else(|| field(Known::Host));
    let referrer = field(Known::Referer);
    let referrer = referrer.split_once(['?', '#']).map_or(referrer, |(page, _)| page);
    let texts = [
        request_id,
        safe(head.method.as_str()),
        safe(host),
        safe(head.target.path),
        safe(referrer),
    ];
    let api = refused.api.map(|(_, api)| api.definition().name.clone());
    let address =
        client_address(head.peer.address, head.fields, current.site.routes.trusted_proxies())
            .unwrap_or(head.peer.address);
    let known = refused.key.map(|record| RefusedKey::Known(record.clone()));
    let dead = || match (refused.refusal, refused.api) {
        // Its record is not in memory.
        (Refusal::RevokedKey | Refusal::ExpiredKey, Some((_, api))) => {
            digest_presented(api, head.fields).map(RefusedKey::Dead)
        }
        _ => None,
    };
    worker.remember_refused(RefusedRequest::new(
        now.unix,
        refused.refusal,
        api,
        known.or_else(dead),
        address,
        texts,
    ));
}

/// Keygate's own answer to a request that it refuses.
pub(super) fn turn_away(refused: &Refused<'_>, reply: &Reply<'_>, mut record: Record) -> Answer {
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
pub(super) fn own_answer(
    mut head: AnswerHead,
    body: Bytes,
    reply: &Reply<'_>,
    record: Record,
    close: bool,
) -> Answer {
    let silent = head.status == StatusCode::NO_CONTENT;
    head.length = if silent { Length::Absent } else { Length::Exact(body.len() as u64) };
    // What HEAD gets: clients take content for a broken stream (RFC 9113 §8.1).
    let body = if reply.to_head { Bytes::new() } else { body };
    Answer { close, ..Answer::new(head, Content::Fixed(body), record, false) }
}
