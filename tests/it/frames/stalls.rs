//! Clients that begin something and do not finish it. The gateway reclaims what they hold in time,
//! and does not disconnect clients that are only slow.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::honest::Honest;
use super::wire::*;
use crate::harness::{Answer, Gateway, Setup, Upstream, wait_for};

const TICK: Duration = Duration::from_millis(200);
/// The timeouts in `gateway.toml`, and the time after which a stall must have been noticed.
const SHORT: &str = "body_timeout = \"1s\"\nheader_timeout = \"1s\"\nmin_transfer_rate = \"1KiB\"";
const SOON: Duration = Duration::from_secs(8);
/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
const WINDOW: u16 = 4;

fn setup(upstream: &str) -> Setup {
    Gateway::in_front_of_url(upstream).server(SHORT).api(r#"public = ["GET /**", "POST /**"]"#)
}

/// Starts an upstream whose responses are 10 kB, 1 MiB (`/large`), or 20 seconds late (`/slow`).
fn upstream() -> Upstream {
    Upstream::answering(|request| match request.start.split(' ').nth(1) {
        Some("/slow") => Answer::new("200 OK", &[], b"late").after(Duration::from_secs(20)),
        Some("/large") => Answer::new("200 OK", &[], &vec![b'x'; 1 << 20]),
        _ => Answer::new("200 OK", &[], &[b'x'; 10_000]),
    })
}

/// Sends these bytes repeatedly until the connection ends. Returns the error code of its GOAWAY, if
/// any.
#[track_caller]
fn trickle(mut wire: Wire, bytes: &[u8]) -> Option<u32> {
    let begun = Instant::now();
    wire.set_patience(TICK);
    let mut code = None;
    loop {
        wire.send(bytes);
        match wire.try_read() {
            Ok(Some(frame)) if frame.kind == GOAWAY => code = Some(frame.code()),
            Ok(None) => return code,
            _ => assert!(begun.elapsed() < SOON, "it is still open"),
        }
    }
}

#[test]
fn header_blocks_and_frames_that_never_end_end_the_connection_though_requests_run() {
    let upstream = upstream();
    let gateway = setup(&upstream.url()).start();
    let honest = Honest::start(&gateway);
    let slow = get(1, "/slow");
    let begun = |more: &[u8]| {
        let mut wire = Wire::open(&gateway);
        wire.send(&[&slow, more].concat());
        wire
    };
    assert_eq!(
        trickle(begun(&frame(HEADERS, END_STREAM, 3, b"\x82")), b""),
        Some(ENHANCE_YOUR_CALM),
        "a block of one frame"
    );
    let continued = trickle(
        begun(&frame(HEADERS, END_STREAM, 3, b"\x82")),
        &frame(CONTINUATION, 0, 3, &literal("x", "y")),
    );
    assert_eq!(continued, Some(ENHANCE_YOUR_CALM), "a block that goes on and on");
    assert_eq!(
        trickle(begun(b"\0\x10\0\x01"), b""),
        Some(ENHANCE_YOUR_CALM),
        "the beginning of a frame"
    );
    assert_eq!(
        trickle(begun(b"\0\x10\0\x01\x04\0\0\0\x03"), b"x"),
        Some(ENHANCE_YOUR_CALM),
        "a frame that comes byte by byte"
    );
    honest.finish();
}

#[test]
fn connection_that_does_not_begin_is_ended() {
    let upstream = Upstream::start();
    let gateway = setup(&upstream.url()).tls(&["localhost"]).start();
    for start in [&b"PRI"[..], PREFACE, &[PREFACE, b"\0\0\x06\x04"].concat()] {
        let mut wire = Wire::connect_tls(&gateway);
        wire.send(start);
        assert_eq!(trickle(wire, b""), Some(ENHANCE_YOUR_CALM), "{start:?}");
    }
}

#[test]
fn streams_whose_client_lets_nothing_through_are_reset_though_it_answers_pings() {
    let upstream = upstream();
    let gateway = setup(&upstream.url()).server("idle_timeout = \"1s\"").start();
    let honest = Honest::start(&gateway);
    let mut wire = Wire::open_with(&gateway, &[(WINDOW, 0)]);
    wire.send(&(0..10).flat_map(|at| get(2 * at + 1, "/large")).collect::<Vec<u8>>());
    let (begun, mut resets) = (Instant::now(), 0);
    while resets < 10 {
        let frame = wire.read().expect("the connection stays");
        match frame.kind {
            PING if frame.flags & ACK == 0 => {
                _ = wire.send(&super::wire::frame(PING, ACK, 0, &frame.payload))
            }
            RST_STREAM => {
                assert_eq!(frame.code(), CANCEL);
                resets += 1;
            }
            _ => {}
        }
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    wire.send(&[settings(&[(WINDOW, 65_535)]), get(101, "/")].concat());
    assert_eq!(wire.status(101), 200, "the connection goes on");
    wire.read_until(Frame::ends_stream);
    assert_nothing_in_flight(&gateway, honest);
    let cuts = gateway.admin("/metrics").text().lines().find_map(|line| {
        line.strip_prefix("keygate_cuts_total{outcome=\"client_timeout\"} ")?.parse().ok()
    });
    assert_eq!(cuts, Some(10), "they are counted");
}

#[test]
fn stream_whose_client_lets_a_byte_through_now_and_then_is_reset() {
    let upstream = upstream();
    let gateway = setup(&upstream.url()).start();
    let mut wire = Wire::open_with(&gateway, &[(WINDOW, 1)]);
    wire.set_patience(TICK);
    wire.send(&get(1, "/"));
    let begun = Instant::now();
    loop {
        wire.send(&number(WINDOW_UPDATE, 1, 1));
        if let Ok(Some(Frame { kind: RST_STREAM, .. })) = wire.try_read() {
            break;
        }
        assert!(begun.elapsed() < SOON, "it is still open");
        std::thread::sleep(TICK / 4);
    }
}

#[test]
fn connection_whose_client_never_reads_is_closed_and_gives_back_what_it_held() {
    let upstream = upstream();
    let gateway = setup(&upstream.url()).start();
    let honest = Honest::start(&gateway);
    let before = gateway.memory("VmRSS");
    let wires: Vec<Wire> = (0..5)
        .map(|_| {
            let mut wire = Wire::open_with(&gateway, &[(WINDOW, i32::MAX as u32)]);
            wire.send(&number(WINDOW_UPDATE, 0, 1 << 30));
            wire.send(&(0..60).flat_map(|at| get(2 * at + 1, "/large")).collect::<Vec<u8>>());
            wire
        })
        .collect();
    wait_for("their requests", || (in_flight(&gateway) > 100).then_some(()));
    assert_nothing_in_flight(&gateway, honest);
    let after = gateway.memory("VmRSS");
    println!("{before} KiB before, {} KiB at most, {after} KiB behind", gateway.memory("VmHWM"));
    assert!(after < before + (48 << 10), "{before} KiB before and {after} KiB behind");
    drop(wires);
}

#[test]
fn bodies_that_do_not_come_or_only_trickle_get_408() {
    let upstream = upstream();
    let gateway = setup(&upstream.url()).start();
    let mut silent = Wire::open(&gateway);
    silent.send(&post(1, "/x"));
    assert_eq!(silent.status(1), 408);
    let mut slow = Wire::open(&gateway);
    slow.set_patience(TICK);
    slow.send(&post(1, "/x"));
    let begun = Instant::now();
    let status = loop {
        slow.send(&frame(DATA, 0, 1, b"x"));
        match slow.try_read() {
            Ok(Some(frame)) if frame.kind == HEADERS => break frame.status(),
            _ => assert!(begun.elapsed() < SOON, "it is still waited for"),
        }
    };
    assert_eq!(status, 408);
    wait_for("nothing in flight", || (in_flight(&gateway) == 0).then_some(()));
}

#[test]
fn client_that_is_slow_but_fast_enough_gets_all_of_its_answer() {
    let upstream = upstream();
    let gateway = setup(&upstream.url()).start();
    let mut wire = Wire::open_with(&gateway, &[(WINDOW, 500)]);
    wire.send(&get(1, "/"));
    let mut come = 0;
    while come < 10_000 {
        come += wire.read_until(|frame| frame.kind == DATA).payload.len();
        if come % 500 == 0 {
            std::thread::sleep(TICK);
            wire.send(&number(WINDOW_UPDATE, 1, 500));
        }
    }
    assert_eq!(come, 10_000);
}

#[test]
fn frame_that_stands_unread_behind_answers_that_are_not_taken_yet_is_no_offence() {
    let upstream = upstream();
    let gateway = Gateway::in_front_of(&upstream)
        .server("header_timeout = \"1s\"")
        .api(r#"public = ["GET /**"]"#)
        .start();
    let mut wire = Wire::open_with(&gateway, &[(WINDOW, i32::MAX as u32)]);
    let last = get(101, "/");
    let (begun, rest) = last.split_at(12);
    wire.send(
        &[
            number(WINDOW_UPDATE, 0, 1 << 30),
            (0..30).flat_map(|at| get(2 * at + 1, "/large")).collect(),
            begun.to_vec(),
        ]
        .concat(),
    );
    std::thread::sleep(Duration::from_secs(3));
    wire.send(rest);
    assert_eq!(wire.status(101), 200);
}

#[test]
fn stream_that_is_silent_while_both_sides_are_content_lives_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let events = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut out = stream.try_clone().unwrap();
        let head: Vec<String> = BufReader::new(stream)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        out.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
            transfer-encoding: chunked\r\n\r\n",
        )
        .unwrap();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(1500));
            out.write_all(b"9\r\ndata: 1\n\n\r\n").unwrap();
        }
        out.write_all(b"0\r\n\r\n").unwrap();
        head
    });
    let gateway = setup(&url).start();
    let mut wire = Wire::open(&gateway);
    // The request body stays open, like that of a bidirectional stream.
    wire.send(&post(1, "/events"));
    let mut come = Vec::new();
    loop {
        let frame =
            wire.read_until(|frame| frame.stream == 1 && matches!(frame.kind, DATA | RST_STREAM));
        assert_eq!(frame.kind, DATA, "it is not given up");
        come.extend_from_slice(&frame.payload);
        if frame.ends_stream() {
            break;
        }
    }
    assert_eq!(come, b"data: 1\n\n".repeat(3));
    assert_eq!(events.join().unwrap()[0], "POST /events HTTP/1.1");
}

#[test]
fn grpc_stream_of_few_messages_lives_on_though_it_is_below_the_rate() {
    let (url, _) = crate::hostile::http2_upstream(|mut respond| {
        respond.send_response(http::Response::new(()), true).unwrap();
        None
    });
    let gateway = setup(&url).start();
    let mut wire = Wire::open(&gateway);
    wire.send(&frame(
        HEADERS,
        END_HEADERS,
        1,
        &request(
            "POST",
            "/desk.Desk/Tell",
            &[("content-type", "application/grpc"), ("te", "trailers")],
        ),
    ));
    for _ in 0..20 {
        std::thread::sleep(TICK);
        wire.send(&frame(DATA, 0, 1, b"\0\0\0\0\x03abc"));
    }
    wire.send(&frame(DATA, END_STREAM, 1, b""));
    assert_eq!(wire.status(1), 200);
}

/// Sends as much of a body as the windows allow. Returns how many bytes that was.
fn fill(wire: &mut Wire, stream: u32) -> usize {
    let (mut room, mut sent) = ([65_535_usize, 512 << 10], 0);
    wire.set_patience(TICK);
    loop {
        let part = room[0].min(room[1]).min(16_384);
        if part > 0 {
            wire.send(&frame(DATA, 0, stream, &vec![0; part]));
            room = room.map(|room| room - part);
            sent += part;
            continue;
        }
        match wire.try_read() {
            Ok(Some(frame)) if frame.kind == WINDOW_UPDATE => {
                room[usize::from(frame.stream != 0)] +=
                    u32::from_be_bytes(frame.payload.try_into().unwrap()) as usize;
            }
            Ok(Some(_)) => {}
            _ => return sent,
        }
    }
}

#[test]
fn bodies_that_the_upstream_does_not_take_are_held_within_the_windows_and_for_a_while_only() {
    const CLIENTS: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The upstream accepts connections and reads nothing.
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let gateway = setup(&url).api("response_timeout = \"4s\"").start();
    let before = gateway.memory("VmRSS");
    let mut wires = Vec::new();
    let mut sent = 0;
    for _ in 0..CLIENTS {
        let mut wire = Wire::open(&gateway);
        wire.send(&post(1, "/x"));
        sent += fill(&mut wire, 1);
        wires.push(wire);
    }
    let held = gateway.memory("VmHWM");
    println!("{sent} bytes sent, {before} KiB before, {held} KiB at most");
    assert!(
        held < before + (CLIENTS as u64) * 1024 + (8 << 10),
        "{before} KiB before and {held} KiB at most"
    );
    for wire in &mut wires {
        wire.set_patience(SOON);
        // 504 if the upstream is at fault, 408 if the client could still have sent data.
        assert!(matches!(wire.status(1), 408 | 504));
    }
    wait_for("nothing in flight", || (in_flight(&gateway) == 0).then_some(()));
}

#[test]
fn connections_that_wait_cost_little_memory() {
    const CLIENTS: usize = 500;
    let upstream = upstream();
    let gateway = Gateway::in_front_of(&upstream).api(r#"public = ["GET /**"]"#).start();
    let ask = || {
        let mut wire = Wire::open(&gateway);
        wire.send(&get(1, "/"));
        assert_eq!(wire.status(1), 200);
        wire.read_until(Frame::ends_stream);
        wire
    };
    let mut wires: Vec<Wire> = (0..50).map(|_| ask()).collect();
    let before = gateway.memory("VmRSS");
    wires.extend((0..CLIENTS).map(|_| ask()));
    let grown = || gateway.memory("VmRSS").saturating_sub(before) * 1024 / CLIENTS as u64;
    println!("{} bytes each", grown());
    assert!(grown() < 40 << 10, "{} bytes each", grown());
}

fn in_flight(gateway: &Gateway) -> usize {
    let metrics = gateway.admin("/metrics");
    metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("keygate_requests_in_flight ")?.parse().ok())
        .expect("the gauge")
}

/// Stops the correct client. Asserts that all other requests end in time.
#[track_caller]
fn assert_nothing_in_flight(gateway: &Gateway, honest: Honest) {
    let begun = Instant::now();
    wait_for("all but the honest client's requests to end", || {
        (in_flight(gateway) <= 1).then_some(())
    });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    honest.finish();
    wait_for("nothing in flight", || (in_flight(gateway) == 0).then_some(()));
}
