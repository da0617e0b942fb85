//! One exchange with an upstream: connect, send the request, read the response head.

use std::error::Error as _;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::SendRequest;
use tokio::time::Instant;

use crate::config::ApiConfig;
use crate::http1::ResponseHead;
use crate::policy::{Admission, Fields, Refusal};
use crate::proxy::upstream::failed::{Failed, Unanswered};
use crate::proxy::upstream::http1::Exchange;
use crate::proxy::upstream::outbound::{Asked, Outbound, OutboundHead, ReadHead, destination};
use crate::proxy::upstream::pool::{Http2, Pool, connect_http1, connect_http2};
use crate::proxy::upstream::request_body::RequestBody;
use crate::proxy::upstream::response::UpstreamBody;
use crate::proxy::worker::current::Current;
use crate::proxy::worker::deadline::Deadline;
use crate::proxy::worker::request_state::RequestState;
use crate::state::UpstreamState;

/// Forwards an admitted request and waits for the response head, which `reader` reads. Moves
/// `deadline` on as the exchange progresses.
///
/// # Errors
/// Returns the refusal if there is no response, whether by the upstream's fault or the client's.
pub(in crate::proxy) async fn forward<R: ReadHead>(
    pool: &Rc<Pool>,
    current: &Current,
    admission: &Admission<'_>,
    outbound: Outbound,
    body: RequestBody,
    deadline: &mut Deadline,
    reader: &R,
) -> Result<(R::Kept, UpstreamBody), Refusal> {
    let (api, upstream) = destination(current, admission).ok_or(Refusal::UpstreamUnreachable)?;
    let Outbound { asked, head } = outbound;
    match head {
        OutboundHead::Http1(head) => {
            let request = Unanswered { head, body };
            over_http1(pool, api, upstream, &asked, request, deadline, reader).await
        }
        OutboundHead::Http2(request) => {
            Box::pin(over_http2(pool, api, upstream, *request, body, deadline, reader)).await
        }
    }
}

async fn over_http1<R: ReadHead>(
    pool: &Rc<Pool>,
    api: &ApiConfig,
    upstream: &UpstreamState,
    asked: &Asked,
    mut request: Unanswered,
    deadline: &mut Deadline,
    reader: &R,
) -> Result<(R::Kept, UpstreamBody), Refusal> {
    let worker = pool.worker();
    loop {
        let reused = pool.take(upstream.id);
        let is_reused = reused.is_some();
        let stream = match reused {
            Some(stream) => {
                worker.stats().upstream_reused.add(1);
                stream
            }
            // Boxed, because it is rare and would make every request's future larger.
            None => {
                let connected = Box::pin(connect_http1(pool, upstream, api.connect_timeout)).await;
                worker.now();
                connected.map_err(|error| connecting_failed(&error))?
            }
        };
        let state = request.body.state().clone();
        // A body whose forwarding has begun cannot be sent again.
        let whole = state.is_sent();
        let mut exchange =
            Box::new(Exchange::new(pool, upstream.id, stream, request, asked.chunked));
        let poll = |cx: &mut Context<'_>| exchange.poll_head(cx, asked, reader);
        match in_time(deadline, worker.soon(Duration::ZERO), &state, api.response_timeout, poll)
            .await?
        {
            Ok(kept) => return Ok((kept, UpstreamBody::Http1(exchange))),
            // An upstream may close an idle connection at the moment of its reuse. A request that
            // it never read, or an idempotent one, may be sent again (RFC 9112 §9.3.1).
            Err(Failed::Closed { request: unanswered, unsent })
                if is_reused && whole && (unsent || asked.method.is_idempotent()) =>
            {
                worker.stats().upstream_retries.add(1);
                request = unanswered;
            }
            Err(Failed::Client) => return Err(state.failed().unwrap_or(Refusal::ClientAborted)),
            Err(Failed::Closed { .. }) => {
                tracing::debug!("the upstream closed the connection without an answer");
                return Err(Refusal::UpstreamFailed);
            }
            Err(Failed::Upstream(error)) => {
                tracing::debug!(%error, "the upstream failed");
                return Err(Refusal::UpstreamFailed);
            }
        }
    }
}

async fn over_http2<R: ReadHead>(
    pool: &Rc<Pool>,
    api: &ApiConfig,
    upstream: &UpstreamState,
    head: Request<()>,
    mut body: RequestBody,
    deadline: &mut Deadline,
    reader: &R,
) -> Result<(R::Kept, UpstreamBody), Refusal> {
    let worker = pool.worker();
    let state = body.state().clone();
    let mut refused = Some((head.clone(), body.keep()));
    let mut request = head.map(|()| body);
    let mut unsent_before = false;
    loop {
        let shared = pool.http2(upstream.id);
        let mut sender = sender(pool, api, upstream, &shared).await?;
        let ready = tokio::time::timeout(api.response_timeout, sender.ready())
            .await
            .map_err(|_| Refusal::UpstreamTimeout)?;
        if ready.is_err() && !std::mem::replace(&mut unsent_before, true) {
            continue;
        }
        worker.now();
        let begun = worker.soon(Duration::ZERO);
        let mut sending = Box::pin(sender.try_send_request(request));
        let outcome =
            in_time(deadline, begun, &state, api.response_timeout, |cx| sending.as_mut().poll(cx))
                .await;
        if let Err(Refusal::UpstreamTimeout) = outcome {
            pool.give_up_http2(upstream.id, &shared);
        }
        let mut error = match outcome? {
            Ok(response) => {
                drop(refused);
                return answered(response, state, reader);
            }
            Err(error) => error,
        };
        request = if let Some(unsent) = error.take_message() {
            if std::mem::replace(&mut unsent_before, true) {
                return Err(failed(&error, &state));
            }
            unsent
        } else {
            // A request that the upstream has not processed may be sent again whatever its method,
            // once.
            let refused = refused.take().filter(|_| is_refusal(error.error()));
            let Some((head, body)) = refused.and_then(|(head, kept)| Some((head, kept.body()?)))
            else {
                return Err(failed(&error, &state));
            };
            pool.give_up_http2(upstream.id, &shared);
            head.map(|()| body)
        };
        worker.stats().upstream_retries.add(1);
    }
}

/// Returns the sender of the upstream's HTTP/2 connection, and connects if there is none.
async fn sender(
    pool: &Rc<Pool>,
    api: &ApiConfig,
    upstream: &UpstreamState,
    shared: &Http2,
) -> Result<SendRequest<RequestBody>, Refusal> {
    // The holder of the lock is connecting. The timeout keeps those who wait from waiting for
    // several attempts in a row.
    let held = tokio::time::timeout(api.connect_timeout, shared.sender.lock()).await;
    let mut held = held.map_err(|_| Refusal::UpstreamTimeout)?;
    if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
        pool.worker().stats().upstream_reused.add(1);
        return Ok(sender.clone());
    }
    let connecting = Box::pin(connect_http2(pool, upstream, api.connect_timeout));
    let fresh = connecting.await.map_err(|error| connecting_failed(&error))?;
    Ok(held.insert(fresh).clone())
}

/// Returns whether the upstream says that it has not processed the request (RFC 9113 §8.7): it
/// reset the stream with REFUSED_STREAM, or sent a GOAWAY with a lower last stream id.
fn is_refusal(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|error| {
        error.is_remote()
            && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

fn answered<R: ReadHead>(
    response: Response<Incoming>,
    state: Rc<RequestState>,
    reader: &R,
) -> Result<(R::Kept, UpstreamBody), Refusal> {
    let (parts, body) = response.into_parts();
    // HTTP/2 has no 101 response (RFC 9113 §8.6), and no status is above 599 (RFC 9110 §15).
    if parts.status == StatusCode::SWITCHING_PROTOCOLS || parts.status.as_u16() > 599 {
        return Err(Refusal::UpstreamFailed);
    }
    let fields = Fields::from(&parts.headers);
    let head = ResponseHead { status: parts.status, version: parts.version, fields: &fields };
    Ok((reader.read(&head), UpstreamBody::Http2(body, state)))
}

/// Waits for the response head. Timeouts run against the peer we are waiting for.
///
/// For the upstream, that is `timeout` since the request `begun` or since a part of its body was
/// last forwarded. For a client that has yet to send its body, it is the client's own timeout.
///
/// # Errors
/// Returns `UpstreamTimeout` or `ClientTimeout`.
async fn in_time<T>(
    deadline: &mut Deadline,
    begun: Instant,
    state: &RequestState,
    timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, Refusal> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        let (at, refusal) = match state.waits_until() {
            Some(until) => (until, Refusal::ClientTimeout),
            None => {
                let moved = state.last_passed().map_or(begun, |passed| passed.max(begun));
                (moved + timeout, Refusal::UpstreamTimeout)
            }
        };
        deadline.set(at);
        deadline.poll(cx).map(|()| Err(refusal))
    })
    .await
}

fn connecting_failed(error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::TimedOut {
        Refusal::UpstreamTimeout
    } else {
        Refusal::UpstreamUnreachable
    }
}

fn failed(error: &TrySendError<Request<RequestBody>>, state: &RequestState) -> Refusal {
    if let Some(refusal) = state.failed() {
        return refusal;
    }
    tracing::debug!(error = %error.error(), "the upstream failed");
    Refusal::UpstreamFailed
}
