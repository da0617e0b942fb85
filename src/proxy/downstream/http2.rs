//! A client's HTTP/2 connection: one task reads from it, serves its streams and writes to it.

mod client;
pub(in crate::proxy) mod ready_set;
pub(in crate::proxy) mod responder;
pub(in crate::proxy) mod stream;
mod upkeep;
pub(in crate::proxy) mod upload;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite as _;

use crate::http2::{Event, Reason};
use crate::policy::Peer;
use crate::proxy::downstream::http2::client::Client;
use crate::proxy::downstream::http2::responder::Responder;
use crate::proxy::downstream::http2::stream::{Slot, Tools};
use crate::proxy::request::connection::Connection;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::worker::closing::{Closing, READ_ON_TIME, close};
use crate::proxy::worker::deadline::OVERFLOW_HEAD_TIMEOUT;
use crate::proxy::worker::stream::{FULL, Stream, poll_read};

/// Reads of at most this many bytes may hold a header block, and are wiped.
const SMALL: usize = 4096;
/// Serves a connection until it closes or the gateway has drained.
pub(in crate::proxy) async fn serve(pool: &Rc<Pool>, stream: Stream, peer: Peer, overflow: bool) {
    let worker = pool.worker();
    let mut client = Client::new(Connection::new(pool, peer, overflow), stream);
    let _idle = worker.wake_when_draining().await;
    let closing = poll_fn(|cx| client.poll(cx)).await;
    let stream = RefCell::new(client.into_stream());
    close(worker, || stream.borrow_mut(), closing).await;
}

impl Client {
    /// Serves the connection. Resolves with how to close it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        self.ready.serve_on(cx);
        self.http.set_time(self.connection.worker.recent().monotonic);
        loop {
            let mut again = false;
            while !self.is_closing {
                // Do not read from a client that does not read its responses.
                if self.http.out.len() >= FULL {
                    self.unread = self.connection.worker.recent().monotonic;
                    again = true;
                    break;
                }
                match self.poll_input(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => return Poll::Ready(self.left()),
                    Poll::Ready(Err(reason)) => {
                        let kind = usize::from(reason == Reason::ENHANCE_YOUR_CALM);
                        self.connection.worker.stats().http2_dismissed[kind].add(1);
                        self.dismiss(reason);
                    }
                }
            }
            again |= self.serve_ready();
            if (self.connection.worker.is_draining() || self.connection.overflow)
                && !self.http.is_winding_down()
            {
                self.wind_down();
            }
            self.is_closing |= self.http.is_over();
            match self.poll_out(cx) {
                Poll::Ready(Ok(())) if self.is_closing => return Poll::Ready(self.finished()),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Closing::Abandoned),
                Poll::Pending => {
                    self.wait();
                    break;
                }
            }
            if !again {
                break;
            }
        }
        while self.deadline.poll(cx).is_ready() {
            if let Some(end) = self.check_timeouts() {
                return Poll::Ready(end);
            }
            match self.poll_out(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Closing::Abandoned),
                Poll::Ready(Ok(())) if self.is_closing => return Poll::Ready(self.finished()),
                _ => {}
            }
        }
        Poll::Pending
    }

    /// Returns how to close once everything has been sent. We do not linger for a client that has
    /// fallen silent.
    fn finished(&self) -> Closing {
        let silent = self.connection.worker.recent().monotonic.saturating_sub(self.received_at);
        if Duration::from_nanos(silent) < OVERFLOW_HEAD_TIMEOUT {
            Closing::Lingering(READ_ON_TIME)
        } else {
            Closing::Orderly
        }
    }

    /// Returns how to close after the client has closed its side.
    fn left(&self) -> Closing {
        if self.connection.quiet().is_some() { Closing::Orderly } else { Closing::Truncated }
    }

    /// Reads once and handles the frames received. Returns `false` if the client has closed its
    /// side.
    ///
    /// # Errors
    /// Returns the error code of a connection error (RFC 9113 §5.4.1).
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Reason>> {
        let worker = self.connection.worker.clone();
        let mut buffer = worker.client_buffer();
        let before = self.rest.len();
        let Ok(read) = ready!(poll_read(&mut self.stream, cx, &mut buffer[before..])) else {
            return Poll::Ready(Ok(false));
        };
        if read == 0 {
            return Poll::Ready(Ok(false));
        }
        buffer[..before].copy_from_slice(&self.rest);
        self.rest.clear();
        self.received_at = worker.now().monotonic;
        self.pinged_at = None;
        let mut input = &buffer[..before + read];
        loop {
            let next = self.http.read(input, &mut worker.block(), self.received_at)?;
            let Some((length, event)) = next else { break };
            input = &input[length..];
            self.take(event);
        }
        self.rest.extend_from_slice(input);
        // Header blocks arrive in small reads. The data of a body holds no secret of ours, and is
        // too much to wipe.
        if before + read <= SMALL {
            buffer[..before + read].fill(0);
        }
        Poll::Ready(Ok(true))
    }

    /// Handles an event of the connection.
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Nothing => {}
            Event::Request { key, ended } => {
                while self.wakers.len() <= key {
                    self.wakers.push(self.ready.waker(self.wakers.len()));
                }
                let connection = &self.connection;
                let responder = self.responders.pop().unwrap_or_else(|| Responder::new(connection));
                let begun = Slot::new(&connection.worker, responder, ended);
                self.http.with_stream(key, |_, slot| *slot = Some(begun));
                // Served at once, because its header block must be parsed before the next one is
                // read.
                self.serve_stream(key);
            }
            Event::Data { key, data, credit, ended } => {
                self.http.with_stream(key, |sender, slot| {
                    let Some(slot) = slot else { return };
                    slot.add(sender, data, credit, ended);
                    sender.raise_window(slot.held());
                });
            }
            Event::Trailers { key, trailers } => {
                self.http.with_stream(key, |_, slot| {
                    if let Some(slot) = slot {
                        slot.end(trailers);
                    }
                });
            }
            // The slot was removed with its stream.
            Event::Reset { .. } => {}
            Event::Window { key: Some(key) } => {
                self.ready.add(key);
            }
            Event::Window { key: None } => {
                for (key, slot) in self.http.streams() {
                    if slot.as_ref().is_some_and(Slot::is_responding) {
                        self.ready.add(key);
                    }
                }
            }
        }
    }

    /// Serves the ready streams in turn, as long as the output buffer has room. Returns whether
    /// streams have more to send.
    fn serve_ready(&mut self) -> bool {
        let words = self.wakers.len().div_ceil(64).max(1);
        let mut more = false;
        let (first, shift) = (self.turn / 64, self.turn as u32 % 64);
        for offset in 0..words {
            let word = (first + offset) % words;
            // Streams from `turn` on come first.
            let shift = if offset == 0 { shift } else { 0 };
            let mut ready = self.ready.take(word).rotate_right(shift);
            while ready != 0 {
                if self.http.out.len() >= FULL {
                    self.ready.put_back(word, ready.rotate_left(shift));
                    return true;
                }
                let key = word * 64 + ((ready.trailing_zeros() + shift) % 64) as usize;
                ready &= ready - 1;
                self.turn = key + 1;
                more |= self.serve_stream(key);
            }
        }
        self.turn %= words * 64;
        more
    }

    /// Serves one stream. Returns whether it has more to send.
    fn serve_stream(&mut self, key: usize) -> bool {
        let Some(waker) = self.wakers.get(key) else { return false };
        let worker = &self.connection.worker;
        let mut tools = Tools { worker, responders: &mut self.responders, waker };
        let served = self.http.with_stream(key, |sender, slot| {
            let slot = slot.as_mut()?;
            let more = slot.serve(sender, &mut tools);
            sender.raise_window(slot.held());
            Some((more, slot.reads_until(), slot.waits_until()))
        });
        let Some((more, reads_until, waits_until)) = served.flatten() else { return false };
        if more {
            self.ready.add(key);
        }
        let reads = reads_until.map(|until| {
            worker.soon(Duration::from_nanos(until.saturating_sub(worker.recent().monotonic)))
        });
        if let Some(at) = reads.or(waits_until).filter(|at| *at < self.deadline.at()) {
            self.deadline.set(at);
        }
        more
    }

    /// Sends everything in the output buffer.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.http.raise_window();
        let out = &mut self.http.out;
        if out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &out[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => {
                    self.sent += sent;
                    if let Some(timeout) = &mut self.write_timeout {
                        timeout.moved(sent, self.connection.worker.soon(Duration::ZERO));
                    }
                }
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if let Some(timeout) = &mut self.write_timeout {
            timeout.moved(0, self.connection.worker.soon(Duration::ZERO));
        }
        self.sent = 0;
        out.clear();
        // Many small requests at once may have had large responses.
        out.shrink_to(2 * FULL);
        Poll::Ready(Ok(()))
    }
}
