//! The sending side of streams.

use std::collections::VecDeque;

use http::{HeaderMap, StatusCode};

use super::Reason;
use super::budget::{self, Budget};
use super::encode::{self, HeaderBlock};
use super::flow::{FIRST_WINDOW, STREAM_WINDOW};
use super::frame::{self, END_HEADERS, END_STREAM};
use super::streams::{Phase, State};
use crate::policy::Sink as _;

/// How many streams reset by the server are remembered, because their clients may not know of the
/// reset yet.
const REMEMBERED: usize = 256;

/// The send state that all streams of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The send window of the connection, in bytes.
    pub(super) window_out: i64,
    /// Whether the client was notified that no dynamic table is used.
    table_closed: bool,
    pub(super) budget: Budget,
    /// The current time, in monotonic nanoseconds.
    pub(super) now: u64,
    /// Streams that the server reset before the client had ended them. Frames that were already on
    /// their way may still arrive.
    resets: VecDeque<u32>,
}

impl Shared {
    pub(super) fn new(budget: Budget, now: u64) -> Self {
        Self {
            window_out: FIRST_WINDOW as i64,
            table_closed: false,
            budget,
            now,
            resets: VecDeque::new(),
        }
    }

    /// Remembers that the server has reset a stream.
    pub(super) fn remember_reset(&mut self, id: u32) {
        if self.resets.len() == REMEMBERED {
            self.resets.pop_front();
        }
        self.resets.push_back(id);
    }

    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.resets.contains(&id)
    }
}

/// The sending side of one stream. When the stream has ended, it is removed as soon as this is
/// dropped.
#[derive(Debug)]
pub struct Sender<'c> {
    pub(super) out: &'c mut Vec<u8>,
    pub(super) shared: &'c mut Shared,
    pub(super) state: &'c mut State,
}

impl Sender<'_> {
    /// Returns whether the stream is still open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.phase != Phase::Closed
    }

    /// Returns how many bytes the connection's send buffer holds, for all streams.
    #[must_use]
    pub fn collected(&self) -> usize {
        self.out.len()
    }

    /// Returns how many bytes of data may be sent now.
    #[must_use]
    pub fn room(&self) -> usize {
        usize::try_from(self.state.window_out.min(self.shared.window_out)).unwrap_or(0)
    }

    /// Sets the `Content-Length` of the request. Returns `false` if the request has already ended
    /// and the length is not 0 (RFC 9113 §8.1.1).
    #[must_use]
    pub fn expect(&mut self, length: u64) -> bool {
        self.state.expected = Some(length);
        !self.state.has_ended() || length == 0
    }

    /// Sends a response head. `fields`: all fields but the status. `ended`: whether the response
    /// has no body.
    pub fn send_head(&mut self, status: StatusCode, fields: &HeaderBlock, ended: bool) {
        let first = !std::mem::replace(&mut self.shared.table_closed, true);
        let start = encode::status(status, first);
        self.send_block(&start, &fields.0, ended);
    }

    /// Sends 100 (Continue), for which the client delays its body (RFC 9110 §10.1.1).
    pub fn send_continue(&mut self) {
        self.send_head(StatusCode::CONTINUE, &HeaderBlock::default(), false);
    }

    /// Sends trailers, which end the response.
    pub fn send_trailers(&mut self, trailers: &HeaderMap) {
        let mut block = HeaderBlock::with_capacity(128);
        for (name, value) in trailers {
            block.put(name.as_str(), value.as_bytes());
        }
        self.send_block(&[], &block.0, true);
    }

    fn send_block(&mut self, start: &[u8], block: &[u8], ended: bool) {
        if !self.is_open() {
            return;
        }
        let id = self.state.id;
        let end_stream = if ended { END_STREAM } else { 0 };
        self.out.reserve(start.len() + block.len() + 64);
        let (first, mut rest) = block.split_at(block.len().min(frame::LARGEST - start.len()));
        let end_headers = if rest.is_empty() { END_HEADERS } else { 0 };
        frame::begin(
            self.out,
            start.len() + first.len(),
            frame::HEADERS,
            end_stream | end_headers,
            id,
        );
        self.out.extend_from_slice(start);
        self.out.extend_from_slice(first);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(frame::LARGEST));
            rest = behind;
            let flags = if rest.is_empty() { END_HEADERS } else { 0 };
            frame::begin(self.out, part.len(), frame::CONTINUATION, flags, id);
            self.out.extend_from_slice(part);
        }
        if ended {
            self.end();
        }
    }

    /// Sends a part of a response body, which must not exceed [the window](Sender::room). `ended`:
    /// whether it is the last part, which may be empty.
    pub fn send_data(&mut self, mut data: &[u8], ended: bool) {
        if !self.is_open() {
            return;
        }
        self.state.window_out -= data.len() as i64;
        self.shared.window_out -= data.len() as i64;
        self.out.reserve(data.len() + frame::HEAD * (data.len() / frame::LARGEST + 1));
        loop {
            let (part, rest) = data.split_at(data.len().min(frame::LARGEST));
            data = rest;
            let flags = if ended && data.is_empty() { END_STREAM } else { 0 };
            frame::begin(self.out, part.len(), frame::DATA, flags, self.state.id);
            self.out.extend_from_slice(part);
            self.shared.budget.earn(budget::SENT);
            if data.is_empty() {
                break;
            }
        }
        if ended {
            self.end();
        }
    }

    /// Notes that the response has ended.
    fn end(&mut self) {
        self.shared.budget.earn(budget::ANSWER);
        self.state.end_out();
    }

    /// Resets a stream whose request is malformed (RFC 9113 §8.1.1), and deducts the cost.
    pub fn refuse(&mut self) {
        self.shared.budget.charge(budget::RESET, self.shared.now);
        self.reset(Reason::PROTOCOL_ERROR);
    }

    /// Resets the stream if it is still open.
    pub fn reset(&mut self, reason: Reason) {
        if !self.is_open() {
            return;
        }
        frame::with_number(self.out, frame::RST_STREAM, self.state.id, reason.0);
        if !self.state.has_ended() {
            self.shared.remember_reset(self.state.id);
        }
        self.state.phase = Phase::Closed;
    }

    /// Sends a WINDOW_UPDATE for the stream if it raises the window by at least a quarter. `held`:
    /// how many received bytes of the body are still in memory.
    pub fn raise_window(&mut self, held: usize) {
        if self.state.has_ended() {
            return;
        }
        let more = STREAM_WINDOW.saturating_sub(self.state.window_in + held);
        if more >= STREAM_WINDOW / 4 {
            self.state.window_in += more;
            frame::with_number(self.out, frame::WINDOW_UPDATE, self.state.id, more as u32);
        }
    }
}
