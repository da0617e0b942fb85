//! The main path: a request's head is judged, counted, sent on or refused; its answer is passed back.

use super::access_log::redacted;
use super::body::{RequestBody, ResponseBody};
use super::forward::{forward, wants_websocket};
use super::key_endpoint;
use super::live::GRACE;
use super::record::Record;
use super::websocket;
use super::worker::{Current, Worker};
use crate::policy::{
    Admission, Caller, Fields, Head, Known, Now, Peer, Refusal, Refused, Target, authorise, charge, client_address, contains_key,
    field_text, is_grpc, prepare_request, prepare_response, refuse,
};
use crate::state::RefusedRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

/// How much of a refused request's body is read, and for how long.
const READ_ON_BYTES: usize = 256 * 1024;
const READ_ON_TIME: Duration = Duration::from_secs(5);

/// What all requests of one connection share.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    /// Requests whose answer has not ended.
    in_flight: Cell<usize>,
    /// Since when there is none, in monotonic nanoseconds.
    quiet_since: Cell<u64>,
}

impl Connection {
    pub(super) fn new(worker: &Rc<Worker>, peer: Peer) -> Self {
        Self { worker: worker.clone(), peer, in_flight: Cell::new(0), quiet_since: Cell::new(worker.now().monotonic) }
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

    /// Resolves when there has been no request for this long.
    pub(super) async fn quiet_for(&self, limit: Duration) {
        loop {
            let quiet = self.worker.now().monotonic.saturating_sub(self.quiet_since.get());
            let left = match self.in_flight.get() {
                0 => limit.saturating_sub(Duration::from_nanos(quiet)),
                _ => limit,
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Answers one request.
pub(super) async fn handle(connection: Rc<Connection>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
    let worker = &connection.worker;
    let now = worker.now();
    let current = worker.current();
    let request_id = worker.request_id(request.headers(), &current);
    let mut record = Record::start(&connection, &current, &request, &request_id, now);

    let fields = Fields::from(request.headers());
    let head = Head { method: request.method(), target: Target::from(request.uri()), fields: &fields, peer: &connection.peer };
    let grpc = is_grpc(&fields);
    let http2 = request.version() == Version::HTTP_2;
    let head_only = *request.method() == Method::HEAD;
    let refused = match authorise(&head, &current.snapshot, now).and_then(|permit| charge(permit, now)) {
        Ok(admission) => {
            let key = if let Caller::Key { record, .. } = admission.caller() { Some(record) } else { None };
            if let Some(key) = admission.note_use(now) {
                worker.add_used_key(key);
            }
            record.set_caller(Some(admission.api_index()), key, Some(admission.client()));
            if admission.is_key_endpoint() {
                let answer = key_endpoint::answer(worker, &admission, request, &request_id, grpc, now, record).await;
                return Ok(if head_only { without_content(answer) } else { answer });
            }
            match exchange(&connection, &current, &admission, request, &request_id, &mut record).await {
                Ok((answer, upstream_time)) => {
                    record.set_forwarded(answer.response.status().as_u16(), upstream_time);
                    return Ok(pass_back(answer, &admission, &request_id, now, record, grpc && http2));
                }
                Err(refusal) => match record.cut() {
                    Some(refusal) => {
                        if let Some(rest) = record.take_rest() {
                            read_on(rest, GRACE);
                        }
                        Refused { grant: None, allowance: None, ..admission.refused(refusal) }
                    }
                    None => admission.refused(refusal),
                },
            }
        }
        Err(refused) => {
            record.set_caller(refused.api.map(|(index, _)| index), refused.key, None);
            remember(worker, &head, &refused, &request_id, now);
            if let Some(key) = refused.note_use(now) {
                worker.add_used_key(key);
            }
            // A client that waits for `100 Continue` sends nothing, and reading would tell it to.
            if !request.headers().contains_key(header::EXPECT) {
                read_on(request.into_body(), READ_ON_TIME);
            }
            refused
        }
    };
    let answer = turn_away(&refused, &request_id, grpc, now, record);
    Ok(if head_only { without_content(answer) } else { answer })
}

/// What HEAD gets of an answer of Keygate's own. In HTTP/1.1 hyper would leave the content out by itself, in HTTP/2 it does not, and
/// clients take that for a broken stream (RFC 9113 §8.1).
fn without_content(mut answer: Response<ResponseBody>) -> Response<ResponseBody> {
    let length = answer.body_mut().take_content();
    if length > 0 {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    answer
}

/// Keeps what it takes to say later why a request was refused.
fn remember(worker: &Worker, head: &Head<'_>, refused: &Refused<'_>, request_id: &HeaderValue, now: Now) {
    let current = worker.current();
    let apis = current.site.routes.apis();
    let safe = |text| redacted(text, |text| contains_key(apis, text));
    let field = |known| head.fields.first(known).and_then(field_text).unwrap_or_default();
    let host = head.target.authority.unwrap_or_else(|| field(Known::Host));
    let referrer = field(Known::Referer);
    let referrer = referrer.split_once(['?', '#']).map_or(referrer, |(page, _)| page);
    let texts = [request_id.to_str().unwrap_or_default(), safe(head.method.as_str()), safe(host), safe(head.target.path), safe(referrer)];
    let api = refused.api.map(|(_, api)| api.definition().name.clone());
    let address = client_address(head.peer.address, head.fields, current.site.routes.trusted_proxies()).unwrap_or(head.peer.address);
    worker.remember_refused(RefusedRequest::new(now.unix, refused.refusal, api, refused.key.cloned(), address, texts));
}

/// Reads for a while what a refused request still sends. Unread, an HTTP/2 stream would be reset right behind the answer, as
/// RFC 9113 §8.1 allows, and an HTTP/1.1 connection closed; some clients then drop the answer and report a broken connection.
fn read_on(body: Incoming, time: Duration) {
    if !body.is_end_stream() {
        let mut rest = Limited::new(body, READ_ON_BYTES);
        tokio::task::spawn_local(tokio::time::timeout(time, async move { while let Some(Ok(_)) = rest.frame().await {} }));
    }
}

pub(super) fn turn_away(
    refused: &Refused<'_>,
    request_id: &HeaderValue,
    grpc: bool,
    now: Now,
    mut record: Record,
) -> Response<ResponseBody> {
    let mut response = Response::new(());
    let id = request_id.to_str().unwrap_or_default();
    let (status, body) = refuse(refused, id, grpc, now, response.headers_mut());
    *response.status_mut() = status;
    if refused.refusal == Refusal::MalformedFraming || record.cut().is_some() {
        // Where a request with such framing ends is a guess, so nothing behind it is read as another one (RFC 9112 §6.3); the
        // end of one that was cut is not waited for.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    record.set_refused(refused.refusal, response.status().as_u16());
    response.map(|()| ResponseBody::fixed(body, record))
}

/// An upstream's answer, and what is needed to pass it back.
struct Answer {
    response: Response<Incoming>,
    lease: Option<super::pool::Lease>,
    /// The client's side of a protocol switch that was asked for.
    switch: Option<hyper::upgrade::OnUpgrade>,
}

/// Sends the request on; returns the answer and how long it took to begin, in nanoseconds.
async fn exchange(
    connection: &Connection,
    current: &Current,
    admission: &Admission<'_>,
    mut request: Request<Incoming>,
    request_id: &HeaderValue,
    record: &mut Record,
) -> Result<(Answer, u64), Refusal> {
    let worker = &connection.worker;
    let environment = if let Caller::Key { environment, .. } = admission.caller() { environment } else { None };
    let api = current.site.apis.get(admission.api_index()).ok_or(Refusal::UpstreamUnreachable)?;
    let upstream = api.upstream(environment).ok_or(Refusal::UpstreamUnreachable)?;

    let switch = wants_websocket(request.method(), request.version(), request.headers()).then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let trusted = current.snapshot.routes.trusted_proxies();
    let sent = std::mem::take(&mut parts.headers);
    let fields = Fields::from(&sent);
    let head = Head { method: &parts.method, target: Target::from(&parts.uri), fields: &fields, peer: &connection.peer };
    let host = api.config.rewrite_host.then_some(&*upstream.settings.authority);
    let id = request_id.to_str().unwrap_or_default();
    prepare_request(&head, parts.version, admission, trusted, id, host, &mut parts.headers);
    copy_length(&sent, &mut parts.headers);
    if switch.is_some() {
        websocket::mark(&mut parts.headers);
    }
    let request = Request::from_parts(parts, RequestBody::new(body, &current.site, admission.api_index()));
    let progress = request.body().progress();
    if let Caller::Key { digest, .. } = admission.caller() {
        record.set_live(digest, admission.api_index(), &progress);
    }
    let sent = worker.now().monotonic;
    let (response, lease) = progress.unless_cut(forward(worker, admission, &api.config, upstream, request)).await?;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switched && switch.is_none() {
        return Err(Refusal::UpstreamFailed); // a switch that nobody asked for
    }
    let switch = switch.filter(|_| switched);
    Ok((Answer { response, lease, switch }, worker.now().monotonic.saturating_sub(sent)))
}

fn copy_length(from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(length) = from.get(header::CONTENT_LENGTH) {
        to.insert(header::CONTENT_LENGTH, length.clone());
    }
}

fn pass_back(
    answer: Answer,
    admission: &Admission<'_>,
    request_id: &HeaderValue,
    now: Now,
    record: Record,
    grpc: bool,
) -> Response<ResponseBody> {
    let Answer { mut response, lease, switch } = answer;
    let got = std::mem::take(response.headers_mut());
    let id = request_id.to_str().unwrap_or_default();
    prepare_response(&Fields::from(&got), admission, id, now, response.headers_mut());
    copy_length(&got, response.headers_mut());
    // The server side chooses the version that its client speaks.
    *response.version_mut() = Version::HTTP_11;
    match (switch, lease) {
        (Some(client), Some(lease)) => {
            websocket::mark(response.headers_mut());
            let upstream = hyper::upgrade::on(&mut response);
            websocket::start(client, upstream, lease, record);
            response.map(|_| ResponseBody::empty())
        }
        (_, lease) => response.map(|body| ResponseBody::upstream(body, lease, record, grpc)),
    }
}
