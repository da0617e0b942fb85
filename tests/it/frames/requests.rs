//! What makes a header block a valid request (RFC 9113 §8.2, §8.3 and §8.5), and what is forwarded
//! to the upstream.

use super::suite::Want::{self, Reset, Status};
use super::suite::{Bench, Case, case};
use super::wire::*;

/// Creates a case with a complete request of these fields.
fn whole(section: &'static str, name: &'static str, fields: &[(&str, &str)], want: Want) -> Case {
    case(section, name, frame(HEADERS, WHOLE, 1, &block(fields)), want)
}

const MALFORMED: Want = Reset(1, PROTOCOL_ERROR);
const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "desk.example"), (":path", "/x")];

fn with(field: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    [&GET[..], &[field]].concat()
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GET.into_iter().filter(|field| field.0 != name).collect()
}

fn replaced(name: &str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    GET.into_iter().map(|field| if field.0 == name { (field.0, value) } else { field }).collect()
}

#[test]
// Longer than 60 lines: one table of cases.
fn requests_with_wrong_fields_are_reset_or_refused() {
    let post =
        |more: (&'static str, &'static str)| [&[(":method", "POST")], &GET[1..], &[more]].concat();
    Bench::start().run(vec![
        whole("8.3", "plain request", &GET, Status(1, 200)).arrives(&["GET /x"]),
        case("8.3", "nothing at all", frame(HEADERS, WHOLE, 1, b""), MALFORMED),
        whole("8.3", "unknown pseudo-header field", &with((":verb", "GET")), MALFORMED),
        whole("8.3", "pseudo-header field of answers", &with((":status", "200")), MALFORMED),
        whole("8.3", "pseudo-header field without a name", &with((":", "x")), MALFORMED),
        whole(
            "8.3",
            "pseudo-header field behind others",
            &[&GET[..3], &[("x-a", "b"), GET[3]]].concat(),
            MALFORMED,
        ),
        whole("8.3.1", "no method", &without(":method"), MALFORMED),
        whole("8.3.1", "no scheme", &without(":scheme"), MALFORMED),
        whole("8.3.1", "no path", &without(":path"), MALFORMED),
        whole("8.3.1", "two methods", &with((":method", "GET")), MALFORMED),
        whole("8.3.1", "two schemes", &with((":scheme", "http")), MALFORMED),
        whole("8.3.1", "two authorities", &with((":authority", "desk.example")), MALFORMED),
        whole("8.3.1", "two paths", &with((":path", "/x")), MALFORMED),
        whole("8.3.1", "empty path", &replaced(":path", ""), MALFORMED),
        whole("8.3.1", "fragment", &replaced(":path", "/x#y"), MALFORMED),
        whole("8.3.1", "path that is none", &replaced(":path", "x"), Status(1, 400)),
        whole("8.3.1", "query without a path", &replaced(":path", "?x"), Status(1, 400)),
        whole(
            "8.3.1",
            "absolute form",
            &replaced(":path", "http://desk.example/x"),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "authority in the path",
            &replaced(":path", "//other.example/x"),
            Status(1, 400),
        ),
        whole("8.3.1", "asterisk", &replaced(":path", "*"), Status(1, 400)),
        whole(
            "8.3.1",
            "asterisk of OPTIONS",
            &[&[(":method", "OPTIONS")], &GET[1..3], &[(":path", "*")]].concat(),
            Status(1, 400),
        ),
        whole("8.3.1", "dot segments", &replaced(":path", "/a/../x"), Status(1, 400)),
        whole("8.3.1", "encoded dot segments", &replaced(":path", "/a/%2e%2e/x"), Status(1, 400)),
        whole(
            "8.3.1",
            "query is passed on as it is",
            &replaced(":path", "/x?a=%2e&b=/../"),
            Status(1, 200),
        )
        .arrives(&["GET /x?a=%2e&b=/../"]),
        whole(
            "8.3.1",
            "https behind whoever ends TLS",
            &replaced(":scheme", "https"),
            Status(1, 200),
        )
        .arrives(&["GET /x"]),
        whole("8.3.1", "another scheme", &replaced(":scheme", "ftp"), MALFORMED),
        whole("8.3.1", "empty scheme", &replaced(":scheme", ""), MALFORMED),
        whole(
            "8.3.1",
            "scheme with a slash",
            &replaced(":scheme", "http://evil.example/"),
            MALFORMED,
        ),
        whole(
            "8.3.1",
            "lower-case method is another method",
            &replaced(":method", "get"),
            Status(1, 401),
        ),
        whole("8.3.1", "empty method", &replaced(":method", ""), MALFORMED),
        whole(
            "8.3.1",
            "no authority, but a host",
            &[&without(":authority")[..], &[("host", "desk.example")]].concat(),
            Status(1, 200),
        )
        .arrives(&["GET /x"]),
        whole("8.3.1", "neither authority nor host", &without(":authority"), Status(1, 400)),
        whole(
            "8.3.1",
            "the same as authority and host",
            &with(("host", "desk.example")),
            Status(1, 200),
        )
        .arrives(&["GET /x"]),
        whole(
            "8.3.1",
            "host that is not the authority",
            &with(("host", "other.example")),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "host with another port than the authority",
            &with(("host", "desk.example:81")),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "two hosts",
            &[&GET[..], &[("host", "desk.example"); 2]].concat(),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "list of hosts",
            &[&without(":authority")[..], &[("host", "desk.example, other.example")]].concat(),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "empty host",
            &[&without(":authority")[..], &[("host", "")]].concat(),
            Status(1, 400),
        ),
        whole("8.3.1", "empty authority", &replaced(":authority", ""), MALFORMED),
        whole(
            "8.3.1",
            "authority with a list",
            &replaced(":authority", "desk.example,other.example"),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "authority with a user",
            &replaced(":authority", "user@desk.example"),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "authority with a path",
            &replaced(":authority", "desk.example/y"),
            Status(1, 400),
        ),
        whole(
            "8.3.1",
            "authority with a port that is none",
            &replaced(":authority", "desk.example:http"),
            Status(1, 400),
        ),
        whole("8.2.1", "capital letter in a name", &with(("X-A", "b")), MALFORMED),
        whole("8.2.1", "field without a name", &with(("", "b")), MALFORMED),
        whole("8.2.1", "space before a value", &with(("x-a", " b")), MALFORMED),
        whole("8.2.1", "tab behind a value", &with(("x-a", "b\t")), MALFORMED),
        whole("8.2.1", "empty value", &with(("x-a", "")), Status(1, 200)).arrives(&["GET /x"]),
        whole("8.2.2", "connection", &with(("connection", "x-a")), MALFORMED),
        whole("8.2.2", "proxy-connection", &with(("proxy-connection", "keep-alive")), MALFORMED),
        whole("8.2.2", "keep-alive", &with(("keep-alive", "timeout=5")), MALFORMED),
        whole("8.2.2", "upgrade", &with(("upgrade", "h2c")), MALFORMED),
        whole("8.2.2", "transfer-encoding", &post(("transfer-encoding", "chunked")), MALFORMED),
        whole(
            "8.2.2",
            "transfer-encoding in another spelling",
            &post(("transfer-encoding", "identity, chunked")),
            MALFORMED,
        ),
        whole("8.2.2", "te of trailers", &with(("te", "trailers")), Status(1, 200))
            .arrives(&["GET /x"]),
        whole("8.2.2", "te of more than trailers", &with(("te", "trailers, deflate")), MALFORMED),
        whole("8.2.2", "te of a coding", &with(("te", "chunked")), MALFORMED),
        whole(
            "RFC 9110 8.6",
            "two lengths",
            &[&post(("content-length", "0"))[..], &[("content-length", "0")]].concat(),
            MALFORMED,
        ),
        whole("RFC 9110 8.6", "list of lengths", &post(("content-length", "0, 0")), MALFORMED),
        whole("RFC 9110 8.6", "length with a sign", &post(("content-length", "+0")), MALFORMED),
        whole("RFC 9110 8.6", "length of no digits", &post(("content-length", "0x0")), MALFORMED),
        whole(
            "RFC 9110 8.6",
            "length larger than any",
            &post(("content-length", "18446744073709551616")),
            MALFORMED,
        ),
        whole(
            "8.5",
            "CONNECT",
            &[(":method", "CONNECT"), (":authority", "desk.example:443")],
            Status(1, 405),
        ),
        whole(
            "8.5",
            "CONNECT with a path",
            &[&[(":method", "CONNECT")], &GET[1..]].concat(),
            MALFORMED,
        ),
        whole("8.5", "CONNECT without an authority", &[(":method", "CONNECT")], MALFORMED),
        whole(
            "RFC 8441 4",
            "extended CONNECT, which was not offered",
            &[&[(":method", "CONNECT"), (":protocol", "websocket")], &GET[1..]].concat(),
            MALFORMED,
        ),
        whole(
            "RFC 8441 4",
            "protocol of another request",
            &with((":protocol", "websocket")),
            MALFORMED,
        ),
        whole("RFC 9110 9.3.8", "TRACE", &replaced(":method", "TRACE"), Status(1, 405)),
    ]);
}

#[test]
fn cookies_in_crumbs_reach_the_upstream_as_one() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    wire.send(&frame(
        HEADERS,
        WHOLE,
        1,
        &request(
            "GET",
            "/",
            &[("cookie", "a=b"), ("x-between", "1"), ("cookie", "c=d; e=f"), ("cookie", "g=h")],
        ),
    ));
    assert_eq!(wire.status(1), 200);
    assert_eq!(bench.upstream.last().all("cookie"), ["a=b; c=d; e=f; g=h"]);
}

#[test]
fn head_that_is_too_large_gets_431_and_what_it_left_in_the_table_counts_for_the_next() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    // The last field is added to the dynamic table, although the block is already too large before
    // it.
    let large = [
        request("GET", "/large", &[("x-large", &"x".repeat(9000))]),
        literal_as(0x40, "x-kept", "yes"),
    ]
    .concat();
    wire.send(
        &[
            frame(HEADERS, WHOLE, 1, &large),
            frame(HEADERS, WHOLE, 3, &[request("GET", "/next", &[]), vec![0xbe]].concat()),
        ]
        .concat(),
    );
    assert_eq!(wire.status(1), 431);
    assert_eq!(wire.status(3), 200);
    assert_eq!(bench.upstream.last().header("x-kept"), Some("yes"));
    assert_eq!(bench.upstream.requests().len(), 1);
}

#[test]
fn head_of_too_many_fields_gets_431() {
    let bench = Bench::start();
    let mut wire = Wire::open(&bench.gateway);
    let fields = |count: usize| {
        frame(
            HEADERS,
            WHOLE,
            if count > 100 { 1 } else { 3 },
            &[block(&pseudo("GET", "/")), literal("x", "y").repeat(count)].concat(),
        )
    };
    wire.send(&[fields(101), fields(100)].concat());
    assert_eq!(wire.status(1), 431);
    assert_eq!(wire.status(3), 200);
    assert_eq!(bench.upstream.requests().len(), 1);
}
