//! The server side of a connection: its state, and what it sends.

use super::Reason;
use super::budget::Budget;
use super::decode::Decoder;
use super::event::{Limits, Unfinished};
use super::flow::{FIRST_WINDOW, ReceiveWindow, STREAM_WINDOW};
use super::frame;
use super::send::{Sender, Shared};
use super::streams::{Phase, State, Streams};

/// The highest possible stream identifier.
const LAST_ID: u32 = (1 << 31) - 1;
/// The payload of the PING frames that follow the first GOAWAY, and of those that check whether the
/// client is alive.
pub(super) const WINDING_DOWN: [u8; 8] = *b"goodbye.";
const PING_DATA: [u8; 8] = *b"are you?";

/// What the client must send next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Preface,
    Settings,
    Open,
}

/// How far the shutdown of a connection has progressed (RFC 9113 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// The first GOAWAY was sent, and the client has not acknowledged the PING after it.
    Told,
    /// The client has acknowledged it, but may still have requests in its send queue.
    Known,
    /// The final GOAWAY was sent. Streams with a higher identifier are ignored.
    After(u32),
}

/// A header block or a DATA frame that was received in part.
#[derive(Debug)]
pub(super) enum Partial {
    Block(PartialBlock),
    Data(PartialData),
}

/// A header block whose last frame has not been received, with its fragments so far.
#[derive(Debug)]
pub(super) struct PartialBlock {
    pub(super) stream: u32,
    pub(super) ended: bool,
    pub(super) depends_on_itself: bool,
    pub(super) block: Vec<u8>,
    pub(super) frames: usize,
    /// When its first frame was received, in monotonic nanoseconds.
    pub(super) since: u64,
}

/// A DATA frame whose payload has not been received completely.
#[derive(Debug)]
pub(super) struct PartialData {
    /// The slab key of its stream, or `None` if the stream is closed.
    pub(super) key: Option<usize>,
    /// The bytes of data and of padding still to come.
    pub(super) data: usize,
    pub(super) padding: usize,
    /// Whether the frame ends the request.
    pub(super) ended: bool,
    /// When the frame began or its stream was closed, in monotonic nanoseconds.
    pub(super) since: u64,
}

/// A connection. `T` is what its user stores for each open stream; it is dropped with the stream.
#[derive(Debug)]
pub struct Connection<T> {
    /// The bytes to send.
    pub out: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) stage: Stage,
    pub(super) decoder: Decoder,
    pub(super) partial: Option<Partial>,
    /// When the first bytes of any other incomplete frame were received, in monotonic nanoseconds.
    pub(super) frame_since: Option<u64>,
    pub(super) streams: Streams<T>,
    pub(super) shared: Shared,
    pub(super) receives: ReceiveWindow,
    /// The highest identifier of a stream that the client has opened.
    pub(super) last: u32,
    /// The initial send window of new streams, as set by the client
    /// (`SETTINGS_INITIAL_WINDOW_SIZE`).
    pub(super) first_window_out: i64,
    /// When the connection began, in monotonic nanoseconds.
    began: u64,
    pub(super) ending: Ending,
    /// Whether the client has sent GOAWAY.
    pub(super) client_leaves: bool,
}

impl<T> Connection<T> {
    /// Returns a new connection, with its SETTINGS frame ready to be sent. `now`: monotonic
    /// nanoseconds.
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
            stage: Stage::Preface,
            decoder: Decoder::new(limits.size, limits.fields),
            partial: None,
            frame_since: None,
            streams: Streams::new(),
            shared: Shared::new(Budget::new(limits.budget, now), now),
            receives: ReceiveWindow::new(),
            last: 0,
            first_window_out: FIRST_WINDOW as i64,
            began: now,
            ending: Ending::No,
            client_leaves: false,
        }
    }

    /// Sets the current time, in monotonic nanoseconds.
    pub fn set_time(&mut self, now: u64) {
        self.shared.now = now;
    }

    /// Returns what the client has begun and not finished, and when it began, in monotonic
    /// nanoseconds. Returns `None` if nothing is incomplete.
    #[must_use]
    pub fn unfinished(&self) -> Option<(Unfinished, u64)> {
        if self.stage != Stage::Open {
            return Some((Unfinished::Opening, self.began));
        }
        match &self.partial {
            Some(Partial::Block(block)) => Some((Unfinished::HeaderBlock, block.since)),
            Some(Partial::Data(PartialData { key: Some(_), since, .. })) => {
                Some((Unfinished::Data, *since))
            }
            Some(Partial::Data(data)) => Some((Unfinished::ClosedData, data.since)),
            None => self.frame_since.map(|since| (Unfinished::Frame, since)),
        }
    }

    /// Returns whether the stream with this key is open.
    #[must_use]
    pub fn is_open(&self, key: usize) -> bool {
        self.streams.get(key).is_some()
    }

    /// Returns whether no stream is open.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.streams.len() == 0
    }

    /// Returns whether the connection can be closed: no stream is open, and none will be opened.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_quiet() && (self.client_leaves || matches!(self.ending, Ending::After(_)))
    }

    /// Returns the key and the user's data of each open stream.
    pub fn streams(&self) -> impl Iterator<Item = (usize, &T)> {
        self.streams.iter().map(|(key, stream)| (key, &stream.user))
    }

    /// Runs `work` on an open stream and returns its result, or `None` if the stream is not open.
    /// If `work` closes the stream, the user's data is dropped.
    pub fn with_stream<R>(
        &mut self,
        key: usize,
        work: impl FnOnce(&mut Sender<'_>, &mut T) -> R,
    ) -> Option<R> {
        let stream = self.streams.get_mut(key)?;
        let (out, shared, state) = (&mut self.out, &mut self.shared, &mut stream.state);
        let outcome = work(&mut Sender { out, shared, state }, &mut stream.user);
        self.remove_if_closed(key);
        Some(outcome)
    }

    /// Removes a stream if it is closed. No stream is removed in any other way, except by
    /// [`Connection::abandon_streams`].
    pub(super) fn remove_if_closed(&mut self, key: usize) {
        if self.streams.get(key).is_none_or(|stream| stream.state.phase != Phase::Closed) {
            return;
        }
        if let Some(Partial::Data(data)) = &mut self.partial
            && data.key == Some(key)
        {
            data.key = None;
            data.since = self.shared.now;
        }
        self.streams.remove(key);
    }

    /// Drops all streams without notifying the client.
    pub fn abandon_streams(&mut self) {
        self.streams = Streams::new();
    }

    /// Frees unused memory: that of the streams if none is open, and the send buffer if it is
    /// empty.
    pub fn shrink(&mut self) {
        self.streams.shrink();
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Writes a WINDOW_UPDATE for the connection, for the [`Credit`](super::Credit) that was
    /// dropped. Must be called before the send buffer is flushed.
    pub fn raise_window(&mut self) {
        if let Some(more) = self.receives.raise() {
            frame::with_number(&mut self.out, frame::WINDOW_UPDATE, 0, more);
        }
    }

    /// Writes a PING, which the client must acknowledge if it is alive.
    pub fn ping(&mut self) {
        frame::ping(&mut self.out, 0, PING_DATA);
    }

    /// Begins a graceful shutdown. The connection ends after all requests have been answered,
    /// including those that the client had sent before it learnt of the shutdown.
    pub fn wind_down(&mut self) {
        if self.ending == Ending::No {
            self.ending = Ending::Told;
            frame::go_away(&mut self.out, LAST_ID, Reason::NO_ERROR);
            frame::ping(&mut self.out, 0, WINDING_DOWN);
        }
    }

    /// Returns whether [`Connection::wind_down`] was called.
    #[must_use]
    pub fn is_winding_down(&self) -> bool {
        self.ending != Ending::No
    }

    /// Writes a GOAWAY with the reason for which the connection ends now.
    pub fn go_away(&mut self, reason: Reason) {
        frame::go_away(&mut self.out, self.last, reason);
    }

    /// Returns the protocol state of an open stream.
    pub(super) fn state(&mut self, key: usize) -> Option<&mut State> {
        self.streams.get_mut(key).map(|stream| &mut stream.state)
    }

    /// Deducts a cost from the client's budget.
    pub(super) fn spend(&mut self, cost: u64) -> Result<(), Reason> {
        self.shared.budget.spend(cost, self.shared.now)
    }
}
