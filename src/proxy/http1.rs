//! A client's HTTP/1.1 connection: one request after the other, each served to its end on this
//! task.

use std::cell::RefMut;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use http::{Method, StatusCode, Version};
use tokio::time::Instant;

use super::answer::{Answer, AnswerFields, Length};
use super::body::{AnswerBody, ClientBody, Part};
use super::client::{Arrived, Client};
use super::client_connection::Connection;
use super::connection::{LAST_WORDS, READ_ON_BYTES, READ_ON_TIME, hang_up};
use super::deadline::{Deadline, Patience};
use super::exchange::{Exchange, keeps_alive};
use super::handler::respond;
use super::judge::judge;
use super::live::Guard;
use super::record::Record;
use super::stream::Stream;
use super::websocket;
use super::worker::Worker;
use crate::http1::{self, Body, LAST_CHUNK, Limits, Malformed, RequestHead};
use crate::policy::{Fields, Head, Known, Peer, Refusal, Sink as _, Target, accepts_trailers};

/// What is collected of an answer before it is sent, in bytes: four TLS records (RFC 8446 §5.1).
const FULL: usize = 64 * 1024;
/// Room for the head of most answers.
const ROOM: usize = 1000;

/// What follows a request.
enum Next {
    Request,
    Close,
    Switch(Box<Exchange>, Record),
}

/// Serves a connection until it closes or the gateway has drained. `until`: when its first head
/// must have come.
pub(super) async fn serve(
    worker: &Rc<Worker>,
    stream: Stream,
    peer: Peer,
    surplus: bool,
    until: Instant,
) {
    let connection = Connection::new(worker, peer, surplus);
    let client = Client::new(worker, stream);
    let mut guard = Guard::new(worker);
    let switched = {
        let _idle = worker.wake_when_draining().await;
        guard.run(pin!(converse(&connection, &client, until))).await.flatten()
    };
    drop(connection);
    if switched.is_none() {
        client.forget();
    }
    if let (Some((exchange, record)), Some(client)) = (switched, Rc::into_inner(client)) {
        let (stream, rest) = client.into_stream();
        Box::pin(websocket::serve(worker, (stream, rest), exchange, record)).await;
    }
}

/// Serves requests. Returns the upstream's side of a protocol switch if it ends with one.
async fn converse(
    connection: &Rc<Connection>,
    client: &Rc<Client>,
    until: Instant,
) -> Option<(Box<Exchange>, Record)> {
    let worker = &connection.worker;
    let mut deadline = Deadline::new(until);
    let mut first = true;
    while let Some(arrived) = head(worker, client, &mut deadline, first).await {
        first = false;
        match exchange(connection, client, arrived, &mut deadline).await {
            Next::Request => deadline.set(worker.soon(worker.current().site.server.idle_timeout)),
            Next::Close => break,
            Next::Switch(exchange, record) => return Some((exchange, record)),
        }
    }
    None
}

/// The next request's head. `None`: there is none, and the connection is to be closed. `first`: the
/// time for it runs already.
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
            let server = &current.site.server;
            Limits { size: server.max_header_size, fields: server.max_headers }
        };
        if let Poll::Ready(arrived) = client.poll_head(cx, limits) {
            return Poll::Ready(arrived);
        }
        if !begun && client.has_begun() {
            begun = true;
            deadline.set(Instant::now() + worker.current().site.server.header_timeout);
        }
        // While another process takes over, a connection may have one more request: to close it
        // could lose one that is on its way.
        if worker.is_stopping() {
            if !client.has_begun() {
                return Poll::Ready(None);
            }
            if !ending {
                ending = true;
                deadline.set(deadline.at().min(Instant::now() + LAST_WORDS));
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
    let now = worker.now();
    let current = worker.current();
    let mut request = Persistence { version: Version::HTTP_11, keep_alive: false, trailers: false };
    let judged = {
        let mut buffer = worker.client_buffer();
        // Nobody knows how much there is of what is no head.
        let used = arrived.as_ref().map_or(buffer.len(), |arrived| arrived.filled);
        let mut fields = Fields::new();
        let read = arrived.and_then(|arrived| {
            let (head, rest) = buffer.split_at_mut(arrived.head);
            let head = http1::request(head, current.site.server.max_headers, &mut fields)?;
            Ok((head, &rest[..arrived.filled - arrived.head]))
        });
        let judged = match read {
            Ok((RequestHead { method, target, version }, rest)) => {
                request = Persistence::of(version, &fields);
                request.keep_alive &= !connection.surplus;
                let body = http1::request_body(version, &fields);
                let length = body
                    .as_ref()
                    .map(|body| length_of(body, &fields))
                    .map_err(|_| Refusal::MalformedFraming);
                let waits =
                    version == Version::HTTP_11 && fields.lists(Known::Expect, b"100-continue");
                client.begin(rest, body.unwrap_or(Body::NONE), waits);
                let head =
                    Head { method: &method, target, fields: &fields, peer: &connection.peer };
                judge(connection, &current, &head, version, length, now)
            }
            Err(malformed) => {
                let refusal = match malformed {
                    Malformed::TooLarge => Refusal::HeadTooLarge,
                    Malformed::Syntax | Malformed::Version | Malformed::Framing => {
                        Refusal::MalformedHead
                    }
                };
                let nothing = Target { authority: None, path: "", query: None };
                let head = Head {
                    method: &Method::GET,
                    target: nothing,
                    fields: &Fields::new(),
                    peer: &connection.peer,
                };
                judge(connection, &current, &head, Version::HTTP_11, Err(refusal), now)
            }
        };
        // The key has been seen. The buffer stays, so that this is no write that could be left out.
        buffer[..used].fill(0);
        judged
    };
    let answer = {
        let mut responding =
            pin!(respond(worker, &current, judged, ClientBody::Http1(client.clone()), deadline));
        poll_fn(|cx| match responding.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => client.poll_gone(cx).map(|()| None),
        })
        .await
    };
    drop(current);
    match answer {
        Some(answer) => send(worker, client, answer, request, deadline).await,
        None => Next::Close,
    }
}

/// What a request says about the connection.
#[derive(Clone, Copy)]
struct Persistence {
    version: Version,
    keep_alive: bool,
    /// Whether the client takes trailers (RFC 9110 §10.1.4).
    trailers: bool,
}

impl Persistence {
    fn of(version: Version, fields: &Fields<'_>) -> Self {
        Self {
            version,
            keep_alive: keeps_alive(version, fields),
            trailers: accepts_trailers(fields),
        }
    }
}

/// How long a request's body is said to be.
fn length_of(body: &Body, fields: &Fields<'_>) -> Length {
    match body.length() {
        None => Length::Unknown,
        Some(0) if !fields.has(Known::ContentLength) => Length::Absent,
        Some(length) => Length::Exact(length),
    }
}

/// Sends an answer.
async fn send(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    answer: Answer,
    request: Persistence,
    deadline: &mut Deadline,
) -> Next {
    let Answer { head, mut body, close } = answer;
    let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let chunked = head.length == Length::Unknown && request.version == Version::HTTP_11;
    let until_close = head.length == Length::Unknown && !chunked;
    // Whether the client will send the body that it waits to send is not known.
    let close = client.stop_waiting()
        || close
        || until_close
        || !request.keep_alive
        || worker.is_draining();
    {
        let out = &mut client.io().out;
        out.reserve(ROOM);
        http1::status_line(out, head.status);
        if let AnswerFields::Http1(lines) = &head.fields {
            out.put_lines(lines);
        }
        if !head.dated {
            worker.write_date(out);
        }
        match head.length {
            Length::Exact(length) => out.put("content-length", length.to_string().as_bytes()),
            Length::Unknown if chunked => out.put_lines(b"transfer-encoding: chunked\r\n"),
            Length::Unknown | Length::Absent => {}
        }
        match (switching, close) {
            (true, _) => out.put_lines(b"connection: Upgrade\r\nupgrade: websocket\r\n"),
            (false, true) => out.put_lines(b"connection: close\r\n"),
            (false, false) if request.version == Version::HTTP_10 => {
                out.put_lines(b"connection: keep-alive\r\n")
            }
            (false, false) => {}
        }
        out.extend_from_slice(b"\r\n");
    }
    let framing = Framing { chunked, trailers: request.trailers };
    let whole = send_body(worker, client, &mut body, framing, deadline).await;
    if switching && whole {
        return body
            .into_switch()
            .map_or(Next::Close, |(exchange, record)| Next::Switch(exchange, record));
    }
    body.release();
    if whole {
        body.set_delivered();
    }
    drop(body);
    if !whole {
        return Next::Close;
    }
    if close {
        hang_up(worker, || RefMut::map(client.io(), |io| &mut io.stream), deadline).await;
        return Next::Close;
    }
    if client.is_read() || read_on(client, deadline).await { Next::Request } else { Next::Close }
}

/// How an answer's body is sent.
struct Framing {
    chunked: bool,
    /// Whether the client takes trailers.
    trailers: bool,
}

/// Sends what is to be sent and then the body; whether the client has got all of it.
async fn send_body(
    worker: &Worker,
    client: &Client,
    body: &mut AnswerBody,
    framing: Framing,
    deadline: &mut Deadline,
) -> bool {
    let Framing { chunked, trailers } = framing;
    // What the client has taken, and how long it may take for more: once it has not taken something
    // at once.
    let mut slow: Option<(usize, Patience)> = None;
    let mut ended = body.is_done() && !chunked;
    let mut whole = true;
    poll_fn(|cx| {
        loop {
            let mut waits = false;
            while !ended && client.io().out.len() < FULL {
                let mut buffer = worker.upstream_buffer();
                let Poll::Ready(part) = body.poll(cx, &mut buffer) else {
                    waits = true;
                    break;
                };
                let out = &mut client.io().out;
                let data = match &part {
                    Some(Ok(Part::Buffered(range))) => &buffer[range.clone()],
                    Some(Ok(Part::Data(data))) => data,
                    Some(Ok(Part::Trailers(fields))) => {
                        ended = true;
                        if chunked {
                            if trailers {
                                http1::trailers(out, fields)
                            } else {
                                out.extend_from_slice(LAST_CHUNK)
                            }
                        }
                        break;
                    }
                    None => {
                        ended = true;
                        if chunked {
                            out.extend_from_slice(LAST_CHUNK);
                        }
                        break;
                    }
                    // What has come is passed on; an orderly end would make it look like the whole.
                    Some(Err(_)) => {
                        (ended, whole) = (true, false);
                        break;
                    }
                };
                if chunked {
                    http1::chunk(out, data)
                } else {
                    out.extend_from_slice(data)
                }
                ended = !chunked && body.is_done();
            }
            let written = client.io().poll_out(cx);
            if let Some((taken, patience)) = &mut slow {
                let moved = client.io().taken.wrapping_sub(*taken);
                if moved > 0 {
                    *taken = taken.wrapping_add(moved);
                    patience.moved(moved, Instant::now());
                    body.note_taken();
                }
            }
            match written {
                Poll::Ready(Ok(())) if ended => return Poll::Ready(whole),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {
                    // Many clients read the answer only when they have sent everything.
                    body.send_on(cx);
                    let (_, patience) = slow.get_or_insert_with(|| {
                        (client.io().taken, Patience::new(&worker.current().site.server))
                    });
                    patience.wait(Instant::now);
                    if let Some(end) = patience.ends() {
                        deadline.set(end);
                    }
                    ready!(deadline.poll(cx));
                    body.give_up(Refusal::ClientTimeout);
                    client.io().stream.abandon();
                    return Poll::Ready(false);
                }
            }
            if waits {
                return client.poll_gone(cx).map(|()| false);
            }
        }
    })
    .await
}

/// Reads what a request that has been answered still sends, for a while: unread, it would be taken
/// for the next one, and a client that finds the connection closed may drop the answer. Whether all
/// of it came.
async fn read_on(client: &Client, deadline: &mut Deadline) -> bool {
    let mut left = READ_ON_BYTES;
    deadline.set(Instant::now() + READ_ON_TIME);
    poll_fn(|cx| {
        loop {
            match client.poll_body(cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Ok(frame))) => {
                    match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                        Some(rest) => left = rest,
                        None => return Poll::Ready(false),
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => return deadline.poll(cx).map(|()| false),
            }
        }
    })
    .await
}
