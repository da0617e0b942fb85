//! Each fault of an upstream in turn, with several clients at once.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::faulty::{Faulty, Next, say};
use super::{GET, OK, POST, Seen, Status, Torn, ask, assert_back_to, figure, impatient};
use crate::harness::{Message, Request, bare_upstream, wait_for};

type Case = (&'static str, fn(&mut BufReader<TcpStream>) -> Next, Seen);

fn hang(stream: &mut BufReader<TcpStream>) -> Next {
    let _ = stream.read(&mut [0]);
    Next::Close
}

const CASES: &[Case] = &[
    ("hangs", hang, Status(504)),
    (
        "answers late",
        |stream| {
            std::thread::sleep(Duration::from_millis(200));
            say(stream, OK, Next::Request)
        },
        Status(200),
    ),
    (
        "answers byte by byte",
        |stream| {
            for byte in OK.bytes() {
                std::thread::sleep(Duration::from_millis(2));
                let _ = stream.get_mut().write_all(&[byte]);
            }
            Next::Request
        },
        Status(200),
    ),
    (
        "hangs in the head",
        |stream| {
            say(stream, "HTTP/1.1 200 OK\r\ncontent-le", Next::Close);
            hang(stream)
        },
        Status(504),
    ),
    ("closes without a word", |_| Next::Close, Status(502)),
    ("resets without a word", |_| Next::Reset, Status(502)),
    (
        "closes in the head",
        |stream| say(stream, "HTTP/1.1 200 OK\r\ncont", Next::Close),
        Status(502),
    ),
    (
        "resets in the head",
        |stream| say(stream, "HTTP/1.1 200 OK\r\ncont", Next::Reset),
        Status(502),
    ),
    (
        "closes in a body of known length",
        |stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nha", Next::Close),
        Torn,
    ),
    (
        "closes in a chunk",
        |stream| {
            say(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nha", Next::Close)
        },
        Torn,
    ),
    (
        "closes between chunks",
        |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nha\r\n",
                Next::Close,
            )
        },
        Torn,
    ),
    (
        "closes in the trailers",
        |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n",
                Next::Close,
            )
        },
        Torn,
    ),
    (
        "resets in a body",
        |stream| {
            say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nha", Next::Close);
            // A reset discards what the peer has not yet read.
            std::thread::sleep(Duration::from_millis(50));
            Next::Reset
        },
        Torn,
    ),
    (
        "stops in a body of known length",
        |stream| {
            say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nha", Next::Close);
            hang(stream)
        },
        Torn,
    ),
    (
        "stops between chunks",
        |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nha\r\n",
                Next::Close,
            );
            hang(stream)
        },
        Torn,
    ),
    (
        "breaks a chunk",
        |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhaha\r\n0\r\n\r\n",
                Next::Request,
            )
        },
        Torn,
    ),
    (
        "speaks something else",
        |stream| say(stream, "SSH-2.0-OpenSSH_9.2\r\n\r\n", Next::Request),
        Status(502),
    ),
    (
        "speaks HTTP/0.9",
        |stream| say(stream, "<html>hello</html>\r\n\r\n", Next::Close),
        Status(502),
    ),
    ("sends zeros", |stream| say(stream, "\0\0\0\0\r\n\r\n", Next::Request), Status(502)),
    (
        "sends a head without an end",
        |stream| {
            say(stream, &format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20)), Next::Close)
        },
        Status(502),
    ),
    (
        "sends too many fields",
        |stream| {
            say(stream, &format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(300)), Next::Close)
        },
        Status(502),
    ),
    (
        "gives two lengths",
        |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
                Next::Request,
            )
        },
        Status(502),
    ),
    (
        "gives a length and chunks",
        |stream| {
            say(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n\
                    0\r\n\r\n",
                Next::Request,
            )
        },
        Status(502),
    ),
    (
        "says continue first",
        |stream| say(stream, &format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"), Next::Request),
        Status(200),
    ),
    (
        "gives hints first",
        |stream| {
            say(
                stream,
                &format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{OK}"),
                Next::Request,
            )
        },
        Status(200),
    ),
    (
        "gives hints for ever",
        |stream| {
            while stream.get_mut().write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").is_ok() {}
            Next::Close
        },
        Status(502),
    ),
    (
        "gives a hint now and then",
        |stream| {
            while stream.get_mut().write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
            Next::Close
        },
        Status(504),
    ),
    (
        "switches unasked",
        |stream| {
            say(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                Next::Close,
            )
        },
        Status(502),
    ),
    ("answers twice", |stream| say(stream, &format!("{OK}{OK}"), Next::Request), Status(200)),
    (
        "says more than the length",
        |stream| {
            say(
                stream,
                &format!("{OK}HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"),
                Next::Request,
            )
        },
        Status(200),
    ),
    (
        "ends its answer by closing",
        |stream| say(stream, "HTTP/1.1 200 OK\r\n\r\nok", Next::Close),
        Status(200),
    ),
    (
        "answers as HTTP/1.0",
        |stream| say(stream, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Next::Close),
        Status(200),
    ),
    (
        "fails honestly",
        |stream| {
            say(stream, "HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", Next::Request)
        },
        Status(503),
    ),
];

#[test]
fn whatever_an_upstream_does_the_client_sees_it_as_it_is_and_the_next_request_is_served() {
    let upstream = Faulty::start();
    let gateway = impatient(&upstream.url()).start();
    let descriptors = gateway.descriptors_at_rest();
    for (name, fault, expected) in CASES {
        for request in [GET, POST] {
            // Leaves a pooled connection, which the fault then affects.
            upstream.heal();
            for _ in 0..3 {
                let (seen, all) = ask(&gateway, GET);
                assert_eq!(seen, Status(200), "before an upstream that {name}: {all}");
            }
            upstream.break_with(*fault);
            let begun = Instant::now();
            std::thread::scope(|scope| {
                let asking: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| ask(&gateway, request))).collect();
                for asking in asking {
                    let (seen, all) = asking.join().unwrap();
                    assert_eq!(seen, *expected, "of an upstream that {name}: {all}");
                }
            });
            assert!(
                begun.elapsed() < Duration::from_secs(6),
                "an upstream that {name} took {:?}",
                begun.elapsed()
            );
            upstream.heal();
            for _ in 0..5 {
                let (seen, all) = ask(&gateway, POST);
                assert_eq!(
                    (seen, all.ends_with("well")),
                    (Status(200), true),
                    "after an upstream that {name}: {all}"
                );
            }
        }
        wait_for("nothing in flight", || {
            (figure(&gateway, "keygate_requests_in_flight") == 0.0).then_some(())
        });
    }
    assert_back_to(&gateway, descriptors);
}

/// RFC 9110 §8.6, RFC 9112 §6.1: such a response promises content that it must not have. If the
/// content came late, it would look like the response to the next request.
#[test]
fn connection_of_a_response_that_promises_content_in_vain_is_not_used_again() {
    for head in [
        "HTTP/1.1 204 No Content\r\ncontent-length: 40\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let url = bare_upstream(move |stream| {
            let mut stream = BufReader::new(stream);
            let mut first = true;
            while let Ok(Some(asked)) = Message::read_head(&mut stream) {
                let answer = match (asked.start.contains("/empty"), first) {
                    (true, _) => head,
                    (false, true) => OK,
                    (false, false) => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate",
                };
                first = false;
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        let gateway = impatient(&url).start();
        let mut client = gateway.client();
        assert!([204, 304].contains(&client.send(&Request::get("/empty")).status()));
        assert_eq!(client.send(&Request::get("/next")).text(), "ok", "{head}");
    }
}
