//! Tests of flow control in both directions.

use http::StatusCode;

use super::super::flow::{CONNECTION_WINDOW, FIRST_WINDOW, STREAM_WINDOW};
use super::super::frame::{self, END_STREAM};
use super::super::{HeaderBlock, Reason};
use super::peer::{Peer, Seen, frame, number};

#[test]
fn more_than_the_windows_allow_is_an_error_and_what_is_taken_is_given_back() {
    let mut peer = Peer::new();
    let key = peer.open(1, false);
    let piece = frame(frame::DATA, 0, 1, &[0; 16_384]);
    // Pass on the body of another stream, so that the connection's window grows to its maximum.
    let other = peer.open(3, false);
    for _ in 0..CONNECTION_WINDOW / 16_384 {
        assert_eq!(peer.feed(&frame(frame::DATA, 0, 3, &[0; 16_384])).unwrap().len(), 1);
        peer.release(other, true);
    }
    for _ in 0..STREAM_WINDOW / 16_384 {
        assert_eq!(peer.feed(&piece).unwrap().len(), 1);
    }
    assert_eq!(peer.feed(&piece), Ok(vec![Seen::Reset(key)]));
    assert_eq!(peer.resets(), [(1, Reason::FLOW_CONTROL_ERROR)]);

    let mut peer = Peer::new();
    let key = peer.open(1, false);
    let mut given_back = [0; 2];
    for _ in 0..4 * CONNECTION_WINDOW / 16_384 {
        assert_eq!(peer.feed(&piece).unwrap().len(), 1);
        peer.release(key, true);
        for (kind, _, id, payload) in peer.sent() {
            assert_eq!(kind, frame::WINDOW_UPDATE);
            given_back[id as usize] += u32::from_be_bytes(payload.try_into().unwrap()) as usize;
        }
    }
    assert!(given_back.iter().all(|given| *given > 3 * CONNECTION_WINDOW), "{given_back:?}");

    let mut peer = Peer::new();
    (0..3).for_each(|number| _ = peer.open(2 * number + 1, false));
    let flood = (0..3 * STREAM_WINDOW / 16_384)
        .map(|number| frame(frame::DATA, 0, 1 + 2 * (number as u32 % 3), &[0; 16_384]));
    let outcome = flood.map(|bytes| peer.feed(&bytes)).find_map(Result::err);
    assert_eq!(outcome, Some(Reason::FLOW_CONTROL_ERROR), "the window of all streams");
}

#[test]
fn bodies_that_nobody_takes_find_less_room_than_those_that_are_passed_on() {
    let fed = |passed_on: bool| {
        let mut peer = Peer::new();
        let key = peer.open(1, false);
        let small = frame(frame::DATA, 0, 1, &[0; 1000]);
        for _ in 0..2000 {
            assert_eq!(peer.feed(&small).unwrap().len(), 1);
            peer.release(key, passed_on);
        }
        let other = peer.open(3, false);
        (1..)
            .find(|_| {
                peer.feed(&frame(frame::DATA, 0, 3, &[0; 1000]))
                    != Ok(vec![Seen::Data(other, vec![0; 1000], false)])
            })
            .unwrap()
    };
    assert!((40..=66).contains(&fed(false)), "{}", fed(false));
    assert!((390..=525).contains(&fed(true)), "{}", fed(true));
}

#[test]
fn answers_stay_within_both_windows() {
    let mut peer = Peer::new();
    let key = peer.open(1, true);
    assert_eq!(peer.on(key, |sender, _| sender.room()), FIRST_WINDOW);
    peer.feed(&frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10])).unwrap();
    assert_eq!(peer.on(key, |sender, _| sender.room()), 10);
    peer.on(key, |sender, _| {
        sender.send_head(StatusCode::OK, &HeaderBlock::default(), false);
        sender.send_data(b"eight by", false);
    });
    peer.feed(&frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5])).unwrap();
    assert_eq!(peer.on(key, |sender, _| sender.room()), 0, "less than nothing");
    peer.feed(&number(frame::WINDOW_UPDATE, 1, 100_000)).unwrap();
    assert_eq!(
        peer.on(key, |sender, _| sender.room()),
        FIRST_WINDOW - 8,
        "the window of all streams"
    );
    peer.feed(&number(frame::WINDOW_UPDATE, 0, 8)).unwrap();
    peer.on(key, |sender, _| sender.send_data(&[0; 40_000], true));
    let sizes: Vec<(u8, usize)> = peer
        .sent()
        .iter()
        .filter(|sent| sent.0 == frame::DATA)
        .map(|sent| (sent.1, sent.3.len()))
        .collect();
    assert_eq!(sizes, [(0, 8), (0, 16_384), (0, 16_384), (END_STREAM, 40_000 - 2 * 16_384)]);
}
