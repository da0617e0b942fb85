//! The start of a connection, acknowledgements, and its orderly end (RFC 9113 §3.4, §6.5, §6.7 and
//! §6.8).

use std::time::Duration;

use super::suite::Bench;
use super::wire::*;
use crate::harness::{Gateway, Upstream};

fn open(upstream: &Upstream) -> Gateway {
    Gateway::in_front_of(upstream).api("public = [\"GET /**\"]").tls(&["localhost"]).start()
}

#[test]
fn connection_begins_with_the_preface_and_settings() {
    let bench = Bench::start();
    let starts = [
        ("another preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("PING first", [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat()),
        ("a request first", [PREFACE, &get(1, "/early")].concat()),
        ("an acknowledgement first", [PREFACE, &frame(SETTINGS, ACK, 0, b"")].concat()),
        ("an unknown frame first", [PREFACE, &frame(0xbe, 0, 0, b"")].concat()),
    ];
    for (what, start) in starts {
        let mut wire = Wire::connect(&bench.gateway);
        wire.send(&start);
        assert_eq!(wire.goodbye(), PROTOCOL_ERROR, "{what}");
    }
    bench.upstream.assert_untouched();
}

#[test]
fn http1_text_where_h2_was_agreed_gets_goaway_and_reaches_nobody() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut wire = Wire::connect_tls(&gateway);
    wire.send(b"GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(wire.goodbye(), PROTOCOL_ERROR);
    upstream.assert_untouched();
}

#[test]
fn preface_and_frames_that_come_byte_by_byte_are_put_together() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut wire = Wire::connect_tls(&gateway);
    for byte in
        [PREFACE, &settings(&[]), &frame(HEADERS, WHOLE, 1, &request("GET", "/slowly", &[]))]
            .concat()
    {
        wire.send(&[byte]);
    }
    assert_eq!(wire.status(1), 200);
    assert_eq!(upstream.last().start, "GET /slowly HTTP/1.1");
}

#[test]
fn settings_and_pings_are_acknowledged_in_kind() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    let first = wire.read().unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (SETTINGS, 0, 0), "SETTINGS come first");
    wire.send(
        &[
            settings(&[(4, 10)]),
            frame(PING, 0, 0, b"01234567"),
            frame(PING, ACK, 0, b"not this"),
            frame(PING, 0, 0, b"76543210"),
        ]
        .concat(),
    );
    let mut acknowledged = 0;
    let pong = wire.read_until(|frame| {
        acknowledged += usize::from((frame.kind, frame.flags) == (SETTINGS, ACK));
        frame.kind == PING
    });
    assert_eq!((acknowledged, pong.flags, &pong.payload[..]), (2, ACK, &b"01234567"[..]));
    assert_eq!(wire.read_until(|frame| frame.kind == PING).payload, b"76543210");
}

#[test]
fn client_that_says_goaway_still_gets_its_answers_and_then_the_end() {
    let upstream = Upstream::answering(|_| {
        crate::harness::Answer::new("200 OK", &[], b"late").after(Duration::from_millis(300))
    });
    let gateway = Gateway::in_front_of(&upstream).api("public = [\"GET /**\"]").start();
    let mut wire = Wire::open(&gateway);
    wire.send(&[get(1, "/last"), frame(GOAWAY, 0, 0, &[0; 8])].concat());
    assert_eq!(wire.status(1), 200);
    wire.read_until(Frame::ends_stream);
    while wire.read().is_some() {}
}

#[test]
fn h2c_upgrade_is_answered_in_http1_and_never_passed_on() {
    let bench = Bench::start();
    let mut client = bench.gateway.client();
    let request = crate::harness::Request::get("/upgrade")
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c");
    let answer = client.send(&request.header("HTTP2-Settings", "AAMAAABkAAQAAP__"));
    assert_eq!(answer.start, "HTTP/1.1 200 OK");
    let seen = bench.upstream.last();
    assert!(
        !seen.has("upgrade") && !seen.has("http2-settings") && !seen.has("connection"),
        "{seen:?}"
    );
}
