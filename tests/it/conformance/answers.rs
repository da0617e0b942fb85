//! Ambiguous and malformed responses of upstreams: the client gets 502 or a truncated response, the
//! upstream connection is never reused, and the next request is served.

use super::{Stand, show_bytes};
use crate::harness::Answer;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Returns what the client receives if the upstream responds with these bytes and then, if `closes`
/// is set, closes the connection.
fn client_gets(stand: &Stand, request: &str, bytes: &[u8], closes: bool) -> String {
    let answer = Answer::raw(bytes);
    stand
        .upstream
        .answer(move |_| if closes { answer.clone().then_close() } else { answer.clone() });
    String::from_utf8_lossy(&stand.exchange(request.as_bytes())).into_owned()
}

/// Asserts that the next request is served on a new upstream connection.
#[track_caller]
fn assert_not_poisoned(stand: &Stand, before: usize, what: &str) {
    // The connection is closed, so that the next case gets a new one too.
    stand
        .upstream
        .answer(|_| Answer::new("200 OK", &[("connection", "close")], b"ok").then_close());
    let next = stand.exchange(GET.as_bytes());
    assert!(
        next.starts_with(b"HTTP/1.1 200 ") && next.ends_with(b"\r\n\r\nok"),
        "{what}: {}",
        next.escape_ascii()
    );
    assert_eq!(stand.upstream.connections(), before + 1, "{what}: the connection was used again");
}

#[test]
// Longer than 60 lines: one table of cases.
fn malformed_answers_give_502_and_poison_nothing() {
    let stand = Stand::start();
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let mut heads: Vec<(&str, String)> = Vec::new();
    for (section, lines) in [
        ("9112 §6.3", "content-length: 5\r\ncontent-length: 5"),
        ("9112 §6.3", "content-length: 5\r\ncontent-length: 6"),
        ("9112 §6.3", "content-length: 5, 5"),
        ("9112 §6.3", "content-length: +5"),
        ("9112 §6.3", "content-length: 0x5"),
        ("9112 §6.3", "content-length: -1"),
        ("9112 §6.3", "content-length:"),
        ("9112 §6.3", "content-length: 18446744073709551621"),
        ("9112 §6.3", "content-length: 5\r\ntransfer-encoding: chunked"),
        ("9112 §6.3", "transfer-encoding: chunked\r\ncontent-length: 5"),
        ("9112 §6.1", "transfer-encoding: gzip, chunked"),
        ("9112 §6.1", "transfer-encoding: chunked, identity"),
        ("9112 §6.1", "transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        ("9112 §6.1", "transfer-encoding: identity"),
        ("9112 §6.1", "transfer-encoding: xchunked"),
        ("9112 §5.1", "transfer-encoding : chunked"),
        ("9112 §5.1", "content-length : 5"),
        ("9112 §5.2", "x: y\r\n z"),
        ("9112 §5.2", " x: y"),
        ("9112 §5.2", "content-length:\r\n 5"),
        ("9112 §2.2", "x: y\nz: w"),
        ("9112 §2.2", "x: y\rset-cookie: a=b"),
        ("9112 §2.2", "x: y\r\r\nset-cookie: a=b"),
        ("9110 §5.5", "x: a\0b"),
        ("9110 §5.5", "x: \u{1b}[2J"),
        ("9112 §5", "x"),
        ("9112 §5", ": y"),
        ("9112 §5", "x y: z"),
    ] {
        heads.push((section, format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello{smuggled}")));
    }
    for (section, line) in [
        ("9112 §4", "HTTP/1.1 2000 OK"),
        ("9112 §4", "HTTP/1.1 20 OK"),
        ("9112 §4", "HTTP/1.1 2x0 OK"),
        ("9112 §4", "HTTP/1.1 600 OK"),
        ("9112 §4", "HTTP/1.1 099 OK"),
        ("9112 §4", "HTTP/1.1  200 OK"),
        ("9112 §4", "HTTP/1.1\t200 OK"),
        ("9112 §4", "HTTP/1.1"),
        ("9112 §4", "HTTP/1.1 200OK"),
        ("9112 §4", " HTTP/1.1 200 OK"),
        ("9112 §4", "HTTP/1.1 200 \u{1}"),
        ("9112 §4", "HTTP/1.1 200 O\rK"),
        ("9112 §4", ""),
        ("9112 §2.3", "HTTP/2 200 OK"),
        ("9112 §2.3", "HTTP/2.0 200 OK"),
        ("9112 §2.3", "HTTP/1.2 200 OK"),
        ("9112 §2.3", "http/1.1 200 OK"),
        ("9112 §2.3", "ICY 200 OK"),
        ("9112 §2.3", "GET / HTTP/1.1"),
        // A switch that the client did not request (RFC 9110 §15.2.2).
        (
            "9110 §7.8",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket",
        ),
    ] {
        heads.push((section, format!("{line}\r\ncontent-length: 5\r\n\r\nhello{smuggled}")));
    }
    heads.push(("9112 §2.2", format!("HTTP/1.1 200 OK\ncontent-length: 5\n\nhello{smuggled}")));
    heads.push((
        "9112 §2.2",
        format!("\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello{smuggled}"),
    ));
    heads.push((
        "9112 §6.1",
        format!(
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{smuggled}"
        ),
    ));
    heads.push(("9110 §15.2", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)));
    heads.push(("9110 §15.2", "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(1000)));
    heads.push(("9112 §5", format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(300))));
    heads.push(("9112 §5", format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000))));
    heads.push((
        "6455 §4.1",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: \u{7f}\r\n\r\nhello".to_owned(),
    ));
    for (section, bytes) in heads {
        let before = stand.upstream.connections();
        let what = format!("RFC {section}: {}", show_bytes(bytes.as_bytes()));
        let answer = client_gets(&stand, GET, bytes.as_bytes(), false);
        assert!(
            answer.starts_with("HTTP/1.1 502 ") && answer.matches("HTTP/1.1 ").count() == 1,
            "{what}: {answer}"
        );
        assert!(!answer.contains("evil") && !answer.contains("set-cookie"), "{what}: {answer}");
        assert_not_poisoned(&stand, before + 1, &what);
    }
}

#[test]
fn upstream_that_closes_before_its_head_ends_gives_502() {
    let stand = Stand::start();
    for bytes in [
        "",
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "hello",
    ] {
        let before = stand.upstream.connections();
        let answer = client_gets(&stand, GET, bytes.as_bytes(), true);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{bytes:?}: {answer}");
        // The 502 may follow a second attempt, if the first one received nothing at all.
        let tried = stand.upstream.connections() - before;
        assert!((1..=2).contains(&tried), "{bytes:?}: {tried} connections");
        assert_not_poisoned(&stand, before + tried, bytes);
    }
}

#[test]
fn answers_that_break_in_their_body_are_cut_and_poison_nothing() {
    let stand = Stand::start();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (section, rest) in [
        ("9112 §7.1", "x\r\n"),
        ("9112 §7.1", "0x0\r\n\r\n"),
        ("9112 §7.1", " 0\r\n\r\n"),
        ("9112 §7.1", "0 \r\n\r\n"),
        ("9112 §7.1", "-1\r\n\r\n"),
        ("9112 §7.1", "5\r\nhelloworld\r\n"),
        ("9112 §7.1", "10000000000000000\r\n"),
        ("9112 §7.1", "\r\n"),
        ("9112 §2.2", "5\nworld\n0\n\n"),
        ("9112 §2.2", "0\n\n"),
        ("9112 §7.1.1", "0;a=\"\r\n\r\n"),
        ("9112 §7.1.2", "0\r\nx\r\n\r\n"),
        ("9112 §7.1.2", "0\r\nx: y\r\n z\r\n\r\n"),
        ("9112 §7.1.2", "0\r\nx: a\rb\r\n\r\n"),
    ] {
        let before = stand.upstream.connections();
        let what = format!("RFC {section}: {rest:?}");
        let answer = client_gets(&stand, GET, format!("{chunked}{rest}").as_bytes(), false);
        assert!(
            answer.starts_with("HTTP/1.1 200 ")
                && answer.contains("5\r\nhello\r\n")
                && !answer.ends_with("0\r\n\r\n"),
            "{what}: {answer}"
        );
        assert_not_poisoned(&stand, before + 1, &what);
    }
    // Truncated by the upstream itself.
    for bytes in [
        chunked.to_owned(),
        format!("{chunked}5\r\nwor"),
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n5\r\nhello\r\n".to_owned()[..44].to_owned(),
    ] {
        let before = stand.upstream.connections();
        let answer = client_gets(&stand, GET, bytes.as_bytes(), true);
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && !answer.ends_with("0\r\n\r\n"),
            "{bytes:?}: {answer}"
        );
        assert_not_poisoned(&stand, before + 1, &bytes);
    }
}

#[test]
fn what_an_upstream_sends_behind_its_answer_is_nobodys_answer() {
    let stand = Stand::start();
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for (section, bytes) in [
        ("9112 §6.3", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
        ("9112 §7.1", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("9110 §15.3.5", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("9110 §15.3.5", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"),
        (
            "9110 §15.3.5",
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        ("9110 §15.4.5", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello"),
    ] {
        let before = stand.upstream.connections();
        let answer = client_gets(&stand, GET, format!("{bytes}{evil}").as_bytes(), false);
        let what = format!("RFC {section}: {bytes:?}");
        assert!(
            !answer.contains("evil") && answer.matches("HTTP/1.1 ").count() == 1,
            "{what}: {answer}"
        );
        let ended = answer.ends_with("hi")
            || answer.ends_with("hi\r\n0\r\n\r\n")
            || answer.ends_with("\r\n\r\n");
        assert!(ended, "{what}: {answer}");
        assert_not_poisoned(&stand, before + 1, &what);
    }
}

#[test]
fn interim_answers_are_not_taken_for_final_ones() {
    let stand = Stand::start();
    for interim in [
        "100 Continue",
        "102 Processing",
        "103 Early Hints\r\nlink: </x>",
        "199 Odd\r\ncontent-length: 5",
    ] {
        let answer = client_gets(
            &stand,
            GET,
            format!("HTTP/1.1 {interim}\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                .as_bytes(),
            false,
        );
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhi"),
            "{interim}: {answer}"
        );
    }
}

#[test]
fn http10_answers_end_with_their_connection() {
    let stand = Stand::start();
    for head in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    ] {
        let before = stand.upstream.connections();
        let answer = client_gets(&stand, GET, format!("{head}hello").as_bytes(), true);
        assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{head:?}: {answer}");
        assert_not_poisoned(&stand, before + 1, head);
    }
    // HTTP/1.0 has `Content-Length` too, and its connections persist only if it says so.
    let answer =
        client_gets(&stand, GET, b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhixxx", false);
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
}

#[test]
fn switch_to_something_that_is_no_websocket_gives_502() {
    let stand = Stand::start();
    let asking = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    for lines in [
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "",
    ] {
        let before = stand.upstream.connections();
        let request = asking.replace("\r\n\r\n", "\r\nX-Then: close\r\n\r\n")
            + "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stand.upstream.answer({
            let lines = lines.to_owned();
            move |request| {
                if request.start.starts_with("GET /2") {
                    return Answer::new("200 OK", &[("connection", "close")], b"two").then_close();
                }
                Answer::raw(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n"))
            }
        });
        let answer = String::from_utf8_lossy(&stand.exchange(request.as_bytes())).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 502 ") && answer.ends_with("two"),
            "{lines:?}: {answer}"
        );
        assert_eq!(stand.upstream.connections(), before + 2);
        assert_not_poisoned(&stand, before + 2, lines);
    }
}

#[test]
fn trailers_of_an_answer_say_nothing_that_only_a_header_may_say() {
    let stand = Stand::start();
    let lines = [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Set-Cookie: a=b",
        "WWW-Authenticate: Basic",
        "Location: /y",
        "Content-Type: text/html",
        "X-RateLimit-Remaining: 9",
        "X-Request-Id: other",
        "Access-Control-Allow-Origin: *",
    ];
    let bytes = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\
            {}\r\n\r\n",
        lines.join("\r\n")
    );
    let answer = client_gets(
        &stand,
        &GET.replace("Connection: close", "TE: trailers\r\nConnection: close"),
        bytes.as_bytes(),
        false,
    );
    assert!(answer.ends_with("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}
