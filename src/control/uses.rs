//! Writes down how keys are used: a few seconds late, in batches, so that it never delays a change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use super::metrics::Metrics;
use crate::config::Store;
use crate::keystore::{KeyStore, Prune, UseNote};
use crate::policy::{Collected, Digest};

/// How often uses are written down. Last uses are on the disk five seconds after the use at the
/// latest.
const EVERY: Duration = Duration::from_secs(2);
/// How often old history goes, the first time soon after the start, and how old the counts of days
/// may be.
const PRUNE: Duration = Duration::from_secs(3600);
const FIRST_PRUNE: Duration = Duration::from_secs(60);
const USES_RETENTION_DAYS: i64 = 400;
const DAY: i64 = 86_400;
/// For how long a creation can be repeated with its `Idempotency-Key`, in seconds.
const IDEMPOTENCY: i64 = DAY;

/// How many uses may wait before they are merged; a few seconds have fewer.
const MANY: usize = 250_000;

/// Uses that nobody has written down yet. A store may fail for hours; so that what waits does not
/// grow all the while, uses of the same secret on the same day become one.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    notes: Vec<UseNote>,
    /// How many were left when they were last merged.
    merged: usize,
}

impl Unwritten {
    pub(super) fn add(&mut self, mut notes: Vec<UseNote>) {
        self.notes.append(&mut notes);
        if self.notes.len() > MANY + 2 * self.merged {
            merge(&mut self.notes);
            self.merged = self.notes.len();
        }
    }

    /// Takes them all.
    pub(super) fn take(&mut self) -> Vec<UseNote> {
        std::mem::take(self).notes
    }
}

fn merge(notes: &mut Vec<UseNote>) {
    fn what(note: &UseNote) -> (&str, i64, Option<Digest>) {
        (&note.key_id, note.day, note.secret.map(|(digest, _)| digest))
    }
    notes.sort_unstable_by(|left, right| what(left).cmp(&what(right)));
    notes.dedup_by(|note, into| {
        let same = what(note) == what(into);
        if same {
            into.requests += note.requests;
            // The same digest, so the later moment.
            into.secret = into.secret.max(note.secret);
        }
        same
    });
}

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
    let notes = metrics.unwritten().take();
    if notes.is_empty() {
        return;
    }
    match destination {
        Destination::Nowhere => {}
        Destination::Store(store) => {
            if let Err(failed) = store.note_use(notes).await {
                tracing::warn!(cause = %failed.cause, "use of keys cannot be written down; trying \
                    again");
                metrics.unwritten().add(failed.notes);
            }
        }
        // If it is gone, nobody is left who could write anything down.
        Destination::Successor(successor) => _ = successor.send(notes),
    }
}

/// What is to be written down of a key's use that was collected at `unix`.
pub(super) fn notes_of(id: &str, collected: &Collected, unix: i64, notes: &mut Vec<UseNote>) {
    let key_id: Arc<str> = id.into();
    let day = unix / DAY;
    let note = |secret, requests| UseNote { key_id: key_id.clone(), secret, day, requests };
    // The requests stand with the first secret, or alone if all are within a second that has been
    // told of.
    let mut requests = collected.requests;
    for secret in &collected.secrets {
        notes.push(note(Some(*secret), std::mem::take(&mut requests)));
    }
    if requests > 0 {
        notes.push(note(None, requests));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_of_the_same_secret_on_the_same_day_become_one_while_they_wait() {
        let digests = [Digest::of(b"one"), Digest::of(b"two")];
        let note =
            |key: &str, secret, day| UseNote { key_id: key.into(), secret, day, requests: 1 };
        let mut unwritten = Unwritten::default();
        for round in 0..i64::try_from(MANY).expect("a small number") {
            unwritten.add(vec![
                note("a", Some((digests[0], round)), 1),
                note("a", Some((digests[1], 5)), 1),
                note("a", None, 1),
                note("a", Some((digests[0], 7)), 2),
                note("b", None, 1),
            ]);
            assert!(unwritten.notes.len() <= MANY + 10);
        }
        let mut notes = unwritten.take();
        merge(&mut notes);
        let requests: u64 = notes.iter().map(|note| note.requests).sum();
        assert_eq!((notes.len(), requests), (5, 5 * MANY as u64), "nothing is lost");
        let latest = notes.iter().find(|note| {
            note.day == 1 && note.secret.is_some_and(|(digest, _)| digest == digests[0])
        });
        assert_eq!(latest.and_then(|note| note.secret), Some((digests[0], MANY as i64 - 1)));
        assert_eq!(unwritten.take(), []);
    }
}
