//! The health of the store, for metrics and alerts.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An operation that takes longer than this hangs.
const HANG: Duration = Duration::from_secs(5);

/// The health of the store. The store's thread updates it, and other threads read it.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    commits: AtomicU64,
    failures: AtomicU64,
    last_failure: AtomicI64,
    failing: AtomicBool,
    queued: AtomicU64,
    /// When the current operation began, in milliseconds since `started`. 0: no operation runs.
    busy_since: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            commits: AtomicU64::default(),
            failures: AtomicU64::default(),
            last_failure: AtomicI64::default(),
            failing: AtomicBool::default(),
            queued: AtomicU64::default(),
            busy_since: AtomicU64::default(),
        }
    }
}

impl Health {
    /// Returns the number of committed transactions.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Returns the number of transactions that failed because of the disk, not because of a
    /// conflict.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns when a transaction last failed because of the disk, in seconds since the Unix epoch,
    /// or `None` if none has.
    pub fn last_failure(&self) -> Option<i64> {
        Some(self.last_failure.load(Ordering::Relaxed)).filter(|_| self.failures() > 0)
    }

    /// Returns whether the last write succeeded and no operation hangs. A store whose last write
    /// failed tries to write every second.
    pub fn is_healthy(&self) -> bool {
        !self.failing.load(Ordering::Relaxed) && !self.hangs()
    }

    /// Returns whether the current operation has taken longer than 5 seconds.
    pub fn hangs(&self) -> bool {
        let since = self.busy_since.load(Ordering::Relaxed);
        since > 0 && self.started.elapsed() > Duration::from_millis(since) + HANG
    }

    /// Returns the number of waiting commands. A command that is carried out in steps counts until
    /// its last step.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn enqueue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dequeue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that an operation begins that may hang.
    pub(super) fn begin(&self) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.busy_since.store(since.max(1), Ordering::Relaxed);
    }

    /// Notes that the operation has ended.
    pub(super) fn end(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn note_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_failure(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.last_failure.store(i64::try_from(now).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_recovery(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }
}
