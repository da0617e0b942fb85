//! Sending of responses to HTTP/1.1 clients.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{StatusCode, Version};
use tokio::time::Instant;

use super::persistence::{End, Next, Persistence};
use crate::http1::{self, LAST_CHUNK};
use crate::policy::{Refusal, Sink as _};
use crate::proxy::downstream::http1::client::Client;
use crate::proxy::request::response::{Response, ResponseFields, ResponseHeader};
use crate::proxy::request::response_body::ResponseBody;
use crate::proxy::upstream::response::Part;
use crate::proxy::worker::body::Broken;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::closing::{Closing, READ_ON_BYTES, READ_ON_TIME};
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::deadline::{Deadline, TransferTimeout};
use crate::proxy::worker::in_flight::CANCEL_GRACE;
use crate::proxy::worker::stream::FULL;

/// Bytes reserved for the head, enough for most responses.
const ROOM: usize = 1000;

/// How a response body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By its head: no body, or a declared length.
    Known,
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// Sends a response. Returns what follows on the connection.
pub(in crate::proxy) async fn send(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    response: Response,
    request: Persistence,
    deadline: &mut Deadline,
) -> Next {
    let Response { head, mut body, close } = response;
    let framing = match head.length {
        Length::Unknown if request.version == Version::HTTP_11 => Framing::Chunked,
        Length::Unknown => Framing::UntilClose,
        Length::Exact(_) | Length::Absent => Framing::Known,
    };
    // It is unknown whether the client will still send a body that it holds back.
    let close = client.stop_waiting()
        || close
        || framing == Framing::UntilClose
        || !request.keep_alive
        || worker.is_draining();
    send_head(worker, client, &head, framing, request.version, close);
    if framing == Framing::UntilClose {
        // Until the body is complete, no close may look like its end, even if this process crashes.
        client.stream().reset_when_dropped(true);
    }
    let chunked = framing == Framing::Chunked;
    let rest = if body.is_done() && !chunked { Rest::Nothing } else { Rest::ToCome };
    let trailers = request.trailers;
    let mut sending =
        BodySender { worker, client, body: &mut body, rest, chunked, trailers, slow: None };
    let sent = poll_fn(|cx| sending.poll(cx, deadline)).await;
    if head.status == StatusCode::SWITCHING_PROTOCOLS && sent.is_ok() {
        return Next::End(
            body.into_switch().map_or(End::Close(Closing::Truncated), |(exchange, entry)| {
                End::Switch(exchange, entry)
            }),
        );
    }
    // A client that still sends must not delay a cancellation.
    let linger = if body.is_cancelled() { CANCEL_GRACE } else { READ_ON_TIME };
    body.release();
    if sent.is_ok() {
        body.set_delivered();
    }
    drop(body);
    match sent {
        Err(Closing::Truncated) if framing == Framing::UntilClose => {
            Next::End(End::Close(Closing::Abandoned))
        }
        Err(closing) => Next::End(End::Close(closing)),
        Ok(()) if close => {
            if framing == Framing::UntilClose {
                client.stream().reset_when_dropped(false);
            }
            Next::End(End::Close(Closing::Lingering(linger)))
        }
        Ok(()) if client.is_read() || read_on(client, deadline).await => Next::Request,
        Ok(()) => Next::End(End::Close(Closing::Orderly)),
    }
}

/// Appends a response head to the bytes to send.
fn send_head(
    worker: &Worker,
    client: &Client,
    head: &ResponseHeader,
    framing: Framing,
    version: Version,
    close: bool,
) {
    let out = &mut client.io().out;
    out.reserve(ROOM);
    http1::status_line(out, head.status);
    if let ResponseFields::Http1(lines) = &head.fields {
        out.put_lines(lines);
    }
    if !head.dated {
        worker.write_date(out);
    }
    match head.length {
        Length::Exact(length) => out.put("content-length", length.to_string().as_bytes()),
        Length::Unknown if framing == Framing::Chunked => {
            out.put_lines(b"transfer-encoding: chunked\r\n")
        }
        Length::Unknown | Length::Absent => {}
    }
    match (head.status, close) {
        (StatusCode::SWITCHING_PROTOCOLS, _) => {
            out.put_lines(b"connection: Upgrade\r\nupgrade: websocket\r\n")
        }
        (_, true) => out.put_lines(b"connection: close\r\n"),
        (_, false) if version == Version::HTTP_10 => out.put_lines(b"connection: keep-alive\r\n"),
        (_, false) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// A response body on its way to the client.
struct BodySender<'s> {
    worker: &'s Worker,
    client: &'s Client,
    body: &'s mut ResponseBody,
    rest: Rest,
    chunked: bool,
    /// Whether the client accepts trailers.
    trailers: bool,
    /// Bytes that the client had taken, and its timeout for taking more. `None` until the client
    /// has first blocked a write.
    slow: Option<(usize, TransferTimeout)>,
}

/// What is still to be collected of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    ToCome,
    Nothing,
    /// The body was truncated.
    Lost,
}

impl BodySender<'_> {
    /// Sends the head and then the body. Resolves when the client has been sent all of it.
    ///
    /// # Errors
    /// Returns how to close the connection if the response cannot be completed.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: &mut Deadline) -> Poll<Result<(), Closing>> {
        loop {
            let collected = self.collect(cx);
            let written = self.client.io().poll_out(cx);
            self.note_taken();
            match (written, self.rest) {
                (Poll::Ready(Ok(())), Rest::Nothing) => return Poll::Ready(Ok(())),
                (Poll::Ready(Ok(())), Rest::Lost) => return Poll::Ready(Err(Closing::Truncated)),
                (Poll::Ready(Ok(())), Rest::ToCome) => {}
                (Poll::Ready(Err(_)), _) => return Poll::Ready(Err(Closing::Abandoned)),
                (Poll::Pending, _) => {
                    ready!(self.poll_too_slow(cx, deadline));
                    return Poll::Ready(Err(Closing::Abandoned));
                }
            }
            if collected.is_pending() {
                return self.client.poll_gone(cx).map(|()| Err(Closing::Abandoned));
            }
        }
    }

    /// Collects bytes to send. Pending: the upstream has sent no more.
    fn collect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.rest == Rest::ToCome && self.client.io().out.len() < FULL {
            let mut buffer = self.worker.upstream_buffer();
            let part = ready!(self.body.poll(cx, &mut buffer));
            self.put(part, &buffer);
        }
        Poll::Ready(())
    }

    /// Appends a part of the body to the bytes to send. The part may be a range of `buffer`.
    fn put(&mut self, part: Option<Result<Part, Broken>>, buffer: &[u8]) {
        let out = &mut self.client.io().out;
        let data = match &part {
            Some(Ok(Part::Buffered(range))) => &buffer[range.clone()],
            Some(Ok(Part::Data(data))) => data,
            Some(Ok(Part::Trailers(fields))) if self.chunked && self.trailers => {
                self.rest = Rest::Nothing;
                return http1::trailers(out, fields);
            }
            Some(Ok(Part::Trailers(_))) | None => {
                self.rest = Rest::Nothing;
                if self.chunked {
                    out.extend_from_slice(LAST_CHUNK);
                }
                return;
            }
            // Forward what was received. An orderly end would make it look complete.
            Some(Err(_)) => return self.rest = Rest::Lost,
        };
        if self.chunked {
            http1::chunk(out, data);
        } else {
            out.extend_from_slice(data);
            if self.body.is_done() {
                self.rest = Rest::Nothing;
            }
        }
    }

    /// Gives a slow client back time for the bytes that it has taken.
    fn note_taken(&mut self) {
        let Some((before, timeout)) = &mut self.slow else { return };
        let moved = self.client.io().taken.wrapping_sub(*before);
        if moved > 0 {
            *before = before.wrapping_add(moved);
            timeout.moved(moved, Instant::now());
            self.body.note_taken();
        }
    }

    /// Starts the timeout of a client that does not take what is sent. Resolves when the timeout
    /// expires.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>, deadline: &mut Deadline) -> Poll<()> {
        // Many clients read the response only after they have sent the whole request.
        self.body.send_on(cx);
        let (_, timeout) = self.slow.get_or_insert_with(|| {
            (self.client.io().taken, TransferTimeout::new(&self.worker.current().runtime.server))
        });
        timeout.wait(Instant::now);
        if let Some(end) = timeout.ends() {
            deadline.set(end);
        }
        ready!(deadline.poll(cx));
        self.body.give_up(Refusal::ClientTimeout);
        Poll::Ready(())
    }
}

/// Reads the rest of a request that has been answered, within limits on bytes and time. Unread, it
/// would be parsed as the next request; and a client that finds the connection closed may drop the
/// response. Returns whether the whole request was read.
async fn read_on(client: &Client, deadline: &mut Deadline) -> bool {
    let mut left = READ_ON_BYTES;
    deadline.set(Instant::now() + READ_ON_TIME);
    poll_fn(|cx| {
        loop {
            match client.poll_body(cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Ok(frame))) => {
                    match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
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
