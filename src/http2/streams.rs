//! The open streams of a connection.

use slab::Slab;

use super::flow::STREAM_WINDOW;

/// The state of a stream (RFC 9113 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The client has ended its side.
    HalfClosedRemote,
    /// The server has ended its side.
    HalfClosedLocal,
    Closed,
}

/// The protocol state of a stream.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: u32,
    pub(super) phase: Phase,
    /// The send window, in bytes. It is negative after the client has reduced its initial window
    /// size below what was sent (RFC 9113 §6.9.2).
    pub(super) window_out: i64,
    /// The receive window, in bytes.
    pub(super) window_in: usize,
    /// How many bytes of the body are still to come, if the request has a `Content-Length`.
    pub(super) expected: Option<u64>,
}

impl State {
    /// Returns whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::HalfClosedRemote | Phase::Closed)
    }

    /// Returns whether the server has ended its side.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::HalfClosedLocal | Phase::Closed)
    }

    /// Ends the client's side.
    pub(super) fn end_in(&mut self) {
        self.phase = match self.phase {
            Phase::Open | Phase::HalfClosedRemote => Phase::HalfClosedRemote,
            Phase::HalfClosedLocal | Phase::Closed => Phase::Closed,
        };
    }

    /// Ends the server's side.
    pub(super) fn end_out(&mut self) {
        self.phase = match self.phase {
            Phase::Open | Phase::HalfClosedLocal => Phase::HalfClosedLocal,
            Phase::HalfClosedRemote | Phase::Closed => Phase::Closed,
        };
    }
}

/// An open stream, and the user's data for it.
#[derive(Debug)]
pub(super) struct Stream<T> {
    pub(super) state: State,
    pub(super) user: T,
}

#[derive(Debug)]
pub(super) struct Streams<T> {
    slab: Slab<Stream<T>>,
    /// The identifiers and slab keys of the open streams, in ascending order of identifiers.
    open: Vec<(u32, usize)>,
}

impl<T> Streams<T> {
    pub(super) fn new() -> Self {
        Self { slab: Slab::new(), open: Vec::new() }
    }

    /// Returns the slab key of an open stream.
    pub(super) fn find(&self, id: u32) -> Option<usize> {
        let at = self.open.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.open[at].1)
    }

    pub(super) fn get(&self, key: usize) -> Option<&Stream<T>> {
        self.slab.get(key)
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Stream<T>> {
        self.slab.get_mut(key)
    }

    /// Returns the number of open streams.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Adds a stream, whose identifier must be higher than all before. Returns its slab key.
    pub(super) fn add(&mut self, id: u32, window_out: i64, phase: Phase, user: T) -> usize {
        let state = State { id, phase, window_out, window_in: STREAM_WINDOW, expected: None };
        let key = self.slab.insert(Stream { state, user });
        self.open.push((id, key));
        key
    }

    /// Removes a stream. Returns the user's data.
    pub(super) fn remove(&mut self, key: usize) -> Option<T> {
        let stream = self.slab.try_remove(key)?;
        if let Ok(at) = self.open.binary_search_by_key(&stream.state.id, |(id, _)| *id) {
            self.open.remove(at);
        }
        Some(stream.user)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Stream<T>)> {
        self.slab.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Stream<T>)> {
        self.slab.iter_mut()
    }

    /// Frees the memory of closed streams if no stream is open.
    pub(super) fn shrink(&mut self) {
        if self.open.is_empty() {
            *self = Self::new();
        }
    }
}
