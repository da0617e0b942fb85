//! Where the figures come from, for the one who renders them.

use super::busy_keys::BusyKeys;
use super::uses::notes_of;
use crate::keystore::{Health, UseNote};
use crate::policy::KeyRecord;
use crate::state::Shared;
use crate::stats::ControlStats;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many keys are looked at before others on the control thread, such as a revocation, have their turn: about a millisecond.
const TURN: usize = 1000;

/// All that is counted. Everything that is locked here is touched by the control thread only.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) shared: Arc<Shared>,
    pub(super) control: ControlStats,
    /// Of the store, if there is one.
    pub(super) store: Option<Arc<Health>>,
    /// In Unix seconds.
    pub(super) started_at: i64,
    /// Keys that were used since the process started.
    used: AtomicUsize,
    /// Uses of keys that nobody has written down yet.
    unwritten: Mutex<Vec<UseNote>>,
    busy_keys: Mutex<BusyKeys>,
    /// Keys that expire soon, by API.
    expiring: Mutex<Vec<(Arc<str>, u64)>>,
}

impl Figures {
    pub(super) fn new(shared: Arc<Shared>, store: Option<Arc<Health>>) -> Self {
        let started_at = shared.clock.now().unix;
        Self {
            shared,
            control: ControlStats::default(),
            store,
            started_at,
            used: AtomicUsize::new(0),
            unwritten: Mutex::default(),
            busy_keys: Mutex::default(),
            expiring: Mutex::default(),
        }
    }

    /// Keys that expire soon, by API.
    pub(super) fn expiring(&self) -> Vec<(Arc<str>, u64)> {
        self.expiring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_expiring(&self, counts: Vec<(Arc<str>, u64)>) {
        *self.expiring.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// Takes in what the workers have handed over. In between, others have their turn.
    pub(super) async fn gather(&self) {
        let keys = self.shared.take_used_keys();
        let unix = self.shared.clock.now().unix;
        for turn in keys.chunks(TURN) {
            self.take_in(turn, unix);
            tokio::task::yield_now().await;
        }
    }

    fn take_in(&self, keys: &[Arc<KeyRecord>], unix: i64) {
        let (mut busy_keys, mut unwritten) = (self.busy_keys(), self.unwritten());
        for key in keys {
            let collected = key.account().collect();
            if collected.requests > 0 && collected.requests == collected.total {
                self.used.fetch_add(1, Ordering::Relaxed);
            }
            busy_keys.count(key.id(), collected.requests, collected.total);
            notes_of(key.id(), &collected, unix, &mut unwritten);
        }
    }

    /// Uses of keys that are to be written down. Whoever takes them puts back what could not be.
    pub(super) fn unwritten(&self) -> MutexGuard<'_, Vec<UseNote>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys were used since the process started; those that are gone for good are left out.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn busy_keys(&self) -> MutexGuard<'_, BusyKeys> {
        self.busy_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets keys that are gone for good, but not in the sum over all keys.
    pub(super) fn forget(&self, gone: Vec<(Box<str>, u64)>) {
        let used = gone.iter().filter(|(_, requests)| *requests > 0).count();
        self.used.store(self.used().saturating_sub(used), Ordering::Relaxed);
        gone.iter().for_each(|(id, _)| self.busy_keys().forget(id));
    }
}
