//! What changes about a key while its record does not: its counts, carried over every reload.

use super::quota::{Allowance, Exhausted, Limit, Quota};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of one key in one API. Only requests with this key touch it.
#[derive(Debug, Default)]
pub struct Usage {
    requests: AtomicU64,
    /// Empty until first use, so that an idle key costs next to nothing.
    quota: Mutex<Quota>,
}

impl Usage {
    /// Requests judged with this key since the process started.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn note_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn charge(&self, limits: &[Limit], now: u64) -> Result<Option<Allowance>, Exhausted> {
        if limits.is_empty() {
            return Ok(None);
        }
        self.lock().charge(limits, now)
    }

    pub(super) fn peek(&self, limits: &[Limit], now: u64) -> Option<Allowance> {
        if limits.is_empty() {
            return None;
        }
        self.lock().peek(limits, now)
    }

    /// A panic cannot leave the counts half-changed in a way that admits more, so a poisoned lock is good.
    fn lock(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every [`Usage`] by key id and API name, so that a key keeps its counts over reloads, and one that goes
/// and comes back within its window too.
#[derive(Debug, Default)]
pub struct UsageBook {
    entries: HashMap<(Arc<str>, Arc<str>), Entry>,
}

#[derive(Debug)]
struct Entry {
    usage: Arc<Usage>,
    /// How long the counts matter after the key is gone, in nanoseconds.
    memory: u64,
    /// When the key was last read from a configuration.
    listed: u64,
    /// When the key was first found missing.
    gone: Option<u64>,
}

impl UsageBook {
    /// The counts of `key` in `api`, known or new, noted as listed `now` (monotonic nanoseconds).
    pub fn usage(&mut self, key: &Arc<str>, api: &Arc<str>, limits: &[Limit], now: u64) -> Arc<Usage> {
        let entry = self.entries.entry((key.clone(), api.clone()));
        let entry = entry.or_insert_with(|| Entry { usage: Arc::default(), memory: 0, listed: now, gone: None });
        entry.memory = limits.iter().map(|limit| limit.window).max().unwrap_or(0).max(entry.memory);
        entry.listed = now;
        entry.gone = None;
        entry.usage.clone()
    }

    /// Drops the counts of keys that have been gone for longer than their longest window: those that were
    /// last listed before `listed_since`, the moment the running configuration was read.
    pub fn forget(&mut self, listed_since: u64, now: u64) {
        self.entries.retain(|_, entry| {
            if entry.listed >= listed_since {
                return true;
            }
            let gone = *entry.gone.get_or_insert(now);
            now.saturating_sub(gone) <= entry.memory + entry.memory / 60
        });
    }

    /// Key id, API name and counts of all that is known.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &Arc<Usage>)> {
        self.entries.iter().map(|((key, api), entry)| (key, api, &entry.usage))
    }
}
