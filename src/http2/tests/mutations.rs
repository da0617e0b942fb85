//! Tests with random changes of valid input. The connection must handle the bytes or end.

use std::collections::BTreeMap;

use http::StatusCode;
use proptest::prelude::*;

use super::super::{Block, Connection, Event, HeaderBlock, Limits, Reason, request};
use super::differential::{converse, exchange};

/// A change of the bytes. Positions are fractions of the total length.
#[derive(Debug, Clone)]
enum Change {
    Set(f64, u8),
    Flip(f64, u8),
    Remove(f64, usize),
    Repeat(f64, usize),
    Insert(f64, Vec<u8>),
    Swap(f64, f64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = || 0.0..1.0f64;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (place(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (place(), 1usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
        (place(), 1usize..60).prop_map(|(at, length)| Change::Repeat(at, length)),
        (place(), proptest::collection::vec(any::<u8>(), 1..30))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place(), place(), 1usize..40)
            .prop_map(|(one, other, length)| Change::Swap(one, other, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    // Keep the preface, because nothing is read after a wrong one.
    let place =
        |part: f64, bytes: &[u8]| 24 + (part * (bytes.len().saturating_sub(25)) as f64) as usize;
    let range = |at: usize, length: usize, bytes: &[u8]| at..(at + length).min(bytes.len());
    match change {
        Change::Set(at, byte) => {
            let at = place(at, bytes);
            bytes[at] = byte;
        }
        Change::Flip(at, bit) => {
            let at = place(at, bytes);
            bytes[at] ^= 1 << bit;
        }
        Change::Remove(at, length) => drop(bytes.drain(range(place(at, bytes), length, bytes))),
        Change::Repeat(at, length) => {
            let at = place(at, bytes);
            let part = bytes[range(at, length, bytes)].to_vec();
            bytes.splice(at..at, part);
        }
        Change::Insert(at, more) => {
            let at = place(at, bytes);
            bytes.splice(at..at, more);
        }
        Change::Swap(one, other, length) => {
            let (one, other) = (place(one, bytes), place(other, bytes));
            for offset in 0..length.min(bytes.len() - one.max(other)) {
                bytes.swap(one + offset, other + offset);
            }
        }
    }
}

/// A server. It tracks by slab key whether the stream is open and whether its request has ended.
struct Server {
    connection: Connection<()>,
    block: Block,
    open: BTreeMap<usize, bool>,
}

impl Server {
    fn feed(&mut self, pending: &mut Vec<u8>) -> Result<(), Reason> {
        loop {
            let Some((read, event)) = self.connection.read(pending, &mut self.block, 0)? else {
                return Ok(());
            };
            assert!(0 < read && read <= pending.len(), "it goes on");
            match event {
                Event::Request { key, ended } => {
                    assert!(
                        key < 8 && self.open.insert(key, ended).is_none(),
                        "a free key below the limit"
                    );
                    match request(&self.block) {
                        Ok(head)
                            if head
                                .length
                                .is_none_or(|length| expect(&mut self.connection, key, length)) => {
                        }
                        _ => {
                            self.connection.with_stream(key, |sender, ()| sender.refuse());
                            self.open.remove(&key);
                        }
                    }
                }
                Event::Data { key, ended, .. } => {
                    let before = self.open.insert(key, ended);
                    assert_eq!(before, Some(false), "data of a request that has not ended");
                }
                Event::Trailers { key, .. } => {
                    assert_eq!(self.open.insert(key, true), Some(false), "trailers end a request")
                }
                Event::Reset { key } => {
                    assert!(self.open.remove(&key).is_some(), "a stream that was open")
                }
                Event::Nothing | Event::Window { .. } => {}
            }
            pending.drain(..read);
            assert!(self.open.keys().all(|key| self.connection.is_open(*key)));
            for key in self.open.keys() {
                let room = self.connection.with_stream(*key, |sender, ()| {
                    sender.raise_window(0);
                    sender.room()
                });
                assert!(room.is_some_and(|room| room <= i32::MAX as usize));
            }
            self.connection.raise_window();
            assert_eq!(self.connection.is_quiet(), self.open.is_empty());
        }
    }

    /// Responds to every request that has ended.
    fn answer(&mut self) {
        let ended: Vec<usize> =
            self.open.iter().filter(|(_, ended)| **ended).map(|(key, _)| *key).collect();
        for key in ended {
            self.connection.with_stream(key, |sender, ()| {
                sender.send_head(StatusCode::OK, &HeaderBlock::default(), true);
            });
            assert!(!self.connection.is_open(key));
            self.open.remove(&key);
        }
    }
}

fn expect(connection: &mut Connection<()>, key: usize, length: u64) -> bool {
    connection.with_stream(key, |sender, ()| sender.expect(length)).expect("an open stream")
}

proptest! {
    #![proptest_config(super::cases(200))]
    #[test]
    fn changed_frames_are_understood_or_end_the_connection(
        exchanges in proptest::collection::vec(exchange(), 1..4),
        changes in proptest::collection::vec(proptest::collection::vec(change(), 1..6), 20),
        cut in prop_oneof![1usize..50, Just(10_000)],
    ) {
        let ((_, sound), _) = converse(&exchanges, 4096);
        for changes in changes {
            let mut bytes = sound.clone();
            changes.into_iter().for_each(|change| apply(&mut bytes, change));
            let limits = Limits { streams: 8, size: 4000, fields: 30, budget: 1000 };
            let mut server = Server {
                connection: Connection::new(limits, 0),
                block: Block::default(),
                open: BTreeMap::new(),
            };
            let mut pending = Vec::new();
            for piece in bytes.chunks(cut) {
                pending.extend_from_slice(piece);
                if let Err(reason) = server.feed(&mut pending) {
                    server.connection.go_away(reason);
                    break;
                }
                prop_assert!(
                    pending.len() <= 16_384 + 9 + piece.len(),
                    "no more is kept than a \
                    frame"
                );
                server.answer();
            }
            prop_assert!(
                server.connection.out.len() <= 1000 + 20 * bytes.len(),
                "what is sent is \
                bounded by what came"
            );
        }
    }
}
