//! Timeouts for clients that are slow, silent or do not read, and for APIs that stop in the middle
//! of a response. A peer that is merely slow is not disconnected.

mod idle_connections;
mod request_bodies;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, PATIENCE, Setup, upstream_after_head, wait_for};

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Returns the settings of an API that needs no key.
fn open(url: &str) -> Setup {
    Gateway::in_front_of_url(url).api("public = [\"GET /**\", \"POST /**\"]")
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Returns what is received until the connection ends, and how long that took.
fn until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let took = begun.elapsed();
    assert!(took < PATIENCE, "still open");
    (String::from_utf8_lossy(&all).into_owned(), took)
}

fn figure(gateway: &Gateway, series: &str) -> f64 {
    let page = gateway.admin("/metrics");
    let line = page
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {series}"))
}

#[track_caller]
fn assert_nothing_is_left(gateway: &Gateway) {
    for series in [
        "keygate_requests_in_flight",
        "keygate_api_requests_in_flight{api=\"desk\"}",
        "keygate_connections_open",
    ] {
        wait_for(series, || (figure(gateway, series) == 0.0).then_some(()));
    }
}

#[test]
fn client_that_does_not_take_its_answer_is_cut() {
    let url = upstream_after_head(|mut stream| {
        let _ = write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 30);
        while stream.get_mut().write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let gateway = open(&url).server("body_timeout = \"500ms\"").start();
    let mut stream = connect(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(stream.peek(&mut [0]).unwrap(), 1, "the answer has begun");
    let series = "keygate_cuts_total{outcome=\"client_timeout\"}";
    wait_for("the cut", || (figure(&gateway, series) == 1.0).then_some(()));
    wait_for("its line", || gateway.logged("outcome", "client_timeout").pop());
    assert_nothing_is_left(&gateway);
    let (mut all, mut buffer) = (0, vec![0; 1 << 16]);
    let ended = loop {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => all += read,
            ended => break ended,
        }
    };
    assert!(ended.is_err() && all < 1 << 30, "a reset, not an end: {ended:?} after {all}");
}

#[test]
fn client_that_asks_and_never_reads_is_cut_though_it_is_refused_each_time() {
    let gateway =
        Gateway::in_front_of_url("http://127.0.0.1:9").server("body_timeout = \"500ms\"").start();
    let mut stream = connect(&gateway);
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let many = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000);
    let begun = Instant::now();
    while stream.write_all(&many).is_ok() && begun.elapsed() < PATIENCE {}
    assert!(begun.elapsed() < PATIENCE);
    assert_nothing_is_left(&gateway);
}

#[test]
fn client_that_reads_slowly_but_fast_enough_gets_all() {
    const SIZE: usize = 24 << 20;
    let url = upstream_after_head(|mut stream| {
        let _ = write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        let _ = stream.get_mut().write_all(&vec![b'x'; SIZE]);
    });
    let gateway = open(&url).server("body_timeout = \"2s\"").start();
    let mut stream = connect(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (mut all, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let read = stream.read(&mut buffer).expect("no reset");
        if read == 0 {
            break;
        }
        all += read;
        std::thread::sleep(Duration::from_millis(if all < SIZE / 2 { 40 } else { 0 }));
    }
    assert!(all > SIZE, "{all}");
}

#[test]
fn answer_that_stops_in_its_middle_is_broken_off_after_the_idle_timeout() {
    let stops = |mut stream: BufReader<TcpStream>| {
        let _ = stream.get_mut().write_all(format!("{HEAD}5\r\nhello\r\n").as_bytes());
        let _ = stream.read(&mut [0]);
    };
    let gateway = open(&upstream_after_head(stops)).api("idle_timeout = \"1s\"").start();
    let mut stream = connect(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let (answer, took) = until_closed(&mut stream);
    assert!(answer.ends_with("5\r\nhello\r\n"), "no orderly end: {answer}");
    assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(figure(&gateway, "keygate_cuts_total{outcome=\"upstream_timeout\"}"), 1.0);
    assert_nothing_is_left(&gateway);
}

#[test]
fn events_that_come_now_and_then_are_not_idle_nor_is_their_client_slow() {
    let events = |mut stream: BufReader<TcpStream>| {
        stream.get_mut().write_all(HEAD.as_bytes()).unwrap();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(600));
            stream.get_mut().write_all(b"2\r\nhi\r\n").unwrap();
        }
        stream.get_mut().write_all(b"0\r\n\r\n").unwrap();
    };
    let settings = "body_timeout = \"1s\"\nheader_timeout = \"1s\"";
    let gateway = open(&upstream_after_head(events))
        .server(settings)
        .api("idle_timeout = \"2s\"\nresponse_timeout = \"2s\"")
        .start();
    let mut stream = connect(&gateway);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (answer, _) = until_closed(&mut stream);
    assert_eq!(
        (answer.matches("hi").count(), answer.ends_with("0\r\n\r\n")),
        (5, true),
        "{answer}"
    );
}

#[test]
fn long_request_whose_answer_has_begun_may_pause() {
    let echo = |mut stream: BufReader<TcpStream>| {
        stream.get_mut().write_all(HEAD.as_bytes()).unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            let come = stream.fill_buf().unwrap().to_vec();
            assert!(!come.is_empty(), "the request was broken off");
            stream.consume(come.len());
            all.extend(come);
        }
        stream.get_mut().write_all(b"4\r\nthen\r\n0\r\n\r\n").unwrap();
    };
    let gateway = open(&upstream_after_head(echo)).server("body_timeout = \"300ms\"").start();
    let mut stream = connect(&gateway);
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        )
        .unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    stream.write_all(b"1\r\nb\r\n0\r\n\r\n").unwrap();
    let (answer, _) = until_closed(&mut stream);
    assert!(answer.ends_with("4\r\nthen\r\n0\r\n\r\n"), "{answer}");
}

#[test]
fn request_has_a_deadline_as_a_whole_whether_it_has_an_answer_or_not() {
    let dribble = |mut stream: BufReader<TcpStream>| {
        let _ = stream.get_mut().write_all(HEAD.as_bytes());
        while stream.get_mut().write_all(b"1\r\nx\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let silence = |mut stream: BufReader<TcpStream>| drop(stream.read(&mut [0]));
    for (url, expected) in [
        (upstream_after_head(dribble), "HTTP/1.1 200 OK"),
        (upstream_after_head(silence), "HTTP/1.1 504 "),
    ] {
        let gateway = open(&url).api("request_timeout = \"1s\"").start();
        let mut stream = connect(&gateway);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (answer, took) = until_closed(&mut stream);
        assert!(answer.starts_with(expected) && !answer.ends_with("0\r\n\r\n"), "{answer}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_nothing_is_left(&gateway);
    }
}

#[test]
fn websocket_in_which_nothing_moves_is_closed_with_a_reason_and_one_in_use_is_not() {
    let url = upstream_after_head(|mut stream| {
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.get_mut().write_all(switch.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let gateway = open(&url).api("idle_timeout = \"1s\"").start();
    let mut stream = connect(&gateway);
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
    // Three seconds of pings in one direction only.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(b"\x89\x80\0\0\0\0").expect("still open");
    }
    let (all, _) = until_closed(&mut stream);
    assert!(
        all.starts_with("HTTP/1.1 101 ") && all.ends_with("idle or open for too long"),
        "{all}"
    );
    wait_for("the WebSocket is gone", || {
        (figure(&gateway, "keygate_upgrades_open") == 0.0).then_some(())
    });
    assert_nothing_is_left(&gateway);
}
