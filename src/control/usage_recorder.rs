//! Writes down how keys are used: a few seconds late, in batches, so that it never delays a change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use super::metrics::Metrics;
use super::pending_usage::DAY;
use crate::config::Store;
use crate::keystore::{KeyStore, Prune, UseNote};

/// How often uses are written down. Last uses are on the disk five seconds after the use at the
/// latest.
const EVERY: Duration = Duration::from_secs(2);
/// How often old history goes, the first time soon after the start, and how old the counts of days
/// may be.
const PRUNE: Duration = Duration::from_secs(3600);
const FIRST_PRUNE: Duration = Duration::from_secs(60);
const USES_RETENTION_DAYS: i64 = 400;
/// For how long a creation can be repeated with its `Idempotency-Key`, in seconds.
const IDEMPOTENCY: i64 = DAY;

/// Where uses are written down.
#[derive(Debug)]
pub(super) enum Destination {
    /// There is no store.
    Nowhere,
    Store(KeyStore),
    /// The process that has taken over, and the store with it.
    Successor(mpsc::UnboundedSender<Vec<UseNote>>),
}

/// Gathers what the workers hand over, and writes it down. Never ends.
pub(super) async fn run(metrics: Arc<Metrics>, destination: Arc<Mutex<Destination>>) {
    loop {
        sleep(EVERY).await;
        write_down(&metrics, &*destination.lock().await).await;
    }
}

/// Writes down what is known now. What cannot be written is tried again the next time.
pub(super) async fn write_down(metrics: &Metrics, destination: &Destination) {
    metrics.gather().await;
    let notes = metrics.pending_usage().take();
    if notes.is_empty() {
        return;
    }
    match destination {
        Destination::Nowhere => {}
        Destination::Store(store) => {
            if let Err(failed) = store.note_use(notes).await {
                tracing::warn!(cause = %failed.cause, "use of keys cannot be written down; trying \
                    again");
                metrics.pending_usage().add(failed.notes);
            }
        }
        // If it is gone, nobody is left who could write anything down.
        Destination::Successor(successor) => _ = successor.send(notes),
    }
}

/// Deletes history that is older than it is kept. Never ends.
pub(super) async fn prune(metrics: Arc<Metrics>, store: KeyStore, settings: Store) {
    let mut pause = FIRST_PRUNE;
    loop {
        sleep(std::mem::replace(&mut pause, PRUNE)).await;
        let now = metrics.shared.clock.now().unix;
        let retention = i64::try_from(settings.audit_retention.as_secs()).unwrap_or(i64::MAX);
        let prune = Prune {
            audit_before: now.saturating_sub(retention),
            uses_before_day: now / DAY - USES_RETENTION_DAYS,
            idempotency_before: now - IDEMPOTENCY,
        };
        if let Err(error) = store.prune(prune).await {
            tracing::warn!(%error, "old history cannot be deleted; trying again in an hour");
        }
    }
}
