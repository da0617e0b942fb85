//! The server's side of a connection: what it knows, and what it sends.

use super::Reason;
use super::budget::Budget;
use super::decode::Decoder;
use super::event::{Limits, Unfinished};
use super::flow::{FIRST_WINDOW, ReceiveWindow, STREAM_WINDOW};
use super::frame;
use super::send::{Sender, Shared};
use super::streams::{Phase, State, Streams};

/// The highest id of a stream.
const LAST_ID: u32 = (1 << 31) - 1;
/// In the PING frame behind the first GOAWAY, and in those that look whether the client is there.
pub(super) const WINDING_DOWN: [u8; 8] = *b"goodbye.";
const THERE: [u8; 8] = *b"are you?";

/// What is expected first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Preface,
    Settings,
    Open,
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

/// What was begun and not finished of which only parts make sense together.
#[derive(Debug)]
pub(super) enum Partial {
    Block(PartialBlock),
    Data(PartialData),
}

/// A header block: whose it is, and what has come of it while it is not whole.
#[derive(Debug)]
pub(super) struct PartialBlock {
    pub(super) stream: u32,
    pub(super) ended: bool,
    pub(super) depends_on_itself: bool,
    pub(super) block: Vec<u8>,
    pub(super) frames: usize,
    /// When it began, in monotonic nanoseconds.
    pub(super) since: u64,
}

/// A DATA frame of which more is to come.
#[derive(Debug)]
pub(super) struct PartialData {
    /// Key of its stream; none where that is closed.
    pub(super) key: Option<usize>,
    /// How many bytes of data and of padding are to come.
    pub(super) data: usize,
    pub(super) padding: usize,
    /// Whether it ends the request.
    pub(super) ended: bool,
    /// When it began, or its stream was closed, in monotonic nanoseconds.
    pub(super) since: u64,
}

/// One connection. `T`: what its user keeps for each open stream, and what is dropped with it.
#[derive(Debug)]
pub struct Connection<T> {
    /// To be sent.
    pub out: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) stage: Stage,
    pub(super) decoder: Decoder,
    pub(super) partial: Option<Partial>,
    /// Since when there is a part of any other frame, in monotonic nanoseconds.
    pub(super) frame_since: Option<u64>,
    pub(super) streams: Streams<T>,
    pub(super) shared: Shared,
    pub(super) receives: ReceiveWindow,
    /// The highest id of a stream that the client has opened.
    pub(super) last: u32,
    /// What the client says that streams start with.
    pub(super) first_window_out: i64,
    /// When it began, in monotonic nanoseconds.
    began: u64,
    pub(super) ending: Ending,
    /// Whether the client will open no more streams.
    pub(super) client_leaves: bool,
}

impl<T> Connection<T> {
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

    /// Notes what time it is, in monotonic nanoseconds.
    pub fn set_time(&mut self, now: u64) {
        self.shared.now = now;
    }

    /// What the client has begun and not finished, and since when, in monotonic nanoseconds.
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

    /// Whether a stream with this key is open.
    #[must_use]
    pub fn is_open(&self, key: usize) -> bool {
        self.streams.get(key).is_some()
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

    /// Keys of the open streams, and what is kept for them.
    pub fn streams(&self) -> impl Iterator<Item = (usize, &T)> {
        self.streams.iter().map(|(key, stream)| (key, &stream.user))
    }

    /// Works on a stream that is open. Where that closes it, what is kept for it is dropped.
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

    /// Removes a stream that is closed. Each stream goes this way.
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

    /// Closes all streams without a word to the client.
    pub fn abandon_streams(&mut self) {
        self.streams = Streams::new();
    }

    /// Gives back the memory of streams and of what was sent, while there is neither.
    pub fn shrink(&mut self) {
        self.streams.shrink();
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Lets more of requests' bodies come, for the [`Credit`](super::Credit) that was dropped. To
    /// be called before what is collected is sent.
    pub fn raise_window(&mut self) {
        if let Some(more) = self.receives.raise() {
            frame::with_number(&mut self.out, frame::WINDOW_UPDATE, 0, more);
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

    /// What is known of an open stream.
    pub(super) fn state(&mut self, key: usize) -> Option<&mut State> {
        self.streams.get_mut(key).map(|stream| &mut stream.state)
    }

    /// Takes so much off what the client may cost.
    pub(super) fn spend(&mut self, cost: u64) -> Result<(), Reason> {
        self.shared.budget.spend(cost, self.shared.now)
    }
}
