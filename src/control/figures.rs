//! Where the figures come from, for the one who renders them.

use super::busy_keys::BusyKeys;
use crate::keystore::{Health, UseNote};
use crate::policy::{Account, Collected};
use crate::state::Shared;
use crate::stats::ControlStats;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that is counted. Everything that is locked here is touched by the control thread only.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) shared: Arc<Shared>,
    pub(super) control: ControlStats,
    /// Of the store, if there is one.
    pub(super) store: Option<Arc<Health>>,
    /// In Unix seconds.
    pub(super) started_at: i64,
    used: Mutex<HashMap<Box<str>, Arc<Account>>>,
    /// Uses of keys, by id, that nobody has written down yet.
    unwritten: Mutex<Vec<(Box<str>, Collected)>>,
    /// The same, in the store's words, after a first attempt.
    unwritten_notes: Mutex<Vec<UseNote>>,
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
            used: Mutex::default(),
            unwritten: Mutex::default(),
            unwritten_notes: Mutex::default(),
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

    /// Takes in what the workers have handed over.
    pub(super) fn gather(&self) {
        let keys = self.shared.take_used_keys();
        if keys.is_empty() {
            return;
        }
        let (mut used, mut unwritten) = (self.used(), self.unwritten());
        for key in keys {
            if !used.contains_key(key.id()) {
                used.insert(key.id().into(), key.account().clone());
            }
            unwritten.push((key.id().into(), key.account().collect()));
        }
    }

    /// Takes the uses of keys that are to be written down.
    pub(super) fn take_unwritten(&self) -> Vec<(Box<str>, Collected)> {
        std::mem::take(&mut self.unwritten())
    }

    /// Uses that could not be written down.
    pub(super) fn unwritten_notes(&self) -> MutexGuard<'_, Vec<UseNote>> {
        self.unwritten_notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<(Box<str>, Collected)>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts of every key that was used since the process started.
    pub(super) fn used(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Account>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn busy_keys(&self) -> MutexGuard<'_, BusyKeys> {
        self.busy_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets keys that are gone for good, but not in the sum over all keys.
    pub(super) fn forget(&self, gone: Vec<(Box<str>, u64)>) {
        let mut used = self.used();
        for (id, requests) in gone {
            used.remove(&id);
            self.busy_keys().note_forgotten(requests);
        }
    }
}
