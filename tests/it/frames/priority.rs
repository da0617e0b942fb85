//! Priorities, which RFC 9113 §5.3.2 deprecates. Only a stream that depends on itself is an error.

use super::suite::Want::{Goaway, Reset, Status};
use super::suite::{Bench, case};
use super::wire::*;

/// Returns the payload of a HEADERS frame whose stream depends on this one.
fn depends_on(stream: u8, path: &str) -> Vec<u8> {
    [&[0, 0, 0, stream, 9][..], &request("GET", path, &[])].concat()
}

#[test]
fn stream_that_depends_on_itself_is_refused() {
    Bench::start().run(vec![
        case(
            "7540 §5.3.1",
            "PRIORITY of an idle stream that depends on itself",
            frame(PRIORITY, 0, 7, &[0, 0, 0, 7, 0]),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "7540 §5.3.1",
            "PRIORITY of an idle stream that depends on itself alone",
            frame(PRIORITY, 0, 7, &[0x80, 0, 0, 7, 0]),
            Goaway(PROTOCOL_ERROR),
        ),
        case(
            "7540 §5.3.1",
            "PRIORITY of an open stream that depends on itself",
            [post(1, "/x"), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])].concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "7540 §5.3.1",
            "PRIORITY of a stream that depends on itself and has ended",
            get(1, "/ended"),
            Status(1, 200),
        )
        .then(1, frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]))
        .arrives(&["GET /ended"]),
        case(
            "7540 §5.3.1",
            "HEADERS of a stream that depends on itself",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &depends_on(1, "/self")),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "7540 §5.3.1",
            "HEADERS in two frames of a stream that depends on itself",
            [
                frame(HEADERS, END_STREAM | WITH_PRIORITY, 1, &depends_on(1, "/self")[..9]),
                frame(CONTINUATION, END_HEADERS, 1, &depends_on(1, "/self")[9..]),
            ]
            .concat(),
            Reset(1, PROTOCOL_ERROR),
        ),
        case(
            "7540 §5.3.1",
            "HEADERS of a stream that depends on another",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 3, &depends_on(1, "/other")),
            Status(3, 200),
        )
        .arrives(&["GET /other"]),
    ]);
}
