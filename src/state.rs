//! What the control plane and the workers share: the published configuration, which has one writer
//! and many readers, the clock, and the signals between the planes.

mod calls;
mod connections;
mod counting;
mod descriptors;
mod refused;

pub use calls::{
    CallReceivers, CallRequest, KeyAnswer, KeyCall, KeyRequest, PageCall, PageRequest,
};
pub use connections::{Admitted, Connections, TooMany};
pub use counting::{CountRelay, Counting};
pub use descriptors::{Descriptors, UpstreamPlace};
pub use refused::{RefusedKey, RefusedRequest, RefusedRequests};

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use self::calls::{WAITING_CALLS, ask};
use crate::config::{ApiConfig, Server, Upstream};
use crate::handover::{Order, Outcome};
use crate::policy::{KeyRecord, Now, Refusal, Routes, Snapshot};
use crate::stats::{ApiStats, WorkerStats};

/// Everything that requests are served with, at one moment. It is immutable; an edit publishes a
/// new one.
#[derive(Debug)]
pub struct Published {
    /// For policy decisions.
    pub snapshot: Snapshot,
    /// Everything else. Changes to keys leave it as it is. A long request can therefore hold it
    /// without keeping all keys in memory.
    pub runtime: Arc<Runtime>,
}

/// What requests are served with, except for the keys.
#[derive(Debug)]
pub struct Runtime {
    /// The routes of the snapshot.
    pub routes: Arc<Routes>,
    /// How to reach the upstreams of each API, in the snapshot's order.
    pub apis: Vec<ApiState>,
    /// Limits and timeouts.
    pub server: Server,
    /// The configuration of TLS handshakes, or `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether requests are logged.
    pub log_requests: bool,
}

/// One API of the published configuration.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Its settings.
    pub config: Arc<ApiConfig>,
    /// The upstreams, in the order of the settings.
    pub upstreams: Vec<Arc<UpstreamState>>,
    /// Statistics by worker, carried over between configurations by the API's name.
    pub stats: Arc<[ApiStats]>,
}

impl ApiState {
    /// Returns the number of forwarded requests whose responses have not ended.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.stats.iter().map(|stats| stats.in_flight.value()).sum()
    }

    /// Returns the upstream for an environment by its index, or for traffic without a key (`None`).
    #[must_use]
    pub fn upstream(&self, environment: Option<usize>) -> Option<&Arc<UpstreamState>> {
        let index = environment
            .and_then(|environment| self.config.upstream_by_environment.get(environment));
        self.upstreams.get(index.copied().unwrap_or(0))
    }
}

/// Returns new counters of one API for this many workers.
#[must_use]
pub fn api_stats(workers: usize) -> Arc<[ApiStats]> {
    (0..workers).map(|_| ApiStats::new(Refusal::ALL.len())).collect()
}

/// An upstream, with what the control plane knows about it.
///
/// It is carried over between configurations while its settings stay the same, so that its
/// connections stay open.
#[derive(Debug)]
pub struct UpstreamState {
    /// Unique among all upstreams of this process. It identifies the connection pool.
    pub id: u64,
    /// Its settings.
    pub settings: Upstream,
    /// The TLS client configuration, or `None` for a plain-text upstream.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The current addresses. Empty until the name has been resolved, and for Unix sockets.
    pub addresses: ArcSwap<Vec<SocketAddr>>,
}

/// A cached reader of the current configuration.
pub type Reader = Cache<Arc<ArcSwap<Published>>, Arc<Published>>;

/// Whether the gateway accepts new work. Phases only advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet.
    Starting,
    /// Yes.
    Running,
    /// Yes, but readiness checks report that the gateway is about to stop.
    Leaving,
    /// Another process accepts new connections. This one serves its open connections until their
    /// clients reconnect.
    Relieved,
    /// The gateway is stopping, and finishes requests in flight.
    Draining,
}

/// The state that the two planes share.
#[derive(Debug)]
pub struct Shared {
    published: Arc<ArcSwap<Published>>,
    /// Notified at each publication, so that a worker without traffic drops the previous one.
    generation: watch::Sender<u64>,
    phase: watch::Sender<Phase>,
    /// The clock of the whole process.
    pub clock: Clock,
    /// Statistics by worker.
    pub workers: Box<[WorkerStats]>,
    /// The connections of all workers.
    pub connections: Connections,
    /// Used keys, which the workers hand over a few times a second.
    used_keys: Mutex<Vec<Arc<KeyRecord>>>,
    key_calls: mpsc::Sender<KeyRequest>,
    page_calls: mpsc::Sender<PageRequest>,
    /// The process that counts requests.
    pub counting: Counting,
    /// Whether the process before this one still serves connections.
    pub has_predecessor: watch::Sender<bool>,
    /// Recently refused requests, by worker.
    pub refused: Box<[RefusedRequests]>,
    /// The budget of connections to upstreams.
    pub descriptors: Arc<Descriptors>,
}

impl Shared {
    /// Returns the shared state with its first configuration, and the receivers of calls.
    #[must_use]
    pub fn new(
        published: Published,
        workers: usize,
        clock: Clock,
        descriptors: Arc<Descriptors>,
    ) -> (Arc<Self>, CallReceivers) {
        let (key_calls, keys) = mpsc::channel(WAITING_CALLS);
        let (page_calls, pages) = mpsc::channel(WAITING_CALLS);
        let shared = Arc::new(Self {
            published: Arc::new(ArcSwap::from_pointee(published)),
            generation: watch::Sender::new(0),
            phase: watch::Sender::new(Phase::Starting),
            clock,
            workers: (0..workers).map(|_| WorkerStats::new(Refusal::ALL.len())).collect(),
            connections: Connections::default(),
            used_keys: Mutex::default(),
            key_calls,
            page_calls,
            counting: Counting::new(workers),
            has_predecessor: watch::Sender::new(false),
            refused: (0..workers).map(|_| RefusedRequests::default()).collect(),
            descriptors,
        });
        (shared, CallReceivers { keys, pages })
    }

    /// Sends a key call to the control plane and returns the response. Returns `None` if the queue
    /// is full or the call gets no response.
    pub async fn answer(&self, call: KeyCall) -> Option<KeyAnswer> {
        ask(&self.key_calls, call).await
    }

    /// Sends a request for a page to the control plane and returns the response. Returns `None` if
    /// the queue is full or the request gets no response.
    pub async fn page(&self, call: PageCall) -> Option<http::Response<Bytes>> {
        ask(&self.page_calls, call).await
    }

    /// Adds keys whose use is to be recorded. Leaves `keys` empty.
    pub fn add_used_keys(&self, keys: &mut Vec<Arc<KeyRecord>>) {
        self.used_keys.lock().unwrap_or_else(PoisonError::into_inner).append(keys);
    }

    /// Takes all keys that were added.
    #[must_use]
    pub fn take_used_keys(&self) -> Vec<Arc<KeyRecord>> {
        std::mem::take(&mut self.used_keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the latest refused request with this id, or `None` if none is remembered.
    pub fn refused_request(&self, request_id: &str) -> Option<RefusedRequest> {
        let now = self.clock.now().unix;
        let found = self.refused.iter().filter_map(|refused| refused.find(request_id, now));
        found.max_by_key(|request| request.at)
    }

    /// Returns the latest refused requests that are remembered with the key that has this id, at
    /// most so many, the latest first.
    #[must_use]
    pub fn refused_with_key(&self, id: &str, most: usize) -> Vec<RefusedRequest> {
        let now = self.clock.now().unix;
        let mut found: Vec<_> =
            self.refused.iter().flat_map(|refused| refused.of_key(id, now, most)).collect();
        found.sort_by_key(|request| std::cmp::Reverse(request.at));
        found.truncate(most);
        found
    }

    /// Puts a configuration in force. Every request that starts after this returns is judged by it.
    /// Returns the previous one, which the caller must keep until no worker uses it (see
    /// [`DeferredDrop`]).
    pub fn publish(&self, published: Arc<Published>) -> Arc<Published> {
        let before = self.published.swap(published);
        self.generation.send_modify(|generation| *generation += 1);
        before
    }

    /// Counts a request that another process has authorised. Returns `None` if the key or the API
    /// is unknown.
    pub fn charge(&self, order: &Order) -> Option<Outcome> {
        let published = self.published();
        let snapshot = &published.snapshot;
        let record = snapshot.keyring.find(&order.digest)?;
        let apis = snapshot.routes.apis();
        let api = apis.iter().find(|api| *api.definition().name == *order.api)?;
        let (name, now) = (&api.definition().name, self.clock.now().monotonic);
        Some(record.account().charge(name, &order.digest, &order.limits, now))
    }

    /// Returns the current configuration.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Returns a reader that costs one atomic load while nothing changes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Cache::new(self.published.clone())
    }

    /// Returns a receiver that is notified at each publication.
    #[must_use]
    pub fn publications(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Advances to a later phase, and ignores an earlier one.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    /// Returns a receiver of the phase, which is notified at each change.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}

/// Previous configurations, kept until no worker uses them.
///
/// Freeing a table of many keys takes milliseconds. This is the control thread's work, not a
/// worker's.
#[derive(Debug, Default)]
pub struct DeferredDrop(Vec<Arc<Published>>);

impl DeferredDrop {
    /// Adds a configuration, and frees earlier ones that no worker uses. Otherwise, changes in
    /// quick succession would accumulate them until the next call of [`Self::sweep`].
    pub fn add(&mut self, published: Arc<Published>) {
        self.sweep();
        self.0.push(published);
    }

    /// Frees the configurations without other owners. To be called periodically.
    pub fn sweep(&mut self) {
        self.0.retain(|published| Arc::strong_count(published) > 1);
    }
}

/// Gives monotonic and wall-clock time from one reading of the clock.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time at `start` in nanoseconds, by the last reading of the wall clock. With whole
    /// seconds, keys would work for up to a second after their expiry.
    offset: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::from(Instant::now())
    }
}

/// Returns the system's monotonic clock in nanoseconds. It is the same for all processes.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl From<Instant> for Clock {
    fn from(start: Instant) -> Self {
        let clock = Self { start, offset: AtomicI64::new(0) };
        clock.follow_wall_clock();
        clock
    }
}

impl Clock {
    /// Returns this clock's zero in nanoseconds of the system's monotonic clock. A process that
    /// takes over the counts continues from it.
    #[must_use]
    pub fn zero(&self) -> u64 {
        // In this order the result is never too early, so no count expires too early because of it.
        let elapsed = self.start.elapsed();
        monotonic().saturating_sub(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the clock of another process by its [`Self::zero`]. It may be slow by the duration
    /// of two clock readings, and is never fast.
    #[must_use]
    pub fn with_zero(zero: u64) -> Self {
        let elapsed = Duration::from_nanos(monotonic().saturating_sub(zero));
        let now = Instant::now();
        Self::from(now.checked_sub(elapsed).unwrap_or(now))
    }

    /// Returns the current time from one reading of the clock. A change of the wall clock shows
    /// after the next call of [`Self::follow_wall_clock`].
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let monotonic = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let unix =
            self.offset.load(Ordering::Relaxed).saturating_add_unsigned(monotonic) / 1_000_000_000;
        Now { monotonic, unix }
    }

    /// Returns the instant for a monotonic time of [`Self::now`], in nanoseconds.
    #[must_use]
    pub fn instant(&self, monotonic: u64) -> Instant {
        self.start + Duration::from_nanos(monotonic)
    }

    /// Reads the wall clock again. The control thread calls this every second.
    pub fn follow_wall_clock(&self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let elapsed = self.start.elapsed();
        let offset = wall.saturating_sub(elapsed).as_nanos();
        self.offset.store(i64::try_from(offset).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
