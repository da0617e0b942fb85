//! What a table of cases is, and how one is run.

use std::cell::RefCell;
use std::time::Duration;

use super::wire::{Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, get};
use crate::harness::{Gateway, Upstream, wait_for};

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// The connection ends with this code.
    Goaway(u32),
    /// The stream is reset with this code, without an answer; the connection goes on.
    Reset(u32, u32),
    /// The stream gets an answer with this status; the connection goes on.
    Status(u32, u16),
    /// Nothing comes of it; the connection goes on.
    Nothing,
}

/// What a client does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Waits until the answer on this stream has ended.
    Await(u32),
}

/// One thing that a client may do behind the preface and its SETTINGS.
pub(super) struct Case {
    name: &'static str,
    /// What decides: a section of RFC 9113, unless another one is named.
    section: &'static str,
    steps: Vec<Step>,
    want: Want,
    /// Methods and targets of the requests that reach the upstream whole.
    arrives: &'static [&'static str],
    /// Whether they may as well be broken off before.
    perhaps: bool,
}

pub(super) fn case(
    section: &'static str,
    name: &'static str,
    sent: impl Into<Vec<u8>>,
    want: Want,
) -> Case {
    Case { name, section, steps: vec![Step::Send(sent.into())], want, arrives: &[], perhaps: false }
}

impl Case {
    /// Waits for the end of the answer on a stream, and then sends more.
    pub(super) fn then(mut self, stream: u32, sent: impl Into<Vec<u8>>) -> Self {
        self.steps.extend([Step::Await(stream), Step::Send(sent.into())]);
        self
    }

    pub(super) fn arrives(mut self, requests: &'static [&'static str]) -> Self {
        self.arrives = requests;
        self
    }

    /// The request is whole and was admitted, but what comes behind it may break it off before it
    /// arrives.
    pub(super) fn may_arrive(mut self, requests: &'static [&'static str]) -> Self {
        (self.arrives, self.perhaps) = (requests, true);
        self
    }
}

/// A gateway that lets much pass without a key, and whatever it passes on.
pub(super) struct Bench {
    pub(super) upstream: Upstream,
    pub(super) gateway: Gateway,
    /// What earlier cases may still send.
    late: RefCell<Vec<&'static str>>,
}

/// Streams at a time.
pub(super) const STREAMS: u32 = 4;
const PROBE: u32 = 0x7fff_0001;

impl Bench {
    pub(super) fn start() -> Self {
        let upstream = Upstream::start();
        let public = r#"public = ["GET /**", "POST /**", "OPTIONS /**"]"#;
        let server = format!("max_streams = {STREAMS}\nmax_header_size = \"8KiB\"");
        let gateway = Gateway::in_front_of(&upstream).server(&server).api(public).start();
        Self { upstream, gateway, late: RefCell::default() }
    }

    /// Runs each case on a connection of its own.
    #[track_caller]
    pub(super) fn run(&self, cases: Vec<Case>) {
        let failures: Vec<String> =
            cases.iter().filter_map(|case| self.verdict(case).err()).collect();
        println!("{} cases", cases.len());
        assert!(
            failures.is_empty(),
            "{} of {} cases:\n{}",
            failures.len(),
            cases.len(),
            failures.join("\n")
        );
    }

    fn verdict(&self, case: &Case) -> Result<(), String> {
        self.upstream.forget();
        let mut wire = Wire::open(&self.gateway);
        wire.set_patience(Duration::from_secs(10));
        let mut come = Vec::new();
        for step in &case.steps {
            match step {
                Step::Send(bytes) => _ = wire.send(bytes),
                Step::Await(stream) => {
                    while let Ok(Some(frame)) = wire.try_read() {
                        let ended = frame.stream == *stream && frame.ends_stream();
                        come.push(frame);
                        if ended {
                            break;
                        }
                    }
                }
            }
        }
        if !matches!(case.want, Want::Goaway(_)) {
            wire.send(&get(PROBE, "/probe"));
        }
        let said = |what: String| Err(format!("§{} {}: {what}", case.section, case.name));
        while !is_settled(case.want, &come) {
            match wire.try_read() {
                Ok(Some(frame)) => come.push(frame),
                Ok(None) => break,
                Err(_) => {
                    return said(format!(
                        "{:?} was to come, and nothing does behind {:?}",
                        case.want,
                        outcome(&come)
                    ));
                }
            }
        }
        let came = outcome(&come);
        let expected = match case.want {
            Want::Goaway(code) => came.contains(&Came::Goaway(code)),
            Want::Reset(stream, code) => came == [Came::Reset(stream, code)],
            Want::Status(stream, status) => {
                came.contains(&Came::Status(stream, status)) && !came.iter().any(Came::is_end)
            }
            Want::Nothing => came.is_empty(),
        };
        if !expected {
            return said(format!("{:?} was to come, not {came:?}", case.want));
        }
        // What was passed on at all was so before the gateway said what came of it.
        let arrived = || -> Vec<String> {
            let requests = self
                .upstream
                .requests()
                .into_iter()
                .map(|request| request.start.replace(" HTTP/1.1", ""));
            requests
                .filter(|request| {
                    request != "GET /probe" && !self.late.borrow().contains(&&**request)
                })
                .collect()
        };
        if case.perhaps && arrived().is_empty() {
            self.late.borrow_mut().extend(case.arrives);
            return Ok(());
        }
        if arrived().len() < case.arrives.len() {
            wait_for(case.name, || (arrived().len() >= case.arrives.len()).then_some(()));
        }
        if arrived() != case.arrives {
            said(format!("{:?} were to arrive, not {:?}", case.arrives, arrived()))
        } else {
            Ok(())
        }
    }
}

/// What came that says something about a case.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Goaway(u32),
    Reset(u32, u32),
    Status(u32, u16),
}

impl Came {
    /// Whether it ends more than a stream that was answered.
    fn is_end(&self) -> bool {
        matches!(self, Self::Goaway(_))
    }
}

fn outcome(frames: &[Frame]) -> Vec<Came> {
    let mut came = Vec::new();
    for frame in frames.iter().filter(|frame| {
        frame.stream != PROBE && !matches!(frame.kind, SETTINGS | PING | WINDOW_UPDATE)
    }) {
        match frame.kind {
            GOAWAY => came.push(Came::Goaway(frame.code())),
            RST_STREAM => came.push(Came::Reset(frame.stream, frame.code())),
            HEADERS => came.push(Came::Status(frame.stream, frame.status())),
            _ => {}
        }
    }
    came
}

/// Whether nothing more needs to be read.
fn is_settled(want: Want, frames: &[Frame]) -> bool {
    let probed = frames.iter().any(|frame| frame.stream == PROBE && frame.ends_stream());
    match want {
        Want::Goaway(_) => false, // not before the connection is closed
        Want::Nothing => probed,
        Want::Reset(stream, _) => {
            probed && frames.iter().any(|frame| frame.kind == RST_STREAM && frame.stream == stream)
        }
        Want::Status(stream, _) => {
            probed && frames.iter().any(|frame| frame.kind == HEADERS && frame.stream == stream)
        }
    }
}
