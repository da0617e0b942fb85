//! A conformance suite that uses sockets directly: how the gateway treats messages that servers
//! parse differently. Every case names the section that it rests on. An upstream that records every
//! request shows which ones were forwarded.

mod answers;
mod chunks;
mod cors;
mod credentials;
mod framing;
mod identity;
mod lines;
mod requests;
mod target;
mod waiting;

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Answer, Gateway, Message, PATIENCE, Upstream};

/// Sent after each case. This request must be answered if the connection persists, and must not be
/// forwarded otherwise.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// A body that becomes a request if a server ends the request before it too early.
const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// A case.
struct Case {
    /// The RFC and section.
    section: &'static str,
    sent: Vec<u8>,
    /// The statuses of the final responses, except the one to [`LAST`].
    answers: Vec<u16>,
    /// The forwarded requests in the form of [`shape`], except [`LAST`].
    arrives: Vec<String>,
    /// Whether the connection persists and serves [`LAST`]. Otherwise it is closed, and the bytes
    /// after the case are ignored.
    goes_on: bool,
}

/// The request is refused with this status. The connection is closed, and nothing is forwarded.
fn refused(status: u16, section: &'static str, sent: impl AsRef<[u8]>) -> Case {
    Case {
        section,
        sent: sent.as_ref().to_vec(),
        answers: vec![status],
        arrives: Vec::new(),
        goes_on: false,
    }
}

/// The request is refused with this status. Its end is unambiguous, so the connection persists.
fn declined(status: u16, section: &'static str, sent: impl AsRef<[u8]>) -> Case {
    Case { goes_on: true, ..refused(status, section, sent) }
}

/// Exactly these requests are forwarded, and each is answered with 200.
fn forwarded(section: &'static str, sent: impl AsRef<[u8]>, arrives: &[&str]) -> Case {
    mixed(section, sent, &vec![200; arrives.len()], arrives)
}

/// These are the statuses of the responses, and these requests are forwarded.
fn mixed(section: &'static str, sent: impl AsRef<[u8]>, answers: &[u16], arrives: &[&str]) -> Case {
    let arrives = arrives.iter().map(|text| (*text).to_owned()).collect();
    Case {
        section,
        sent: sent.as_ref().to_vec(),
        answers: answers.to_vec(),
        arrives,
        goes_on: true,
    }
}

impl Case {
    /// The connection is closed after the case.
    fn then_closed(self) -> Self {
        Self { goes_on: false, ..self }
    }
}

/// Returns a `POST /x` with these header lines. `rest` follows the head.
fn post(lines: &str, rest: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{rest}")
}

/// A gateway and its upstream. It has one worker, so that the next request uses any pooled
/// connection that the case has damaged.
struct Stand {
    gateway: Gateway,
    upstream: Upstream,
}

impl Stand {
    fn start() -> Self {
        Self::with("", "")
    }

    /// Starts a gateway with settings of `[server]` and of the API, whose requests need no key.
    fn with(server: &str, api: &str) -> Self {
        let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], b"ok"));
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n{server}\n[[api]]\nname = \"desk\"\n\
                upstream = \"{}\"\n\
             public = [\"GET /**\", \"POST /**\", \"OPTIONS /**\"]\n{api}\n",
            upstream.url()
        );
        Self { gateway: Gateway::serve(&toml, None), upstream }
    }

    /// Sends these bytes on a connection of its own. Returns everything that is received.
    fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.gateway.address()).expect("the gateway accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        // The gateway may stop reading once it has refused. Only its responses count.
        let _ = stream.write_all(bytes);
        let mut come = Vec::new();
        let _ = stream.read_to_end(&mut come);
        come
    }

    /// Runs all cases and reports every failure.
    #[track_caller]
    fn check(&self, cases: &[Case]) {
        println!("{} cases", cases.len());
        let failures: Vec<String> = cases
            .iter()
            .filter_map(|case| self.run(case).err().map(|why| format!("{why}\n{}", show(case))))
            .collect();
        assert!(
            failures.is_empty(),
            "{} of {} cases:\n{}",
            failures.len(),
            cases.len(),
            failures.join("\n")
        );
    }

    fn run(&self, case: &Case) -> Result<(), String> {
        self.upstream.forget();
        let come = self.exchange(&[&case.sent[..], LAST.as_bytes()].concat());
        let answers = read_answers(&come, case.sent.starts_with(b"HEAD "))?;
        let statuses: Vec<u16> = answers.iter().map(Message::status).collect();
        let last = case.goes_on.then_some(200);
        let expected: Vec<u16> = case.answers.iter().copied().chain(last).collect();
        if statuses != expected {
            return Err(format!("answered {statuses:?}, not {expected:?}"));
        }
        if answers.last().and_then(|answer| answer.header("connection")) != Some("close") {
            return Err("the last answer does not say that the connection closes".to_owned());
        }
        // Bytes left over on a pooled connection would be forwarded now, or become the response to
        // this request.
        let next = self.exchange(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        if !(next.starts_with(b"HTTP/1.1 200 ") && next.ends_with(b"\r\n\r\nok")) {
            return Err(format!("the next request was answered with {}", next.escape_ascii()));
        }
        let arrived: Vec<String> = self.upstream.requests().iter().map(shape).collect();
        let last = case.goes_on.then(|| "GET /last".to_owned());
        let expected: Vec<String> =
            case.arrives.iter().cloned().chain(last).chain(["GET /next".to_owned()]).collect();
        if arrived == expected {
            Ok(())
        } else {
            Err(format!("arrived: {arrived:?}, not {expected:?}"))
        }
    }
}

fn show(case: &Case) -> String {
    format!("    RFC {}: {}", case.section, show_bytes(&case.sent))
}

/// Reads all final responses. Returns `Err` if they are followed by anything else.
fn read_answers(mut come: &[u8], to_head: bool) -> Result<Vec<Message>, String> {
    let mut answers = Vec::new();
    loop {
        let first_to_head = to_head && answers.is_empty();
        let has_body =
            |answer: &Message| !first_to_head && !matches!(answer.status(), 100..=199 | 204 | 304);
        match Message::read(&mut come, has_body) {
            Ok(Some(answer)) if (100..200).contains(&answer.status()) => {}
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return Ok(answers),
            Err(error) => return Err(format!("no whole answers came ({error})")),
        }
    }
}

/// Describes a forwarded request: method, target, body and trailer fields. Reports properties that
/// no forwarded request may have.
fn shape(request: &Message) -> String {
    let mut shape = request.start.replace(" HTTP/1.1", "");
    if !request.body.is_empty() {
        shape.push_str(&format!(" {}", request.body.escape_ascii()));
    }
    for (name, value) in &request.trailers {
        shape.push_str(&format!(" [{name}: {value}]"));
    }
    if request.has("upgrade") {
        shape.push_str(" and an upgrade");
    }
    let framings = request.all("content-length").len() + request.all("transfer-encoding").len();
    let odd = [
        (!request.start.ends_with(" HTTP/1.1"), "another version"),
        (framings > 1, "two framings"),
        (request.all("host").len() != 1, "no or several hosts"),
        (request.has("expect"), "an expectation"),
        (request.headers.iter().any(|(name, _)| name.contains('_')), "a name with an underscore"),
    ];
    odd.iter().filter(|(is, _)| *is).for_each(|(_, what)| shape.push_str(&format!(" WITH {what}")));
    shape
}

/// Returns the first 300 bytes, escaped, for messages.
fn show_bytes(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}
