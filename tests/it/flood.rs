//! Clients that send new values in each request: the gateway stores none of what they choose.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Answer, Gateway, Key, PATIENCE, Upstream, wait_for};

/// How many requests are sent before their responses are read.
const BATCH: usize = 200;

/// How much memory may grow, in KiB: the gateway keeps a limited number of refused requests, to
/// explain them.
const MORE_MEMORY: u64 = 8192;

/// Returns the number of requests: `KEYGATE_FLOOD=1000000` for a long run.
fn requests() -> usize {
    std::env::var("KEYGATE_FLOOD")
        .map_or(30_000, |text| text.parse().expect("KEYGATE_FLOOD is a number"))
}

/// Returns a different number for each request (SplitMix64).
fn random(number: usize) -> u64 {
    let mut z = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Returns one of six kinds of request: with a new key, path or host, with a new address and key,
/// with all of them new, or an admitted key on a new path.
fn request(number: usize, key: &Key) -> String {
    let new = random(number);
    let [a, b, c, d, ..] = new.to_be_bytes();
    let address = format!("{a}.{b}.{c}.{d}");
    let (mut path, mut host, mut secret, mut from) =
        ("/x".to_owned(), "desk.example".to_owned(), key.text.clone(), "192.0.2.1".to_owned());
    let unknown = format!("sk_{}_{new:016x}{new:016x}", "live");
    match number % 6 {
        0 => secret = unknown,
        1 => path = format!("/nowhere/{new:x}?q={new:x}"),
        2 => host = format!("{new:x}.example"),
        3 => (from, secret) = (address, unknown),
        4 => {
            (path, host, secret, from) =
                (format!("/{new:x}"), format!("{new:x}.example"), unknown, address)
        }
        _ => path = format!("/open/{new:x}"),
    }
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {secret}\r\n\
            X-Forwarded-For: {from}\r\nX-Request-Id: r{new:x}\r\n\
         User-Agent: {new:x}\r\nX-{new:x}: {new:x}\r\n\r\n"
    )
}

/// Sends these requests and reads their responses. Returns how many were answered with 200.
fn send(gateway: &Gateway, key: &Key, numbers: std::ops::Range<usize>) -> usize {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut admitted, mut buffer) = (0, vec![0; 1 << 16]);
    let numbers: Vec<usize> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let all: String = batch.iter().map(|number| request(*number, key)).collect();
        stream.write_all(all.as_bytes()).unwrap();
        let mut answers = Vec::new();
        let count = |answers: &[u8], what: &[u8]| memchr::memmem::find_iter(answers, what).count();
        // Each response ends with `}`, which occurs nowhere else in it.
        while count(&answers, b"HTTP/1.1 ") < batch.len() || !answers.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed");
            answers.extend_from_slice(&buffer[..read]);
        }
        admitted += count(&answers, b"HTTP/1.1 200 ");
    }
    admitted
}

#[test]
fn random_keys_paths_hosts_and_addresses_grow_neither_memory_nor_metrics() {
    let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], b"{}"));
    let key = Key::live("key_crm").scopes(&["open"]);
    let setup = Gateway::in_front_of(&upstream)
        .scope("open", &["GET /open/**"])
        .key(&key)
        .more("[log]\nrequests = false");
    let gateway =
        setup.api("hosts = [\"desk.example\"]").server("trusted_proxies = [\"127.0.0.1\"]").start();
    // Establishes what any traffic requires: buffers, connections, and the series of each outcome.
    let warm = 6000;
    send(&gateway, &key, 0..warm);
    let lines =
        || wait_for("the figures", || Some(gateway.admin("/metrics").text().lines().count()));
    let before = (gateway.memory("VmRSS"), lines());
    let total = requests();
    let mut admitted = 0;
    for start in (0..total).step_by(10_000) {
        admitted += send(&gateway, &key, warm + start..warm + total.min(start + 10_000));
        upstream.forget();
    }
    let after = (gateway.memory("VmRSS"), lines());
    assert_eq!(after.1, before.1, "lines of /metrics");
    assert!(
        after.0 < before.0 + MORE_MEMORY,
        "from {} to {} KiB of memory after {total} requests",
        before.0,
        after.0
    );
    assert!(admitted.abs_diff(total / 6) <= 1, "{admitted} of {total} were admitted");
    eprintln!(
        "{total} requests: memory from {} to {} KiB, /metrics with {} lines",
        before.0, after.0, after.1
    );
}
