//! Sends random, mutated requests through Keygate to other vendors' origins, strict and lenient
//! ones. The method, target, host and body of every request that arrives must be those that were
//! authorised, and nothing else may arrive.
//!
//! Over HTTP/1.1, Keygate's own codec and rules determine what was authorised from the bytes that
//! were sent. Over HTTP/2, the fields and the body state it directly. The origins report how they
//! parsed what arrived. `KEYGATE_DIFFERENTIAL_CASES` sets how many cases each origin gets, and
//! `KEYGATE_DIFFERENTIAL_SEED` repeats a run.

mod answers;
mod http2;
mod mutation;
mod origin;
mod reference;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use self::mutation::Random;
use self::origin::Origin;
use super::super::harness::{Gateway, PATIENCE};

/// The number of cases for each origin by default.
const CASES: usize = 400;
/// The number of cases after which arrivals are checked.
const BATCH: usize = 50;

/// A request as it was authorised, or as an origin parsed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    method: String,
    target: String,
    host: String,
    body: Vec<u8>,
}

/// What is sent on one connection.
struct Case {
    bytes: Vec<u8>,
    /// The requests that may arrive.
    authorised: Vec<Seen>,
    ended: Ended,
}

/// Returns whether these bytes contain all responses.
type Ended = Box<dyn Fn(&[u8]) -> bool>;

/// Creates an HTTP/1.1 case.
fn http1(random: &mut Random, number: usize) -> Case {
    let bytes = mutation::case(random, number);
    let reading = reference::read(&bytes);
    Case {
        bytes,
        authorised: reading.authorised,
        ended: Box::new(move |come| answers(come) >= reading.answers),
    }
}

#[test]
fn nginx_understands_what_was_authorised() {
    run(&mut Origin::nginx(), http1);
    run(&mut Origin::nginx(), http2::case);
}

#[test]
fn haproxy_understands_what_was_authorised() {
    run(&mut Origin::haproxy(), http1);
    run(&mut Origin::haproxy(), http2::case);
}

#[test]
fn node_understands_what_was_authorised() {
    run(&mut Origin::node(), http1);
    run(&mut Origin::node(), http2::case);
}

#[test]
fn python_understands_what_was_authorised() {
    run(&mut Origin::python(), http1);
    run(&mut Origin::python(), http2::case);
}

#[test]
fn test_itself_notices_what_nobody_authorised() {
    let mut origin = Origin::python();
    let authorised = "POST /good HTTP/1.1\r\nHost: a\r\nX-Keygate-Auth: public\r\n\
        Content-Length: 5\r\n\r\nhello";
    let smuggled = "POST /bad HTTP/1.1\r\nHost: a\r\nX-Keygate-Auth: public\r\n\
        Content-Length: +5\r\n\r\nhello";
    let last =
        "GET /last HTTP/1.1\r\nHost: a\r\nX-Keygate-Auth: public\r\nConnection: close\r\n\r\n";
    let sent = format!("{authorised}{smuggled}{last}");
    let mut stream =
        TcpStream::connect(origin.url().trim_start_matches("http://")).expect("the origin accepts");
    stream.write_all(sent.as_bytes()).expect("it is sent");
    let _ = stream.read_to_end(&mut Vec::new());
    let arrived = origin.arrived_until("/last");
    let reading = reference::read(sent.as_bytes());
    assert_eq!(
        (reading.authorised.len(), arrived.len()),
        (1, 2),
        "the lenient origin understands more"
    );
    let mut open = Open::default();
    open.add(reading.authorised);
    assert_eq!(open.first_stranger(&arrived).map(|seen| &*seen.target), Some("/bad"));
    assert_eq!(
        open.first_stranger(&arrived[..1]).map(|seen| &*seen.target),
        Some("/good"),
        "a second time"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    number("KEYGATE_DIFFERENTIAL_SEED").unwrap_or(now)
}

#[derive(Debug, Default)]
struct Tally {
    /// The number of requests that may arrive.
    authorised: usize,
    arrived: usize,
}

fn run(origin: &mut Origin, case: fn(&mut Random, usize) -> Case) {
    let cases = number("KEYGATE_DIFFERENTIAL_CASES")
        .map_or(CASES, |cases| usize::try_from(cases).expect("a number of cases"));
    let seed = seed();
    let methods =
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(|method| format!("{method} /**"));
    let gateway = Gateway::serve(
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\nrequests = false\n[[api]]\n\
                name = \"desk\"\nupstream = \"{}\"\npublic = {methods:?}\n",
            origin.url()
        ),
        None,
    );
    let (mut tally, mut open) = (Tally::default(), Open::default());
    let mut random = Random::new(seed);
    for batch in 0..cases.div_ceil(BATCH) {
        let sent: Vec<Case> =
            (0..BATCH).map(|number| case(&mut random, batch * BATCH + number)).collect();
        for case in &sent {
            let come = exchange(&gateway, case);
            // The origin must not be blamed for an error of the client.
            let blames = [&b"HTTP/1.1 50"[..], b"\"upstream_"]
                .iter()
                .any(|blame| memchr::memmem::find(&come, blame).is_some());
            assert!(
                !blames,
                "seed {seed}: answered with {}: {}",
                come.escape_ascii(),
                case.bytes.escape_ascii()
            );
        }
        tally.authorised += sent.iter().map(|case| case.authorised.len()).sum::<usize>();
        open.add(sent.iter().flat_map(|case| case.authorised.clone()));
        let last = format!("/barrier-{batch}");
        let bytes =
            format!("GET {last} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes();
        exchange(
            &gateway,
            &Case { bytes, authorised: Vec::new(), ended: Box::new(|come| answers(come) > 0) },
        );
        let arrived = origin.arrived_until(&last);
        tally.arrived += arrived.len();
        if let Some(stranger) = open.first_stranger(&arrived) {
            let sent: Vec<String> =
                sent.iter().map(|case| case.bytes.escape_ascii().to_string()).collect();
            panic!(
                "seed {seed}: {stranger:?} arrived and was not authorised, or not so often. \
                    Sent:\n{}",
                sent.join("\n")
            );
        }
    }
    println!("{}: seed {seed}, {cases} cases, {tally:?}", origin.name());
    assert!(
        tally.arrived * 10 > tally.authorised,
        "seed {seed}: {tally:?}: hardly anything arrives"
    );
}

/// Sends a case and reads its responses.
fn exchange(gateway: &Gateway, case: &Case) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    stream.set_write_timeout(Some(PATIENCE)).expect("a deadline");
    // The gateway may stop reading once it has refused. Only its responses count.
    let _ = stream.write_all(&case.bytes);
    let mut come = Vec::new();
    let mut buffer = [0; 8192];
    while !(case.ended)(&come) {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => come.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("{error}: no answer in time to {}", case.bytes.escape_ascii())
            }
            _ => break,
        }
    }
    come
}

/// Counts the final responses. No origin sends these words in a body.
fn answers(come: &[u8]) -> usize {
    let starts = |word: &[u8]| memchr::memmem::find_iter(come, word).count();
    starts(b"HTTP/1.1 ") - starts(b"HTTP/1.1 1")
}

/// The requests that may still arrive, and how often.
#[derive(Default)]
struct Open(HashMap<Seen, usize>);

impl Open {
    fn add(&mut self, authorised: impl IntoIterator<Item = Seen>) {
        authorised.into_iter().for_each(|seen| *self.0.entry(seen).or_default() += 1);
    }

    /// Removes the requests that have arrived. Returns the first one that was not authorised.
    /// Ignores their order, because a request whose stream is reset may be overtaken by the next
    /// one.
    fn first_stranger<'a>(&mut self, arrived: &'a [Seen]) -> Option<&'a Seen> {
        arrived.iter().find(|seen| match self.0.get_mut(seen) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        })
    }
}
