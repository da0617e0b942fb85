//! Clients that cause as much work as possible at little cost to themselves. The gateway closes
//! each connection once its budget is used up. A correct client on another connection is not
//! affected, and nothing is leaked.

use std::time::Duration;

use super::honest::Honest;
use super::wire::*;
use crate::harness::{Answer, Gateway, Upstream, wait_for};

/// The most that the process may grow from the first few floods to the last, in KiB.
const GROWTH: u64 = 24 << 10;

fn open(upstream: &Upstream) -> Gateway {
    let public = r#"public = ["GET /**", "POST /**"]"#;
    Gateway::in_front_of(upstream).server("max_streams = 100").api(public).start()
}

/// Starts an upstream that answers requests for `/slow` after three seconds.
fn slow_upstream() -> Upstream {
    Upstream::answering(|request| {
        let answer = Answer::new("200 OK", &[], b"done");
        if request.start.contains("/slow") { answer.after(Duration::from_secs(3)) } else { answer }
    })
}

/// Returns what `bytes` returns for each of `streams` streams.
fn each(streams: u32, bytes: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..streams).flat_map(|at| bytes(2 * at + 1)).collect()
}

/// Returns a request that is answered after three seconds.
fn slow(stream: u32) -> Vec<u8> {
    get(stream, "/slow")
}

fn slow_post(stream: u32) -> Vec<u8> {
    post(stream, "/slow")
}

/// Returns the name of each flood, and what is sent after the preface.
// Longer than 60 lines: one table of floods.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    const MANY: usize = 30_000;
    let reset = |stream| number(RST_STREAM, stream, CANCEL);
    let sized = |stream| {
        frame(HEADERS, END_HEADERS, stream, &request("POST", "/slow", &[("content-length", "1")]))
    };
    vec![
        ("SETTINGS", settings(&[]).repeat(MANY)),
        ("SETTINGS of many values", settings(&[(4, 1); 2000]).repeat(20)),
        ("acknowledgements", frame(SETTINGS, ACK, 0, b"").repeat(MANY)),
        ("PING", frame(PING, 0, 0, &[0; 8]).repeat(MANY)),
        ("answers to PING", frame(PING, ACK, 0, &[0; 8]).repeat(MANY)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0; 5]).repeat(MANY)),
        ("unknown frames", frame(0xbe, 0, 0, b"").repeat(MANY)),
        ("GOAWAY", [slow(1), frame(GOAWAY, 0, 0, &[0; 8]).repeat(MANY)].concat()),
        ("WINDOW_UPDATE of all streams", number(WINDOW_UPDATE, 0, 1).repeat(MANY)),
        ("WINDOW_UPDATE of a stream", [slow(1), number(WINDOW_UPDATE, 1, 1).repeat(MANY)].concat()),
        (
            "WINDOW_UPDATE of a closed stream",
            [post(1, "/x"), reset(1), number(WINDOW_UPDATE, 1, 1).repeat(MANY)].concat(),
        ),
        ("RST_STREAM of a closed stream", [post(1, "/x"), reset(1).repeat(MANY)].concat()),
        ("empty DATA", [slow_post(1), frame(DATA, 0, 1, b"").repeat(MANY)].concat()),
        (
            "DATA of padding alone",
            [slow_post(1), frame(DATA, PADDED, 1, b"\x03\0\0\0").repeat(MANY)].concat(),
        ),
        ("empty HEADERS", each(1000, |stream| frame(HEADERS, WHOLE, stream, b""))),
        (
            "malformed requests",
            each(1000, |stream| frame(HEADERS, WHOLE, stream, &request("GET", "/", &[("X", "y")]))),
        ),
        (
            "CONTINUATION of nothing",
            [frame(HEADERS, 0, 1, b""), frame(CONTINUATION, 0, 1, b"").repeat(MANY)].concat(),
        ),
        (
            "CONTINUATION without an end",
            [
                frame(HEADERS, 0, 1, b""),
                frame(CONTINUATION, 0, 1, &literal("x", [b'y'; 100]).repeat(150)).repeat(50),
            ]
            .concat(),
        ),
        (
            "requests that are reset at once (CVE-2023-44487)",
            each(1000, |stream| [slow(stream), reset(stream)].concat()),
        ),
        (
            "bodies that are reset at once",
            each(1000, |stream| {
                [slow_post(stream), frame(DATA, 0, stream, b"x"), reset(stream)].concat()
            }),
        ),
        ("more streams than allowed", each(1000, slow)),
        // CVE-2025-8671: the client provokes the gateway into resetting the streams.
        (
            "resets by an empty WINDOW_UPDATE",
            each(1000, |stream| [slow(stream), number(WINDOW_UPDATE, stream, 0)].concat()),
        ),
        (
            "resets by a window too large",
            each(1000, |stream| {
                [slow(stream), number(WINDOW_UPDATE, stream, i32::MAX as u32)].concat()
            }),
        ),
        (
            "resets by DATA behind the end",
            each(1000, |stream| [slow(stream), frame(DATA, 0, stream, b"x")].concat()),
        ),
        (
            "resets by HEADERS behind the end",
            each(1000, |stream| [slow(stream), frame(HEADERS, WHOLE, stream, b"")].concat()),
        ),
        (
            "resets by a body too long",
            each(1000, |stream| [sized(stream), frame(DATA, 0, stream, b"xy")].concat()),
        ),
        (
            "resets by a body too short",
            each(1000, |stream| [sized(stream), frame(DATA, END_STREAM, stream, b"")].concat()),
        ),
        (
            "resets by malformed trailers",
            each(1000, |stream| {
                [slow_post(stream), frame(HEADERS, WHOLE, stream, &block(&[(":path", "/")]))]
                    .concat()
            }),
        ),
    ]
}

#[test]
fn floods_are_cut_off_while_an_honest_client_sees_nothing_and_nothing_stays() {
    let upstream = slow_upstream();
    let gateway = open(&upstream);
    let run = |name: &str, flood: &[u8]| {
        let mut wire = Wire::open(&gateway);
        // The gateway may close the connection before everything is sent.
        wire.send(flood);
        let code = wire.end();
        assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{name}: {code:?}");
    };
    let floods = floods();
    floods.iter().take(3).for_each(|(name, flood)| run(name, flood));
    let before = gateway.memory("VmRSS");
    let honest = Honest::start(&gateway);
    for (name, flood) in &floods {
        run(name, flood);
    }
    let served = honest.finish();
    wait_for("nothing in flight", || {
        gateway.admin("/metrics").text().contains("\nkeygate_requests_in_flight 0\n").then_some(())
    });
    let after = gateway.memory("VmRSS");
    println!(
        "{} floods, {served} honest requests meanwhile, {before} KiB before and {after} KiB behind",
        floods.len()
    );
    assert!(after < before + GROWTH, "{before} KiB before and {after} KiB behind");
}

#[test]
fn requests_that_are_reset_at_once_reach_the_upstream_no_more_than_the_budget_allows() {
    let upstream = slow_upstream();
    let gateway = open(&upstream);
    let mut wire = Wire::open(&gateway);
    wire.send(&each(20_000, |stream| [slow(stream), number(RST_STREAM, stream, CANCEL)].concat()));
    assert!(matches!(wire.end(), None | Some(ENHANCE_YOUR_CALM)));
    assert!(upstream.requests().len() <= 250, "{}", upstream.requests().len());
}

#[test]
fn streams_of_a_client_that_was_sent_away_end_at_the_upstream() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"").after(Duration::from_secs(30)));
    let gateway = open(&upstream);
    let mut wire = Wire::open(&gateway);
    wire.send(&each(20, slow));
    wait_for("the requests", || (upstream.requests().len() == 20).then_some(()));
    wire.send(&frame(0xbe, 0, 0, b"").repeat(20_000));
    assert_eq!(wire.goodbye(), ENHANCE_YOUR_CALM);
    wait_for("nothing in flight", || {
        gateway.admin("/metrics").text().contains("\nkeygate_requests_in_flight 0\n").then_some(())
    });
}

#[test]
fn header_blocks_that_grow_are_refused_and_cost_no_memory() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut wire = Wire::open(&gateway);
    // An HPACK bomb: an entry of nearly 4 KB, referenced sixteen thousand times in each block,
    // would take 64 MB per block if it were kept.
    let entry = [vec![0x40, 1, b'x'], text(&[b'y'; 4000])].concat();
    wire.send(&frame(HEADERS, WHOLE, 1, &[request("GET", "/", &[]), entry].concat()));
    assert_eq!(wire.status(1), 200);
    let before = gateway.memory("VmRSS");
    for at in 1..100 {
        wire.send(&frame(
            HEADERS,
            WHOLE,
            2 * at + 1,
            &[request("GET", "/", &[]), vec![0xbe; 16_000]].concat(),
        ));
        assert_eq!(wire.status(2 * at + 1), 431);
    }
    let peak = gateway.memory("VmHWM");
    assert!(peak < before + GROWTH / 4, "{before} KiB before and {peak} KiB at most");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn budget_is_the_operators_to_set() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).server("http2_frame_budget = 1000").start();
    let mut wire = Wire::open(&gateway);
    wire.send(
        &[frame(PING, 0, 0, b"pingping").repeat(900), frame(PING, 0, 0, b"the last")].concat(),
    );
    wire.read_until(|frame| frame.payload == b"the last");
    wire.send(&frame(PING, 0, 0, b"pingping").repeat(900));
    assert_eq!(wire.goodbye(), ENHANCE_YOUR_CALM);
}
