//! What the workers count. Each worker writes only its own counters, so that counting never makes
//! two cores fight over a cache line; a scrape adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

/// Events that were thrown away because standard error could not keep up. Any thread may lose one.
pub static EVENTS_LOST: AtomicU64 = AtomicU64::new(0);

/// A counter or gauge with one writer at a time.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        // One writer, so a load and a store do, without a locked instruction.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes `n` away.
    pub fn sub(&self, n: u64) {
        self.add(n.wrapping_neg());
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
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

/// Microseconds in seconds, the base unit of metrics.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a sum that large has lost its microseconds anyway")]
pub fn seconds_of(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// A histogram of durations, with one writer.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, not cumulative, and one for all beyond.
    buckets: [Count; LATENCY_BOUNDS.len() + 1],
    sum: Count,
}

impl Histogram {
    /// Counts one duration in microseconds.
    pub fn record(&self, microseconds: u64) {
        let bucket = LATENCY_BOUNDS.partition_point(|bound| *bound < microseconds);
        self.buckets[bucket].add(1);
        self.sum.add(microseconds);
    }

    /// Counts in each bucket (one for each bound and one beyond, not cumulative), and the sum in
    /// microseconds.
    #[must_use]
    pub fn read(&self) -> ([u64; LATENCY_BOUNDS.len() + 1], u64) {
        (std::array::from_fn(|bucket| self.buckets[bucket].value()), self.sum.value())
    }
}

/// Who ended an answer in its middle, where no reason to refuse a request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutShort {
    /// The upstream broke it off.
    UpstreamTruncated,
    /// The client left.
    ClientLeft,
    /// The gateway stopped, and `drain_timeout` had passed.
    GatewayStopped,
}

impl CutShort {
    /// Each once, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::UpstreamTruncated, Self::ClientLeft, Self::GatewayStopped];

    /// Its name in the log and in metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UpstreamTruncated => "upstream_truncated",
            Self::ClientLeft => "client_left",
            Self::GatewayStopped => "gateway_stopped",
        }
    }
}

/// What one worker counts for one API. Aligned so that two workers' never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct ApiStats {
    /// Answers of the upstream by status class: 1xx (a switched protocol) to 5xx.
    pub forwarded: [Count; 5],
    /// The same for those that ended in their middle, in the order of [`CutShort::ALL`].
    pub cut_short: [[Count; 5]; CutShort::ALL.len()],
    /// Answers of Keygate in the API's place (key endpoints), by status class.
    pub answered: [Count; 5],
    /// Refusals of Keygate, by the refusal's index.
    pub refused: Box<[Count]>,
    /// Requests that were sent on and whose answers have not ended.
    pub in_flight: Count,
    /// The same of the other workers, as they were a moment ago.
    pub elsewhere: Count,
    /// From the request's head to the answer's end.
    pub duration: Histogram,
    /// From sending the request on to the answer's head.
    pub upstream: Histogram,
}

impl ApiStats {
    /// Room for this many kinds of refusals.
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

/// What one worker counts, whatever the API.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Requests refused before an API was found, by the refusal's index.
    pub refused: Box<[Count]>,
    /// Connections accepted.
    pub connections: Count,
    /// Connections open.
    pub connections_open: Count,
    /// Times that the system had no connection to give, for lack of descriptors or memory.
    pub accepts_failed: Count,
    /// Connections refused because too many were open, and because too many of one address were.
    pub connections_refused: [Count; 2],
    /// Connections closed because they were silent for too long: in the head, or between requests.
    pub connections_silent: Count,
    /// HTTP/2 connections ended because their clients broke the protocol, and because they asked
    /// for nothing too often.
    pub http2_dismissed: [Count; 2],
    /// TLS handshakes done.
    pub handshakes: Count,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: Count,
    /// Requests in flight.
    pub requests_in_flight: Count,
    /// Requests that were cut because their key had lost its right, a deadline had passed or their
    /// body could not go on, by the refusal's index.
    pub cuts: Box<[Count]>,
    /// Requests whose answer ended in its middle for another reason, in the order of
    /// [`CutShort::ALL`].
    pub cut_short: [Count; CutShort::ALL.len()],
    /// Connections made to upstreams.
    pub upstream_connections: Count,
    /// Connections to upstreams that could not be made.
    pub upstream_connections_failed: Count,
    /// Requests sent on a connection that had served another before.
    pub upstream_reused: Count,
    /// Requests sent again on a fresh connection.
    pub upstream_retries: Count,
    /// Connections to upstreams waiting for a request.
    pub upstream_idle: Count,
    /// Protocol switches (WebSockets) open.
    pub upgrades_open: Count,
    /// Log lines that were thrown away because the log could not keep up.
    pub log_lines_lost: Count,
}

impl WorkerStats {
    /// Room for this many kinds of refusals.
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
