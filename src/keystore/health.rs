//! How the store does, for metrics and alerts.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Shared between the store's thread, which writes it, and whoever reports it.
#[derive(Debug, Default)]
pub struct Health {
    commits: AtomicU64,
    failures: AtomicU64,
    last_failure: AtomicI64,
    failing: AtomicBool,
    queued: AtomicU64,
}

impl Health {
    /// Transactions that were committed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Transactions that failed because of the disk, not because of what they asked for.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// When the last of those failed, in seconds since the Unix epoch.
    pub fn last_failure(&self) -> Option<i64> {
        Some(self.last_failure.load(Ordering::Relaxed)).filter(|_| self.failures() > 0)
    }

    /// Whether the last write was written. A store that is not healthy finds out within a second that it can write again.
    pub fn is_healthy(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// Commands that are waiting; a task that is done in steps is among them until it is done.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn enqueue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dequeue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
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
