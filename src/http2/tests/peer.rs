//! A connection for tests, which feed it with frames.

use http::{HeaderMap, StatusCode};

use super::super::frame::{self, END_HEADERS, END_STREAM};
use super::super::{
    Block, Connection, Credit, Event, HeaderBlock, Limits, PREFACE, Reason, Sender,
};

pub(super) const LIMITS: Limits = Limits { streams: 4, size: 2000, fields: 20, budget: 10_000 };
pub(super) const SECOND: u64 = 1_000_000_000;
/// A header block for `GET /`, without an authority.
pub(super) const GET: [u8; 4] = [0x82, 0x87, 0x84, 0x81];
/// Returns the same block with an authority.
pub(super) fn get() -> Vec<u8> {
    [&GET[..3], &[0x41, 1, b'a']].concat()
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::begin(&mut bytes, payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

pub(super) fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

/// An event in short form, for comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Request(usize, bool),
    Data(usize, Vec<u8>, bool),
    Trailers(usize, HeaderMap),
    Reset(usize),
}

pub(super) struct Peer {
    /// The credit of received data, for each stream, until the data is passed on or discarded.
    pub(super) connection: Connection<Vec<Credit>>,
    pub(super) block: Block,
    pub(super) now: u64,
}

impl Peer {
    pub(super) fn new() -> Self {
        let mut peer =
            Self { connection: Connection::new(LIMITS, 0), block: Block::default(), now: 0 };
        assert_eq!(peer.feed(PREFACE), Ok(vec![]));
        assert_eq!(peer.feed(&frame(frame::SETTINGS, 0, 0, &[])), Ok(vec![]));
        peer.connection.out.clear();
        peer
    }

    /// Reads all bytes. Resets the streams of malformed requests, as the data plane does.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<Vec<Seen>, Reason> {
        let mut seen = Vec::new();
        let read = self.read(input, &mut seen)?;
        assert_eq!(read, input.len(), "whole frames");
        Ok(seen)
    }

    /// Reads as much as is complete. Returns the number of bytes consumed.
    pub(super) fn feed_some(&mut self, input: &[u8]) -> Result<usize, Reason> {
        self.read(input, &mut Vec::new())
    }

    fn read(&mut self, all: &[u8], seen: &mut Vec<Seen>) -> Result<usize, Reason> {
        let mut input = all;
        while let Some((read, event)) = self.connection.read(input, &mut self.block, self.now)? {
            input = &input[read..];
            match event {
                Event::Request { key, .. } if super::super::request(&self.block).is_err() => {
                    self.on(key, |sender, _| sender.refuse())
                }
                Event::Request { key, ended } => seen.push(Seen::Request(key, ended)),
                Event::Data { key, data, credit, ended } => {
                    self.connection.with_stream(key, |_, held| held.push(credit));
                    seen.push(Seen::Data(key, data.to_vec(), ended))
                }
                Event::Trailers { key, trailers } => seen.push(Seen::Trailers(key, trailers)),
                Event::Reset { key } => seen.push(Seen::Reset(key)),
                Event::Nothing | Event::Window { .. } => {}
            }
        }
        Ok(all.len() - input.len())
    }

    pub(super) fn open(&mut self, id: u32, ended: bool) -> usize {
        let flags = END_HEADERS | if ended { END_STREAM } else { 0 };
        match self.feed(&frame(frame::HEADERS, flags, id, &get())).unwrap()[..] {
            [Seen::Request(key, _)] => key,
            ref other => panic!("{other:?}"),
        }
    }

    /// Runs `work` on an open stream.
    pub(super) fn on<R>(
        &mut self,
        key: usize,
        work: impl FnOnce(&mut Sender<'_>, &mut Vec<Credit>) -> R,
    ) -> R {
        self.connection.with_stream(key, work).expect("an open stream")
    }

    pub(super) fn answer(&mut self, key: usize) {
        self.on(key, |sender, _| {
            sender.send_head(StatusCode::OK, &HeaderBlock::default(), true);
        });
    }

    /// Drops the credit of a stream, as if its bytes were passed on or discarded.
    pub(super) fn release(&mut self, key: usize, passed_on: bool) {
        self.on(key, |sender, held| {
            held.drain(..).filter(|_| passed_on).for_each(Credit::pass_on);
            sender.raise_window(0);
        });
        self.connection.raise_window();
    }

    /// Returns the number of body bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.connection.streams().flat_map(|(_, held)| held).map(Credit::bytes).sum()
    }

    /// Returns the type, flags, stream and payload of each frame sent since the last call.
    pub(super) fn sent(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let out = std::mem::take(&mut self.connection.out);
        let mut rest = &out[..];
        let mut frames = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk() {
            let head = frame::FrameHead::read(head);
            let (payload, behind) = behind.split_at(head.length);
            rest = behind;
            frames.push((head.kind, head.flags, head.stream, payload.to_vec()));
        }
        frames
    }

    pub(super) fn resets(&mut self) -> Vec<(u32, Reason)> {
        let reason = |payload: Vec<u8>| Reason(u32::from_be_bytes(payload.try_into().unwrap()));
        self.sent()
            .into_iter()
            .filter(|sent| sent.0 == frame::RST_STREAM)
            .map(|(_, _, id, payload)| (id, reason(payload)))
            .collect()
    }
}
