//! A client's HTTP/1.1 connection: one request after another, each served to its end on this task.

pub(in crate::proxy) mod client;
mod persistence;
mod send;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use http::{Method, Version};
use tokio::time::Instant;

use crate::http1::{self, Body, Limits, Malformed, RequestHead};
use crate::policy::{Fields, Head, HeaderKind, Peer, Refusal, Target};
use crate::proxy::downstream::http1::client::{Arrived, Client};
use crate::proxy::downstream::http1::persistence::{End, Next, Persistence};
use crate::proxy::request::connection::Connection;
use crate::proxy::request::judge::{Judged, judge};
use crate::proxy::request::respond::respond;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::websocket;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::closing::{Closing, close};
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::current::Current;
use crate::proxy::worker::deadline::{Deadline, LAST_HEAD_TIMEOUT};
use crate::proxy::worker::guard::Guard;
use crate::proxy::worker::stream::Stream;

/// Serves a connection until it closes or the gateway has drained. `until` is the deadline for its
/// first head.
pub(in crate::proxy) async fn serve(
    pool: &Rc<Pool>,
    stream: Stream,
    peer: Peer,
    overflow: bool,
    until: Instant,
) {
    let worker = pool.worker();
    let connection = Connection::new(pool, peer, overflow);
    let client = Client::new(worker, stream);
    let mut guard = Guard::new(worker);
    let end = {
        let _idle = worker.wake_when_draining().await;
        guard.run(pin!(serve_requests(&connection, &client, until))).await
    };
    drop(connection);
    let closing = match end {
        Some(End::Switch(exchange, entry)) => {
            if let Some(client) = Rc::into_inner(client) {
                let (stream, rest) = client.into_stream();
                Box::pin(websocket::serve(worker, (stream, rest), exchange, entry)).await;
            }
            return;
        }
        Some(End::Close(closing)) => closing,
        // Its request was cancelled, and the client does not read the rest of the response.
        None => Closing::Abandoned,
    };
    client.forget();
    // Boxed, so that a connection does not hold space for it all its life.
    Box::pin(close(worker, || client.stream(), closing)).await;
}

/// Serves one request after another.
async fn serve_requests(connection: &Rc<Connection>, client: &Rc<Client>, until: Instant) -> End {
    let worker = &connection.worker;
    let mut deadline = Deadline::new(until);
    let mut first = true;
    while let Some(arrived) = head(worker, client, &mut deadline, first).await {
        first = false;
        match exchange(connection, client, arrived, &mut deadline).await {
            Next::Request => {
                deadline.set(worker.soon(worker.current().runtime.server.idle_timeout))
            }
            Next::End(end) => return end,
        }
    }
    End::Close(Closing::Orderly)
}

/// Returns the next request's head, or `None` if the connection is to be closed. `first`: the
/// timeout for the head is already running.
async fn head(
    worker: &Worker,
    client: &Client,
    deadline: &mut Deadline,
    first: bool,
) -> Option<Result<Arrived, Malformed>> {
    let (mut begun, mut ending) = (first, false);
    poll_fn(|cx| {
        let limits = {
            let current = worker.current();
            let server = &current.runtime.server;
            Limits { size: server.max_header_size, fields: server.max_headers }
        };
        if let Poll::Ready(arrived) = client.poll_head(cx, limits) {
            return Poll::Ready(arrived);
        }
        if !begun && client.has_begun() {
            begun = true;
            deadline.set(Instant::now() + worker.current().runtime.server.header_timeout);
        }
        // While another process takes over, a connection may have one more request: closing it
        // could lose a request in transit.
        if worker.is_stopping() {
            if !client.has_begun() {
                return Poll::Ready(None);
            }
            if !ending {
                ending = true;
                deadline.set(deadline.at().min(Instant::now() + LAST_HEAD_TIMEOUT));
            }
        }
        ready!(deadline.poll(cx));
        worker.stats().connections_silent.add(1);
        Poll::Ready(None)
    })
    .await
}

/// Serves one request.
async fn exchange(
    connection: &Rc<Connection>,
    client: &Rc<Client>,
    arrived: Result<Arrived, Malformed>,
    deadline: &mut Deadline,
) -> Next {
    let worker = &connection.worker;
    let current = worker.current();
    let mut request = Persistence::CLOSE;
    let judged = read(connection, client, &current, arrived, &mut request);
    let response = {
        let mut responding =
            pin!(respond(&connection.pool, &current, judged, Some(client.clone()), deadline));
        poll_fn(|cx| match responding.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => client.poll_gone(cx).map(|()| None),
        })
        .await
    };
    drop(current);
    match response {
        Some(response) => send::send(worker, client, response, request, deadline).await,
        None => Next::End(End::Close(Closing::Abandoned)),
    }
}

/// Parses the received head and judges the request. Sets `request` if the head could be parsed.
fn read<'c>(
    connection: &Rc<Connection>,
    client: &Client,
    current: &'c Current,
    arrived: Result<Arrived, Malformed>,
    request: &mut Persistence,
) -> Judged<'c> {
    let worker = &connection.worker;
    let now = worker.now();
    let mut buffer = worker.client_buffer();
    // After a malformed head, the number of filled bytes is unknown.
    let used = arrived.as_ref().map_or(buffer.len(), |arrived| arrived.filled);
    let mut fields = Fields::new();
    let head = arrived.and_then(|arrived| {
        let (head, rest) = buffer.split_at_mut(arrived.head);
        let head = http1::request(head, current.runtime.server.max_headers, &mut fields)?;
        Ok((head, &rest[..arrived.filled - arrived.head]))
    });
    let judged = match head {
        Ok((RequestHead { method, target, version }, rest)) => {
            *request = Persistence::of(version, &fields);
            request.keep_alive &= !connection.overflow;
            let body = http1::request_body(version, &fields);
            let length = body
                .as_ref()
                .map(|body| length_of(body, &fields))
                .map_err(|_| Refusal::MalformedFraming);
            let waits =
                version == Version::HTTP_11 && fields.lists(HeaderKind::Expect, b"100-continue");
            client.begin(rest, body.unwrap_or(Body::NONE), waits);
            let head = Head { method: &method, target, fields: &fields, peer: &connection.peer };
            judge(connection, current, &head, version, length, now)
        }
        Err(malformed) => {
            let refusal = match malformed {
                Malformed::TooLarge => Refusal::HeadTooLarge,
                Malformed::Syntax | Malformed::Version | Malformed::Framing => {
                    Refusal::MalformedHead
                }
            };
            let head = Head {
                method: &Method::GET,
                target: Target { authority: None, path: "", query: None },
                fields: &Fields::new(),
                peer: &connection.peer,
            };
            judge(connection, current, &head, Version::HTTP_11, Err(refusal), now)
        }
    };
    // The buffer has held the key. It stays allocated, so the compiler cannot drop this write as
    // dead.
    buffer[..used].fill(0);
    judged
}

/// Returns the length of a request body.
fn length_of(body: &Body, fields: &Fields<'_>) -> Length {
    match body.length() {
        None => Length::Unknown,
        Some(0) if !fields.has(HeaderKind::ContentLength) => Length::Absent,
        Some(length) => Length::Exact(length),
    }
}
