//! The sources of the metrics that the page renders.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recorder::{ControlMetrics, Recorder};
use super::sampled::Sampled;
use crate::control::busy_keys::BusyKeys;
use crate::control::certificate_expiry::Expiry;
use crate::control::pending_usage::{PendingUsage, notes_of};
use crate::keystore::Health;
use crate::policy::KeyRecord;
use crate::state::Shared;

/// How many keys are processed before other tasks of the control thread, such as a revocation, run:
/// about a millisecond.
const TURN: usize = 1000;

/// All sources of metrics. Only the control thread takes the locks.
#[derive(Debug)]
pub(in crate::control) struct Metrics {
    pub(in crate::control) shared: Arc<Shared>,
    /// Metrics that the control plane updates.
    pub(in crate::control) control: ControlMetrics,
    recorder: Recorder,
    /// The state of the store, or `None` without a store.
    pub(in crate::control) store: Option<Arc<Health>>,
    /// When the process started, in Unix seconds.
    pub(in crate::control) started_at: i64,
    /// The number of keys used since the process started.
    used: AtomicUsize,
    /// Keys that the workers have handed over and that are not yet processed.
    handed_over: Mutex<Vec<Arc<KeyRecord>>>,
    /// Key usage that is not yet stored.
    pending_usage: Mutex<PendingUsage>,
    busy_keys: Mutex<BusyKeys>,
    /// The number of keys that expire soon, by API.
    expiring: Mutex<Vec<(Arc<str>, u64)>>,
    certificates: Mutex<Vec<Expiry>>,
}

impl Metrics {
    pub(in crate::control) fn new(shared: Arc<Shared>, store: Option<Arc<Health>>) -> Self {
        let started_at = shared.clock.now().unix;
        let (recorder, control) = Recorder::new(store.is_some());
        Self {
            shared,
            control,
            recorder,
            store,
            started_at,
            used: AtomicUsize::new(0),
            handed_over: Mutex::default(),
            pending_usage: Mutex::default(),
            busy_keys: Mutex::default(),
            expiring: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    /// Returns the handles of values that are read at a scrape.
    pub(super) fn sampled(&self) -> &Sampled {
        &self.recorder.sampled
    }

    /// Returns the exporter's part of the page.
    pub(super) fn rendered(&self) -> String {
        self.recorder.render()
    }

    /// Bounds the memory of the observations, even if no scrape ever comes. To be called
    /// periodically.
    pub(in crate::control) fn run_upkeep(&self) {
        self.recorder.run_upkeep();
    }

    /// Returns the number of keys that expire soon, by API.
    pub(in crate::control) fn expiring(&self) -> Vec<(Arc<str>, u64)> {
        self.expiring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::control) fn set_expiring(&self, counts: Vec<(Arc<str>, u64)>) {
        *self.expiring.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// Returns the expiry of each served certificate.
    pub(in crate::control) fn certificates(&self) -> Vec<Expiry> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::control) fn set_certificates(&self, certificates: Vec<Expiry>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    /// Processes the keys that the workers have handed over, and yields to other tasks in between.
    ///
    /// The future may be dropped early, as when a scraper disconnects. The next call processes the
    /// rest.
    pub(in crate::control) async fn gather(&self) {
        let unix = self.shared.clock.now().unix;
        let handed_over = || self.handed_over.lock().unwrap_or_else(PoisonError::into_inner);
        handed_over().append(&mut self.shared.take_used_keys());
        loop {
            let turn: Vec<_> = {
                let mut keys = handed_over();
                let rest = keys.len().saturating_sub(TURN);
                keys.drain(rest..).collect()
            };
            if turn.is_empty() {
                return;
            }
            self.take_in(&turn, unix);
            tokio::task::yield_now().await;
        }
    }

    fn take_in(&self, keys: &[Arc<KeyRecord>], unix: i64) {
        let mut busy_keys = self.busy_keys();
        let mut notes = Vec::with_capacity(keys.len());
        for key in keys {
            let collected = key.account().collect();
            if collected.requests > 0 && collected.requests == collected.total {
                self.used.fetch_add(1, Ordering::Relaxed);
            }
            busy_keys.count(key.id(), collected.requests, collected.total);
            notes_of(key.id(), collected, unix, &mut notes);
        }
        self.pending_usage().add(notes);
    }

    /// Returns the key usage to be stored. The caller puts back what it cannot store.
    pub(in crate::control) fn pending_usage(&self) -> MutexGuard<'_, PendingUsage> {
        self.pending_usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of keys used since the process started, without those removed for good.
    pub(in crate::control) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(in crate::control) fn busy_keys(&self) -> MutexGuard<'_, BusyKeys> {
        self.busy_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes keys that are gone for good. Their requests stay in the sum over all keys.
    pub(in crate::control) fn forget(&self, gone: Vec<(Box<str>, u64)>) {
        let used = gone.iter().filter(|(_, requests)| *requests > 0).count();
        self.used.store(self.used().saturating_sub(used), Ordering::Relaxed);
        gone.iter().for_each(|(id, _)| self.busy_keys().forget(id));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::task::{Context, Waker};

    use super::*;
    use crate::config::parse;
    use crate::control::runtime::RuntimeBuilder;
    use crate::control::table::Table;
    use crate::policy::{Digest, KeyDefinition, KeyId, Restrictions, Secret};
    use crate::state::{Clock, Descriptors, Published};

    fn metrics() -> Metrics {
        let file = "[server]\nlisten = \"127.0.0.1:0\"\n[[api]]\nname = \"desk\"\n\
            upstream = \"http://127.0.0.1:3000\"\n";
        let config = Arc::new(parse(file, Path::new("gateway.toml")).expect("a good file"));
        let runtime = RuntimeBuilder::new(1, usize::MAX).build(
            &config,
            Arc::new(config.routes()),
            None,
            None,
        );
        let runtime = Arc::new(runtime.expect("no authorities"));
        let snapshot = Table::new(&config, runtime.routes.clone()).snapshot();
        let (shared, _) = Shared::new(
            Published { snapshot, runtime },
            1,
            Clock::default(),
            Arc::new(Descriptors::claim(1)),
        );
        Metrics::new(shared, None)
    }

    fn key(number: usize) -> Arc<KeyRecord> {
        let id = format!("key_{number}");
        Arc::new(KeyRecord::new(KeyDefinition {
            name: "".into(),
            organization: None,
            secrets: vec![Secret { digest: Digest::of(id.as_bytes()), ends_at: None }],
            id: KeyId::parse(&id).expect("an id"),
            expires_at: None,
            revoked: false,
            paused: false,
            stored: true,
            restrictions: Restrictions::default(),
            grants: 0,
            account: Arc::default(),
        }))
    }

    #[tokio::test]
    async fn keys_that_a_scraper_did_not_wait_for_are_looked_at_the_next_time() {
        let metrics = metrics();
        metrics.shared.add_used_keys(&mut (0..2 * TURN + 1).map(key).collect());
        let left = || metrics.handed_over.lock().expect("no panic").len();
        let mut gathering = Box::pin(metrics.gather());
        assert!(gathering.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(gathering);
        assert_eq!(left(), TURN + 1);
        metrics.gather().await;
        assert_eq!(left(), 0);
    }
}
