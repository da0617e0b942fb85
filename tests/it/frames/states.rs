//! Streams: their ids, states and windows (RFC 9113 §5 and §6.9).

use super::suite::Want::{Goaway, Nothing, Reset, Status};
use super::suite::{Bench, STREAMS, case};
use super::wire::*;
use crate::harness::{Answer, Gateway, Upstream};

#[test]
// Longer than 60 lines: one table of cases.
fn frames_on_streams_in_another_state_are_refused() {
    let data = |stream| frame(DATA, 0, stream, b"x");
    let cancel = |stream| number(RST_STREAM, stream, CANCEL);
    let more = |stream| number(WINDOW_UPDATE, stream, 9);
    let trailers = |stream, block: &[u8]| frame(HEADERS, WHOLE, stream, block);
    let whole_post = [post(1, "/x"), frame(DATA, END_STREAM, 1, b"x")].concat();
    Bench::start().run(vec![
        case("5.1", "DATA on an idle stream", data(1), Goaway(PROTOCOL_ERROR)),
        case("5.1", "RST_STREAM on an idle stream", cancel(1), Goaway(PROTOCOL_ERROR)),
        case("5.1", "WINDOW_UPDATE on an idle stream", more(1), Goaway(PROTOCOL_ERROR)),
        case(
            "5.1",
            "DATA on a stream that only the server could open",
            get(5, "/a"),
            Goaway(PROTOCOL_ERROR),
        )
        .then(5, data(2))
        .arrives(&["GET /a"]),
        case(
            "5.1",
            "RST_STREAM on a stream that only the server could open",
            get(5, "/a"),
            Goaway(PROTOCOL_ERROR),
        )
        .then(5, cancel(2))
        .arrives(&["GET /a"]),
        case(
            "5.1",
            "WINDOW_UPDATE on a stream that only the server could open",
            get(5, "/a"),
            Goaway(PROTOCOL_ERROR),
        )
        .then(5, more(2))
        .arrives(&["GET /a"]),
        case(
            "5.1",
            "DATA behind the end of a request",
            [get(1, "/half"), data(1)].concat(),
            Reset(1, STREAM_CLOSED),
        )
        .may_arrive(&["GET /half"]),
        case(
            "5.1",
            "DATA behind the end of a body",
            [&whole_post[..], &data(1)].concat(),
            Reset(1, STREAM_CLOSED),
        )
        .may_arrive(&["POST /x"]),
        case(
            "5.1",
            "HEADERS behind the end of a request",
            [get(1, "/half"), trailers(1, b"")].concat(),
            Reset(1, STREAM_CLOSED),
        )
        .may_arrive(&["GET /half"]),
        case(
            "5.1",
            "WINDOW_UPDATE behind the end of a request",
            [get(1, "/ended"), more(1)].concat(),
            Status(1, 200),
        )
        .arrives(&["GET /ended"]),
        case(
            "5.1",
            "PRIORITY behind the end of a request",
            [get(1, "/ended"), frame(PRIORITY, 0, 1, &[0; 5])].concat(),
            Status(1, 200),
        )
        .arrives(&["GET /ended"]),
        case(
            "5.1",
            "DATA behind a RST_STREAM",
            [post(1, "/x"), cancel(1), data(1)].concat(),
            Goaway(STREAM_CLOSED),
        ),
        case(
            "5.1",
            "HEADERS behind a RST_STREAM",
            [post(1, "/x"), cancel(1), trailers(1, b"")].concat(),
            Goaway(STREAM_CLOSED),
        ),
        case(
            "5.1",
            "the same request again behind a RST_STREAM",
            [post(1, "/x"), cancel(1), get(1, "/again")].concat(),
            Goaway(STREAM_CLOSED),
        ),
        case("5.1", "RST_STREAM twice", [post(1, "/x"), cancel(1), cancel(1)].concat(), Nothing),
        case("5.1", "DATA on a stream that has ended", get(1, "/whole"), Goaway(STREAM_CLOSED))
            .then(1, data(1))
            .arrives(&["GET /whole"]),
        case("5.1", "HEADERS on a stream that has ended", get(1, "/whole"), Goaway(STREAM_CLOSED))
            .then(1, get(1, "/twice"))
            .arrives(&["GET /whole"]),
        case("5.1", "RST_STREAM on a stream that has ended", get(1, "/whole"), Status(1, 200))
            .then(1, cancel(1))
            .arrives(&["GET /whole"]),
        case("5.1", "WINDOW_UPDATE on a stream that has ended", get(1, "/whole"), Status(1, 200))
            .then(1, more(1))
            .arrives(&["GET /whole"]),
        case(
            "5.1.1",
            "stream with an even id",
            frame(HEADERS, WHOLE, 2, &request("GET", "/even", &[])),
            Goaway(PROTOCOL_ERROR),
        ),
        case("5.1.1", "even id below the last one", get(5, "/five"), Goaway(PROTOCOL_ERROR))
            .then(5, frame(HEADERS, WHOLE, 4, &request("GET", "/four", &[])))
            .arrives(&["GET /five"]),
        // Skipped ids are closed streams.
        case("5.1.1", "id below the last one", get(5, "/five"), Goaway(STREAM_CLOSED))
            .then(5, get(3, "/three"))
            .arrives(&["GET /five"]),
        case("5.1.1", "ids may be skipped", get(1, "/one"), Status(101, 200))
            .then(1, get(101, "/far"))
            .arrives(&["GET /one", "GET /far"]),
        case(
            "8.1",
            "second HEADERS that end nothing",
            [post(1, "/x"), frame(HEADERS, END_HEADERS, 1, &block(&[("x-a", "b")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1",
            "a second request on the stream",
            [post(1, "/x"), frame(HEADERS, WHOLE, 1, &request("GET", "/in", &[]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1",
            "trailers",
            [post(1, "/t"), data(1), trailers(1, &block(&[("x-sum", "7")]))].concat(),
            Status(1, 200),
        )
        .arrives(&["POST /t"]),
        case(
            "8.1",
            "empty trailers",
            [post(1, "/t"), data(1), trailers(1, b"")].concat(),
            Status(1, 200),
        )
        .arrives(&["POST /t"]),
        case(
            "8.1",
            "trailers with a pseudo-header field",
            [post(1, "/x"), trailers(1, &block(&[(":path", "/y")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.2.1",
            "trailers with a capital letter",
            [post(1, "/x"), trailers(1, &block(&[("X-Sum", "7")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.2.1",
            "trailers with a line end",
            [post(1, "/x"), trailers(1, &block(&[("x-sum", "7\r\nhost: b")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.2.2",
            "trailers about the connection",
            [post(1, "/x"), trailers(1, &block(&[("connection", "close")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "RFC 9110 6.5.1",
            "trailers with a length",
            [post(1, "/x"), trailers(1, &block(&[("content-length", "1")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "RFC 9110 6.5.1",
            "trailers with a coding",
            [post(1, "/x"), trailers(1, &block(&[("transfer-encoding", "chunked")]))].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1.1",
            "body longer than its length",
            [sized(1, "3"), frame(DATA, END_STREAM, 1, b"four")].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1.1",
            "body shorter than its length",
            [sized(1, "3"), frame(DATA, END_STREAM, 1, b"no")].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1.1",
            "no body where a length is said",
            frame(HEADERS, WHOLE, 1, &request("POST", "/x", &[("content-length", "3")])),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1.1",
            "body where none was said",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &request("POST", "/none", &[("content-length", "0")]),
                ),
                frame(DATA, END_STREAM, 1, b"x"),
            ]
            .concat(),
            Reset(1, PROTOCOL_ERROR),
        )
        .may_arrive(&["POST /none"]),
        case(
            "8.1.1",
            "trailers before the body has its length",
            [sized(1, "3"), frame(DATA, 0, 1, b"no"), trailers(1, b"")].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "8.1.1",
            "body as long as said, in pieces",
            [
                sized(1, "3"),
                frame(DATA, 0, 1, b"ye"),
                frame(DATA, PADDED | END_STREAM, 1, b"\x01s\0"),
            ]
            .concat(),
            Status(1, 200),
        )
        .arrives(&["POST /sized"]),
        case(
            "8.1.1",
            "no body, as said",
            [sized(1, "0"), frame(DATA, END_STREAM, 1, b"")].concat(),
            Status(1, 200),
        )
        .arrives(&["POST /sized"]),
    ]);
}

/// Encodes the head of a POST request with a `content-length`.
fn sized(stream: u32, length: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", "/sized", &[("content-length", length)]))
}

#[test]
fn stream_more_than_allowed_is_refused_and_may_come_again() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    wire.send(&(0..=STREAMS).flat_map(|at| post(2 * at + 1, "/x")).collect::<Vec<u8>>());
    let refused = wire.read_until(|frame| frame.kind == RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (2 * STREAMS + 1, REFUSED_STREAM));
    wire.send(&[number(RST_STREAM, 1, CANCEL), get(2 * STREAMS + 3, "/again")].concat());
    assert_eq!(wire.status(2 * STREAMS + 3), 200);
    assert_eq!(bench.upstream.last().start, "GET /again HTTP/1.1");
}

#[test]
fn window_of_each_stream_is_kept_to_the_byte_and_may_be_less_than_nothing() {
    let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], b"0123456789"));
    let gateway = Gateway::in_front_of(&upstream).api("public = [\"GET /**\"]").start();
    let mut wire = Wire::open_with(&gateway, &[(4, 4)]);
    wire.send(&get(1, "/"));
    let data = |wire: &mut Wire| {
        let frame = wire.read_until(|frame| frame.kind == DATA);
        (frame.payload.clone(), frame.ends_stream())
    };
    assert_eq!(data(&mut wire), (b"0123".to_vec(), false));
    // The window is now −2. The two updates raise it to 0 and then to 1.
    wire.send(
        &[settings(&[(4, 2)]), number(WINDOW_UPDATE, 1, 2), frame(PING, 0, 0, b"in order")]
            .concat(),
    );
    let next = wire.read_until(|frame| frame.kind == DATA || frame.kind == PING);
    assert_eq!(next.kind, PING, "nothing is sent before the window is open");
    wire.send(&number(WINDOW_UPDATE, 1, 1));
    assert_eq!(data(&mut wire), (b"4".to_vec(), false));
    wire.send(&number(WINDOW_UPDATE, 1, 100));
    assert_eq!(data(&mut wire), (b"56789".to_vec(), true));
}

#[test]
fn window_of_all_streams_is_shared_by_them() {
    let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], &[b'x'; 50_000]));
    let gateway = Gateway::in_front_of(&upstream).api("public = [\"GET /**\"]").start();
    let mut wire = Wire::open_with(&gateway, &[(4, 60_000)]);
    wire.send(&[get(1, "/a"), get(3, "/b")].concat());
    let mut come = 0;
    while come < 65_535 {
        come += wire.read_until(|frame| frame.kind == DATA).payload.len();
    }
    assert_eq!(come, 65_535);
    wire.send(&frame(PING, 0, 0, b"in order"));
    assert_eq!(wire.read_until(|frame| frame.kind == DATA || frame.kind == PING).kind, PING);
    wire.send(&number(WINDOW_UPDATE, 0, 100_000));
    while come < 100_000 {
        come += wire.read_until(|frame| frame.kind == DATA).payload.len();
    }
    assert_eq!(come, 100_000);
}
