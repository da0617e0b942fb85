//! Log entry of a request: collected while the request is served, and counted and logged once its
//! response has ended.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Version;

use crate::policy::{
    Digest, Head, HeaderKind, KeyRecord, Now, OutcomeClass, Refusal, contains_key, field_text,
};
use crate::proxy::request::connection::Connection;
use crate::proxy::worker::current::{Current, CurrentRuntime};
use crate::proxy::worker::in_flight::InFlightRequest;
use crate::proxy::worker::log::{LONGEST_HOST, LONGEST_METHOD, LONGEST_PATH, Logged, redacted};
use crate::proxy::worker::request_id::RequestId;
use crate::proxy::worker::request_state::{RequestOutcome, RequestState};
use crate::stats::{ApiStats, CutShort};
use crate::text::clipped;

/// Log entry that counts and logs its request when it is dropped: at the end of the response body,
/// or earlier if the client leaves.
pub(in crate::proxy) struct LogEntry {
    connection: Rc<Connection>,
    runtime: CurrentRuntime,
    /// When the request's head was read, in monotonic nanoseconds and in Unix seconds.
    started: (u64, i64),
    api: Option<usize>,
    /// The key, if one was found, valid or not.
    key: Option<Arc<KeyRecord>>,
    status: u16,
    refusal: Option<Refusal>,
    upstream: Option<u64>,
    bytes: u64,
    /// Slab key among the requests in flight, and the request's state. `None` before the request is
    /// forwarded.
    in_flight: Option<(usize, Rc<RequestState>)>,
    /// `None` if requests are not logged.
    line: Option<Box<Line>>,
}

/// Fields that only the log needs.
struct Line {
    request_id: String,
    client: IpAddr,
    method: String,
    path: String,
    host: String,
    version: Version,
}

impl LogEntry {
    /// Starts the entry of a request whose head was read at `now`, and counts the request as in
    /// flight.
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
        let line = current.runtime.log_requests.then(|| {
            let host = head.fields.first(HeaderKind::Host).and_then(field_text);
            let host = host.or(head.target.authority);
            Box::new(Line {
                request_id: request_id.as_str().to_owned(),
                client: connection.peer.address,
                method: clipped(head.method.as_str(), LONGEST_METHOD).into_owned(),
                path: clipped(head.target.path, LONGEST_PATH).into_owned(),
                host: clipped(host.unwrap_or_default(), LONGEST_HOST).into_owned(),
                version,
            })
        });
        Self {
            connection: connection.clone(),
            runtime: current.runtime.clone(),
            started: (now.monotonic, now.unix),
            api: None,
            key: None,
            status: 0,
            refusal: None,
            upstream: None,
            bytes: 0,
            in_flight: None,
            line,
        }
    }

    /// Notes the API, the key and the client's address, as far as they are known.
    pub(in crate::proxy) fn set_caller(
        &mut self,
        api: Option<usize>,
        key: Option<&Arc<KeyRecord>>,
        client: Option<IpAddr>,
    ) {
        self.api = api;
        self.key = key.cloned();
        if let Some(line) = &mut self.line {
            line.client = client.unwrap_or(line.client);
        }
    }

    /// Notes that the request is being forwarded, and adds it to the requests in flight. From now
    /// on it is cancelled as soon as its key, if it has one, would be refused or one of its
    /// deadlines passes.
    pub(in crate::proxy) fn set_in_flight(
        &mut self,
        digest: Option<Digest>,
        api: usize,
        state: &Rc<RequestState>,
    ) {
        let worker = &self.connection.worker;
        let entry = InFlightRequest {
            digest,
            runtime: self.runtime.clone(),
            api,
            state: state.clone(),
            began: worker.soon(Duration::ZERO),
        };
        self.in_flight = Some((worker.in_flight().add(entry), state.clone()));
        if let Some(stats) = self.api_stats() {
            stats.in_flight.add(1);
        }
    }

    /// Returns this worker's counters for the API.
    fn api_stats(&self) -> Option<&ApiStats> {
        self.runtime.apis.get(self.api?)?.stats.get(self.connection.worker.index())
    }

    /// Returns the request's state, or `None` before it is forwarded.
    pub(in crate::proxy) fn state(&self) -> Option<&Rc<RequestState>> {
        self.in_flight.as_ref().map(|(_, state)| state)
    }

    /// Notes that the client has received the whole response.
    pub(in crate::proxy) fn set_delivered(&self) {
        if let Some(state) = self.state() {
            state.set_delivered();
        }
    }

    /// Notes that bytes of the response were transferred.
    pub(in crate::proxy) fn note_moved(&self) {
        if let Some((_, state)) = &self.in_flight {
            state.moved(self.connection.worker.soon(Duration::ZERO));
        }
    }

    /// Cancels the request after its response has begun, and counts the reason.
    pub(in crate::proxy) fn give_up(&self, refusal: Refusal) {
        self.connection.worker.stats().cuts[refusal.index()].add(1);
        if let Some((_, state)) = &self.in_flight {
            state.cancel(refusal);
        }
    }

    /// Returns why the request was cancelled, or `None` if it was not.
    pub(in crate::proxy) fn cancelled(&self) -> Option<Refusal> {
        self.in_flight.as_ref()?.1.cancelled()
    }

    /// Returns whether the API's errors tell the reasons for a refusal apart. Without an API they
    /// do.
    pub(in crate::proxy) fn errors_distinguish(&self) -> bool {
        self.api
            .and_then(|api| self.runtime.routes.apis().get(api))
            .is_none_or(|api| api.definition().errors_distinguish)
    }

    /// Notes a refusal and the status that it is sent with.
    pub(in crate::proxy) fn set_refused(&mut self, refusal: Refusal, status: u16) {
        self.refusal = Some(refusal);
        self.status = status;
    }

    /// Notes the status of a response that Keygate generates in the upstream's place.
    pub(in crate::proxy) fn set_answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Notes the status of the upstream's response, and the time until its head arrived, in
    /// nanoseconds.
    pub(in crate::proxy) fn set_forwarded(&mut self, status: u16, upstream: u64) {
        self.status = status;
        self.upstream = Some(upstream / 1000);
    }

    /// Adds bytes of the response body.
    pub(in crate::proxy) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.note_moved();
    }
}

/// How a request ended, as it is counted and logged.
#[derive(Clone, Copy)]
enum Ended {
    Refused(Refusal),
    /// Keygate answered in the upstream's place.
    Answered,
    Forwarded,
    /// Ended during its response, for a reason that has a response of its own.
    Cut(Refusal),
    /// Truncated, for a reason that has no response of its own.
    CutShort(CutShort),
}

impl Ended {
    /// Returns the class of a request whose response has this status.
    fn class(self, status: u16) -> OutcomeClass {
        match self {
            Self::Refused(refusal) | Self::Cut(refusal) => OutcomeClass::of_refusal(refusal),
            Self::Answered | Self::Forwarded => OutcomeClass::of_status(status),
            Self::CutShort(CutShort::ClientLeft) => OutcomeClass::Client,
            Self::CutShort(CutShort::UpstreamTruncated | CutShort::GatewayStopped) => {
                OutcomeClass::Failed
            }
        }
    }

    /// Returns the outcome as the log shows it.
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
            // The client left before there was a response.
            self.set_refused(Refusal::ClientAborted, 499);
        }
        let ended = self.ended();
        let worker = &self.connection.worker;
        if let Some((place, state)) = &self.in_flight {
            worker.in_flight().remove(*place);
            if state.cancelled().is_some() {
                // The task that still sends to the upstream must not keep the client's stream open.
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
        self.count_for_key(ended);
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
            (None, Some(RequestOutcome::Whole)) => Ended::Forwarded,
            (None, Some(RequestOutcome::Cancelled(refusal))) => Ended::Cut(refusal),
            (None, Some(RequestOutcome::CutShort(why))) => Ended::CutShort(why),
        }
    }

    /// Counts the request. `duration` is in microseconds.
    fn count(&self, ended: Ended, duration: u64) {
        let stats = self.connection.worker.stats();
        match ended {
            // Cancelled requests were counted when they were cancelled.
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

    /// Counts the request for its key.
    fn count_for_key(&self, ended: Ended) {
        let Some(key) = &self.key else { return };
        let api = self.api.and_then(|api| self.runtime.apis.get(api));
        let secret = key.secrets().next();
        // A record has a secret, and a key is found in an API only.
        let Some((api, secret)) = api.zip(secret) else { return };
        let class = ended.class(self.status);
        let name = &api.config.definition.name;
        if key.account().note_end(name, &secret.digest, class, self.started.1) {
            self.connection.worker.add_used_key(key);
        }
    }

    fn log(&self, line: &Line, ended: Ended, duration: u64) {
        let api = self.api.and_then(|api| self.runtime.apis.get(api));
        let apis = self.runtime.routes.apis();
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
            key: self.key.as_ref().map(|key| key.id()),
            status: self.status,
            // A truncated response keeps the status that was already sent.
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
