//! Where the figures come from, for the one who renders them.

use super::busy_keys::BusyKeys;
use crate::policy::UsageBook;
use crate::state::Shared;
use crate::stats::ControlStats;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that is counted. Everything that is locked here is touched by the control thread only.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) shared: Arc<Shared>,
    pub(super) control: ControlStats,
    /// In Unix seconds.
    pub(super) started_at: i64,
    book: Mutex<UsageBook>,
    busy_keys: Mutex<BusyKeys>,
}

impl Figures {
    pub(super) fn new(shared: Arc<Shared>, book: UsageBook) -> Self {
        let started_at = shared.clock.now().unix;
        Self { shared, control: ControlStats::default(), started_at, book: Mutex::new(book), busy_keys: Mutex::default() }
    }

    /// The counts of every key.
    pub(super) fn book(&self) -> MutexGuard<'_, UsageBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn busy_keys(&self) -> MutexGuard<'_, BusyKeys> {
        self.busy_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the counts of keys that have not been listed since `listed_at`, but not from the sum over all keys.
    pub(super) fn forget(&self, listed_at: u64, now: u64) {
        let mut book = self.book();
        let requests = |book: &UsageBook| book.iter().map(|(_, _, usage)| usage.requests()).sum::<u64>();
        let (before, entries) = (requests(&book), book.iter().count());
        book.forget(listed_at, now);
        if book.iter().count() < entries {
            self.busy_keys().note_forgotten(before.saturating_sub(requests(&book)));
        }
    }
}
