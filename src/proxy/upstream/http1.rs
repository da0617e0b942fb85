//! One exchange with an HTTP/1.1 upstream. Sending the request and reading the response both run
//! on the task that polls for the response.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::io::AsyncWrite as _;

use crate::http1::{self, Body, LAST_CHUNK, Limits, Piece, ResponseHead, find_end, keeps_alive};
use crate::policy::{Fields, HeaderKind, wipe};
use crate::proxy::upstream::failed::{Failed, Unanswered};
use crate::proxy::upstream::outbound::{Asked, ReadHead, names_websocket};
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::request_body::RequestBody;
use crate::proxy::worker::request_state::RequestState;
use crate::proxy::worker::stream::Stream;
use crate::proxy::worker::stream::poll_read;

/// Limits on the upstream's response head.
const RESPONSE_LIMITS: Limits = Limits { size: 128 * 1024, fields: 256 };
/// Most interim responses (RFC 9110 §15.2) before the final one.
const MOST_INTERIM: u32 = 32;

/// What is still to be sent of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remaining {
    /// More of the body is to come.
    Body,
    /// The last part is in `out` and `data`, unless it has been sent.
    Last,
    /// Nothing: the upstream takes no more of it.
    Nothing,
}

/// How far the response has been read.
enum Reading {
    /// Waiting for the final head.
    Head {
        /// Number of received bytes that were searched for the end of the head.
        searched: usize,
        /// Number of interim responses so far.
        interim: u32,
    },
    Body {
        body: Body,
        /// Whether the connection may serve another request.
        reusable: bool,
    },
}

/// One exchange. Dropping it before its end closes the connection.
pub(in crate::proxy) struct Exchange {
    pool: Rc<Pool>,
    /// Id of the upstream.
    upstream: u64,
    /// `None` once the connection has been returned to the pool.
    stream: Option<Stream>,
    /// The request head, kept until there is a response, then chunks of its body.
    out: Vec<u8>,
    sent: usize,
    /// The part of the body that is being sent.
    data: Bytes,
    body: RequestBody,
    /// Whether the body is sent with the chunked coding.
    chunked: bool,
    remaining: Remaining,
    /// Received bytes that have not been parsed.
    rest: BytesMut,
    reading: Reading,
}

/// What the received bytes of a response begin with.
enum Parsed<T> {
    /// An incomplete head.
    Partial,
    /// An interim response of this length.
    Interim(usize),
    /// The head of the final response.
    Final(T),
}

impl Exchange {
    /// Creates an exchange on `stream`. `request` holds the complete encoded head. `chunked`: the
    /// head announces the chunked coding.
    pub(in crate::proxy) fn new(
        pool: &Rc<Pool>,
        upstream: u64,
        stream: Stream,
        request: Unanswered,
        chunked: bool,
    ) -> Self {
        let Unanswered { head, body } = request;
        let remaining = if body.state().is_sent() { Remaining::Last } else { Remaining::Body };
        Self {
            pool: pool.clone(),
            upstream,
            stream: Some(stream),
            out: head,
            sent: 0,
            data: Bytes::new(),
            body,
            chunked,
            remaining,
            rest: BytesMut::new(),
            reading: Reading::Head { searched: 0, interim: 0 },
        }
    }

    /// Sends what can be sent. Resolves when the whole request has been sent, or with an error.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        loop {
            while self.sent < self.out.len() {
                self.sent +=
                    written(ready!(Pin::new(&mut *stream).poll_write(cx, &self.out[self.sent..])))?;
            }
            while !self.data.is_empty() {
                let written = written(ready!(Pin::new(&mut *stream).poll_write(cx, &self.data)))?;
                self.data.advance(written);
            }
            if self.remaining != Remaining::Body {
                return Pin::new(stream).poll_flush(cx);
            }
            let Poll::Ready(part) = self.body.poll(cx) else {
                ready!(Pin::new(stream).poll_flush(cx))?;
                return Poll::Pending;
            };
            wipe(&mut self.out);
            self.out.clear();
            self.sent = 0;
            match part.transpose().map_err(io::Error::other)?.map(http_body::Frame::into_data) {
                Some(Ok(data)) if self.chunked => http1::chunk(&mut self.out, &data),
                Some(Ok(data)) => self.data = data,
                Some(Err(frame)) => {
                    self.remaining = Remaining::Last;
                    if let (true, Ok(trailers)) = (self.chunked, frame.into_trailers()) {
                        http1::trailers(&mut self.out, &trailers);
                    }
                }
                None => {
                    self.remaining = Remaining::Last;
                    if self.chunked {
                        self.out.extend_from_slice(LAST_CHUNK);
                    }
                }
            }
        }
    }

    /// Sends what can be sent, as long as the upstream takes it.
    pub(in crate::proxy) fn send_on(&mut self, cx: &mut Context<'_>) {
        if self.remaining != Remaining::Nothing
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            // The upstream may have responded before it stopped reading.
            self.remaining = Remaining::Nothing;
            tracing::debug!(%error, "the upstream does not take the request");
        }
    }

    /// Returns the head of the final response to `asked`, as `reader` reads it. Call it until it
    /// resolves, and not again.
    ///
    /// # Errors
    /// Returns why there is no response.
    pub(in crate::proxy) fn poll_head<R: ReadHead>(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Asked,
        reader: &R,
    ) -> Poll<Result<R::Kept, Failed>> {
        self.send_on(cx);
        if self.body.state().failed().is_some() {
            return Poll::Ready(Err(Failed::Client));
        }
        let worker = self.pool.worker().clone();
        let mut buffer = worker.upstream_buffer();
        let mut filled = self.rest.len();
        buffer[..filled].copy_from_slice(&self.rest);
        self.rest.clear();
        loop {
            match self.parse_head(&mut buffer[..filled], asked, reader) {
                Ok(Parsed::Final(kept)) => return Poll::Ready(Ok(kept)),
                Ok(Parsed::Interim(length)) => {
                    buffer.copy_within(length..filled, 0);
                    filled -= length;
                    continue;
                }
                Ok(Parsed::Partial) => {}
                Err(failed) => return Poll::Ready(Err(failed)),
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Err(Failed::Upstream(io::ErrorKind::NotConnected.into())));
            };
            if filled == buffer.len() {
                let larger = buffer.len() * 2;
                buffer.resize(larger, 0);
            }
            match poll_read(stream, cx, &mut buffer[filled..]) {
                Poll::Ready(Ok(read)) if read > 0 => filled += read,
                Poll::Pending => {
                    self.rest.extend_from_slice(&buffer[..filled]);
                    return Poll::Pending;
                }
                Poll::Ready(ended) => {
                    let error = ended.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(self.ended_before_head(error, filled == 0)));
                }
            }
        }
    }

    /// Parses the head at the start of `received`.
    fn parse_head<R: ReadHead>(
        &mut self,
        received: &mut [u8],
        asked: &Asked,
        reader: &R,
    ) -> Result<Parsed<R::Kept>, Failed> {
        let Reading::Head { searched, interim } = &mut self.reading else {
            return Err(Failed::Upstream(io::ErrorKind::InvalidInput.into()));
        };
        let Some(end) =
            find_end(received, *searched, RESPONSE_LIMITS.size).map_err(Failed::malformed)?
        else {
            *searched = received.len();
            return Ok(Parsed::Partial);
        };
        *searched = 0;
        let (head, rest) = received.split_at_mut(end);
        let mut fields = Fields::new();
        let (status, version) = http1::response(head, RESPONSE_LIMITS.fields, &mut fields)
            .map_err(Failed::malformed)?;
        let head = ResponseHead { status, version, fields: &fields };
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        // A protocol switch must have been asked for, and must name the protocol (RFC 9110
        // §15.2.2).
        if switches && !(asked.switch && names_websocket(&fields)) {
            return Err(Failed::malformed(http1::Malformed::Syntax));
        }
        if status.is_informational() && !switches {
            *interim += 1;
            if *interim > MOST_INTERIM {
                return Err(Failed::Upstream(io::ErrorKind::InvalidData.into()));
            }
            return Ok(Parsed::Interim(end));
        }
        let body =
            http1::response_body(&head, asked.method == Method::HEAD).map_err(Failed::malformed)?;
        // Such a 204 or 304 promises content that it must not have (RFC 9110 §8.6, RFC 9112 §6.1).
        // If the content came late, it would look like the next response.
        let promises_content = match status {
            StatusCode::NO_CONTENT => {
                fields.has(HeaderKind::TransferEncoding)
                    || fields.all(HeaderKind::ContentLength).any(|length| length != b"0")
            }
            StatusCode::NOT_MODIFIED => fields.has(HeaderKind::TransferEncoding),
            _ => false,
        };
        let reusable = !switches && !promises_content && keeps_alive(version, &fields);
        self.reading = Reading::Body { body, reusable };
        self.rest.extend_from_slice(rest);
        let kept = reader.read(&head);
        self.settle();
        Ok(Parsed::Final(kept))
    }

    /// Returns why there is no response: the connection has ended. `silent`: before a byte of it.
    fn ended_before_head(&mut self, error: io::Error, silent: bool) -> Failed {
        let closed = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        );
        if !silent || !closed {
            return Failed::Upstream(error);
        }
        let body = std::mem::replace(&mut self.body, RequestBody::none());
        let request = Unanswered { head: std::mem::take(&mut self.out), body };
        Failed::Closed { request, unsent: self.sent == 0 }
    }

    /// Returns the next piece of the response body: data, as a range of `buffer`, trailers or the
    /// end. Meanwhile sends what is left of the request.
    ///
    /// # Errors
    /// Returns an error if the body is malformed or truncated, or if the client's body failed.
    pub(in crate::proxy) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Piece>> {
        self.send_on(cx);
        if self.body.state().failed().is_some() {
            // The upstream may never get the rest of the request that it waits for.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        loop {
            let Reading::Body { body, reusable } = &mut self.reading else {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            };
            if body.is_done() {
                self.settle();
                return Poll::Ready(Ok(Piece::End));
            }
            if !self.rest.is_empty() {
                let kept = self.rest.len().min(buffer.len());
                let (read, piece) =
                    body.read(&self.rest[..kept]).map_err(|_| io::ErrorKind::InvalidData)?;
                // Copy this piece only, because `rest` may hold many.
                let piece = match piece {
                    Piece::Data(range) => {
                        let length = range.len();
                        buffer[..length].copy_from_slice(&self.rest[range]);
                        Piece::Data(0..length)
                    }
                    piece => piece,
                };
                self.rest.advance(read);
                if !matches!(piece, Piece::More) {
                    self.settle();
                    return Poll::Ready(Ok(piece));
                }
                continue;
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let filled = ready!(poll_read(stream, cx, buffer))?;
            if filled == 0 {
                *reusable = false;
                if body.close() {
                    continue;
                }
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let (read, piece) =
                body.read(&buffer[..filled]).map_err(|_| io::ErrorKind::InvalidData)?;
            self.rest.extend_from_slice(&buffer[read..filled]);
            if !matches!(piece, Piece::More) {
                self.settle();
                return Poll::Ready(Ok(piece));
            }
        }
    }

    /// Returns the connection to the pool once the response has ended, unless the upstream
    /// responded before it had the whole request, or sent more than one response.
    fn settle(&mut self) {
        let sent = self.remaining == Remaining::Last
            && self.sent == self.out.len()
            && self.data.is_empty();
        if let Reading::Body { body, reusable: true } = &self.reading
            && body.is_done()
            && sent
            && self.rest.is_empty()
            && let Some(stream) = self.stream.take()
        {
            self.pool.put(self.upstream, stream);
        }
    }

    /// Returns whether the response has ended.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        matches!(&self.reading, Reading::Body { body, .. } if body.is_done())
    }

    /// Returns the state of the request.
    pub(in crate::proxy) fn state(&self) -> &Rc<RequestState> {
        self.body.state()
    }

    /// Takes the stream and the unparsed bytes received on it, for a protocol switch.
    pub(in crate::proxy) fn take_stream(&mut self) -> Option<(Stream, BytesMut)> {
        Some((self.stream.take()?, std::mem::take(&mut self.rest)))
    }
}

/// The request holds a secret that only the upstream may know.
impl Drop for Exchange {
    fn drop(&mut self) {
        wipe(&mut self.out);
    }
}

fn written(outcome: io::Result<usize>) -> io::Result<usize> {
    outcome.and_then(
        |written| if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) },
    )
}
