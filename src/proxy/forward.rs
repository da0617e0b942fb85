//! One exchange with an upstream: connection, request, head of the answer.

use super::body::{Progress, RequestBody};
use super::pool::{Lease, connect_http1, connect_http2};
use super::worker::Worker;
use crate::config::{ApiConfig, Protocol};
use crate::policy::{Admission, Refusal};
use crate::state::UpstreamState;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Sends a request that was admitted and waits for the head of the answer. The connection comes with an
/// HTTP/1.1 answer and is free again when its body has ended.
///
/// # Errors
/// Why there is no answer: the upstream's fault, or the client's own.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    _witness: &Admission<'_>,
    api: &ApiConfig,
    upstream: &UpstreamState,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Option<Lease>), Refusal> {
    match upstream.settings.protocol {
        Protocol::Http1 | Protocol::Http1Tls => {
            let (response, lease) = over_http1(worker, api, upstream, request).await?;
            Ok((response, Some(lease)))
        }
        Protocol::Http2 | Protocol::Http2Tls => over_http2(worker, api, upstream, request).await.map(|response| (response, None)),
    }
}

async fn over_http1(
    worker: &Rc<Worker>,
    api: &ApiConfig,
    upstream: &UpstreamState,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Refusal> {
    to_origin_form(&mut request);
    let progress = request.body().progress();
    loop {
        let reused = worker.pool().take(upstream.id).await;
        let is_reused = reused.is_some();
        let mut connection = match reused {
            Some(connection) => {
                worker.stats().upstream_reused.add(1);
                connection
            }
            // Boxed, because it is rare and would make every request's future larger.
            None => Box::pin(connect_http1(worker, upstream, api.connect_timeout)).await.map_err(|error| connecting_failed(&error))?,
        };
        // An upstream may close a connection at the moment that it is used again. What it never read it may
        // be sent again (RFC 9112 §9.3.1), if that is harmless.
        let again = (is_reused && progress.done.get() && request.method().is_idempotent()).then(|| copy_of(&request));
        let sending = connection.sender.try_send_request(request);
        match answer(sending, &progress, api.response_timeout).await? {
            Ok(response) => {
                let lease = Lease { worker: worker.clone(), upstream: upstream.id, connection, progress };
                return Ok((response, lease));
            }
            Err(mut error) => {
                let unsent = error.take_message();
                let unread = was_closed(error.error());
                request = match (unsent, again) {
                    (Some(unsent), _) if is_reused => unsent,
                    (None, Some(again)) if unread => again,
                    _ => return Err(failed(error.error(), &progress)),
                };
                worker.stats().upstream_retries.add(1);
            }
        }
    }
}

async fn over_http2(
    worker: &Rc<Worker>,
    api: &ApiConfig,
    upstream: &UpstreamState,
    mut request: Request<RequestBody>,
) -> Result<Response<Incoming>, Refusal> {
    to_absolute_form(&mut request, upstream)?;
    let progress = request.body().progress();
    for last in [false, true] {
        let shared = worker.pool().http2(upstream.id);
        let mut sender = {
            // Whoever holds it is connecting; of all who wait, none may wait for the others' attempts one after another.
            let held = tokio::time::timeout(api.connect_timeout, shared.lock()).await;
            let mut held = held.map_err(|_| Refusal::UpstreamTimeout)?;
            match held.as_ref().filter(|sender| !sender.is_closed()) {
                Some(sender) => {
                    worker.stats().upstream_reused.add(1);
                    sender.clone()
                }
                None => {
                    let connecting = Box::pin(connect_http2(worker, upstream, api.connect_timeout));
                    let fresh = connecting.await.map_err(|error| connecting_failed(&error))?;
                    held.insert(fresh).clone()
                }
            }
        };
        let ready = tokio::time::timeout(api.response_timeout, sender.ready()).await.map_err(|_| Refusal::UpstreamTimeout)?;
        if ready.is_err() && !last {
            continue;
        }
        match answer(sender.try_send_request(request), &progress, api.response_timeout).await? {
            Ok(response) => return Ok(response),
            Err(mut error) => match error.take_message() {
                Some(unsent) if !last => {
                    worker.stats().upstream_retries.add(1);
                    request = unsent;
                }
                _ => return Err(failed(error.error(), &progress)),
            },
        }
    }
    Err(Refusal::UpstreamUnreachable)
}

type Answer = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Waits for the answer's head until nothing has happened for `patience`: not before the request's body
/// has stood still that long.
async fn answer(sending: impl Future<Output = Answer>, progress: &Progress, patience: Duration) -> Result<Answer, Refusal> {
    let mut sending = std::pin::pin!(sending);
    let mut deadline = Instant::now() + patience;
    loop {
        if let Ok(answer) = tokio::time::timeout_at(deadline, sending.as_mut()).await {
            return Ok(answer);
        }
        match progress.last.get().map(|last| last + patience) {
            Some(moved) if moved > deadline => deadline = moved,
            _ if progress.waiting.get() => return Err(Refusal::ClientAborted),
            _ => return Err(Refusal::UpstreamTimeout),
        }
    }
}

fn connecting_failed(error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::TimedOut { Refusal::UpstreamTimeout } else { Refusal::UpstreamUnreachable }
}

fn failed(error: &hyper::Error, progress: &Progress) -> Refusal {
    if progress.failed.get() {
        return Refusal::ClientAborted;
    }
    tracing::debug!(%error, "the upstream failed");
    Refusal::UpstreamFailed
}

/// Whether the upstream closed the connection instead of answering. A reset is the same, seen a moment later.
fn was_closed(error: &hyper::Error) -> bool {
    let reset = || {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|source| matches!(source.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
    };
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || reset()
}

fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// RFC 9112 §3.2.1: path and query only, exactly as they were authorised.
fn to_origin_form(request: &mut Request<RequestBody>) {
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        let path = request.uri_mut().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    // Left to itself the HTTP engine sends a GET or HEAD whose body has no known length without the body.
    if !request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_LENGTH) {
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// RFC 9113 §8.3.1: the host travels as `:authority`.
fn to_absolute_form(request: &mut Request<RequestBody>, upstream: &UpstreamState) -> Result<(), Refusal> {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    let scheme = if upstream.settings.protocol == Protocol::Http2Tls { "https" } else { "http" };
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(host.as_ref().map_or(upstream.settings.authority.as_bytes(), |host| host.as_bytes()))
        .path_and_query(path)
        .build()
        .map_err(|_| Refusal::MalformedHost)?;
    *request.uri_mut() = uri;
    Ok(())
}

/// Whether the request asks to switch to the WebSocket protocol (RFC 6455 §4.1), the one switch that is
/// passed on.
pub(super) fn wants_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    let lists = |name, wanted: &[u8]| {
        let tokens = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        tokens.into_iter().any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    method == Method::GET && version == Version::HTTP_11 && lists(header::CONNECTION, b"upgrade") && lists(header::UPGRADE, b"websocket")
}
