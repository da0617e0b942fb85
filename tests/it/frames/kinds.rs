//! Each frame type: its stream, its size and its flags (RFC 9113 §4 and §6).

use super::suite::Want::{Goaway, Nothing, Reset, Status};
use super::suite::{Bench, case};
use super::wire::*;

#[test]
// Longer than 60 lines: one table of cases.
fn frames_of_the_wrong_size_or_in_the_wrong_place_end_the_connection() {
    let too_large = |kind| frame(kind, 0, 1, &[0; 16_385]);
    Bench::start().run(vec![
        case("4.1", "frame of an unknown kind", frame(0xbe, 0xff, 0, b"what?"), Nothing),
        case(
            "4.1",
            "frame of an unknown kind on a stream that is not open",
            frame(0x7f, 0, 9, b""),
            Nothing,
        ),
        case(
            "4.1",
            "flags that mean nothing",
            frame(HEADERS, WHOLE | 0xd2 & !WITH_PRIORITY, 1, &request("GET", "/flags", &[])),
            Status(1, 200),
        )
        .arrives(&["GET /flags"]),
        case(
            "4.1",
            "reserved bit of the stream's id",
            frame(HEADERS, WHOLE, 1 | 1 << 31, &request("GET", "/bit", &[])),
            Status(1, 200),
        )
        .arrives(&["GET /bit"]),
        case("4.2", "DATA larger than was allowed", too_large(DATA), Goaway(FRAME_SIZE_ERROR)),
        case(
            "4.2",
            "HEADERS larger than was allowed",
            too_large(HEADERS),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "4.2",
            "unknown frame larger than was allowed",
            too_large(0xbe),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "4.2",
            "only the head of the largest frame of all",
            b"\xff\xff\xff\0\0\0\0\0\x01".to_vec(),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "5.5",
            "unknown frame within a header block",
            [frame(HEADERS, 1, 1, b"\x82"), frame(0xbe, 0, 0, b"")].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case("6.1", "DATA on no stream", frame(DATA, 0, 0, b"x"), Goaway(PROTOCOL_ERROR)),
        case(
            "6.1",
            "DATA with more padding than there is",
            [post(1, "/x"), frame(DATA, PADDED, 1, b"\x05abcd")].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.1",
            "DATA with padding and no length of it",
            [post(1, "/x"), frame(DATA, PADDED, 1, b"")].concat(),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.1",
            "DATA of padding alone",
            [post(1, "/p"), frame(DATA, PADDED | END_STREAM, 1, b"\x04\0\0\0\0")].concat(),
            Status(1, 200),
        )
        .arrives(&["POST /p"]),
        case(
            "6.2",
            "HEADERS on no stream",
            frame(HEADERS, WHOLE, 0, &request("GET", "/x", &[])),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.2",
            "HEADERS with more padding than there is",
            frame(HEADERS, WHOLE | PADDED, 1, b"\x09\x82"),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.2",
            "HEADERS too short for its priority",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[0; 4]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.2",
            "HEADERS with padding and priority",
            frame(
                HEADERS,
                WHOLE | PADDED | WITH_PRIORITY,
                1,
                &[&[3, 0, 0, 0, 0, 9][..], &request("GET", "/both", &[]), &[0; 3]].concat(),
            ),
            Status(1, 200),
        )
        .arrives(&["GET /both"]),
        case(
            "6.3",
            "PRIORITY on no stream",
            frame(PRIORITY, 0, 0, &[0; 5]),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.3",
            "PRIORITY of another size",
            frame(PRIORITY, 0, 1, &[0; 4]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.3",
            "PRIORITY on a stream that is not open",
            frame(PRIORITY, 0, 7, &[0; 5]),
            Nothing,
        ),
        case(
            "6.4",
            "RST_STREAM on no stream",
            number(RST_STREAM, 0, CANCEL),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.4",
            "RST_STREAM that is too short",
            [post(1, "/x"), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.4",
            "RST_STREAM that is too long",
            [post(1, "/x"), frame(RST_STREAM, 0, 1, &[0; 5])].concat(),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), Goaway(PROTOCOL_ERROR)),
        case(
            "6.5",
            "SETTINGS cut in the middle of a value",
            frame(SETTINGS, 0, 0, &[0; 8]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.5",
            "acknowledgement with a payload",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case("6.5", "acknowledgement of nothing", frame(SETTINGS, ACK, 0, &[]), Nothing),
        case("6.5.2", "ENABLE_PUSH of 2", settings(&[(2, 2)]), Goaway(PROTOCOL_ERROR)),
        case(
            "6.5.2",
            "INITIAL_WINDOW_SIZE above all windows",
            settings(&[(4, 1 << 31)]),
            Goaway(FLOW_CONTROL_ERROR),
        ),
        case(
            "6.5.2",
            "MAX_FRAME_SIZE that is too small",
            settings(&[(5, 16_383)]),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.5.2",
            "MAX_FRAME_SIZE that is too large",
            settings(&[(5, 1 << 24)]),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.5.2",
            "settings at their bounds, and unknown ones",
            settings(&[(2, 1), (4, i32::MAX as u32), (5, 16_777_215), (0xabcd, 9), (0, 1)]),
            Nothing,
        ),
        case(
            "8.4",
            "PUSH_PROMISE by a client",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2][..], &request("GET", "/x", &[])].concat(),
            ),
            Goaway(PROTOCOL_ERROR),
        ),
        case("6.7", "PING on a stream", frame(PING, 0, 1, &[0; 8]), Goaway(PROTOCOL_ERROR)),
        case("6.7", "PING that is too short", frame(PING, 0, 0, &[0; 7]), Goaway(FRAME_SIZE_ERROR)),
        case("6.7", "PING that is too long", frame(PING, 0, 0, &[0; 9]), Goaway(FRAME_SIZE_ERROR)),
        case("6.7", "answer to no PING", frame(PING, ACK, 0, b"whatever"), Nothing),
        case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Goaway(PROTOCOL_ERROR)),
        case(
            "6.8",
            "GOAWAY that is too short",
            frame(GOAWAY, 0, 0, &[0; 7]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.9",
            "WINDOW_UPDATE that is too short",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.9",
            "WINDOW_UPDATE that is too long",
            frame(WINDOW_UPDATE, 0, 0, &[0; 5]),
            Goaway(FRAME_SIZE_ERROR),
        ),
        case(
            "6.9",
            "nothing more for all streams",
            number(WINDOW_UPDATE, 0, 0),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.9",
            "nothing more for one stream",
            [post(1, "/x"), number(WINDOW_UPDATE, 1, 0)].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "6.9.1",
            "more for all streams than a window holds",
            number(WINDOW_UPDATE, 0, i32::MAX as u32),
            Goaway(FLOW_CONTROL_ERROR),
        ),
        case(
            "6.9.1",
            "more for one stream than a window holds",
            [post(1, "/x"), number(WINDOW_UPDATE, 1, i32::MAX as u32)].concat(),
            Reset(1, FLOW_CONTROL_ERROR),
        ),
        case(
            "6.9.2",
            "settings that take an open stream's window over the bound",
            [post(1, "/x"), number(WINDOW_UPDATE, 1, 1 << 30), settings(&[(4, i32::MAX as u32)])]
                .concat(),
            Goaway(FLOW_CONTROL_ERROR),
        ),
        case(
            "6.10",
            "CONTINUATION of nothing",
            frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.10",
            "CONTINUATION on no stream",
            [frame(HEADERS, 1, 1, b"\x82"), frame(CONTINUATION, 4, 0, b"")].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.10",
            "CONTINUATION on another stream",
            [frame(HEADERS, 1, 1, b"\x82"), frame(CONTINUATION, 4, 3, b"")].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.10",
            "CONTINUATION behind the end of the block",
            get(1, "/end"),
            Goaway(PROTOCOL_ERROR),
        )
        .then(1, frame(CONTINUATION, 4, 1, b""))
        .arrives(&["GET /end"]),
        case(
            "6.10",
            "DATA within a header block",
            [frame(HEADERS, 1, 1, b"\x82"), frame(DATA, 0, 1, b"x")].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.10",
            "other HEADERS within a header block",
            [frame(HEADERS, 1, 1, b"\x82"), get(3, "/x")].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.10",
            "SETTINGS within a header block",
            [frame(HEADERS, 1, 1, b"\x82"), settings(&[])].concat(),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "6.10",
            "header block in three pieces, one of them empty",
            in_pieces(&request("GET", "/pieces", &[])),
            Status(1, 200),
        )
        .arrives(&["GET /pieces"]),
    ]);
}

fn in_pieces(block: &[u8]) -> Vec<u8> {
    let (start, end) = block.split_at(9);
    [
        frame(HEADERS, END_STREAM, 1, start),
        frame(CONTINUATION, 0, 1, b""),
        frame(CONTINUATION, END_HEADERS, 1, end),
    ]
    .concat()
}
