//! Random requests, mutated, through Keygate to origins of other makers, strict and lenient ones: whenever something arrives, its method,
//! target, host and body are those that were authorised, and never does more arrive than that.
//!
//! What was authorised is what Keygate's own codec and rules make of the bytes that were sent; the origins tell what they understood.
//! `KEYGATE_DIFFERENTIAL_CASES` says how many cases each origin gets, `KEYGATE_DIFFERENTIAL_SEED` repeats a run.

mod mutation;
mod origin;
mod reference;

use super::super::harness::{Gateway, PATIENCE};
use mutation::Random;
use origin::Origin;
use reference::Reading;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How many cases each origin gets in a usual run.
const CASES: usize = 400;
/// Cases between two looks at what has arrived.
const BATCH: usize = 50;
/// A client that gets no answer any more has waited long enough.
const STALLED: Duration = Duration::from_secs(2);

/// A request as it is authorised, or as an origin understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    host: String,
    body: Vec<u8>,
}

#[test]
fn nginx_understands_what_was_authorised() {
    run(&mut Origin::nginx());
}

#[test]
fn haproxy_understands_what_was_authorised() {
    run(&mut Origin::haproxy());
}

#[test]
fn node_understands_what_was_authorised() {
    run(&mut Origin::node());
}

#[test]
fn python_understands_what_was_authorised() {
    run(&mut Origin::python());
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[derive(Debug, Default)]
struct Tally {
    /// Requests that Keygate's codec and rules accept.
    authorised: usize,
    arrived: usize,
    stalled: usize,
}

fn run(origin: &mut Origin) {
    let cases = number("KEYGATE_DIFFERENTIAL_CASES").map_or(CASES, |cases| usize::try_from(cases).expect("a number of cases"));
    let seed = number("KEYGATE_DIFFERENTIAL_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ 0x5eed_0000_0000);
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(|method| format!("{method} /**"));
    let gateway = Gateway::serve(
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\nrequests = false\n[[api]]\nname = \"desk\"\nupstream = \"{}\"\npublic = {methods:?}\n",
            origin.url()
        ),
        None,
    );
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    for batch in 0..cases.div_ceil(BATCH) {
        let sent: Vec<Vec<u8>> = (0..BATCH).map(|number| mutation::case(&mut random, batch * BATCH + number)).collect();
        let mut expected = Vec::new();
        for bytes in &sent {
            let reading = reference::read(bytes);
            tally.stalled += usize::from(!exchange(&gateway, bytes, &reading));
            expected.extend(reading.authorised);
        }
        let last = format!("/barrier-{batch}");
        exchange(&gateway, format!("GET {last} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(), &Reading::of_answers(1));
        let arrived = origin.arrived_until(&last);
        tally.authorised += expected.len();
        tally.arrived += arrived.len();
        if let Some(stranger) = first_stranger(&expected, &arrived) {
            let sent: Vec<String> = sent.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
            panic!("seed {seed}: {stranger:?} arrived and was not authorised, in this place at least. Sent:\n{}", sent.join("\n"));
        }
    }
    println!("{}: seed {seed}, {cases} cases, {tally:?}", origin.name());
    assert!(tally.arrived * 10 > tally.authorised * 9, "seed {seed}: {tally:?}: hardly anything arrives");
    assert!(tally.stalled * 50 < cases, "seed {seed}: {tally:?}: clients wait for answers in vain");
}

/// Sends a case and reads its answers; whether all of them came.
fn exchange(gateway: &Gateway, bytes: &[u8], reading: &Reading) -> bool {
    let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    stream.set_read_timeout(Some(STALLED)).expect("a deadline");
    stream.set_write_timeout(Some(PATIENCE)).expect("a deadline");
    // What is not taken any more is no matter: the answers count.
    let _ = stream.write_all(bytes);
    let mut come = Vec::new();
    let mut buffer = [0; 8192];
    while answers(&come) < reading.answers {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => come.extend_from_slice(&buffer[..read]),
            Ok(_) => return true,
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    true
}

/// How many final answers there are. No origin says these words in a body.
fn answers(come: &[u8]) -> usize {
    let starts = |word: &[u8]| memchr::memmem::find_iter(come, word).count();
    starts(b"HTTP/1.1 ") - starts(b"HTTP/1.1 1")
}

/// The first that arrived without being the next of those that were authorised, some of which may not have arrived.
fn first_stranger<'a>(authorised: &[Seen], arrived: &'a [Seen]) -> Option<&'a Seen> {
    let mut rest = authorised.iter();
    arrived.iter().find(|seen| !rest.any(|request| request == *seen))
}
