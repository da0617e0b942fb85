//! Upstreams that are down, slow or gone: what the client gets, and what is never sent twice.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{open, read_head};
use crate::harness::{Answer, Gateway, Request, Upstream, bare_upstream};

#[test]
fn upstream_that_is_down_gives_502_and_recovers_at_once() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (setup, key) = open(
        Gateway::in_front_of_url(&format!("http://127.0.0.1:{port}"))
            .api("rate_limit = \"10/min\""),
    );
    let gateway = setup.start();
    let answer = gateway.send(&Request::get("/").bearer(&key));
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (502, Some("upstream_unreachable"))
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9"), "it was charged");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            read_head(&mut stream);
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback");
        }
    });
    assert_eq!(gateway.send(&Request::get("/").bearer(&key)).text(), "back");
}

#[test]
fn upstream_that_is_slow_gives_504_and_nonsense_gives_502() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"late").after(Duration::from_secs(3)));
    let (setup, key) = open(Gateway::in_front_of(&upstream).api("response_timeout = \"200ms\""));
    let gateway = setup.start();
    let answer = gateway.send(&Request::get("/").bearer(&key));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
    upstream.answer(|_| Answer::raw("what?\r\n\r\n").then_close());
    let answer = gateway.send(&Request::get("/").bearer(&key));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_failed")));
}

#[test]
fn connection_that_the_upstream_closed_is_no_reason_to_fail() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = served.clone();
    let upstream = bare_upstream(move |stream| {
        let mut stream = BufReader::new(stream);
        // Each connection answers one request without announcing its close, and is closed when the
        // next request arrives.
        read_head(&mut stream);
        counted.fetch_add(1, Ordering::SeqCst);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        let mut next = [0; 1];
        let _ = stream.read(&mut next);
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.send(&Request::get("/").bearer(&key)).status(), 200);
    }
    assert_eq!(served.load(Ordering::SeqCst), 20);
}

#[test]
fn request_that_may_have_had_an_effect_is_not_sent_twice() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let upstream = bare_upstream(move |stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        if read_head(&mut stream).starts_with("post") {
            counted.fetch_add(1, Ordering::SeqCst); // received, but not answered
        }
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    let mut client = gateway.client();
    assert_eq!(client.send(&Request::get("/").bearer(&key)).status(), 200);
    let answer = client.send(&Request::new("POST", "/").bearer(&key).body(b"once"));
    assert_eq!(answer.status(), 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn early_answer_passes_and_the_connection_is_not_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let upstream = bare_upstream(move |stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut stream = BufReader::new(stream);
        while read_head(&mut stream).contains("http/1.1") {
            let _ = stream
                .get_mut()
                .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
        }
    });
    let (setup, key) = open(Gateway::in_front_of_url(&upstream));
    let gateway = setup.start();
    for _ in 0..2 {
        let mut client = gateway.client();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
                Content-Length: 1000000\r\n\r\nfirst bytes",
            key.text
        );
        client.write(head.as_bytes());
        let answer = client.read("POST");
        assert_eq!((answer.status(), answer.text()), (413, "big"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
