//! Where a request's body ends: `Content-Length` and `Transfer-Encoding` in many spellings and
//! combinations.

use super::{Case, SMUGGLED, Stand, forwarded, mixed, post, refused};

const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

#[test]
// Longer than 60 lines: one table of cases.
fn transfer_encoding_has_one_value_and_stands_alone() {
    let mut cases: Vec<Case> = Vec::new();
    for (section, lines) in [
        ("9112 §5.1", "Transfer-Encoding : chunked"),
        ("9112 §5.1", "Transfer-Encoding\t: chunked"),
        ("9112 §2.2", "Transfer-Encoding: chunked\nX: y"),
        ("9112 §2.2", "X: y\rTransfer-Encoding: chunked"),
        ("9112 §5.2", " Transfer-Encoding: chunked"),
        ("9112 §5.2", "\tTransfer-Encoding: chunked"),
        ("9112 §5.2", "Transfer-Encoding:\r\n chunked"),
        ("9112 §5.2", "Transfer-Encoding: chunked\r\n "),
        ("9112 §5.2", "X: y\r\n Transfer-Encoding: chunked"),
        ("9112 §6.3", "Transfer-Encoding: chunked, identity"),
        ("9112 §6.1", "Transfer-Encoding: identity, chunked"),
        ("9112 §7", "Transfer-Encoding: identity"),
        ("9112 §7", "Transfer-Encoding: xchunked"),
        ("9112 §7", "Transfer-Encoding: chunkedx"),
        ("9112 §7", "Transfer-Encoding: chunk"),
        ("9112 §7", "Transfer-Encoding: chun ked"),
        ("9112 §7", "Transfer-Encoding: chun\tked"),
        ("9110 §5.5", "Transfer-Encoding: chunked\u{b}"),
        ("9110 §5.5", "Transfer-Encoding: \u{b}chunked"),
        ("9110 §5.5", "Transfer-Encoding:\u{c}chunked"),
        ("9110 §5.5", "Transfer-Encoding: chunked\0"),
        ("9110 §5.5", "Transfer-Encoding: chunked\u{7f}"),
        ("9110 §5.5", "Transfer-Encoding: chunked\u{a0}"),
        ("9112 §7", "Transfer-Encoding: chunKed\u{212a}"),
        ("9112 §7", "Transfer-Encoding: chunked;q=1"),
        ("9112 §7", "Transfer-Encoding: chunked;"),
        ("9110 §5.6.1", "Transfer-Encoding: chunked,"),
        ("9110 §5.6.1", "Transfer-Encoding: ,chunked"),
        ("9110 §5.6.1", "Transfer-Encoding: ,"),
        ("9112 §6.1", "Transfer-Encoding: chunked, chunked"),
        ("9112 §7", "Transfer-Encoding: \"chunked\""),
        ("9112 §7", "Transfer-Encoding: 'chunked'"),
        ("9112 §7", "Transfer-Encoding: =chunked"),
        ("9112 §7", "Transfer-Encoding: : chunked"),
        ("9112 §7.2", "Transfer-Encoding: gzip, chunked"),
        ("9112 §7.2", "Transfer-Encoding: chunked, gzip"),
        ("9112 §7.2", "Transfer-Encoding: gzip"),
        ("9112 §7.2", "Transfer-Encoding: deflate"),
        ("9112 §6.1", "Transfer-Encoding:"),
        ("9112 §6.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("9112 §6.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("9112 §6.1", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
        ("9112 §6.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
        ("9112 §6.1", "Transfer-Encoding: chunked\r\ntransfer-encoding: x"),
        ("9112 §6.3", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("9112 §6.3", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("9112 §6.3", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
        ("9112 §6.3", "Content-Length: 5\r\nTransfer-Encoding: identity"),
        ("9112 §6.3", "Content-Length: 5\r\nTransfer-Encoding:"),
        ("9112 §6.3", "Content-Length:\r\nTransfer-Encoding: chunked"),
        ("9112 §6.3", "TRANSFER-ENCODING: CHUNKED\r\nCONTENT-LENGTH: 5"),
    ] {
        cases.push(refused(400, section, post(lines, SMUGGLED)));
        cases.push(refused(400, section, post(lines, SMUGGLED).replace("POST", "GET")));
    }
    for (section, line) in [
        ("9112 §7.1", "Transfer-Encoding: chunked"),
        ("9112 §7", "transfer-encoding: CHUNKED"),
        ("9112 §5.1", "Transfer-Encoding:chunked"),
        ("9112 §5.1", "Transfer-Encoding: \t chunked \t "),
    ] {
        cases.push(forwarded(section, post(line, HELLO), &["POST /x hello"]));
        cases.push(forwarded(section, post(line, HELLO).replace("POST", "GET"), &["GET /x hello"]));
    }
    // A server that equates these names with `Transfer-Encoding` would read the rest as a body. The
    // field is dropped, and the rest is an invalid request.
    for twin in ["Transfer_Encoding: chunked", "Transfer.Encoding: chunked"] {
        cases.push(
            mixed("3875 §4.1.18", post(twin, HELLO), &[200, 400], &["POST /x"]).then_closed(),
        );
    }
    Stand::start().check(&cases);
}

#[test]
// Longer than 60 lines: one table of cases.
fn content_length_is_one_number_in_digits() {
    let mut cases: Vec<Case> = Vec::new();
    for (section, value) in [
        ("9110 §8.6", "+5"),
        ("9110 §8.6", "-5"),
        ("9110 §8.6", "-0"),
        ("9110 §8.6", "5,5"),
        ("9110 §8.6", "5, 5"),
        ("9110 §8.6", "5,"),
        ("9110 §8.6", "5, 6"),
        ("9110 §8.6", "5;5"),
        ("9110 §8.6", "5 5"),
        ("9110 §8.6", "0x5"),
        ("9110 §8.6", "0b101"),
        ("9110 §8.6", "5.0"),
        ("9110 §8.6", "5e0"),
        ("9110 §8.6", "1_0"),
        ("9110 §8.6", "\"5\""),
        ("9110 §8.6", "'5'"),
        ("9110 §8.6", "five"),
        ("9110 §8.6", ""),
        ("9110 §8.6", "\u{ff15}"),
        ("9110 §8.6", "5\u{a0}"),
        ("9110 §5.5", "5\u{b}"),
        ("9110 §5.5", "\u{c}5"),
        ("9110 §5.5", "5\0"),
        ("9112 §6.3", "18446744073709551616"),
        ("9112 §6.3", "18446744073709551621"),
        ("9112 §6.3", "99999999999999999999999999"),
        ("9112 §6.3", "5\r\nContent-Length: 5"),
        ("9112 §6.3", "5\r\nContent-Length: 6"),
        ("9112 §6.3", "0\r\nContent-Length: 5"),
        ("9112 §6.3", "5\r\ncontent-length:"),
        ("9112 §5.2", "\r\n 5"),
        ("9112 §5.2", "5\r\n\t"),
        ("9112 §2.2", "5\nX: y"),
        ("9112 §2.2", "5\rX: y"),
    ] {
        cases.push(refused(
            400,
            section,
            post(&format!("Content-Length: {value}"), &format!("hello{SMUGGLED}")),
        ));
    }
    for line in ["Content-Length : 5", "Content-Length\t: 5", " Content-Length: 5"] {
        cases.push(refused(400, "9112 §5.1", post(line, &format!("hello{SMUGGLED}"))));
    }
    for (section, line) in [
        ("9110 §8.6", "Content-Length: 5"),
        ("9110 §8.6", "content-length:005"),
        ("9112 §5.1", "Content-Length:  \t5\t "),
    ] {
        cases.push(forwarded(section, post(line, "hello"), &["POST /x hello"]));
    }
    cases.push(forwarded("9110 §8.6", post("Content-Length: 0", ""), &["POST /x"]));
    cases.push(
        mixed(
            "3875 §4.1.18",
            post("Content_Length: 5", "hello\r\n\r\n"),
            &[200, 400],
            &["POST /x"],
        )
        .then_closed(),
    );
    // A body of the given length is a body, even if it looks like a request.
    let request = "GET /y HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = post(&format!("Content-Length: {}", request.len()), request);
    let arrives = format!("POST /x {}", request.as_bytes().escape_ascii());
    cases.push(forwarded("9112 §6.2", body, &[&arrives]));
    Stand::start().check(&cases);
}

#[test]
fn http10_has_lengths_and_no_codings() {
    let old =
        |lines: &str, rest: &str| post(lines, rest).replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost");
    Stand::start().check(&[
        refused(400, "9112 §6.1", old("Transfer-Encoding: chunked", SMUGGLED)),
        refused(
            400,
            "9112 §6.1",
            old("Connection: keep-alive\r\nTransfer-Encoding: chunked", SMUGGLED),
        ),
        refused(400, "9112 §6.1", old("Content-Length: 5\r\nTransfer-Encoding: chunked", SMUGGLED)),
        refused(400, "9112 §6.1", old("Transfer-Encoding: identity", SMUGGLED)),
        mixed("9112 §9.3", old("Content-Length: 5", "hello"), &[200], &["POST /x hello"])
            .then_closed(),
        mixed(
            "9112 §9.3",
            old("Connection: keep-alive, close\r\nContent-Length: 5", "hello"),
            &[200],
            &["POST /x hello"],
        )
        .then_closed(),
        forwarded(
            "9112 §9.3",
            old("Connection: keep-alive\r\nContent-Length: 5", "hello"),
            &["POST /x hello"],
        ),
        // A server ignores an expectation in HTTP/1.0.
        mixed(
            "9110 §10.1.1",
            old("Expect: 100-continue\r\nContent-Length: 5", "hello"),
            &[200],
            &["POST /x hello"],
        )
        .then_closed(),
    ]);
}

#[test]
fn body_belongs_to_its_request_whatever_the_method() {
    let with = |method: &str, lines: &str, rest: &str| post(lines, rest).replace("POST", method);
    let (length, chunked) = ("Content-Length: 5", "Transfer-Encoding: chunked");
    Stand::start().check(&[
        forwarded("9110 §9.3.1", with("GET", length, "hello"), &["GET /x hello"]),
        forwarded("9110 §9.3.1", with("GET", chunked, HELLO), &["GET /x hello"]),
        forwarded("9110 §9.3.2", with("HEAD", length, "hello"), &["HEAD /x hello"]),
        forwarded("9110 §9.3.2", with("HEAD", chunked, HELLO), &["HEAD /x hello"]),
        forwarded("9110 §9.3.7", with("OPTIONS", length, "hello"), &["OPTIONS /x hello"]),
        // No other field announces a body.
        mixed(
            "9112 §6.3",
            with("POST", "Content-Type: text/plain", "hello\r\n\r\n"),
            &[200, 400],
            &["POST /x"],
        )
        .then_closed(),
        mixed("9110 §9.3.8", with("TRACE", length, "hello"), &[405], &[]),
        mixed("9110 §9.3.6", with("CONNECT", length, "hello"), &[405], &[]),
    ]);
}

#[test]
fn expectations_never_change_where_a_body_ends() {
    let cases = [
        "100-continue",
        "100-Continue",
        "100-continue, 100-continue",
        "y 100-continue",
        "200-ok",
        "",
        "100-continue\r\nExpect: 100-continue",
    ];
    let cases = cases.map(|value| {
        forwarded(
            "9110 §10.1.1",
            post(&format!("Expect: {value}\r\nContent-Length: 5"), "hello"),
            &["POST /x hello"],
        )
    });
    Stand::start().check(&cases);
    Stand::start().check(&[
        forwarded(
            "9110 §10.1.1",
            post("Expect: 100-continue\r\nTransfer-Encoding: chunked", HELLO),
            &["POST /x hello"],
        ),
        forwarded("9110 §10.1.1", post("Expect: 100-continue", ""), &["POST /x"]),
        refused(
            400,
            "9112 §7.1",
            post("Expect: 100-continue\r\nTransfer-Encoding: chunked", "x\r\n\r\n"),
        ),
    ]);
}
