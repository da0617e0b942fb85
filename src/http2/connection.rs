//! The server's side of a connection: what it knows, and what it sends.

use http::{HeaderMap, StatusCode};

use super::budget::{self, Budget};
use super::decode::Decoder;
use super::encode::{self, HeaderBlock};
use super::frame::{self, END_HEADERS, END_STREAM};
use super::streams::Streams;
use super::{Block, Reason, inbound};
use crate::policy::Sink as _;

/// What a client starts with (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of a body may come on one stream before somebody takes it, in bytes.
pub(super) const STREAM_WINDOW: usize = 512 * 1024;
/// The same on all streams, once as much has been passed on: what nobody takes is held, so there is
/// less room for it.
pub(super) const CONNECTION_WINDOW: usize = 1024 * 1024;
/// What windows are before anything is said about them, and the most that they can be (RFC 9113
/// §6.9).
pub(super) const FIRST_WINDOW: usize = 65_535;
pub(super) const LARGEST_WINDOW: i64 = (1 << 31) - 1;
/// The highest id of a stream.
const LAST_ID: u32 = (1 << 31) - 1;
/// In the PING frame behind the first GOAWAY, and in those that look whether the client is there.
pub(super) const WINDING_DOWN: [u8; 8] = *b"goodbye.";
const THERE: [u8; 8] = *b"are you?";

/// What a client may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// Bytes of a request's head, as RFC 9113 §6.5.2 counts them.
    pub size: usize,
    /// Header fields of a request.
    pub fields: usize,
    /// What frames that ask for nothing may cost at once; half of it comes back in a second. A
    /// frame costs 1, a stream that comes to nothing 50.
    pub budget: u64,
}

/// What has come.
#[derive(Debug)]
pub enum Event<'i> {
    /// Nothing that concerns a stream.
    Nothing,
    /// A request; its head is in the block. `ended`: it has no body.
    Request {
        /// Place of the stream, until it ends.
        place: usize,
        /// Whether the request has ended.
        ended: bool,
    },
    /// A part of a request's body. What was taken of it is to be given back
    /// ([`Connection::give_back`]).
    Data {
        /// Place of the stream.
        place: usize,
        /// The data.
        data: &'i [u8],
        /// Whether it is the last part.
        ended: bool,
    },
    /// The end of a request's body.
    Trailers {
        /// Place of the stream.
        place: usize,
        /// The fields.
        trailers: HeaderMap,
    },
    /// The stream that was at this place is closed.
    Reset {
        /// The place.
        place: usize,
    },
    /// More may be sent on one stream, or on all.
    Window {
        /// Place of the one stream.
        place: Option<usize>,
    },
}

/// How far a connection is with its end (RFC 9113 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// The client was told that no more streams are wanted, and has not confirmed it.
    Told,
    /// It has confirmed it, and may have had requests waiting to be sent.
    Known,
    /// Streams above this one are ignored.
    After(u32),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// To be sent.
    pub out: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) stage: inbound::Stage,
    pub(super) decoder: Decoder,
    pub(super) unfinished: Option<inbound::Unfinished>,
    pub(super) streams: Streams,
    /// The highest id of a stream that the client has opened.
    pub(super) last: u32,
    pub(super) window_out: i64,
    pub(super) window_in: usize,
    pub(super) credit: usize,
    /// How large the window in which the client sends is to be.
    window: usize,
    /// What the client says that streams start with.
    pub(super) first_window_out: i64,
    /// Whether it was said that no dynamic table is used.
    table_closed: bool,
    pub(super) budget: Budget,
    pub(super) now: u64,
    /// When it began, in monotonic nanoseconds.
    began: u64,
    pub(super) ending: Ending,
    /// Whether the client will open no more streams.
    pub(super) client_leaves: bool,
}

impl Connection {
    /// One that has just begun. `now`: monotonic nanoseconds.
    #[must_use]
    pub fn new(limits: Limits, now: u64) -> Self {
        let mut out = Vec::with_capacity(512);
        let size = u32::try_from(limits.size).unwrap_or(u32::MAX);
        let settings = [
            (frame::MAX_CONCURRENT_STREAMS, limits.streams),
            (frame::INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
            (frame::MAX_HEADER_LIST_SIZE, size),
        ];
        frame::settings(&mut out, &settings);
        Self {
            out,
            limits,
            stage: inbound::Stage::Preface,
            decoder: Decoder::new(limits.size, limits.fields),
            unfinished: None,
            streams: Streams::default(),
            last: 0,
            window_out: FIRST_WINDOW as i64,
            window_in: FIRST_WINDOW,
            credit: 0,
            window: FIRST_WINDOW,
            first_window_out: FIRST_WINDOW as i64,
            table_closed: false,
            budget: Budget::new(limits.budget, now),
            now,
            began: now,
            ending: Ending::No,
            client_leaves: false,
        }
    }

    /// Reads what stands next in `input`; returns how much of it was read. `None`: more must come
    /// first. A request's head is decoded into `block`. `now`: monotonic nanoseconds.
    ///
    /// # Errors
    /// Why the connection ends ([`Connection::go_away`]).
    pub fn read<'i>(
        &mut self,
        input: &'i [u8],
        block: &mut Block,
        now: u64,
    ) -> Result<Option<(usize, Event<'i>)>, Reason> {
        self.now = now;
        self.read_on(input, block)
    }

    /// Since when the client has left its first words or a header block unfinished, in monotonic
    /// nanoseconds; none where it has not.
    #[must_use]
    pub fn unfinished_since(&self) -> Option<u64> {
        if self.stage == inbound::Stage::Open {
            self.unfinished.as_ref().map(|unfinished| unfinished.since)
        } else {
            Some(self.began)
        }
    }

    /// Whether the stream at this place is open.
    #[must_use]
    pub fn is_open(&self, place: usize) -> bool {
        self.streams.get(place).is_some()
    }

    /// Whether no stream is open.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.streams.len() == 0
    }

    /// Whether nothing more is to come or to go on it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_quiet() && (self.client_leaves || matches!(self.ending, Ending::After(_)))
    }

    /// Notes how long the request's body is said to be; false where it contradicts what has come
    /// (RFC 9113 §8.1.1).
    #[must_use]
    pub fn expect(&mut self, place: usize, length: u64) -> bool {
        let Some(stream) = self.streams.get_mut(place) else { return false };
        stream.expected = Some(length);
        !stream.ended_in || length == 0
    }

    /// How much may be sent on a stream.
    #[must_use]
    pub fn room(&self, place: usize) -> usize {
        let stream = self.streams.get(place).map_or(0, |stream| stream.window_out);
        usize::try_from(stream.min(self.window_out)).unwrap_or(0)
    }

    /// Sends an answer's head. `fields`: all but the status. `ended`: there is no body.
    pub fn send_head(
        &mut self,
        place: usize,
        status: StatusCode,
        fields: &HeaderBlock,
        ended: bool,
    ) {
        let first = !std::mem::replace(&mut self.table_closed, true);
        let start = encode::status(status, first);
        self.send_block(place, &start, &fields.0, ended);
    }

    /// Sends trailers, which end the stream.
    pub fn send_trailers(&mut self, place: usize, trailers: &HeaderMap) {
        let mut block = HeaderBlock::with_capacity(128);
        for (name, value) in trailers {
            block.put(name.as_str(), value.as_bytes());
        }
        self.send_block(place, &[], &block.0, true);
    }

    fn send_block(&mut self, place: usize, start: &[u8], block: &[u8], ended: bool) {
        let Some(stream) = self.streams.get(place) else { return };
        let id = stream.id;
        let end_stream = if ended { END_STREAM } else { 0 };
        self.out.reserve(start.len() + block.len() + 64);
        let (first, mut rest) = block.split_at(block.len().min(frame::LARGEST - start.len()));
        let end_headers = if rest.is_empty() { END_HEADERS } else { 0 };
        frame::begin(
            &mut self.out,
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
            frame::begin(&mut self.out, part.len(), frame::CONTINUATION, flags, id);
            self.out.extend_from_slice(part);
        }
        if ended {
            self.end_out(place);
        }
    }

    /// Sends a part of an answer's body, no more than there is [room](Connection::room) for.
    /// `ended`: it is the last one, and may then be empty.
    pub fn send_data(&mut self, place: usize, mut data: &[u8], ended: bool) {
        let Some(stream) = self.streams.get_mut(place) else { return };
        stream.window_out -= data.len() as i64;
        self.window_out -= data.len() as i64;
        self.out.reserve(data.len() + frame::HEAD * (data.len() / frame::LARGEST + 1));
        loop {
            let (part, rest) = data.split_at(data.len().min(frame::LARGEST));
            data = rest;
            let flags = if ended && data.is_empty() { END_STREAM } else { 0 };
            frame::begin(&mut self.out, part.len(), frame::DATA, flags, stream.id);
            self.out.extend_from_slice(part);
            self.budget.earn(budget::SENT);
            if data.is_empty() {
                break;
            }
        }
        if ended {
            self.end_out(place);
        }
    }

    /// Notes that this side has ended a stream.
    fn end_out(&mut self, place: usize) {
        self.budget.earn(budget::ANSWER);
        if let Some(stream) = self.streams.get_mut(place) {
            stream.ended_out = true;
            if stream.ended_in {
                self.streams.remove(place);
            }
        }
    }

    /// Resets a stream whose request is malformed (RFC 9113 §8.1.1). Those are counted.
    pub fn refuse(&mut self, place: usize) {
        self.budget.charge(budget::RESET, self.now);
        self.reset(place, Reason::PROTOCOL_ERROR);
    }

    /// Resets a stream.
    pub fn reset(&mut self, place: usize, reason: Reason) {
        let Some(stream) = self.streams.get(place) else { return };
        let id = stream.id;
        frame::with_number(&mut self.out, frame::RST_STREAM, id, reason.0);
        if !stream.ended_in {
            self.streams.remember_reset(id);
        }
        self.streams.remove(place);
    }

    /// Lets so much more of a request's body come, because it was passed on; and still more,
    /// because somebody takes what comes.
    pub fn passed_on(&mut self, place: usize, bytes: usize) {
        let more = bytes.min(CONNECTION_WINDOW - self.window);
        self.window += more;
        self.credit += more;
        self.give_back(place, bytes);
    }

    /// Lets so much more of a request's body come, because it is not kept any more.
    pub fn give_back(&mut self, place: usize, taken: usize) {
        if let Some(stream) = self.streams.get_mut(place).filter(|stream| !stream.ended_in) {
            stream.credit += taken;
            if stream.credit >= STREAM_WINDOW / 4 {
                frame::with_number(
                    &mut self.out,
                    frame::WINDOW_UPDATE,
                    stream.id,
                    stream.credit as u32,
                );
                stream.window_in += std::mem::take(&mut stream.credit);
            }
        }
        self.give_back_to_all(taken);
    }

    /// The same where the stream is closed.
    pub(super) fn give_back_to_all(&mut self, taken: usize) {
        self.credit += taken;
        if self.credit >= self.window / 4 {
            frame::with_number(&mut self.out, frame::WINDOW_UPDATE, 0, self.credit as u32);
            self.window_in += std::mem::take(&mut self.credit);
        }
    }

    /// Asks the client whether it is there.
    pub fn ping(&mut self) {
        frame::ping(&mut self.out, 0, THERE);
    }

    /// Ends the connection as soon as the requests that are on it have been answered, those too
    /// that are on their way.
    pub fn wind_down(&mut self) {
        if self.ending == Ending::No {
            self.ending = Ending::Told;
            frame::go_away(&mut self.out, LAST_ID, Reason::NO_ERROR);
            frame::ping(&mut self.out, 0, WINDING_DOWN);
        }
    }

    /// Whether [`Connection::wind_down`] was called.
    #[must_use]
    pub fn is_winding_down(&self) -> bool {
        self.ending != Ending::No
    }

    /// Tells the client why the connection ends now.
    pub fn go_away(&mut self, reason: Reason) {
        frame::go_away(&mut self.out, self.last, reason);
    }

    /// Tells the client to send the body that it waits to send (RFC 9110 §10.1.1).
    pub fn send_continue(&mut self, place: usize) {
        self.send_head(place, StatusCode::CONTINUE, &HeaderBlock::default(), false);
    }
}
