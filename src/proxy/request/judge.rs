//! Judging of a request by its head.

use std::rc::Rc;

use http::{Method, Version};

use crate::policy::{
    Admission, Caller, Head, HeaderKind, Now, Permit, Refusal, Refused, Responder, Visit,
    authorise, client_address, contains_key, digest_presented, is_grpc, visit,
};
use crate::proxy::request::connection::Connection;
use crate::proxy::request::key_endpoint;
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::request::page;
use crate::proxy::request::reply::ResponseContext;
use crate::proxy::upstream::outbound::Outbound;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::current::Current;
use crate::proxy::worker::log::redacted;
use crate::state::{KeyCall, PageCall, RefusedKey, RefusedRequest};

/// A judged request, without its head.
pub(in crate::proxy) struct Judged<'s> {
    pub(in crate::proxy) disposition: Disposition<'s>,
    pub(in crate::proxy) entry: LogEntry,
    pub(in crate::proxy) reply: ResponseContext<'s>,
}

/// What to do with a judged request.
pub(in crate::proxy) enum Disposition<'s> {
    /// Forward the request to the upstream.
    Forward(Admission<'s>, Outbound),
    /// Answer the request with Keygate's own key endpoints.
    /// Boxed, because it is rare and would make every request's disposition larger.
    KeyEndpoint(Admission<'s>, Box<KeyCall>),
    /// Answer the request with a page of the portal.
    Page(Box<PageCall>),
    /// Answer a browser's CORS preflight with these header lines.
    Preflight(&'s [u8]),
    Refused(Refused<'s>),
}

/// Judges a request by its head. The result borrows nothing from the head. `body` is the length of
/// the body, or the reason to refuse the message as a whole.
pub(in crate::proxy) fn judge<'s>(
    connection: &Rc<Connection>,
    current: &'s Current,
    head: &Head<'_>,
    version: Version,
    body: Result<Length, Refusal>,
    now: Now,
) -> Judged<'s> {
    let worker = &connection.worker;
    let request_id = worker.request_id(head.fields, current);
    let mut entry = LogEntry::start(connection, current, head, version, &request_id, now);
    let http2 = version == Version::HTTP_2;
    let mut reply = ResponseContext {
        request_id,
        now,
        http2,
        grpc: is_grpc(head.fields),
        to_head: *head.method == Method::HEAD,
        cors: &[],
    };
    let body = if connection.overflow { Err(Refusal::Overloaded) } else { body };
    if body.is_ok()
        && let Some(visit) = visit(head, &current.snapshot.routes)
    {
        let disposition = page_disposition(visit, head, &mut entry);
        return Judged { disposition, entry, reply };
    }
    let admitted = body.map_err(Refused::early).and_then(|body| {
        let permit = authorise(head, &current.snapshot, now)?;
        match has_room(worker, current, &permit, body) {
            Ok(()) => Ok((worker.charge(permit, now)?, body)),
            Err(refusal) => Err(permit.refused(refusal, now)),
        }
    });
    let disposition = match admitted {
        Ok((admission, body)) => {
            note_admitted(worker, head, &admission, &mut entry, &mut reply);
            let request_id = reply.request_id.as_str();
            match admission.responder() {
                Responder::Upstream => {
                    match Outbound::new(current, &admission, head, version, body, request_id) {
                        Ok(outbound) => Disposition::Forward(admission, outbound),
                        Err(refusal) => Disposition::Refused(admission.refused(refusal)),
                    }
                }
                Responder::KeyEndpoints => {
                    let call = key_endpoint::call(&admission, head, request_id);
                    Disposition::KeyEndpoint(admission, Box::new(call))
                }
                Responder::Preflight => {
                    Disposition::Preflight(admission.api().preflight_lines(head.fields))
                }
            }
        }
        Err(refused) => {
            note_refused(worker, head, &refused, &mut entry, &mut reply);
            Disposition::Refused(refused)
        }
    };
    Judged { disposition, entry, reply }
}

/// Returns what to do with a request for the pages.
fn page_disposition<'s>(
    visit: Result<Visit<'_>, Refusal>,
    head: &Head<'_>,
    entry: &mut LogEntry,
) -> Disposition<'s> {
    let called = visit.and_then(|visit| {
        entry.set_caller(None, None, Some(visit.client));
        page::call(head, &visit).ok_or(Refusal::MalformedHead)
    });
    match called {
        Ok(call) => Disposition::Page(Box::new(call)),
        Err(refusal) => Disposition::Refused(Refused::early(refusal)),
    }
}

fn note_admitted<'s>(
    worker: &Worker,
    head: &Head<'_>,
    admission: &Admission<'s>,
    entry: &mut LogEntry,
    reply: &mut ResponseContext<'s>,
) {
    let key = if let Caller::Key { record, .. } = admission.caller() { Some(record) } else { None };
    if let Some(key) = admission.note_use(reply.now) {
        worker.add_used_key(key);
    }
    entry.set_caller(Some(admission.api_index()), key, Some(admission.client()));
    reply.cors = admission.api().cors_lines(head.fields);
}

fn note_refused<'s>(
    worker: &Worker,
    head: &Head<'_>,
    refused: &Refused<'s>,
    entry: &mut LogEntry,
    reply: &mut ResponseContext<'s>,
) {
    entry.set_caller(refused.api.map(|(index, _)| index), refused.key, None);
    reply.cors = refused.api.map_or(&[], |(_, api)| api.cors_lines(head.fields));
    remember(worker, head, refused, reply.request_id.as_str(), reply.now);
    if let Some(key) = refused.note_use(reply.now) {
        worker.add_used_key(key);
    }
}

/// Checks that an authorised request is not too large and that its API has capacity for one more
/// request. Reads the other workers' counters only if this worker has more than its share, or last
/// saw many requests on the others.
///
/// # Errors
/// Returns `BodyTooLarge` or `Overloaded`.
fn has_room(
    worker: &Worker,
    current: &Current,
    permit: &Permit<'_>,
    body: Length,
) -> Result<(), Refusal> {
    let forwarded = permit.responder() == Responder::Upstream;
    let Some(api) = current.runtime.apis.get(permit.api_index()).filter(|_| forwarded) else {
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

/// Keeps what is needed to explain later why a request was refused.
fn remember(worker: &Worker, head: &Head<'_>, refused: &Refused<'_>, request_id: &str, now: Now) {
    let current = worker.current();
    let apis = current.runtime.routes.apis();
    let safe = |text| redacted(text, |text| contains_key(apis, text));
    let field = |name| {
        head.fields
            .first(name)
            .and_then(|value| std::str::from_utf8(value).ok())
            .unwrap_or_default()
    };
    let host = head.target.authority.unwrap_or_else(|| field(HeaderKind::Host));
    let referrer = field(HeaderKind::Referer);
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
        client_address(head.peer.address, head.fields, current.runtime.routes.trusted_proxies())
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
