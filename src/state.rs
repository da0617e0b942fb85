//! What the two planes share: the published configuration, which has one writer and many readers,
//! the clock, and the signals between them.

mod connections;
mod counting;
mod descriptors;
mod refused;

pub use connections::{Admitted, Connections, TooMany};
pub use counting::{Clerk, Counting};
pub use descriptors::{Descriptors, UpstreamPlace};
pub use refused::{RefusedKey, RefusedRequest, RefusedRequests};

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{ApiConfig, Server, Upstream};
use crate::policy::{KeyRecord, Now, Refusal, Routes, Snapshot};
use crate::stats::{ApiStats, WorkerStats};

/// Everything that a request is served by, at one moment. It never changes; an edit publishes a new
/// one.
#[derive(Debug)]
pub struct Published {
    /// For the decision.
    pub snapshot: Snapshot,
    /// All else. It stays the same while only keys change, so that a long request can hold it
    /// without holding all keys.
    pub site: Arc<Site>,
}

/// What requests are served by besides the keys.
#[derive(Debug)]
pub struct Site {
    /// The same as the snapshot's.
    pub routes: Arc<Routes>,
    /// How to reach what is behind each API; same order as the snapshot's.
    pub apis: Vec<ApiState>,
    /// Limits and deadlines.
    pub server: Server,
    /// For TLS handshakes; none: plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether requests are logged.
    pub log_requests: bool,
}

/// One API of the published configuration.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Its settings.
    pub config: Arc<ApiConfig>,
    /// Same order as the settings' upstreams.
    pub upstreams: Vec<Arc<UpstreamState>>,
    /// By worker; carried over from one configuration to the next by the API's name.
    pub stats: Arc<[ApiStats]>,
}

impl ApiState {
    /// Requests that were sent on and whose answers have not ended.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.stats.iter().map(|stats| stats.in_flight.value()).sum()
    }

    /// Where a request of this environment goes; `None` is traffic without a key.
    #[must_use]
    pub fn upstream(&self, environment: Option<usize>) -> Option<&Arc<UpstreamState>> {
        let index = environment
            .and_then(|environment| self.config.upstream_by_environment.get(environment));
        self.upstreams.get(index.copied().unwrap_or(0))
    }
}

/// Fresh counters of one API, for this many workers.
#[must_use]
pub fn api_stats(workers: usize) -> Arc<[ApiStats]> {
    (0..workers).map(|_| ApiStats::new(Refusal::ALL.len())).collect()
}

/// An upstream with what the control plane found out about it. Carried over from one configuration
/// to the next while its settings stay the same, so that connections to it are kept.
#[derive(Debug)]
pub struct UpstreamState {
    /// Different for every upstream that this process ever knew; pools go by it.
    pub id: u64,
    /// Its settings.
    pub settings: Upstream,
    /// For an encrypted upstream.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Where it is now; empty until its name has been resolved, and for Unix sockets.
    pub addresses: ArcSwap<Vec<SocketAddr>>,
}

/// Reads what is in force.
pub type Reader = Cache<Arc<ArcSwap<Published>>, Arc<Published>>;

/// A request to an API's own key endpoints that was admitted: the control plane answers it.
#[derive(Debug, Clone)]
pub struct KeyCall {
    /// Name of the API.
    pub api: Arc<str>,
    /// Id of the calling key.
    pub key: String,
    /// Name of the environment by the secret that was presented.
    pub environment: Option<String>,
    /// The method.
    pub method: Method,
    /// What follows the path of the key endpoints: empty, or `/` and more.
    pub path: String,
    /// The whole body.
    pub body: Bytes,
    /// The id that the client is told.
    pub request_id: String,
}

/// The answer to a [`KeyCall`].
#[derive(Clone, PartialEq, Eq)]
pub struct KeyAnswer {
    /// The status.
    pub status: StatusCode,
    /// Nothing: there is no body.
    pub content_type: Option<Cow<'static, str>>,
    /// For a 405.
    pub allow: Option<Cow<'static, str>>,
    /// The whole body.
    pub body: Bytes,
}

/// Without the body, which may hold a new key.
impl fmt::Debug for KeyAnswer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A [`KeyCall`] and who waits for its answer. If nobody will answer, the sender is dropped.
pub type KeyRequest = (KeyCall, oneshot::Sender<KeyAnswer>);

/// Key calls that may wait for the control plane; more are answered with 503.
const KEY_CALLS: usize = 64;

/// Whether the gateway takes new work. A phase never comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet.
    Starting,
    /// It does.
    Running,
    /// It does, but whoever asks whether it is ready is told that it is about to stop.
    Leaving,
    /// Another process takes new connections; those that are open are served until their clients
    /// have gone over to it.
    Relieved,
    /// It has been told to stop and finishes what is in flight.
    Draining,
}

/// The meeting point of the planes.
#[derive(Debug)]
pub struct Shared {
    published: Arc<ArcSwap<Published>>,
    /// Told when something has been published, so that a worker without traffic lets go of the old
    /// one.
    generation: watch::Sender<u64>,
    phase: watch::Sender<Phase>,
    /// For everybody who needs the time.
    pub clock: Clock,
    /// By worker.
    pub workers: Box<[WorkerStats]>,
    /// Over all workers.
    pub connections: Connections,
    /// Keys that were used, handed over by the workers a few times a second.
    used_keys: Mutex<Vec<Arc<KeyRecord>>>,
    key_calls: mpsc::Sender<KeyRequest>,
    /// In which process requests are counted.
    pub counting: Counting,
    /// Whether the process from which this one has taken over still serves connections.
    pub has_predecessor: watch::Sender<bool>,
    /// By worker.
    pub refused: Box<[RefusedRequests]>,
    /// For connections to upstreams.
    pub descriptors: Arc<Descriptors>,
}

impl Shared {
    /// The first configuration, for this many workers, and where calls of key endpoints come in.
    #[must_use]
    pub fn new(
        published: Published,
        workers: usize,
        clock: Clock,
        descriptors: Arc<Descriptors>,
    ) -> (Arc<Self>, mpsc::Receiver<KeyRequest>) {
        let (key_calls, receiver) = mpsc::channel(KEY_CALLS);
        let shared = Arc::new(Self {
            published: Arc::new(ArcSwap::from_pointee(published)),
            generation: watch::Sender::new(0),
            phase: watch::Sender::new(Phase::Starting),
            clock,
            workers: (0..workers).map(|_| WorkerStats::new(Refusal::ALL.len())).collect(),
            connections: Connections::default(),
            used_keys: Mutex::default(),
            key_calls,
            counting: Counting::new(workers),
            has_predecessor: watch::Sender::new(false),
            refused: (0..workers).map(|_| RefusedRequests::default()).collect(),
            descriptors,
        });
        (shared, receiver)
    }

    /// Has a call of a key endpoint answered. Nothing: it cannot be answered now.
    pub async fn answer(&self, call: KeyCall) -> Option<KeyAnswer> {
        let (answer, answered) = oneshot::channel();
        self.key_calls.try_send((call, answer)).ok()?;
        answered.await.ok()
    }

    /// Hands over keys whose use is to be collected.
    pub fn add_used_keys(&self, keys: &mut Vec<Arc<KeyRecord>>) {
        self.used_keys.lock().unwrap_or_else(PoisonError::into_inner).append(keys);
    }

    /// Takes the keys that were handed over.
    #[must_use]
    pub fn take_used_keys(&self) -> Vec<Arc<KeyRecord>> {
        std::mem::take(&mut self.used_keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The latest request with this id that was refused, as far as is remembered.
    pub fn refused_request(&self, request_id: &str) -> Option<RefusedRequest> {
        let now = self.clock.now().unix;
        let found = self.refused.iter().filter_map(|refused| refused.find(request_id, now));
        found.max_by_key(|request| request.at)
    }

    /// Puts a configuration in force: every request that starts after this returns is judged by it.
    /// Returns the one before; the caller keeps it until no worker does (see [`DeferredDrop`]).
    pub fn publish(&self, published: Arc<Published>) -> Arc<Published> {
        let before = self.published.swap(published);
        self.generation.send_modify(|generation| *generation += 1);
        before
    }

    /// What is in force.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// A reader that costs one atomic load while nothing changes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Cache::new(self.published.clone())
    }

    /// Wakes its holder at each publication.
    #[must_use]
    pub fn publications(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Goes on to a later phase. There is no way back.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    /// Tells the phase and wakes its holder when it changes.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}

/// Old configurations, kept until no worker uses them: freeing a table of many keys takes
/// milliseconds, which are the control thread's to spend and not a worker's.
#[derive(Debug, Default)]
pub struct DeferredDrop(Vec<Arc<Published>>);

impl DeferredDrop {
    /// Takes one in.
    pub fn add(&mut self, published: Arc<Published>) {
        self.0.push(published);
    }

    /// Frees those that nobody else holds. Call it from time to time.
    pub fn sweep(&mut self) {
        self.0.retain(|published| Arc::strong_count(published) > 1);
    }
}

/// Monotonic and wall-clock time for one reading of the clock.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time at `start` in nanoseconds, by the wall clock as it was last looked at. Whole
    /// seconds would let keys live up to a second beyond their expiry.
    offset: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::from(Instant::now())
    }
}

/// The system's monotonic clock in nanoseconds: the same for all processes.
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
    /// Where on the system's monotonic clock this one has its zero, in nanoseconds, for a process
    /// that counts on.
    #[must_use]
    pub fn zero(&self) -> u64 {
        // In this order the result is never too early, so that what is counted is never forgotten
        // too early by it.
        let elapsed = self.start.elapsed();
        monotonic().saturating_sub(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The clock of another process, by its [`Self::zero`]. It may be slow by as much as two
    /// readings of a clock take, and is never fast.
    #[must_use]
    pub fn with_zero(zero: u64) -> Self {
        let elapsed = Duration::from_nanos(monotonic().saturating_sub(zero));
        let now = Instant::now();
        Self::from(now.checked_sub(elapsed).unwrap_or(now))
    }

    /// The moment, by one reading. The wall-clock part follows a change of the wall clock within
    /// the time between two calls of [`Self::follow_wall_clock`].
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let monotonic = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let unix =
            self.offset.load(Ordering::Relaxed).saturating_add_unsigned(monotonic) / 1_000_000_000;
        Now { monotonic, unix }
    }

    /// The moment that [`Self::now`] gave as this many monotonic nanoseconds.
    #[must_use]
    pub fn instant(&self, monotonic: u64) -> Instant {
        self.start + Duration::from_nanos(monotonic)
    }

    /// Looks at the wall clock again. The control thread does so every second.
    pub fn follow_wall_clock(&self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let elapsed = self.start.elapsed();
        let offset = wall.saturating_sub(elapsed).as_nanos();
        self.offset.store(i64::try_from(offset).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
