//! Connections without a request in flight: before the first one, between two, and during a stop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{connect, figure, open, until_closed};
use crate::harness::{upstream_after_head, wait_for};

#[test]
fn silent_connections_hold_up_neither_a_stop_nor_get_their_time_twice() {
    let gateway = open("http://127.0.0.1:9").server("header_timeout = \"2s\"").start();
    let mut stream = connect(&gateway);
    std::thread::sleep(Duration::from_millis(1500));
    stream.write_all(b"GET / HTTP").unwrap();
    let (_, took) = until_closed(&mut stream);
    assert!(
        took < Duration::from_millis(1600),
        "the first byte does not start the time anew: {took:?}"
    );

    let gateway = open("http://127.0.0.1:9").start();
    let streams: Vec<TcpStream> = (0..10).map(|_| connect(&gateway)).collect();
    wait_for("they are accepted", || {
        (figure(&gateway, "keygate_connections_open") == 10.0).then_some(())
    });
    let begun = Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(streams);
}

#[test]
fn tls_handshake_that_never_ends_delays_a_stop_by_seconds_only() {
    let gateway =
        open("http://127.0.0.1:9").tls(&["localhost"]).server("handshake_timeout = \"1h\"").start();
    let _stream = connect(&gateway);
    wait_for("it is accepted", || {
        (figure(&gateway, "keygate_connections_open") == 1.0).then_some(())
    });
    let begun = Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "the drain timeout of 30 s was not waited for: {:?}",
        begun.elapsed()
    );
}

#[test]
fn connection_between_two_requests_has_the_idle_timeout_and_a_begun_head_the_header_timeout() {
    let url = upstream_after_head(|mut stream| {
        drop(stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
    });
    let gateway = open(&url).server("idle_timeout = \"4s\"\nheader_timeout = \"500ms\"").start();
    let mut silent = connect(&gateway);
    let mut begun = connect(&gateway);
    for stream in [&mut silent, &mut begun] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
    }
    begun.write_all(b"GET").unwrap();
    let (_, took) = until_closed(&mut begun);
    assert!(took < Duration::from_millis(2500), "{took:?}");
    let (_, took) = until_closed(&mut silent);
    assert!(took > Duration::from_secs(1), "{took:?}");
    assert!(figure(&gateway, "keygate_connections_silent_total") >= 2.0);
}
