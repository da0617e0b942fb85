//! Incomplete frames: a table lists which timeout applies to each.

use std::time::{Duration, Instant};

use super::wire::*;
use crate::harness::{Answer, Gateway, Upstream, wait_for};

const TICK: Duration = Duration::from_millis(200);

/// Starts an upstream that answers `/slow` after four seconds.
fn upstream() -> Upstream {
    Upstream::answering(|request| {
        let answer = Answer::new("200 OK", &[], b"done");
        if request.start.contains("/slow") { answer.after(Duration::from_secs(4)) } else { answer }
    })
}

fn open(upstream: &Upstream, times: &str) -> Gateway {
    let public = "public = [\"GET /**\", \"POST /open/**\"]";
    Gateway::in_front_of(upstream).server(times).api(public).start()
}

/// Encodes the start of a frame: a head with this length, and the first bytes of the payload.
fn begin(kind: u8, flags: u8, stream: u32, length: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(kind, flags, stream, payload);
    bytes[1..3].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn upload_at_the_rate_in_one_frame_goes_on_beyond_the_header_timeout() {
    let upstream = upstream();
    let gateway = open(
        &upstream,
        "header_timeout = \"1s\"\nbody_timeout = \"2s\"\nmin_transfer_rate = \"256B\"",
    );
    let mut wire = Wire::open(&gateway);
    wire.send(&get(1, "/slow"));
    wire.send(&post(3, "/open/x"));
    wire.send(&begin(DATA, END_STREAM, 3, 2400, b""));
    // 400 bytes a second, for six seconds.
    for _ in 0..30 {
        std::thread::sleep(TICK);
        wire.send(&[b'x'; 80]);
    }
    assert_eq!(wire.status(1), 200, "a neighbour");
    assert_eq!(wire.status(3), 200);
    let sizes: Vec<usize> = upstream.requests().iter().map(|message| message.body.len()).collect();
    assert_eq!(sizes, [0, 2400]);
}

#[test]
fn frame_that_stops_ends_its_stream_alone_and_what_is_left_of_it_may_still_come() {
    let upstream = upstream();
    let gateway = open(
        &upstream,
        "header_timeout = \"3s\"\nbody_timeout = \"1s\"\nmin_transfer_rate = \"256B\"",
    );
    let mut wire = Wire::open(&gateway);
    wire.send(&get(1, "/slow"));
    wire.send(&post(3, "/open/x"));
    wire.send(&begin(DATA, END_STREAM, 3, 16_000, &[b'x'; 1000]));
    assert_eq!(wire.status(3), 408);
    assert_eq!(wire.status(1), 200, "a neighbour");
    wire.read_until(|frame| frame.kind == RST_STREAM && frame.stream == 3);
    std::thread::sleep(Duration::from_secs(1));
    wire.send(&vec![b'x'; 15_000]);
    wire.send(&get(5, "/"));
    assert_eq!(wire.status(5), 200, "the connection goes on");
}

/// What ends if a frame stays incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The connection, after `header_timeout`.
    Connection,
    /// The stream, after `body_timeout`, and the connection `header_timeout` later.
    StreamFirst,
}

#[test]
// Longer than 60 lines: one table of cases.
fn partial_frame_has_the_deadline_of_its_kind() {
    let upstream = upstream();
    let gateway = open(&upstream, "header_timeout = \"1s\"\nbody_timeout = \"1s\"");
    let on_closed = |flags, payload: &[u8]| {
        [post(3, "/open/x"), number(RST_STREAM, 3, CANCEL), begin(DATA, flags, 3, 100, payload)]
            .concat()
    };
    let on_open =
        |flags, payload: &[u8]| [post(3, "/open/x"), begin(DATA, flags, 3, 100, payload)].concat();
    let cases: Vec<(&str, Vec<u8>, Ends)> = vec![
        ("the head of a frame", b"\0\0\x64\0".to_vec(), Ends::Connection),
        ("HEADERS", begin(HEADERS, WHOLE, 3, 100, b"\x82"), Ends::Connection),
        ("a header block without its end", frame(HEADERS, 0, 3, b"\x82"), Ends::Connection),
        (
            "CONTINUATION",
            [frame(HEADERS, 0, 3, b""), begin(CONTINUATION, 0, 3, 100, b"\x82")].concat(),
            Ends::Connection,
        ),
        ("SETTINGS", begin(SETTINGS, 0, 0, 12, b"\0"), Ends::Connection),
        ("PING", begin(PING, 0, 0, 8, b"x"), Ends::Connection),
        ("WINDOW_UPDATE", begin(WINDOW_UPDATE, 0, 0, 4, b"\0"), Ends::Connection),
        ("an unknown frame", begin(0xbe, 0, 0, 100, b"x"), Ends::Connection),
        ("padded DATA without its pad length", on_open(PADDED, b""), Ends::Connection),
        ("DATA of an open stream", on_open(0, b"x"), Ends::StreamFirst),
        ("DATA of an open stream, of which nothing has come", on_open(0, b""), Ends::StreamFirst),
        ("the padding of an open stream's DATA", on_open(PADDED, b"\x32x"), Ends::StreamFirst),
    ];
    std::thread::scope(|scope| {
        for (name, bytes, ends) in cases {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut wire = Wire::open(gateway);
                wire.send(&[get(1, "/slow"), bytes].concat());
                let begun = Instant::now();
                if ends == Ends::StreamFirst {
                    assert_eq!(wire.status(3), 408, "{name}");
                    assert_eq!(wire.status(1), 200, "a neighbour of {name}");
                    wire.read_until(|frame| frame.kind == RST_STREAM && frame.stream == 3);
                }
                assert_eq!(wire.goodbye(), ENHANCE_YOUR_CALM, "{name}");
                let took = begun.elapsed();
                assert_eq!(took < Duration::from_secs(4), ends == Ends::Connection, "{name}");
            });
        }
        // A client may send no more DATA on a stream that it has reset itself, but it may on one
        // that the gateway has reset.
        scope.spawn(|| {
            let mut wire = Wire::open(&gateway);
            wire.send(&on_closed(0, b"x"));
            assert_eq!(wire.goodbye(), STREAM_CLOSED);
        });
        scope.spawn(|| {
            let mut wire = Wire::open(&gateway);
            wire.send(&[get(1, "/slow"), frame(HEADERS, END_HEADERS, 3, b"")].concat());
            wire.read_until(|frame| frame.kind == RST_STREAM && frame.stream == 3);
            wire.send(&begin(DATA, 0, 3, 100, b"x"));
            assert_eq!(wire.goodbye(), ENHANCE_YOUR_CALM, "DATA of a closed stream");
        });
    });
    wait_for("nothing in flight", || {
        gateway.admin("/metrics").text().contains("\nkeygate_requests_in_flight 0\n").then_some(())
    });
}
