//! The streams that are open.

use slab::Slab;

use super::flow::STREAM_WINDOW;

/// Which sides of a stream may still send (RFC 9113 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The client has ended its side.
    HalfClosedRemote,
    /// The server has.
    HalfClosedLocal,
    Closed,
}

/// What the protocol knows of a stream.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: u32,
    pub(super) phase: Phase,
    /// How much may be sent; less than nothing after the client has made its initial window smaller
    /// (RFC 9113 §6.9.2).
    pub(super) window_out: i64,
    /// How much may come.
    pub(super) window_in: usize,
    /// How much of the body is to come by the head of the request.
    pub(super) expected: Option<u64>,
}

impl State {
    /// Whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::HalfClosedRemote | Phase::Closed)
    }

    /// Whether the server has ended its side.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::HalfClosedLocal | Phase::Closed)
    }

    /// The client ends its side.
    pub(super) fn end_in(&mut self) {
        self.phase = match self.phase {
            Phase::Open | Phase::HalfClosedRemote => Phase::HalfClosedRemote,
            Phase::HalfClosedLocal | Phase::Closed => Phase::Closed,
        };
    }

    /// The server ends its side.
    pub(super) fn end_out(&mut self) {
        self.phase = match self.phase {
            Phase::Open | Phase::HalfClosedLocal => Phase::HalfClosedLocal,
            Phase::HalfClosedRemote | Phase::Closed => Phase::Closed,
        };
    }
}

/// An open stream, and what its user keeps for it.
#[derive(Debug)]
pub(super) struct Stream<T> {
    pub(super) state: State,
    pub(super) user: T,
}

#[derive(Debug)]
pub(super) struct Streams<T> {
    slab: Slab<Stream<T>>,
    /// Ids and keys of those that are open, in the order of ids.
    open: Vec<(u32, usize)>,
}

impl<T> Streams<T> {
    pub(super) fn new() -> Self {
        Self { slab: Slab::new(), open: Vec::new() }
    }

    /// The key of an open stream.
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

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens a stream, whose id is higher than all before; returns its key.
    pub(super) fn add(&mut self, id: u32, window_out: i64, phase: Phase, user: T) -> usize {
        let state = State { id, phase, window_out, window_in: STREAM_WINDOW, expected: None };
        let key = self.slab.insert(Stream { state, user });
        self.open.push((id, key));
        key
    }

    /// Removes a stream and what its user keeps for it.
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

    /// Gives back the room of streams that were open.
    pub(super) fn shrink(&mut self) {
        if self.open.is_empty() {
            *self = Self::new();
        }
    }
}
