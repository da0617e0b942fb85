//! Sends random, mutated responses through Keygate. The client gets what the codec parses, or 502,
//! or a truncated response. The next request gets its own response.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use keygate::http1::{self, Piece, ResponseHead, find_end};
use keygate::policy::Fields;

use super::super::super::harness::{Answer, Gateway, Message, PATIENCE, Upstream};
use super::mutation::{self, Random};
use super::{CASES, number, seed};

/// The gateway's limits for response heads.
const LARGEST_HEAD: usize = 128 * 1024;
const MOST_FIELDS: usize = 256;

/// What the upstream's bytes begin with.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Whole(u16, Vec<u8>),
    /// The head and part of the body, after which the response is malformed or incomplete.
    Part(u16, Vec<u8>),
    Nonsense,
}

fn read(mut bytes: &[u8]) -> Reading {
    loop {
        let Ok(Some(end)) = find_end(bytes, 0, LARGEST_HEAD) else { return Reading::Nonsense };
        let (mut head, mut rest) = (bytes[..end].to_vec(), &bytes[end..]);
        let mut fields = Fields::new();
        let Ok((status, version)) = http1::response(&mut head, MOST_FIELDS, &mut fields) else {
            return Reading::Nonsense;
        };
        // No request here asks for an upgrade.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Reading::Nonsense;
        }
        if status.is_informational() {
            bytes = rest;
            continue;
        }
        let head = ResponseHead { status, version, fields: &fields };
        let Ok(mut framing) = http1::response_body(&head, false) else { return Reading::Nonsense };
        let (status, mut body) = (status.as_u16(), Vec::new());
        while !framing.is_done() {
            match framing.read(rest) {
                // The upstream closes the connection although the body is incomplete.
                Ok((read, Piece::More)) if read == rest.len() => {
                    return if framing.close() {
                        Reading::Whole(status, body)
                    } else {
                        Reading::Part(status, body)
                    };
                }
                Ok((read, piece)) => {
                    if let Piece::Data(range) = piece {
                        body.extend_from_slice(&rest[range]);
                    }
                    rest = &rest[read..];
                }
                Err(_) => return Reading::Part(status, body),
            }
        }
        return Reading::Whole(status, body);
    }
}

/// Returns whether the response ends only when the connection does, so that the upstream must
/// close.
fn waits(bytes: &[u8]) -> bool {
    read(bytes) != read(&[bytes, b"\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"].concat())
        || !matches!(read(bytes), Reading::Whole(..))
}

fn ask(gateway: &Gateway, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut come = Vec::new();
    stream.read_to_end(&mut come).expect("an end in time");
    come
}

#[test]
fn answers_are_passed_back_as_they_are_read_and_never_to_another_request() {
    let cases = number("KEYGATE_DIFFERENTIAL_CASES")
        .map_or(CASES, |cases| usize::try_from(cases).expect("a number of cases"));
    let seed = seed();
    let odd: Arc<Mutex<Vec<u8>>> = Arc::default();
    let sent = odd.clone();
    let upstream =
        Upstream::answering(move |request| match request.start.strip_prefix("GET /honest/") {
            Some(rest) => Answer::new("200 OK", &[], rest.as_bytes()),
            None => {
                let bytes = sent.lock().unwrap().clone();
                if waits(&bytes) { Answer::raw(bytes).then_close() } else { Answer::raw(bytes) }
            }
        });
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\nrequests = false\n[[api]]\n\
            name = \"desk\"\nupstream = \"{}\"\npublic = [\"GET /**\"]\n",
        upstream.url()
    );
    let gateway = Gateway::serve(&toml, None);
    let mut random = Random::new(seed);
    let mut whole = 0;
    for number in 0..cases {
        let bytes = mutation::answer(&mut random);
        *odd.lock().unwrap() = bytes.clone();
        let told = || format!("seed {seed}, case {number}: {}", bytes.escape_ascii());
        let come = ask(&gateway, "/odd");
        let mut rest = &come[..];
        let answer = Message::read(&mut rest, |answer| !matches!(answer.status(), 204 | 304));
        match (read(&bytes), answer) {
            (Reading::Whole(status, body), Ok(Some(answer))) => {
                assert_eq!(
                    (answer.status(), answer.body.escape_ascii().to_string()),
                    (status, body.escape_ascii().to_string()),
                    "{}",
                    told()
                );
                assert!(rest.is_empty(), "{}: {} follows", told(), rest.escape_ascii());
                whole += 1;
            }
            (Reading::Nonsense, Ok(Some(answer))) => assert_eq!(answer.status(), 502, "{}", told()),
            // Truncated at the error, so that it does not look complete.
            (Reading::Part(status, _), Err(_)) => {
                assert!(come.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", told())
            }
            (reading, answer) => panic!("{}: {reading:?} became {answer:?}", told()),
        }
        let honest = ask(&gateway, &format!("/honest/{number}"));
        let body = format!("\r\n\r\n{number} HTTP/1.1");
        assert!(
            honest.starts_with(b"HTTP/1.1 200 ") && honest.ends_with(body.as_bytes()),
            "{}: {}",
            told(),
            honest.escape_ascii()
        );
        upstream.forget();
    }
    println!("answers: seed {seed}, {cases} cases, {whole} whole");
    assert!(whole * 10 > cases, "seed {seed}: hardly any answer is whole");
}
