//! The streams that are open.

use std::collections::VecDeque;

use super::connection::STREAM_WINDOW;

/// How many streams that were reset from this side are remembered, because their clients may not
/// know yet.
const REMEMBERED: usize = 256;

/// An open stream (RFC 9113 §5.1).
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// How much may be sent; less than nothing after the client has made its initial window smaller
    /// (RFC 9113 §6.9.2).
    pub(super) window_out: i64,
    /// How much may come, and how much of what came is not given back yet.
    pub(super) window_in: usize,
    pub(super) credit: usize,
    /// How much of the body is to come by the head of the request.
    pub(super) expected: Option<u64>,
    /// Which side has ended it.
    pub(super) ended_in: bool,
    pub(super) ended_out: bool,
}

#[derive(Debug, Default)]
pub(super) struct Streams {
    places: Vec<Option<Stream>>,
    free: Vec<usize>,
    /// Ids and places of those that are open, in the order of ids.
    open: Vec<(u32, usize)>,
    reset: VecDeque<u32>,
}

impl Streams {
    /// The place of an open stream.
    pub(super) fn find(&self, id: u32) -> Option<usize> {
        let at = self.open.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.open[at].1)
    }

    pub(super) fn get(&self, place: usize) -> Option<&Stream> {
        self.places.get(place)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Stream> {
        self.places.get_mut(place)?.as_mut()
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens a stream, whose id is higher than all before; returns its place.
    pub(super) fn add(&mut self, id: u32, window_out: i64, ended_in: bool) -> usize {
        let stream = Stream {
            id,
            window_out,
            window_in: STREAM_WINDOW,
            credit: 0,
            expected: None,
            ended_in,
            ended_out: false,
        };
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(stream);
        self.open.push((id, place));
        place
    }

    /// Closes a stream.
    pub(super) fn remove(&mut self, place: usize) {
        let Some(stream) = self.places.get_mut(place).and_then(Option::take) else { return };
        self.free.push(place);
        if let Ok(at) = self.open.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.open.remove(at);
        }
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.places.iter_mut().flatten()
    }

    /// Remembers that a stream was reset from this side: what its client had sent may still come.
    pub(super) fn remember_reset(&mut self, id: u32) {
        if self.reset.len() == REMEMBERED {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.reset.contains(&id)
    }
}
