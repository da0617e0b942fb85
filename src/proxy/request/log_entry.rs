//! What is remembered about a request while it is served, counted and logged when its answer has
//! ended.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Version;

use crate::policy::{Digest, Head, KeyRecord, Known, Now, Refusal, contains_key, field_text};
use crate::proxy::request::connection::Connection;
use crate::proxy::worker::current::{Current, CurrentSite};
use crate::proxy::worker::in_flight::Entry;
use crate::proxy::worker::log::{LONGEST_HOST, LONGEST_METHOD, LONGEST_PATH, Logged, redacted};
use crate::proxy::worker::request_id::RequestId;
use crate::proxy::worker::request_state::{Outcome, RequestState};
use crate::stats::{ApiStats, CutShort};
use crate::text::clipped;

/// Counts and logs its request when it is dropped: at the end of the answer's body, or when the
/// client went away before.
pub(in crate::proxy) struct LogEntry {
    connection: Rc<Connection>,
    site: CurrentSite,
    /// Monotonic nanoseconds, and Unix seconds.
    started: (u64, i64),
    api: Option<usize>,
    status: u16,
    refusal: Option<Refusal>,
    upstream: Option<u64>,
    bytes: u64,
    /// Place among the requests that may be cut. None before the request is sent on.
    in_flight: Option<(usize, Rc<RequestState>)>,
    /// None where requests are not logged.
    line: Option<Box<Line>>,
}

/// What only the log needs.
struct Line {
    request_id: String,
    client: IpAddr,
    method: String,
    path: String,
    host: String,
    version: Version,
    key: Option<Arc<KeyRecord>>,
}

impl LogEntry {
    pub(in crate::proxy) fn start(
        connection: &Rc<Connection>,
        current: &Current,
        head: &Head<'_>,
        version: Version,
        request_id: &RequestId,
        now: Now,
    ) -> Self {
        connection.request_started();
        connection.worker.stats().requests_in_flight.add(1);
        let line = current.site.log_requests.then(|| {
            let host = head.fields.first(Known::Host).and_then(field_text);
            let host = host.or(head.target.authority);
            Box::new(Line {
                request_id: request_id.as_str().to_owned(),
                client: connection.peer.address,
                method: clipped(head.method.as_str(), LONGEST_METHOD).into_owned(),
                path: clipped(head.target.path, LONGEST_PATH).into_owned(),
                host: clipped(host.unwrap_or_default(), LONGEST_HOST).into_owned(),
                version,
                key: None,
            })
        });
        Self {
            connection: connection.clone(),
            site: current.site.clone(),
            started: (now.monotonic, now.unix),
            api: None,
            status: 0,
            refusal: None,
            upstream: None,
            bytes: 0,
            in_flight: None,
            line,
        }
    }

    /// Notes who calls which API from where, as far as it is known.
    pub(in crate::proxy) fn set_caller(
        &mut self,
        api: Option<usize>,
        key: Option<&Arc<KeyRecord>>,
        client: Option<IpAddr>,
    ) {
        self.api = api;
        if let Some(line) = &mut self.line {
            line.key = key.cloned();
            line.client = client.unwrap_or(line.client);
        }
    }

    /// The request is sent on. From now on it lives only as long as its key, if it has one, would
    /// be admitted, and as its deadlines allow.
    pub(in crate::proxy) fn set_in_flight(
        &mut self,
        digest: Option<Digest>,
        api: usize,
        state: &Rc<RequestState>,
    ) {
        let worker = &self.connection.worker;
        let entry = Entry {
            digest,
            site: self.site.clone(),
            api,
            state: state.clone(),
            began: worker.soon(Duration::ZERO),
        };
        self.in_flight = Some((worker.in_flight().add(entry), state.clone()));
        if let Some(stats) = self.api_stats() {
            stats.in_flight.add(1);
        }
    }

    /// What this worker counts for the API.
    fn api_stats(&self) -> Option<&ApiStats> {
        self.site.apis.get(self.api?)?.stats.get(self.connection.worker.index())
    }

    /// The state of the request, once it has been sent on.
    pub(in crate::proxy) fn state(&self) -> Option<&Rc<RequestState>> {
        self.in_flight.as_ref().map(|(_, state)| state)
    }

    /// Notes that the client has got all of the answer.
    pub(in crate::proxy) fn set_delivered(&self) {
        if let Some(state) = self.state() {
            state.set_delivered();
        }
    }

    /// Notes that a part of the answer has moved.
    pub(in crate::proxy) fn note_moved(&self) {
        if let Some((_, state)) = &self.in_flight {
            state.moved(self.connection.worker.soon(Duration::ZERO));
        }
    }

    /// The answer has begun, and is given up because of this.
    pub(in crate::proxy) fn give_up(&self, refusal: Refusal) {
        self.connection.worker.stats().cuts[refusal.index()].add(1);
        if let Some((_, state)) = &self.in_flight {
            state.cancel(refusal);
        }
    }

    /// Why the request was cut, if it was.
    pub(in crate::proxy) fn cancelled(&self) -> Option<Refusal> {
        self.in_flight.as_ref()?.1.cancelled()
    }

    /// Whether the API tells reasons apart.
    pub(in crate::proxy) fn errors_distinguish(&self) -> bool {
        self.api
            .and_then(|api| self.site.routes.apis().get(api))
            .is_none_or(|api| api.definition().errors_distinguish)
    }

    /// Notes an answer of Keygate's own.
    pub(in crate::proxy) fn set_refused(&mut self, refusal: Refusal, status: u16) {
        self.refusal = Some(refusal);
        self.status = status;
    }

    /// Notes an answer that Keygate gives in the API's place.
    pub(in crate::proxy) fn set_answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Notes an answer of the upstream and how long it took to begin, in nanoseconds.
    pub(in crate::proxy) fn set_forwarded(&mut self, status: u16, upstream: u64) {
        self.status = status;
        self.upstream = Some(upstream / 1000);
    }

    /// Notes bytes of the answer's body.
    pub(in crate::proxy) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.note_moved();
    }
}

/// How a request has ended, as it is counted and logged.
#[derive(Clone, Copy)]
enum Ended {
    Refused(Refusal),
    /// Keygate has answered in the API's place.
    Answered,
    Forwarded,
    /// In the middle of its answer, for a reason that would have refused it.
    Cut(Refusal),
    /// The same, for a reason that has no answer.
    CutShort(CutShort),
}

impl Ended {
    fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) | Self::Cut(refusal) => refusal.code(),
            Self::Answered => "answered",
            Self::Forwarded => "forwarded",
            Self::CutShort(why) => why.code(),
        }
    }
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        if self.status == 0 {
            // The client went away before there was an answer.
            self.set_refused(Refusal::ClientAborted, 499);
        }
        let ended = self.ended();
        let worker = &self.connection.worker;
        if let Some((place, state)) = &self.in_flight {
            worker.in_flight().remove(*place);
            if state.cancelled().is_some() {
                // Whoever still sends to the upstream must not keep the client's stream open.
                state.take_incoming();
            }
            if let Some(stats) = self.api_stats() {
                stats.in_flight.sub(1);
            }
        }
        let now = worker.now().monotonic;
        worker.stats().requests_in_flight.sub(1);
        self.connection.request_ended(now);
        let duration = now.saturating_sub(self.started.0) / 1000;
        self.count(ended, duration);
        if let Some(line) = &self.line {
            self.log(line, ended, duration);
        }
    }
}

impl LogEntry {
    fn ended(&self) -> Ended {
        match (self.refusal, self.state().map(|state| state.outcome())) {
            (Some(refusal), _) => Ended::Refused(refusal),
            (None, None) => Ended::Answered,
            (None, Some(Outcome::Whole)) => Ended::Forwarded,
            (None, Some(Outcome::Cut(refusal))) => Ended::Cut(refusal),
            (None, Some(Outcome::CutShort(why))) => Ended::CutShort(why),
        }
    }

    /// `duration`: in microseconds.
    fn count(&self, ended: Ended, duration: u64) {
        let stats = self.connection.worker.stats();
        match ended {
            // Those that were cut off were counted then.
            Ended::Cut(refusal) if self.cancelled().is_none() => stats.cuts[refusal.index()].add(1),
            Ended::CutShort(why) => stats.cut_short[why as usize].add(1),
            _ => {}
        }
        let Some(api) = self.api_stats() else {
            if let Ended::Refused(refusal) = ended {
                stats.refused[refusal.index()].add(1);
            }
            return;
        };
        let class = usize::from(self.status / 100).clamp(1, 5) - 1;
        match ended {
            Ended::Refused(refusal) => api.refused[refusal.index()].add(1),
            Ended::Answered => api.answered[class].add(1),
            Ended::Forwarded | Ended::Cut(_) => api.forwarded[class].add(1),
            Ended::CutShort(why) => api.cut_short[why as usize][class].add(1),
        }
        api.duration.record(duration);
        if let Some(upstream) = self.upstream {
            api.upstream.record(upstream);
        }
    }

    fn log(&self, line: &Line, ended: Ended, duration: u64) {
        let api = self.api.and_then(|api| self.site.apis.get(api));
        let apis = self.site.routes.apis();
        let safe = |text| redacted(text, |text| contains_key(apis, text));
        let logged = Logged {
            time: self.started.1,
            request_id: &line.request_id,
            client: line.client,
            method: safe(&line.method),
            host: safe(&line.host),
            path: safe(&line.path),
            protocol: match line.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            api: api.map(|api| api.config.definition.name.as_ref()),
            key: line.key.as_ref().map(|key| key.id()),
            status: self.status,
            // An answer that ended in its middle keeps the status that had been sent.
            outcome: ended.code(),
            bytes: self.bytes,
            duration,
            upstream: self.upstream,
        };
        let worker = &self.connection.worker;
        let lost = worker.log(&logged);
        worker.stats().log_lines_lost.add(lost);
    }
}
