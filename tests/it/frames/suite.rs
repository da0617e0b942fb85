//! Tables of cases, and how a case is run.

use std::cell::RefCell;
use std::time::Duration;

use super::wire::{Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, get};
use crate::harness::{Gateway, Upstream, wait_for};

/// The required outcome of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// The connection ends with this error code.
    Goaway(u32),
    /// The stream is reset with this error code, without a response. The connection stays open.
    Reset(u32, u32),
    /// The stream gets a response with this status. The connection stays open.
    Status(u32, u16),
    /// The gateway ignores it. The connection stays open.
    Nothing,
}

/// An action of the client.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Waits until the response on this stream has ended.
    Await(u32),
}

/// What a client sends after the preface and its SETTINGS.
pub(super) struct Case {
    name: &'static str,
    /// The section of RFC 9113 that decides, unless another document is named.
    section: &'static str,
    steps: Vec<Step>,
    want: Want,
    /// Methods and targets of the requests that reach the upstream completely.
    arrives: &'static [&'static str],
    /// Whether they may also be cancelled before they reach the upstream.
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
    /// Waits until the response on a stream has ended, and then sends more.
    pub(super) fn then(mut self, stream: u32, sent: impl Into<Vec<u8>>) -> Self {
        self.steps.extend([Step::Await(stream), Step::Send(sent.into())]);
        self
    }

    pub(super) fn arrives(mut self, requests: &'static [&'static str]) -> Self {
        self.arrives = requests;
        self
    }

    /// The request is complete and was admitted, but what follows it may cancel it before it
    /// reaches the upstream.
    pub(super) fn may_arrive(mut self, requests: &'static [&'static str]) -> Self {
        (self.arrives, self.perhaps) = (requests, true);
        self
    }
}

/// A gateway that admits GET, POST and OPTIONS requests without a key, and its upstream.
pub(super) struct Bench {
    pub(super) upstream: Upstream,
    pub(super) gateway: Gateway,
    /// Requests that earlier cases may still forward.
    late: RefCell<Vec<&'static str>>,
}

/// The limit of concurrent streams.
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

    // Longer than 60 lines: one arm for each kind of expectation.
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
        // Whatever is forwarded at all is forwarded before the gateway sends the outcome.
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

/// A received frame that determines the outcome of a case.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Goaway(u32),
    Reset(u32, u32),
    Status(u32, u16),
}

impl Came {
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

/// Returns whether no more frames need to be read.
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
