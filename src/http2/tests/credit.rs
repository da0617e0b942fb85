//! Tests that received bytes occupy the window, and release it however their stream ends.

use http::StatusCode;
use proptest::prelude::*;

use super::super::frame::{self, END_HEADERS, END_STREAM, PADDED};
use super::super::{HeaderBlock, Reason, Unfinished};
use super::peer::{Peer, SECOND, frame, get, number};

/// A step on a connection. A step on a stream chooses an open one.
#[derive(Debug, Clone)]
enum Step {
    Open {
        ended: bool,
        length: Option<u64>,
    },
    Data {
        stream: usize,
        size: usize,
        padding: Option<u8>,
        ended: bool,
        cut: usize,
    },
    Trailers {
        stream: usize,
    },
    /// The client resets the stream.
    Cancel {
        stream: usize,
    },
    /// The held bytes of the stream are passed on or discarded.
    Release {
        stream: usize,
        passed_on: bool,
    },
    /// A complete response is sent, or only its head.
    Answer {
        stream: usize,
        whole: bool,
    },
    Reset {
        stream: usize,
    },
    Refuse {
        stream: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || 0usize..4;
    let padding = proptest::option::of(any::<u8>());
    prop_oneof![
        3 => (any::<bool>(), proptest::option::of(0u64..20_000))
            .prop_map(|(ended, length)| Step::Open { ended, length }),
        8 => (stream(), 0usize..12_000, padding, any::<bool>(), 1usize..9000)
            .prop_map(|(stream, size, padding, ended, cut)| {
                Step::Data { stream, size, padding, ended, cut }
            }),
        1 => stream().prop_map(|stream| Step::Trailers { stream }),
        1 => stream().prop_map(|stream| Step::Cancel { stream }),
        4 => (stream(), any::<bool>())
            .prop_map(|(stream, passed_on)| Step::Release { stream, passed_on }),
        2 => (stream(), any::<bool>()).prop_map(|(stream, whole)| Step::Answer { stream, whole }),
        1 => stream().prop_map(|stream| Step::Reset { stream }),
        1 => stream().prop_map(|stream| Step::Refuse { stream }),
    ]
}

/// Returns the identifiers and keys of the open streams.
fn open(peer: &Peer) -> Vec<(u32, usize)> {
    peer.connection.streams.iter().map(|(key, stream)| (stream.state.id, key)).collect()
}

/// Feeds the bytes in two parts. The first may end within a frame.
fn feed(peer: &mut Peer, bytes: &[u8], cut: usize) -> Result<(), Reason> {
    let (mut pending, rest) =
        (bytes[..cut.min(bytes.len())].to_vec(), &bytes[cut.min(bytes.len())..]);
    for more in [&[][..], rest] {
        pending.extend_from_slice(more);
        let whole = peer.feed_some(&pending)?;
        pending.drain(..whole);
        check(peer);
    }
    assert!(pending.is_empty(), "whole frames");
    Ok(())
}

fn check(peer: &Peer) {
    let (left, due, window) = peer.connection.receives.state();
    assert_eq!(left + due + peer.held(), window, "what is held takes up room, and nothing else");
}

/// Takes a step.
///
/// # Errors
/// Returns the error that ends the connection.
fn take(peer: &mut Peer, step: Step, next: &mut u32) -> Result<(), Reason> {
    let streams = open(peer);
    let chosen = |stream: usize| streams.get(stream % streams.len().max(1)).copied();
    match step {
        Step::Open { ended, length } => {
            let flags = END_HEADERS | if ended { END_STREAM } else { 0 };
            feed(peer, &frame(frame::HEADERS, flags, *next, &get()), 5)?;
            let opened = open(peer).into_iter().find(|(id, _)| id == next);
            *next += 2;
            if let (Some((_, key)), Some(length), false) = (opened, length, ended) {
                peer.on(key, |sender, _| assert!(sender.expect(length)));
            }
        }
        Step::Data { stream, size, padding, ended, cut } => {
            let Some((id, _)) = chosen(stream) else { return Ok(()) };
            let flags = if ended { END_STREAM } else { 0 };
            let bytes = match padding {
                None => frame(frame::DATA, flags, id, &vec![1; size]),
                Some(padding) => {
                    let payload = [vec![padding], vec![1; size], vec![0; padding.into()]].concat();
                    frame(frame::DATA, flags | PADDED, id, &payload)
                }
            };
            feed(peer, &bytes, cut)?;
        }
        Step::Trailers { stream } => {
            let Some((id, _)) = chosen(stream) else { return Ok(()) };
            feed(peer, &frame(frame::HEADERS, END_HEADERS | END_STREAM, id, &[]), 9)?;
        }
        Step::Cancel { stream } => {
            let Some((id, _)) = chosen(stream) else { return Ok(()) };
            feed(peer, &number(frame::RST_STREAM, id, Reason::CANCEL.0), 9)?;
        }
        Step::Release { stream, passed_on } => {
            if let Some((_, key)) = chosen(stream) {
                peer.release(key, passed_on);
            }
        }
        Step::Answer { stream, whole } => {
            let Some((_, key)) = chosen(stream) else { return Ok(()) };
            peer.on(key, |sender, _| {
                sender.send_head(StatusCode::OK, &HeaderBlock::default(), whole);
            });
        }
        Step::Reset { stream } => {
            if let Some((_, key)) = chosen(stream) {
                peer.on(key, |sender, _| sender.reset(Reason::CANCEL));
            }
        }
        Step::Refuse { stream } => {
            if let Some((_, key)) = chosen(stream) {
                peer.on(key, |sender, _| sender.refuse());
            }
        }
    }
    check(peer);
    Ok(())
}

proptest! {
    #![proptest_config(super::cases(1000))]
    #[test]
    fn receive_window_is_whole_again_however_streams_end(
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let (mut peer, mut next) = (Peer::new(), 1);
        for step in steps {
            peer.now += SECOND;
            if take(&mut peer, step, &mut next).is_err() {
                // Dropping the connection would drop the data of all streams, too.
                peer.connection.abandon_streams();
                break;
            }
        }
        for (_, key) in open(&peer) {
            peer.on(key, |sender, _| sender.reset(Reason::CANCEL));
        }
        let (left, due, window) = peer.connection.receives.state();
        prop_assert_eq!(left + due, window);
    }
}

#[test]
fn data_is_given_out_as_it_comes_and_its_frame_is_judged_at_its_start() {
    let mut peer = Peer::new();
    let key = peer.open(1, false);
    peer.now = 5 * SECOND;
    let bytes = frame(frame::DATA, PADDED | END_STREAM, 1, b"\x03hello\0\0\0");
    assert_eq!(peer.feed_some(&bytes[..9]), Ok(0), "its pad length is to come");
    assert_eq!(peer.connection.unfinished(), Some((Unfinished::Frame, 5 * SECOND)));
    assert_eq!(peer.feed_some(&bytes[..12]), Ok(12));
    assert_eq!(peer.held(), 2);
    assert_eq!(peer.connection.unfinished(), Some((Unfinished::Data, 5 * SECOND)));
    assert_eq!(peer.feed_some(&bytes[12..16]), Ok(4), "the rest, and padding");
    assert_eq!(peer.held(), 5);
    assert_eq!(peer.feed_some(&bytes[16..]), Ok(2));
    assert_eq!(peer.connection.unfinished(), None);
    peer.answer(key);
    assert!(peer.connection.is_quiet(), "both sides have ended it");

    // The length in the frame header suffices to refuse a frame that exceeds the declared length.
    let key = peer.open(3, false);
    assert!(peer.on(key, |sender, _| sender.expect(10)));
    let bytes = frame(frame::DATA, 0, 3, &[1; 11]);
    assert_eq!(peer.feed_some(&bytes[..9]), Ok(9));
    assert_eq!(peer.resets(), [(3, Reason::PROTOCOL_ERROR)]);
    assert_eq!(peer.connection.unfinished(), Some((Unfinished::ClosedData, 5 * SECOND)));
    assert_eq!(peer.feed_some(&bytes[9..]), Ok(11));
    assert_eq!(peer.connection.unfinished(), None);
}

#[test]
fn what_has_begun_is_known_by_its_kind_and_moment() {
    let begin = |kind, flags, stream| frame(kind, flags, stream, &[0; 8])[..12].to_vec();
    let cases = [
        (b"\0\0\x08".to_vec(), Unfinished::Frame),
        (begin(frame::HEADERS, END_HEADERS, 5), Unfinished::Frame),
        (begin(frame::PING, 0, 0), Unfinished::Frame),
        (begin(99, 0, 0), Unfinished::Frame),
        (frame(frame::HEADERS, 0, 5, &[]), Unfinished::HeaderBlock),
        (begin(frame::DATA, 0, 1), Unfinished::Data),
        (begin(frame::DATA, 0, 3), Unfinished::ClosedData),
    ];
    for (bytes, expected) in cases {
        let mut peer = Peer::new();
        peer.open(1, false);
        let closed = peer.open(3, false);
        peer.on(closed, |sender, _| sender.reset(Reason::NO_ERROR));
        assert_eq!(peer.connection.unfinished(), None);
        peer.now = 7 * SECOND;
        let read = peer.feed_some(&bytes).unwrap();
        peer.now = 8 * SECOND;
        peer.feed_some(&bytes[read..]).unwrap();
        assert_eq!(peer.connection.unfinished(), Some((expected, 7 * SECOND)), "{bytes:?}");
    }
    // The timeout restarts when the stream is closed.
    let mut peer = Peer::new();
    let key = peer.open(1, false);
    peer.feed_some(&begin(frame::DATA, 0, 1)).unwrap();
    peer.connection.set_time(60 * SECOND);
    peer.on(key, |sender, _| sender.reset(Reason::NO_ERROR));
    assert_eq!(peer.connection.unfinished(), Some((Unfinished::ClosedData, 60 * SECOND)));
}
