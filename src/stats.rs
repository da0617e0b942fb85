//! Counters of the workers. Each worker writes only its own, so that cores do not contend for a
//! cache line. A scrape sums them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Events dropped because stderr could not keep up. Any thread may increment it.
pub static EVENTS_LOST: AtomicU64 = AtomicU64::new(0);

/// A counter or gauge with one writer at a time.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        // With one writer, a load and a store suffice, without a locked instruction.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Subtracts `n`.
    pub fn sub(&self, n: u64) {
        self.add(n.wrapping_neg());
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the latency histograms' buckets, in microseconds.
pub const LATENCY_BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000, 60_000_000,
];

/// Converts microseconds to seconds, the base unit of metrics.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a sum that large has lost its microseconds anyway")]
pub fn seconds_of(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// A histogram of durations, with one writer.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, not cumulative, and one for everything above.
    buckets: [Count; LATENCY_BOUNDS.len() + 1],
    sum: Count,
}

impl Histogram {
    /// Records one duration in microseconds.
    pub fn record(&self, microseconds: u64) {
        let bucket = LATENCY_BOUNDS.partition_point(|bound| *bound < microseconds);
        self.buckets[bucket].add(1);
        self.sum.add(microseconds);
    }

    /// Returns the count of each bucket and the sum in microseconds. There is one bucket for each
    /// bound and one for everything above. The counts are not cumulative.
    #[must_use]
    pub fn read(&self) -> ([u64; LATENCY_BOUNDS.len() + 1], u64) {
        (std::array::from_fn(|bucket| self.buckets[bucket].value()), self.sum.value())
    }
}

/// Why a response ended early, if not because of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutShort {
    /// The upstream closed the connection early.
    UpstreamTruncated,
    /// The client closed the connection.
    ClientLeft,
    /// The gateway stopped, and `drain_timeout` had passed.
    GatewayStopped,
}

impl CutShort {
    /// All variants, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::UpstreamTruncated, Self::ClientLeft, Self::GatewayStopped];

    /// Returns the name in the log and in metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UpstreamTruncated => "upstream_truncated",
            Self::ClientLeft => "client_left",
            Self::GatewayStopped => "gateway_stopped",
        }
    }
}

/// Counters of one worker for one API. Aligned so that two workers never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct ApiStats {
    /// Responses of the upstream by status class: 1xx (a switched protocol) to 5xx.
    pub forwarded: [Count; 5],
    /// Responses of the upstream that ended early, in the order of [`CutShort::ALL`], each by
    /// status class.
    pub cut_short: [[Count; 5]; CutShort::ALL.len()],
    /// Responses of Keygate itself in place of the API (key endpoints), by status class.
    pub answered: [Count; 5],
    /// Refusals of Keygate, by the refusal's index.
    pub refused: Box<[Count]>,
    /// Forwarded requests whose responses have not ended.
    pub in_flight: Count,
    /// The number of such requests of the other workers, as of a moment ago.
    pub elsewhere: Count,
    /// Durations from the request's header section to the end of the response.
    pub duration: Histogram,
    /// Durations from forwarding the request to the response's header section.
    pub upstream: Histogram,
}

impl ApiStats {
    /// Returns zeroed counters for this many kinds of refusals.
    #[must_use]
    pub fn new(refusals: usize) -> Self {
        Self {
            forwarded: Default::default(),
            cut_short: Default::default(),
            answered: Default::default(),
            refused: counts(refusals),
            in_flight: Count::default(),
            elsewhere: Count::default(),
            duration: Histogram::default(),
            upstream: Histogram::default(),
        }
    }
}

/// Counters of one worker for all APIs.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Requests refused before an API was found, by the refusal's index.
    pub refused: Box<[Count]>,
    /// Connections accepted.
    pub connections: Count,
    /// Connections open.
    pub connections_open: Count,
    /// Failed attempts to accept a connection, for lack of descriptors or memory.
    pub accepts_failed: Count,
    /// Connections refused because too many were open, and because too many came from one address.
    pub connections_refused: [Count; 2],
    /// Connections closed by a timeout: within a header section, or between requests.
    pub connections_silent: Count,
    /// HTTP/2 connections closed because the client broke the protocol, and because it sent too
    /// many frames without effect (a flood).
    pub http2_dismissed: [Count; 2],
    /// Completed TLS handshakes.
    pub handshakes: Count,
    /// TLS handshakes that failed or timed out.
    pub handshakes_failed: Count,
    /// Requests in flight.
    pub requests_in_flight: Count,
    /// Requests cancelled because the key lost its right, a timeout passed or the body could not
    /// continue, by the refusal's index.
    pub cuts: Box<[Count]>,
    /// Requests whose response ended early for another reason, in the order of [`CutShort::ALL`].
    pub cut_short: [Count; CutShort::ALL.len()],
    /// Connections opened to upstreams.
    pub upstream_connections: Count,
    /// Failed attempts to connect to upstreams.
    pub upstream_connections_failed: Count,
    /// Requests sent on a reused connection.
    pub upstream_reused: Count,
    /// Requests sent again on a new connection.
    pub upstream_retries: Count,
    /// Idle connections to upstreams.
    pub upstream_idle: Count,
    /// Open switched protocols (WebSockets).
    pub upgrades_open: Count,
    /// Log lines dropped because the log could not keep up.
    pub log_lines_lost: Count,
}

impl WorkerStats {
    /// Returns zeroed counters for this many kinds of refusals.
    #[must_use]
    pub fn new(refusals: usize) -> Self {
        Self {
            refused: counts(refusals),
            connections: Count::default(),
            connections_open: Count::default(),
            accepts_failed: Count::default(),
            connections_refused: Default::default(),
            connections_silent: Count::default(),
            http2_dismissed: Default::default(),
            handshakes: Count::default(),
            handshakes_failed: Count::default(),
            requests_in_flight: Count::default(),
            cuts: counts(refusals),
            cut_short: Default::default(),
            upstream_connections: Count::default(),
            upstream_connections_failed: Count::default(),
            upstream_reused: Count::default(),
            upstream_retries: Count::default(),
            upstream_idle: Count::default(),
            upgrades_open: Count::default(),
            log_lines_lost: Count::default(),
        }
    }
}

fn counts(len: usize) -> Box<[Count]> {
    (0..len).map(|_| Count::default()).collect()
}
