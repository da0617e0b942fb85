//! Values that other parts of the process own. They are read at each scrape and set through the
//! `metrics` crate.

use std::sync::atomic::Ordering;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use rustix::process::{Resource, getrlimit};

use crate::keystore::Health;
use crate::stats::EVENTS_LOST;

/// Handles of all values that are read at a scrape.
#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) keys: Gauge,
    pub(super) keys_used: Gauge,
    pub(super) workers: Gauge,
    pub(super) started_at: Gauge,
    events_lost: Counter,
    store: Option<StoreMetrics>,
    process: ProcessMetrics,
}

#[derive(Debug)]
struct StoreMetrics {
    healthy: Gauge,
    commits: Counter,
    failures: Counter,
    queue: Gauge,
}

/// Each is `None` if the system does not provide the value.
#[derive(Debug)]
struct ProcessMetrics {
    resident_memory: Option<Gauge>,
    open_files: Option<Gauge>,
    most_files: Option<Gauge>,
}

/// Returns a gauge of the thread's recorder with its help text.
fn described(name: &'static str, help: &'static str) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name)
}

impl Sampled {
    /// Registers the metrics with the thread's recorder.
    pub(super) fn register(has_store: bool) -> Self {
        describe_gauge!("keygate_build_info", "Always 1.");
        gauge!("keygate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        describe_counter!(
            "keygate_events_lost_total",
            "Events thrown away because standard error could not keep up."
        );
        Self {
            keys: described("keygate_keys", "Secrets in the table of keys."),
            keys_used: described(
                "keygate_limiter_keys",
                "Keys that were used since the process started.",
            ),
            workers: described("keygate_workers", "Threads that serve requests."),
            started_at: described(
                "process_start_time_seconds",
                "When the process started, in seconds since the Unix epoch.",
            ),
            events_lost: counter!("keygate_events_lost_total"),
            store: has_store.then(StoreMetrics::register),
            process: ProcessMetrics::register(),
        }
    }

    /// Reads the values of the store and of the process.
    pub(super) fn read(&self, store: Option<&Health>) {
        self.events_lost.absolute(EVENTS_LOST.load(Ordering::Relaxed));
        if let Some((metrics, health)) = self.store.as_ref().zip(store) {
            metrics.healthy.set(u8::from(health.is_healthy()));
            metrics.commits.absolute(health.commits());
            metrics.failures.absolute(health.failures());
            metrics.queue.set(float(health.queued()));
        }
        let read = |gauge: &Option<Gauge>, value: fn() -> Option<u64>| {
            if let Some((gauge, value)) = gauge.as_ref().zip(value()) {
                gauge.set(float(value));
            }
        };
        read(&self.process.resident_memory, resident_memory);
        read(&self.process.open_files, open_files);
        read(&self.process.most_files, most_files);
    }
}

impl StoreMetrics {
    fn register() -> Self {
        let (commits, failures) = ("keygate_store_commits_total", "keygate_store_failures_total");
        describe_counter!(commits, "Transactions that the store has committed.");
        describe_counter!(failures, "Transactions that failed because of the disk.");
        Self {
            healthy: described(
                "keygate_store_healthy",
                "0 while the store cannot write or does not answer: changes of keys are answered \
                    with 503.",
            ),
            commits: counter!(commits),
            failures: counter!(failures),
            queue: described("keygate_store_queue", "Commands that wait for the store."),
        }
    }
}

impl ProcessMetrics {
    fn register() -> Self {
        let memory = ("process_resident_memory_bytes", "Resident memory size in bytes.");
        let open = ("process_open_fds", "Number of open file descriptors.");
        let most = ("process_max_fds", "Maximum number of open file descriptors.");
        Self {
            resident_memory: resident_memory().map(|_| described(memory.0, memory.1)),
            open_files: open_files().map(|_| described(open.0, open.1)),
            most_files: most_files().map(|_| described(most.0, most.1)),
        }
    }
}

fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn open_files() -> Option<u64> {
    // Subtract the open directory itself.
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u64::try_from(files).ok()
}

fn most_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Converts a count to a float, the only number type of Prometheus.
#[expect(clippy::cast_precision_loss, reason = "what is beyond 2^53 is not exact anyway")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}
