//! A message that can no longer become valid is refused at once, without waiting for its end (RFC
//! 9112 §2.2).

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Stand, post};
use crate::harness::{Answer, Gateway, PATIENCE, upstream_after_head};

/// Timeouts that a test can afford, far below [`PATIENCE`].
const DEADLINES: &str = "header_timeout = \"4s\"\nbody_timeout = \"4s\"\n";

/// Sends these bytes in pieces of this size, without an end. Returns what is received.
fn answer_to(gateway: &Gateway, bytes: &[u8], piece: usize) -> String {
    let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    for piece in bytes.chunks(piece) {
        // The gateway stops reading once it has refused.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut come = Vec::new();
    let _ = stream.read_to_end(&mut come);
    String::from_utf8_lossy(&come).into_owned()
}

#[track_caller]
fn refused_at_once(sent: &[String]) {
    let stand = Stand::with(DEADLINES, "");
    for bytes in sent {
        for piece in [bytes.len(), 1] {
            let answer = answer_to(&stand.gateway, bytes.as_bytes(), piece);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?} by {piece}: {answer:?}");
        }
    }
    // An incomplete body may have been forwarded in part, but no complete request arrives.
    assert!(stand.upstream.requests().is_empty());
}

#[test]
fn head_with_a_bare_line_end_is_refused_at_once() {
    let heads = ["\n", "\rG", "GET / HTTP/1.1\n", "GET / HTTP/1.1\rHost: a\r\r"];
    let lines = ["Host: a\n", "Host: a\r\n\n", "Host: a\rX: y", "Host: a\r\n\rX", "Host: a\r\r\n"];
    let lines = lines.map(|line| format!("GET / HTTP/1.1\r\n{line}"));
    refused_at_once(&heads.map(str::to_owned).into_iter().chain(lines).collect::<Vec<_>>());
}

#[test]
fn chunk_line_that_can_no_longer_be_one_is_refused_at_once() {
    let lines = [
        "5\n",
        "5\rx",
        "\n",
        "\r\n",
        "g",
        "0x",
        "5 ",
        "-",
        ";",
        "5;;",
        "5;=",
        "5;a\n",
        "5;a\rb",
        "5;a\r\r\n",
        "5;a=\n",
        "5;a=\"\n",
        "5;a=\"\r\n",
        "5;a=\"\\\n",
        "5;a=\"b\"c",
        "5;a b",
        "1234567890123456",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "5\r\nhelloX",
        "0\n",
        "0\rX",
    ];
    refused_at_once(&lines.map(|line| post("Transfer-Encoding: chunked", line)));
}

#[test]
fn trailers_with_a_bare_line_end_are_refused_at_once() {
    let sections = ["\n", "\rX", "X: y\n", "X: y\rZ", "X: y\r\n\n", "X: y\r\n\rZ", "X: y\r\r\n"];
    let body = |section| post("Transfer-Encoding: chunked", &format!("0\r\n{section}"));
    refused_at_once(&sections.map(body));
}

#[test]
fn upstream_that_sends_a_bare_line_end_is_given_up_at_once() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (sent, begun) in [
        ("HTTP/1.1 200 OK\n".to_owned(), false),
        ("HTTP/1.1 200 OK\rX: y".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nX: y\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nX: y\rZ".to_owned(), false),
        (format!("{chunked}5\n"), true),
        (format!("{chunked}5\rx"), true),
        (format!("{chunked}g"), true),
        (format!("{chunked}5;a\n"), true),
        (format!("{chunked}0\r\nX: y\n"), true),
        (format!("{chunked}0\r\nX: y\rZ"), true),
        (format!("{chunked}0\r\n\n"), true),
    ] {
        let answer = sent.clone();
        let upstream = upstream_after_head(move |stream| {
            let mut stream = stream.into_inner();
            stream.write_all(answer.as_bytes()).expect("it is read");
            // Sends nothing more and keeps the connection open until the gateway closes it.
            let _ = stream.read(&mut [0]);
        });
        // These timeouts are too long for a gateway that waits for the end.
        let api = "public = [\"GET /**\"]\nresponse_timeout = \"10min\"\nidle_timeout = \"10min\"";
        let gateway = Gateway::in_front_of_url(&upstream).api(api).start();
        let get = b"GET /x HTTP/1.1\r\nHost: desk.example\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        stream.write_all(get).expect("it is read");
        let mut come = Vec::new();
        let ended = stream.read_to_end(&mut come).map_err(|error| error.kind());
        let waited = ended.is_err_and(|kind| kind == std::io::ErrorKind::WouldBlock);
        let come = String::from_utf8_lossy(&come);
        assert!(!waited, "{sent:?}: the end is waited for behind {come:?}");
        if !begun {
            assert!(come.starts_with("HTTP/1.1 502 "), "{sent:?}: {come:?}");
        } else if !come.starts_with("HTTP/1.1 502 ") {
            assert!(!come.ends_with("0\r\n\r\n"), "{sent:?}: the answer looks whole: {come:?}");
        }
    }
}

/// Returns `count` chunks of one byte with this chunk-size line, and the last chunk.
fn chunks(count: usize, line: &str) -> Vec<u8> {
    [format!("{line}\r\nx\r\n").repeat(count).as_bytes(), b"0\r\n\r\n"].concat()
}

#[test]
fn what_is_no_data_in_chunks_is_bounded_over_a_message() {
    let stand = Stand::start();
    let head = post("Transfer-Encoding: chunked", "");
    let extension = format!("1;{}", "e".repeat(999));
    let ended = |body: String| [body.as_bytes(), b"0\r\n\r\n"].concat();
    for (body, status) in [
        (chunks(16, &extension), 200),
        (chunks(17, &extension), 400),
        // Each line has 14 leading zeros.
        (chunks(1170, "000000000000001"), 200),
        (chunks(1200, "000000000000001"), 400),
        // The last chunk counts too.
        ([&chunks(16, &extension)[..16 * 1006], b"0", &extension.as_bytes()[1..]].concat(), 400),
        // Extensions may amount to a twentieth of the data, however many there are.
        (ended(format!("64;abcd\r\n{}\r\n", "x".repeat(100)).repeat(10_000)), 200),
        // The digits of the size and the line ends do not count.
        (chunks(200_000, "1"), 200),
    ] {
        let close = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut sent = [head.as_bytes(), &body].concat();
        if status == 200 {
            sent.extend_from_slice(close);
        }
        let come = stand.exchange(&sent);
        let shown = String::from_utf8_lossy(&sent[head.len()..head.len() + 40]).into_owned();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(come.starts_with(expected.as_bytes()), "{shown:?}: {}", come.escape_ascii());
    }
}

#[test]
fn upstream_whose_chunks_hold_more_extensions_than_data_is_given_up() {
    let stand = Stand::start();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let get = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (count, whole) in [(16, true), (40, false)] {
        let body = chunks(count, &format!("1;{}", "e".repeat(999)));
        let answer = [head.as_bytes(), &body].concat();
        stand.upstream.answer(move |_| Answer::raw(&answer[..]));
        let come = String::from_utf8_lossy(&stand.exchange(get.as_bytes())).into_owned();
        assert_eq!(come.ends_with("0\r\n\r\n"), whole, "{count}: {come}");
        assert!(
            whole || come.starts_with("HTTP/1.1 502 ") || come.contains("\r\n\r\n1\r\n"),
            "{come}"
        );
    }
}
