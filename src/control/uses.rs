//! Writes down how keys are used: a few seconds late, in batches, so that it never delays a change.

use super::figures::Figures;
use crate::config::Store;
use crate::keystore::{KeyStore, Prune, UseNote};
use crate::policy::Collected;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often uses are written down. Last uses are on the disk five seconds after the use at the latest.
const EVERY: Duration = Duration::from_secs(2);
/// How often old history goes, and how old the counts of days may be.
const PRUNE: Duration = Duration::from_secs(3600);
const USES_RETENTION_DAYS: i64 = 400;
const DAY: i64 = 86_400;
/// For how long a creation can be repeated with its `Idempotency-Key`, in seconds.
const IDEMPOTENCY: i64 = DAY;

/// Gathers what the workers hand over, and writes it down where there is a store. Never ends.
pub(super) async fn run(figures: Arc<Figures>, store: Option<KeyStore>) {
    loop {
        sleep(EVERY).await;
        write_down(&figures, store.as_ref()).await;
    }
}

/// Writes down what is known now. What cannot be written is tried again the next time.
pub(super) async fn write_down(figures: &Figures, store: Option<&KeyStore>) {
    figures.gather().await;
    let notes = std::mem::take(&mut *figures.unwritten());
    let Some(store) = store.filter(|_| !notes.is_empty()) else { return };
    if let Err(failed) = store.note_use(notes).await {
        tracing::warn!(cause = %failed.cause, "use of keys cannot be written down; trying again");
        figures.unwritten().extend(failed.notes);
    }
}

/// What is to be written down of a key's use that was collected at `unix`.
pub(super) fn notes_of(id: &str, collected: &Collected, unix: i64, notes: &mut Vec<UseNote>) {
    let key_id: Arc<str> = id.into();
    let day = unix / DAY;
    let note = |secret, requests| UseNote { key_id: key_id.clone(), secret, day, requests };
    // The requests stand with the first secret, or alone if all are within a second that has been told of.
    let mut requests = collected.requests;
    for secret in &collected.secrets {
        notes.push(note(Some(*secret), std::mem::take(&mut requests)));
    }
    if requests > 0 {
        notes.push(note(None, requests));
    }
}

/// Deletes history that is older than it is kept. Never ends.
pub(super) async fn prune(figures: Arc<Figures>, store: KeyStore, settings: Store) {
    loop {
        sleep(PRUNE).await;
        let now = figures.shared.clock.now().unix;
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
