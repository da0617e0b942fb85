//! Request bodies that stop, trickle, are slow, or are too large.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{assert_nothing_is_left, connect, figure, open, until_closed};
use crate::harness::{PATIENCE, upstream_after_head};

/// Reads a body of ten bytes and then responds.
fn patient(mut stream: BufReader<TcpStream>) {
    let mut body = [0; 10];
    if stream.read_exact(&mut body).is_ok() {
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
    let _ = stream.read(&mut body);
}

#[test]
fn body_that_stops_coming_gets_408_and_the_upstream_no_end_of_it() {
    let (tell, told) = std::sync::mpsc::channel();
    let url = upstream_after_head(move |mut stream| {
        let mut body = Vec::new();
        let _ = stream.read_to_end(&mut body);
        tell.send(body).unwrap();
    });
    let gateway = open(&url).server("body_timeout = \"500ms\"").start();
    for (head, part, came) in [
        ("Content-Length: 10", "half", "half"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n", "4\r\nhalf\r\n"),
    ] {
        let mut stream = connect(&gateway);
        stream
            .write_all(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{part}").as_bytes())
            .unwrap();
        let (answer, took) = until_closed(&mut stream);
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"client_timeout\""),
            "{answer}"
        );
        assert!(
            answer.contains("connection: close\r\n") && took >= Duration::from_millis(450),
            "{took:?} {answer}"
        );
        assert_eq!(String::from_utf8_lossy(&told.recv_timeout(PATIENCE).unwrap()), came);
    }
    let series = "keygate_requests_total{api=\"desk\",outcome=\"client_timeout\",status=\"4xx\"}";
    assert_eq!(figure(&gateway, series), 2.0);
    assert_nothing_is_left(&gateway);
}

#[test]
fn trickled_body_is_not_waited_for_for_ever() {
    let url = upstream_after_head(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let gateway =
        open(&url).server("body_timeout = \"500ms\"\nmin_transfer_rate = \"1KiB\"").start();
    let mut stream = connect(&gateway);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").unwrap();
    let mut out = stream.try_clone().unwrap();
    let trickling = std::thread::spawn(move || {
        let begun = Instant::now();
        while out.write_all(b"x").is_ok() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let (answer, _) = until_closed(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    drop(stream);
    trickling.join().unwrap();
}

#[test]
fn body_that_comes_slowly_but_fast_enough_is_waited_for() {
    let gateway = open(&upstream_after_head(patient))
        .server("body_timeout = \"2s\"\nmin_transfer_rate = \"1B\"")
        .start();
    let mut stream = connect(&gateway);
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n")
        .unwrap();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(b"x").unwrap();
    }
    assert!(until_closed(&mut stream).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn time_that_the_upstream_takes_for_a_body_is_not_the_clients() {
    let url = upstream_after_head(|mut stream| {
        std::thread::sleep(Duration::from_millis(2500));
        let mut left = 64 << 20;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            left -= stream.read(&mut buffer).unwrap();
        }
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
    });
    let gateway = open(&url).server("body_timeout = \"1s\"").start();
    let mut stream = connect(&gateway);
    stream
        .write_all(
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                64 << 20
            )
            .as_bytes(),
        )
        .unwrap();
    stream.write_all(&vec![b'x'; 64 << 20]).unwrap();
    assert!(until_closed(&mut stream).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn body_larger_than_the_api_takes_gets_413_and_never_looks_whole_to_the_upstream() {
    let (tell, told) = std::sync::mpsc::channel();
    let url = upstream_after_head(move |mut stream| {
        let mut body = Vec::new();
        let _ = stream.read_to_end(&mut body);
        tell.send(body).unwrap();
    });
    let gateway = open(&url).api("max_body_size = \"1KiB\"").start();
    let mut stream = connect(&gateway);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n").unwrap();
    let (answer, _) = until_closed(&mut stream);
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"body_too_large\""),
        "{answer}"
    );
    assert!(told.try_recv().is_err(), "the upstream did not hear of it");

    let mut stream = connect(&gateway);
    let chunks = "100\r\n".to_owned() + &"x".repeat(256) + "\r\n";
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    stream.write_all((chunks.repeat(4) + "1\r\nx\r\n0\r\n\r\n").as_bytes()).unwrap();
    let (answer, _) = until_closed(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let came = told.recv_timeout(PATIENCE).unwrap();
    assert!(
        !came.ends_with(b"0\r\n\r\n") && came.len() < 1200,
        "{}",
        String::from_utf8_lossy(&came)
    );
    assert_nothing_is_left(&gateway);
}
