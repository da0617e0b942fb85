//! Byte stream of an HTTP/1.1 client: parsing of requests and buffering of responses.

use std::cell::{RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Frame;
use tokio::io::AsyncWrite as _;
use tokio::time::{Instant, Sleep};

use crate::http1::{Body, Limits, Malformed, Piece, find_end};
use crate::policy::wipe;
use crate::proxy::worker::body::{Broken, ClientBody};
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::stream::{Stream, poll_read};

/// Most bytes that are read ahead from a client that waits for its response.
const AHEAD: usize = 16 * 1024;

/// Interval between two checks whether a client whose bytes are not read has left.
pub(in crate::proxy) const PRESENCE_INTERVAL: Duration = Duration::from_millis(500);

/// Client connection, shared by its own task and the task that sends the request body to the
/// upstream.
pub(in crate::proxy) struct Client {
    worker: Rc<Worker>,
    io: RefCell<Io>,
}

/// Connection state behind the [`Client`].
pub(in crate::proxy) struct Io {
    pub(in crate::proxy) stream: Stream,
    /// Received bytes that have not been parsed.
    rest: BytesMut,
    /// Number of bytes of `rest` that were searched for the end of a head.
    searched: usize,
    /// The body of the current request.
    body: Body,
    /// Waker of the task to wake when that body has ended.
    watcher: Option<Waker>,
    /// While we wait for a response and read nothing: the timer of the next check whether the
    /// client has left, and when the wait began.
    unread: Option<(Pin<Box<Sleep>>, Instant)>,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    waits: bool,
    /// Bytes to send.
    pub(in crate::proxy) out: Vec<u8>,
    /// Number of bytes of `out` that have been sent.
    sent: usize,
    /// Total number of bytes that the client has taken. It wraps around.
    pub(in crate::proxy) taken: usize,
}

/// A complete head at the start of the worker's client buffer.
pub(in crate::proxy) struct Arrived {
    /// Length of the head in bytes.
    pub(in crate::proxy) head: usize,
    /// Number of filled bytes in the buffer.
    pub(in crate::proxy) filled: usize,
}

impl Client {
    /// Creates a client on an accepted connection.
    pub(in crate::proxy) fn new(worker: &Rc<Worker>, stream: Stream) -> Rc<Self> {
        let io = Io {
            stream,
            rest: BytesMut::new(),
            searched: 0,
            body: Body::NONE,
            watcher: None,
            unread: None,
            waits: false,
            out: Vec::new(),
            sent: 0,
            taken: 0,
        };
        Rc::new(Self { worker: worker.clone(), io: RefCell::new(io) })
    }

    /// Borrows the connection state.
    pub(in crate::proxy) fn io(&self) -> RefMut<'_, Io> {
        self.io.borrow_mut()
    }

    /// Borrows the connection.
    pub(in crate::proxy) fn stream(&self) -> RefMut<'_, Stream> {
        RefMut::map(self.io(), |io| &mut io.stream)
    }

    /// Resolves once a complete head is at the start of the worker's client buffer, where it stays
    /// until the task waits. Returns `None` if the client has left.
    ///
    /// # Errors
    /// Returns `Malformed` if the head exceeds `limits` or cannot be one.
    pub(in crate::proxy) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        limits: Limits,
    ) -> Poll<Option<Result<Arrived, Malformed>>> {
        let io = &mut *self.io.borrow_mut();
        let mut buffer = self.worker.client_buffer();
        let least = limits.size.max(io.rest.len()) + 1;
        if buffer.len() < least {
            buffer.resize(least, 0);
        }
        let mut filled = io.rest.len();
        buffer[..filled].copy_from_slice(&io.rest);
        let arrived = loop {
            match find_end(&buffer[..filled], io.searched, limits.size) {
                Ok(Some(head)) => break Ok(Arrived { head, filled }),
                Ok(None) => io.searched = filled,
                Err(malformed) => break Err(malformed),
            }
            match poll_read(&mut io.stream, cx, &mut buffer[filled..]) {
                Poll::Ready(Ok(read)) if read > 0 => filled += read,
                Poll::Ready(_) => {
                    buffer[..filled].fill(0);
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    io.unread = None;
                    // Otherwise nothing has been received since the last call.
                    if filled > io.rest.len() {
                        wipe(&mut io.rest);
                        // Allocated to size, because a connection may be idle for long.
                        io.rest = BytesMut::from(&buffer[..filled]);
                    }
                    buffer[..filled].fill(0);
                    return Poll::Pending;
                }
            }
        };
        if !io.rest.is_empty() {
            wipe(&mut io.rest);
            io.rest = BytesMut::new();
        }
        io.searched = 0;
        Poll::Ready(Some(arrived))
    }

    /// Returns whether a part of a head has been received.
    pub(in crate::proxy) fn has_begun(&self) -> bool {
        !self.io.borrow().rest.is_empty()
    }

    /// Begins a request behind its head: `rest` holds the bytes received after the head, and `body`
    /// is parsed from them first. `waits`: the client expects `100 Continue`.
    pub(in crate::proxy) fn begin(&self, rest: &[u8], body: Body, waits: bool) {
        let io = &mut *self.io.borrow_mut();
        io.rest.extend_from_slice(rest);
        io.unread = None;
        io.waits = waits && rest.is_empty() && !body.is_done();
        io.body = body;
    }

    /// Returns whether the whole request has been read.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        self.io.borrow().body.is_done()
    }

    /// Returns whether the client still waits for `100 Continue`. From now on it will not be sent.
    pub(in crate::proxy) fn stop_waiting(&self) -> bool {
        std::mem::take(&mut self.io.borrow_mut().waits)
    }

    /// Returns the number of body bytes still to come, or `None` if it is unknown.
    pub(in crate::proxy) fn body_length(&self) -> Option<u64> {
        self.io.borrow().body.length()
    }

    /// Returns the next frame of the request body, or `None` at the end of the body. First sends
    /// `100 Continue` to a client that waits for it.
    ///
    /// # Errors
    /// Returns an error if the body is malformed or truncated, or if the connection fails.
    // Longer than 60 lines: one loop over where the next bytes of a body come from.
    pub(in crate::proxy) fn poll_body(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let io = &mut *self.io.borrow_mut();
        if io.waits {
            if io.out.is_empty() {
                io.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            if let Err(error) = ready!(io.poll_out(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            io.waits = false;
        }
        let mut buffer = self.worker.client_buffer();
        loop {
            if io.body.is_done() {
                return Poll::Ready(None);
            }
            let from_rest = !io.rest.is_empty();
            let filled = if from_rest {
                0
            } else {
                match ready!(poll_read(&mut io.stream, cx, &mut buffer)) {
                    Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                    Ok(read) => read,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            };
            let input = if from_rest { &io.rest[..] } else { &buffer[..filled] };
            let (read, piece) = match io.body.read(input) {
                Ok(read) => read,
                Err(_) => {
                    // The end of the body is unknown, so no bytes behind it are another request.
                    io.body = Body::UNTIL_CLOSE;
                    return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into())));
                }
            };
            let frame = match piece {
                Piece::Data(range) => Some(Frame::data(Bytes::copy_from_slice(&input[range]))),
                Piece::Trailers(trailers) => Some(Frame::trailers(trailers)),
                Piece::End | Piece::More => None,
            };
            if from_rest {
                io.rest.advance(read);
            } else {
                io.rest.extend_from_slice(&buffer[read..filled]);
            }
            if io.body.is_done() {
                // The buffer that the body needed is released before we wait for the response.
                io.rest = BytesMut::from(&io.rest[..]);
                io.unread = None;
                if let Some(watcher) = io.watcher.take() {
                    watcher.wake();
                }
            }
            if frame.is_some() {
                return Poll::Ready(frame.map(Ok));
            }
        }
    }

    /// Resolves when the client has left. A client that closes its sending side counts as gone.
    /// Meanwhile keeps the bytes that it sends ahead.
    pub(in crate::proxy) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let io = &mut *self.io.borrow_mut();
        if !io.body.is_done() {
            // The task that reads the body, which may be another one, notices.
            if !io.watcher.as_ref().is_some_and(|watcher| watcher.will_wake(cx.waker())) {
                io.watcher = Some(cx.waker().clone());
            }
            return io.poll_gone_unread(&self.worker, cx);
        }
        while io.rest.len() < AHEAD {
            let mut buffer = self.worker.client_buffer();
            match ready!(poll_read(&mut io.stream, cx, &mut buffer[..AHEAD])) {
                Ok(read) if read > 0 => {
                    io.rest.extend_from_slice(&buffer[..read]);
                    buffer[..read].fill(0);
                }
                _ => return Poll::Ready(()),
            }
        }
        io.poll_gone_unread(&self.worker, cx)
    }

    /// Wipes received bytes that will not be parsed, because they may be a part of a head.
    pub(in crate::proxy) fn forget(&self) {
        wipe(&mut self.io.borrow_mut().rest);
    }

    /// Returns the stream and the unparsed bytes received on it, for a protocol switch.
    pub(in crate::proxy) fn into_stream(self) -> (Stream, BytesMut) {
        let io = self.io.into_inner();
        (io.stream, io.rest)
    }
}

impl Io {
    /// Resolves when the client has left, although we read nothing from it. If flow control may
    /// keep its FIN from arriving, it counts as gone after `body_timeout`.
    fn poll_gone_unread(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
        let (look, since) = self.unread.get_or_insert_with(|| {
            let now = worker.soon(Duration::ZERO);
            (Box::pin(tokio::time::sleep_until(now + PRESENCE_INTERVAL)), now)
        });
        loop {
            ready!(look.as_mut().poll(cx));
            let now = Instant::now();
            // While a body is unfinished, the peer that does not take it has timeouts of its own.
            let is_too_long = self.body.is_done()
                && now - *since >= worker.current().runtime.server.body_timeout
                && self.stream.is_congested();
            if is_too_long || self.stream.is_closed_by_peer() {
                return Poll::Ready(());
            }
            look.as_mut().reset(now + PRESENCE_INTERVAL);
        }
    }

    /// Sends everything in `out`.
    pub(in crate::proxy) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => {
                    self.sent += sent;
                    self.taken = self.taken.wrapping_add(sent);
                }
            }
        }
        self.sent = 0;
        // Idle connections hold no buffers.
        self.out = Vec::new();
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl ClientBody for Client {
    fn is_done(&self) -> bool {
        self.is_read()
    }

    fn length(&self) -> Option<u64> {
        self.body_length()
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_body(cx).map_err(Into::into)
    }
}
