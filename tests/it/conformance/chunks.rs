//! Chunked bodies (RFC 9112 §7.1), and what follows them.

use super::{Case, SMUGGLED, Stand, forwarded, post, refused};

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

#[test]
// Longer than 60 lines: one table of cases.
fn chunks_have_one_syntax() {
    let mut cases: Vec<Case> = Vec::new();
    for (section, body) in [
        ("9112 §7.1", "0x5\r\nhello\r\n"),
        ("9112 §7.1", "0X5\r\nhello\r\n"),
        ("9112 §7.1", "+5\r\nhello\r\n"),
        ("9112 §7.1", "-5\r\nhello\r\n"),
        ("9112 §7.1", "-0\r\n"),
        ("9112 §7.1", " 5\r\nhello\r\n"),
        ("9112 §7.1", "\t5\r\nhello\r\n"),
        ("9112 §7.1", "5 \r\nhello\r\n"),
        ("9112 §7.1", "5\t\r\nhello\r\n"),
        ("9112 §7.1", "5\u{b}\r\nhello\r\n"),
        ("9112 §7.1", "5,5\r\nhello\r\n"),
        ("9112 §7.1", "5h\r\nhello\r\n"),
        ("9112 §7.1", "h\r\nhello\r\n"),
        ("9112 §7.1", "\"5\"\r\nhello\r\n"),
        ("9112 §7.1", "5.0\r\nhello\r\n"),
        ("9112 §7.1", "0_5\r\nhello\r\n"),
        ("9112 §7.1", "\r\nhello\r\n"),
        ("9112 §7.1", ";a=b\r\nhello\r\n"),
        ("9112 §7.1", "\r\n5\r\nhello\r\n"),
        ("9112 §7.1", "10000000000000005\r\nhello\r\n"),
        ("9112 §7.1", "ffffffffffffffff\r\nhello\r\n"),
        ("9112 §7.1", "0000000000000000000005\r\nhello\r\n"),
        ("9112 §2.2", "5\nhello\r\n"),
        ("9112 §2.2", "5\rhello\r\n"),
        ("9112 §2.2", "5\r\r\nhello\r\n"),
        ("9112 §2.2", "5\n\nhello\r\n"),
        ("9112 §2.2", "5\r\nhello\n"),
        ("9112 §2.2", "5\r\nhello\r"),
        ("9112 §7.1", "5\r\nhello"),
        ("9112 §7.1", "5\r\nhellox\r\n"),
        ("9112 §7.1", "5\r\nhell\r\n"),
        ("9112 §7.1", "5\r\nhello\r\n\r\n"),
        ("9112 §7.1", "5\r\nhello  \r\n"),
        ("9112 §7.1.1", "5;a=b\nhello\r\n"),
        ("9112 §7.1.1", "5;a\rb\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=\"\n\"\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=\"\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=\"\\\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=\"b\"c\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=b\"c\"\r\nhello\r\n"),
        ("9112 §7.1.1", "5;\r\nhello\r\n"),
        ("9112 §7.1.1", "5;;\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=\r\nhello\r\n"),
        ("9112 §7.1.1", "5;=b\r\nhello\r\n"),
        ("9112 §7.1.1", "5 ;a=b\r\nhello\r\n"),
        ("9112 §7.1.1", "5; a=b\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=b \r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=b c\r\nhello\r\n"),
        ("9112 §7.1.1", "5;a=\0\r\nhello\r\n"),
        ("9112 §7.1.1", "5;\u{e9}=b\r\nhello\r\n"),
    ] {
        cases.push(refused(400, section, chunked(&format!("{body}{SMUGGLED}"))));
    }
    for (section, body) in [
        ("9112 §7.1", "5\r\nhello\r\n0\r\n\r\n"),
        ("9112 §7.1", "005\r\nhello\r\n000\r\n\r\n"),
        ("9112 §7.1", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("9112 §7.1.1", "5;a\r\nhello\r\n0;b=c\r\n\r\n"),
        ("9112 §7.1.1", "5;a=b;c=\"d;\\\" e\";f\r\nhello\r\n0\r\n\r\n"),
    ] {
        cases.push(forwarded(section, chunked(body), &["POST /x hello"]));
    }
    cases.push(forwarded(
        "9112 §7.1",
        chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        &["POST /x 01234567890123456789"],
    ));
    cases.push(forwarded("9112 §7.1", chunked("0\r\n\r\n"), &["POST /x"]));
    cases.push(refused(
        400,
        "9112 §7.1",
        chunked(&format!("5;{}\r\nhello\r\n{SMUGGLED}", "a".repeat(2000))),
    ));
    let request = "GET /y HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = format!("{:x}\r\n{request}\r\n0\r\n\r\n", request.len());
    let arrives = format!("POST /x {}", request.as_bytes().escape_ascii());
    cases.push(forwarded("9112 §7.1", chunked(&body), &[&arrives]));
    Stand::start().check(&cases);
}

#[test]
fn last_chunk_and_trailers_have_one_syntax() {
    let ended = |rest: &str| chunked(&format!("5\r\nhello\r\n0{rest}"));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut cases: Vec<Case> = Vec::new();
    for (section, rest) in [
        ("9112 §2.2", "\n\r\n"),
        ("9112 §2.2", "\r\n\n"),
        ("9112 §2.2", "\n\n"),
        ("9112 §7.1.2", "\r\nX: y\n\r\n"),
        ("9112 §7.1.2", "\r\nX: y\r\n\n"),
        ("9112 §7.1.2", "\r\nX : y\r\n\r\n"),
        ("9112 §7.1.2", "\r\n X: y\r\n\r\n"),
        ("9112 §7.1.2", "\r\nX: y\r\n z\r\n\r\n"),
        ("9112 §7.1.2", "\r\nX\r\n\r\n"),
        ("9112 §7.1.2", "\r\n: y\r\n\r\n"),
        ("9112 §7.1.2", "\r\nX: \0\r\n\r\n"),
        ("9112 §7.1.2", "\r\nX: a\rb\r\n\r\n"),
        // Without the final empty line the trailer section extends into the next request, whose
        // request line is not a field line.
        ("9112 §7.1.2", "\r\n"),
        ("9112 §7.1.2", "\r\nX: y\r\n"),
    ] {
        cases.push(refused(400, section, format!("{}{smuggled}", ended(rest))));
    }
    let many = "X: y\r\n".repeat(101);
    cases.push(refused(400, "9112 §7.1.2", ended(&format!("\r\n{many}\r\n"))));
    let large = format!("X: {}\r\n", "y".repeat(20_000));
    cases.push(refused(400, "9112 §7.1.2", ended(&format!("\r\n{large}\r\n"))));
    Stand::start().check(&cases);
}

#[test]
fn trailers_carry_nothing_that_only_a_header_may_say() {
    let mut cases: Vec<Case> = Vec::new();
    for (section, line) in [
        ("9110 §6.5.1", "Content-Length: 5"),
        ("9110 §6.5.1", "Transfer-Encoding: chunked"),
        ("9110 §6.5.1", "Host: b"),
        ("9110 §6.5.1", "Connection: close"),
        ("9110 §6.5.1", "Upgrade: websocket"),
        ("9110 §6.5.1", "Keep-Alive: timeout=1"),
        ("9110 §6.5.1", "TE: trailers"),
        ("9110 §6.5.1", "Trailer: X"),
        ("9110 §6.5.1", "Expect: 100-continue"),
        ("9110 §6.5.1", "Authorization: Bearer x"),
        ("9110 §6.5.1", "Proxy-Authorization: Basic x"),
        ("9110 §6.5.1", "Cookie: a=b"),
        ("9110 §6.5.1", "Set-Cookie: a=b"),
        ("9110 §6.5.1", "Content-Type: text/html"),
        ("9110 §6.5.1", "Content-Encoding: gzip"),
        ("9110 §6.5.1", "Content-Range: bytes 0-1/2"),
        ("9110 §6.5.1", "Cache-Control: no-store"),
        ("9110 §6.5.1", "Max-Forwards: 0"),
        ("9110 §6.5.1", "Range: bytes=0-1"),
        ("9110 §6.5.1", "If-Match: *"),
        ("9110 §6.5.1", "Via: 1.1 other"),
        ("9110 §6.5.1", "X-Keygate-Key-Id: key_boss"),
        ("9110 §6.5.1", "X-Keygate-Auth: key"),
        ("9110 §6.5.1", "X_Keygate_Auth: key"),
        ("9110 §6.5.1", "X.Keygate.Auth: key"),
        ("9110 §6.5.1", "X-Forwarded-For: 192.0.2.1"),
        ("9110 §6.5.1", "Forwarded: for=192.0.2.1"),
        ("9110 §6.5.1", "X-Real-IP: 192.0.2.1"),
        ("9110 §6.5.1", "X-Original-URL: /admin"),
        ("9110 §6.5.1", "X-HTTP-Method-Override: DELETE"),
        ("9110 §6.5.1", "X-Request-Id: other"),
        ("9110 §6.5.1", "Content_Length: 5"),
        ("9110 §6.5.1", "Transfer_Encoding: chunked"),
    ] {
        let sent = chunked(&format!("5\r\nhello\r\n0\r\nX-Sum: 7\r\n{line}\r\nX-Odd:\r\n\r\n"));
        cases.push(forwarded(section, sent, &["POST /x hello [x-sum: 7] [x-odd: ]"]));
    }
    // A valid field line remains one, whatever its value looks like.
    let sent = chunked("5\r\nhello\r\n0\r\nX-Sum: GET /y HTTP/1.1\r\n\r\n");
    cases.push(forwarded("9112 §7.1.2", sent, &["POST /x hello [x-sum: GET /y HTTP/1.1]"]));
    Stand::start().check(&cases);
}
