//! Stores key usage: a few seconds late and in batches, so that it never delays a change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use super::metrics::Metrics;
use super::pending_usage::DAY;
use crate::config::Store;
use crate::keystore::{KeyStore, Prune, UseNote};

/// Interval between writes. The time of a last use is on the disk at most five seconds after the
/// use.
const EVERY: Duration = Duration::from_secs(2);
/// Interval between deletions of old history, delay before the first one, and how long daily counts
/// are kept.
const PRUNE: Duration = Duration::from_secs(3600);
const FIRST_PRUNE: Duration = Duration::from_secs(60);
const USES_RETENTION_DAYS: i64 = 400;
/// How long hourly counts are kept.
const HOURS_RETENTION_DAYS: i64 = 14;
/// How long a creation can be repeated with its `Idempotency-Key`, in seconds.
const IDEMPOTENCY: i64 = DAY;

/// Where key usage is stored.
#[derive(Debug)]
pub(super) enum Destination {
    /// Nowhere: there is no store.
    Nowhere,
    Store(KeyStore),
    /// The process that has taken over, which owns the store now.
    Successor(mpsc::UnboundedSender<Vec<UseNote>>),
}

/// Collects key usage from the workers and stores it. Never returns.
pub(super) async fn run(metrics: Arc<Metrics>, destination: Arc<Mutex<Destination>>) {
    loop {
        sleep(EVERY).await;
        write_down(&metrics, &*destination.lock().await).await;
    }
}

/// Stores the key usage that is known now. Keeps what cannot be stored for the next call.
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
        // If the successor is gone, nothing can store the usage any more.
        Destination::Successor(successor) => _ = successor.send(notes),
    }
}

/// Deletes history whose retention has passed. Never returns.
pub(super) async fn prune(metrics: Arc<Metrics>, store: KeyStore, settings: Store) {
    let mut pause = FIRST_PRUNE;
    loop {
        sleep(std::mem::replace(&mut pause, PRUNE)).await;
        let now = metrics.shared.clock.now().unix;
        let retention = i64::try_from(settings.audit_retention.as_secs()).unwrap_or(i64::MAX);
        let prune = Prune {
            audit_before: now.saturating_sub(retention),
            uses_before_day: now / DAY - USES_RETENTION_DAYS,
            hours_before_day: now / DAY - HOURS_RETENTION_DAYS,
            idempotency_before: now - IDEMPOTENCY,
            sessions_before: now,
        };
        if let Err(error) = store.prune(prune).await {
            tracing::warn!(%error, "old history cannot be deleted; trying again in an hour");
        }
    }
}
