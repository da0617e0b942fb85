//! Tests of how a connection handles frames.

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::super::frame::{self, ACK, END_HEADERS, END_STREAM, PADDED, WITH_PRIORITY};
use super::super::{Block, Connection, Event, HeaderBlock, PREFACE, Reason};
use super::peer::{GET, LIMITS, Peer, SECOND, Seen, frame, get, number};
use crate::policy::Sink as _;

#[test]
fn connection_starts_with_the_preface_and_settings() {
    let fed = |bytes: &[u8]| {
        let mut peer =
            Peer { connection: Connection::new(LIMITS, 0), block: Block::default(), now: 0 };
        peer.feed(bytes)
    };
    assert_eq!(fed(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Err(Reason::PROTOCOL_ERROR));
    assert_eq!(
        fed(&[PREFACE, &frame(frame::PING, 0, 0, &[0; 8])].concat()),
        Err(Reason::PROTOCOL_ERROR)
    );
    assert_eq!(
        fed(&[PREFACE, &frame(frame::SETTINGS, ACK, 0, &[])].concat()),
        Err(Reason::PROTOCOL_ERROR)
    );
    assert_eq!(fed(&[PREFACE, &frame(frame::SETTINGS, 0, 0, &[])].concat()), Ok(vec![]));
}

#[test]
fn request_with_a_body_and_trailers_is_read_and_answered() {
    let mut peer = Peer::new();
    let key = peer.open(1, false);
    assert!(peer.on(key, |sender, _| sender.expect(5)));
    assert_eq!(
        peer.feed(&frame(frame::DATA, 0, 1, b"hel")).unwrap(),
        [Seen::Data(key, b"hel".to_vec(), false)]
    );
    assert_eq!(
        peer.feed(&frame(frame::DATA, PADDED, 1, b"\x03lo\0\0\0")).unwrap(),
        [Seen::Data(key, b"lo".to_vec(), false)]
    );
    let mut block = HeaderBlock::default();
    block.put("x-sum", b"7");
    let seen = peer.feed(&frame(frame::HEADERS, END_HEADERS | END_STREAM, 1, &block.0)).unwrap();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    assert_eq!(seen, [Seen::Trailers(key, trailers.clone())]);
    let mut fields = HeaderBlock::default();
    fields.put("etag", b"1");
    peer.on(key, |sender, _| {
        sender.send_head(StatusCode::NOT_FOUND, &fields, false);
        sender.send_data(b"no", false);
        sender.send_trailers(&trailers);
    });
    let first = [&[0x20, 0x8d][..], &fields.0].concat();
    let expected = [
        (frame::HEADERS, END_HEADERS, 1, first),
        (frame::DATA, 0, 1, b"no".to_vec()),
        (frame::HEADERS, END_HEADERS | END_STREAM, 1, block.0),
    ];
    assert_eq!(peer.sent(), expected);
    assert!(!peer.connection.is_open(key) && peer.connection.is_quiet());
}

#[test]
fn head_in_pieces_is_put_together_and_nothing_may_come_between() {
    let mut peer = Peer::new();
    let start = frame(frame::HEADERS, END_STREAM, 1, &get()[..2]);
    let end = frame(frame::CONTINUATION, END_HEADERS, 1, &get()[2..]);
    assert_eq!(
        peer.feed(&[start.clone(), end.clone()].concat()).unwrap(),
        [Seen::Request(0, true)]
    );
    for between in [
        frame(frame::PING, 0, 0, &[0; 8]),
        frame(frame::CONTINUATION, 0, 3, &[]),
        frame(99, 0, 0, &[]),
    ] {
        assert_eq!(
            Peer::new().feed(&[start.clone(), between].concat()),
            Err(Reason::PROTOCOL_ERROR)
        );
    }
    assert_eq!(Peer::new().feed(&end), Err(Reason::PROTOCOL_ERROR));
}

#[test]
fn heads_that_never_end_are_cut_off() {
    let start = frame(frame::HEADERS, 0, 1, &[]);
    let piece = |bytes: &[u8]| frame(frame::CONTINUATION, 0, 1, bytes);
    let small = [start.clone(), piece(b"\x82").repeat(100)].concat();
    assert_eq!(Peer::new().feed(&small), Err(Reason::ENHANCE_YOUR_CALM), "many small pieces");
    assert_eq!(
        Peer::new().feed(&[start, piece(&[0x82; 16_000]).repeat(2)].concat()),
        Err(Reason::ENHANCE_YOUR_CALM),
        "large pieces"
    );
}

#[test]
fn frames_in_the_wrong_place_or_of_the_wrong_size_end_the_connection() {
    let cases = [
        (frame(frame::DATA, 0, 0, b"x"), Reason::PROTOCOL_ERROR),
        (frame(frame::DATA, 0, 1, b"x"), Reason::PROTOCOL_ERROR),
        (frame(frame::DATA, 0, 2, b"x"), Reason::PROTOCOL_ERROR),
        (frame(frame::HEADERS, END_HEADERS, 0, &get()), Reason::PROTOCOL_ERROR),
        (frame(frame::HEADERS, END_HEADERS, 2, &get()), Reason::PROTOCOL_ERROR),
        (frame(frame::HEADERS, END_HEADERS | PADDED, 1, &[9, 0x82]), Reason::PROTOCOL_ERROR),
        (frame(frame::HEADERS, END_HEADERS | WITH_PRIORITY, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR),
        (frame(frame::HEADERS, END_HEADERS, 1, &[0xff; 9]), Reason::COMPRESSION_ERROR),
        (frame(frame::PRIORITY, 0, 0, &[0; 5]), Reason::PROTOCOL_ERROR),
        (frame(frame::PRIORITY, 0, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR),
        (number(frame::RST_STREAM, 0, 8), Reason::PROTOCOL_ERROR),
        (number(frame::RST_STREAM, 1, 8), Reason::PROTOCOL_ERROR),
        (frame(frame::SETTINGS, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        (frame(frame::SETTINGS, 0, 0, &[0; 5]), Reason::FRAME_SIZE_ERROR),
        (frame(frame::SETTINGS, ACK, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
        (frame(frame::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), Reason::PROTOCOL_ERROR),
        (frame(frame::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR),
        (frame(frame::SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), Reason::PROTOCOL_ERROR),
        (frame(frame::PUSH_PROMISE, END_HEADERS, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        (frame(frame::PING, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        (frame(frame::PING, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        (frame(frame::GOAWAY, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        (frame(frame::GOAWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        (number(frame::WINDOW_UPDATE, 0, 0), Reason::PROTOCOL_ERROR),
        (number(frame::WINDOW_UPDATE, 0, 0x7fff_ffff), Reason::FLOW_CONTROL_ERROR),
        (number(frame::WINDOW_UPDATE, 1, 1), Reason::PROTOCOL_ERROR),
        (frame(frame::WINDOW_UPDATE, 0, 0, &[0; 3]), Reason::FRAME_SIZE_ERROR),
        (frame(frame::DATA, 0, 1, &[0; 16_385]), Reason::FRAME_SIZE_ERROR),
    ];
    for (bytes, reason) in cases {
        assert_eq!(Peer::new().feed(&bytes), Err(reason), "{:?}", &bytes[..bytes.len().min(20)]);
    }
}

#[test]
fn mistakes_on_a_stream_reset_only_that() {
    let data = |flags, payload: &[u8]| frame(frame::DATA, flags, 1, payload);
    let cases: [(Option<u64>, Vec<u8>, Reason); 7] = [
        (Some(3), data(0, b"four"), Reason::PROTOCOL_ERROR),
        (Some(3), data(END_STREAM, b"no"), Reason::PROTOCOL_ERROR),
        (Some(3), frame(frame::HEADERS, END_HEADERS | END_STREAM, 1, &[]), Reason::PROTOCOL_ERROR),
        (None, frame(frame::HEADERS, END_HEADERS, 1, &[]), Reason::PROTOCOL_ERROR),
        (None, frame(frame::HEADERS, END_HEADERS | END_STREAM, 1, &GET), Reason::PROTOCOL_ERROR),
        (None, number(frame::WINDOW_UPDATE, 1, 0), Reason::PROTOCOL_ERROR),
        (None, number(frame::WINDOW_UPDATE, 1, 0x7fff_ffff), Reason::FLOW_CONTROL_ERROR),
    ];
    for (length, bytes, reason) in cases {
        let mut peer = Peer::new();
        let key = peer.open(1, false);
        assert!(length.is_none_or(|length| peer.on(key, |sender, _| sender.expect(length))));
        assert_eq!(peer.feed(&bytes), Ok(vec![Seen::Reset(key)]), "{bytes:?}");
        assert_eq!(peer.resets(), [(1, reason)]);
        // Frames that were already in transit are ignored.
        assert_eq!(peer.feed(&data(END_STREAM, b"late")), Ok(vec![]));
        peer.open(3, true);
    }
}

#[test]
fn nothing_comes_on_a_stream_behind_its_end() {
    let mut peer = Peer::new();
    let key = peer.open(1, true);
    assert_eq!(peer.feed(&frame(frame::DATA, 0, 1, b"x")), Ok(vec![Seen::Reset(key)]));
    assert_eq!(peer.resets(), [(1, Reason::STREAM_CLOSED)]);
    let key = peer.open(3, true);
    peer.answer(key);
    assert_eq!(peer.feed(&frame(frame::DATA, 0, 3, b"x")), Err(Reason::STREAM_CLOSED));
    assert_eq!(
        peer.feed(&frame(frame::HEADERS, END_HEADERS, 3, &get())),
        Err(Reason::STREAM_CLOSED)
    );
}

#[test]
fn streams_above_the_limit_are_refused() {
    let mut peer = Peer::new();
    (0..4).for_each(|number| _ = peer.open(2 * number + 1, true));
    assert_eq!(peer.feed(&frame(frame::HEADERS, END_HEADERS | END_STREAM, 9, &get())), Ok(vec![]));
    assert_eq!(peer.resets(), [(9, Reason::REFUSED_STREAM)]);
    peer.answer(0);
    assert_eq!(peer.open(11, true), 0, "a key is used again");
}

#[test]
fn large_head_is_sent_in_pieces() {
    let mut peer = Peer::new();
    let key = peer.open(1, true);
    let mut fields = HeaderBlock::default();
    fields.put("x-large", &[b'x'; 40_000]);
    peer.on(key, |sender, _| sender.send_head(StatusCode::OK, &fields, true));
    let sent = peer.sent();
    let kinds: Vec<(u8, u8)> = sent.iter().map(|sent| (sent.0, sent.1)).collect();
    assert_eq!(
        kinds,
        [
            (frame::HEADERS, END_STREAM),
            (frame::CONTINUATION, 0),
            (frame::CONTINUATION, END_HEADERS)
        ]
    );
    assert_eq!(sent.iter().map(|sent| sent.3.len()).sum::<usize>(), fields.0.len() + 2);
}

#[test]
fn clients_that_only_make_work_are_told_to_calm_down() {
    let mut rapid = Vec::new();
    for id in (1..1000).step_by(2) {
        rapid.extend(frame(frame::HEADERS, END_HEADERS | END_STREAM, id, &get()));
        rapid.extend(number(frame::RST_STREAM, id, 8));
    }
    let floods = [
        (frame(frame::SETTINGS, 0, 0, &[]).repeat(20_000), "SETTINGS"),
        (frame(frame::PING, 0, 0, &[0; 8]).repeat(20_000), "PING"),
        (frame(frame::PRIORITY, 0, 1, &[0; 5]).repeat(20_000), "PRIORITY"),
        (frame(99, 0, 1, &[]).repeat(20_000), "unknown frames"),
        (number(frame::WINDOW_UPDATE, 0, 1).repeat(20_000), "WINDOW_UPDATE"),
        (
            [
                frame(frame::HEADERS, END_HEADERS, 1, &get()),
                frame(frame::DATA, 0, 1, &[]).repeat(20_000),
            ]
            .concat(),
            "empty DATA",
        ),
        (rapid, "streams that are reset at once"),
        (
            (1..1000)
                .step_by(2)
                .flat_map(|id| frame(frame::HEADERS, END_HEADERS, id, &[]))
                .collect(),
            "requests of nothing",
        ),
        (
            frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9].repeat(2000)).repeat(10),
            "settings of many values",
        ),
    ];
    for (flood, what) in floods {
        assert_eq!(Peer::new().feed(&flood), Err(Reason::ENHANCE_YOUR_CALM), "{what}");
    }
}

#[test]
fn patient_clients_may_ping_and_cancel_for_ever() {
    let mut peer = Peer::new();
    for id in (1..100_000).step_by(2) {
        let key = peer.open(id, true);
        if id % 20 == 1 {
            peer.feed(&number(frame::RST_STREAM, id, 8)).unwrap();
        } else {
            peer.answer(key);
        }
        peer.feed(&frame(frame::PING, 0, 0, &[0; 8])).unwrap();
        peer.connection.out.clear();
        peer.now += SECOND / 1000;
    }
}

#[test]
fn connection_winds_down_without_losing_a_request() {
    let mut peer = Peer::new();
    let first = peer.open(1, true);
    peer.connection.wind_down();
    let sent = peer.sent();
    assert_eq!((sent[0].0, &sent[0].3[..4]), (frame::GOAWAY, &[0x7f, 0xff, 0xff, 0xff][..]));
    let second = peer.open(3, true);
    peer.feed(&frame(frame::PING, ACK, 0, &sent[1].3)).unwrap();
    let sent = peer.sent();
    assert_eq!((sent.len(), sent[0].0), (1, frame::PING), "it is asked once more");
    // A client may acknowledge a PING before it sends the requests in its queue.
    let third = peer.open(5, true);
    peer.feed(&frame(frame::PING, ACK, 0, &sent[0].3)).unwrap();
    assert_eq!(peer.sent()[0].3[..4], [0, 0, 0, 5]);
    assert_eq!(
        peer.feed(&frame(frame::HEADERS, END_HEADERS, 7, &get())),
        Ok(vec![]),
        "it may be sent again elsewhere"
    );
    assert_eq!(peer.feed(&frame(frame::DATA, 0, 7, b"x")), Ok(vec![]));
    peer.answer(first);
    peer.answer(second);
    assert!(!peer.connection.is_over());
    peer.answer(third);
    assert!(peer.connection.is_over());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_frames_make_the_connection_panic(
        frames in proptest::collection::vec(
            (0u8..12, any::<u8>(), 0u32..12, proptest::collection::vec(any::<u8>(), 0..40)),
            0..60,
        ),
        cut in 1usize..50,
    ) {
        let mut peer = Peer::new();
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload))
            .collect();
        let mut pending = Vec::new();
        'fed: for piece in bytes.chunks(cut) {
            pending.extend_from_slice(piece);
            loop {
                match peer.connection.read(&pending, &mut peer.block, 0) {
                    Ok(Some((read, event))) => {
                        if let Event::Request { key, .. } = event {
                            prop_assert!(key < 4);
                            let _ = super::super::request(&peer.block);
                        }
                        pending.drain(..read);
                    }
                    Ok(None) => break,
                    Err(_) => break 'fed,
                }
            }
        }
    }
}
