//! Malformed and deceptive header blocks (RFC 7541).

use super::suite::Bench;
use super::suite::Want::{Goaway, Status};
use super::suite::case;
use super::wire::*;

/// Encodes a GET request whose header block ends with these bytes.
fn behind(end: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[&request("GET", "/h", &[])[..], end].concat())
}

/// Encodes a GET request whose header block begins with these bytes.
fn before(start: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[start, &request("GET", "/h", &[])].concat())
}

/// Encodes a field whose value is this Huffman-coded string.
fn huffman(bytes: &[u8]) -> Vec<u8> {
    [&[0, 1, b'x', 0x80 | u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
// Longer than 60 lines: one table of cases.
fn header_blocks_that_break_the_grammar_end_the_connection() {
    const CORRUPT: super::suite::Want = Goaway(COMPRESSION_ERROR);
    let passes = |section, name, sent: Vec<u8>| {
        case(section, name, sent, Status(1, 200)).arrives(&["GET /h"])
    };
    Bench::start().run(vec![
        case("RFC 7541 2.3.3", "index of nothing in either table", behind(&[0xbe]), CORRUPT),
        case(
            "RFC 7541 2.3.3",
            "index far behind the tables",
            behind(&integer(0x80, 7, 1_000_000)),
            CORRUPT,
        ),
        case(
            "RFC 7541 2.3.3",
            "name by the index of nothing",
            behind(&[&integer(0, 4, 62)[..], b"\x01x"].concat()),
            CORRUPT,
        ),
        case("RFC 7541 6.1", "index 0", behind(&[0x80]), CORRUPT),
        case("RFC 7541 5.1", "integer without an end", behind(&[0xff]), CORRUPT),
        case(
            "RFC 7541 5.1",
            "integer that overflows",
            behind(&[&[0xff][..], &[0xff; 8], &[0x7f]].concat()),
            CORRUPT,
        ),
        case(
            "RFC 7541 5.1",
            "integer of ten bytes that mean nothing",
            behind(&[&[0xff][..], &[0x80; 10], &[0]].concat()),
            CORRUPT,
        ),
        case(
            "RFC 7541 5.1",
            "length that overflows",
            behind(&[&[0, 0x7f][..], &[0xff; 9], &[0x7f]].concat()),
            CORRUPT,
        ),
        case("RFC 7541 5.2", "name longer than the block", behind(b"\x00\x05x"), CORRUPT),
        case("RFC 7541 5.2", "value longer than the block", behind(b"\x00\x01x\x05y"), CORRUPT),
        case("RFC 7541 5.2", "literal without a value", behind(b"\x00\x01x"), CORRUPT),
        case("RFC 7541 5.2", "literal without anything", behind(b"\x40"), CORRUPT),
        passes("RFC 7541 5.2", "Huffman string with padding", behind(&huffman(&[0x1f]))),
        case(
            "RFC 7541 5.2",
            "Huffman padding of eight bits",
            behind(&huffman(&[0x1f, 0xff])),
            CORRUPT,
        ),
        case(
            "RFC 7541 5.2",
            "Huffman padding of other bits than ones",
            behind(&huffman(&[0x18])),
            CORRUPT,
        ),
        case(
            "RFC 7541 5.2",
            "Huffman end of string",
            behind(&huffman(&[0xff, 0xff, 0xff, 0xff])),
            CORRUPT,
        ),
        case(
            "RFC 7541 5.2",
            "Huffman code cut in the middle",
            behind(&huffman(&[0xff, 0xc0])),
            CORRUPT,
        ),
        passes(
            "RFC 7541 4.2",
            "table made smaller, and large again",
            before(&[&[0x20][..], &integer(0x20, 5, 4096)].concat()),
        ),
        case("RFC 7541 6.3", "table larger than allowed", before(&integer(0x20, 5, 4097)), CORRUPT),
        case("RFC 7541 6.3", "table larger than any", before(&integer(0x20, 5, 1 << 30)), CORRUPT),
        case("RFC 7541 4.2", "size of the table behind a field", behind(&[0x20]), CORRUPT),
        case(
            "RFC 7541 4.2",
            "size of the table between fields",
            behind(&[&[0x3f, 0xe1, 0x1f][..], &literal("x", "y")].concat()),
            CORRUPT,
        ),
        case(
            "RFC 9113 4.3",
            "block that breaks off",
            frame(HEADERS, WHOLE, 1, &request("GET", "/h", &[])[..20]),
            CORRUPT,
        ),
        // A malformed block makes the dynamic table unknown, whatever the state of its stream.
        case(
            "RFC 9113 4.3",
            "broken trailers",
            [post(1, "/t"), frame(HEADERS, WHOLE, 1, &[0x80])].concat(),
            CORRUPT,
        ),
        case("RFC 9113 4.3", "broken block behind a sound one", get(3, "/h"), CORRUPT)
            .then(3, frame(HEADERS, WHOLE, 5, &[0x80]))
            .arrives(&["GET /h"]),
    ]);
}

#[test]
fn entries_stay_in_step_over_refused_reset_and_malformed_requests() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    let kept = |name: &str, value: &str| literal_as(0x40, name, value);
    // Each of these adds an entry to the table although its request fails: it is malformed, not
    // admitted, or follows the end of its stream.
    wire.send(&frame(
        HEADERS,
        WHOLE,
        1,
        &[request("GET", "/", &[("X", "y")]), kept("x-one", "1")].concat(),
    ));
    assert_eq!(wire.read_until(|frame| frame.stream == 1).kind, RST_STREAM);
    wire.send(&frame(HEADERS, WHOLE, 3, &[request("PUT", "/", &[]), kept("x-two", "2")].concat()));
    assert_eq!(wire.status(3), 401);
    wire.send(&frame(HEADERS, END_HEADERS, 5, &request("POST", "/", &[])));
    wire.send(&frame(HEADERS, END_HEADERS, 5, &kept("x-three", "3")));
    assert_eq!(wire.read_until(|frame| frame.stream == 5).kind, RST_STREAM);
    wire.send(&frame(HEADERS, WHOLE, 5, &kept("x-four", "4")));
    wire.send(&frame(
        HEADERS,
        WHOLE,
        7,
        &[request("GET", "/", &[]), vec![0xbe, 0xbf, 0xc0, 0xc1]].concat(),
    ));
    assert_eq!(wire.status(7), 200);
    let seen = bench.upstream.last();
    assert_eq!(
        ["x-one", "x-two", "x-three", "x-four"].map(|name| seen.header(name).unwrap().to_owned()),
        ["1", "2", "3", "4"]
    );
    assert_eq!(bench.upstream.requests().len(), 1);
}

#[test]
fn what_a_client_has_put_into_its_table_is_no_other_clients() {
    let bench = Bench::start();
    let mut first = Wire::open(&bench.gateway);
    first.send(&frame(
        HEADERS,
        WHOLE,
        1,
        &[request("GET", "/", &[]), literal_as(0x40, "authorization", "Bearer nobody")].concat(),
    ));
    assert_eq!(first.status(1), 200);
    let mut second = Wire::open(&bench.gateway);
    second.send(&frame(HEADERS, WHOLE, 1, &[request("GET", "/", &[]), vec![0xbe]].concat()));
    assert_eq!(second.goodbye(), COMPRESSION_ERROR);
    assert_eq!(bench.upstream.requests().len(), 1);
}
