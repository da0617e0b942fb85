//! Key usage that is not yet stored.

use std::sync::Arc;

use crate::keystore::UseNote;
use crate::policy::{Collected, Digest};

/// One day in seconds.
pub(super) const DAY: i64 = 86_400;
/// How many notes may accumulate before they are merged. A few seconds yield fewer.
const MANY: usize = 250_000;

/// Notes of key usage that are not yet stored. The store may fail for hours, so notes of the same
/// secret and day are merged to bound their number.
#[derive(Debug, Default)]
pub(super) struct PendingUsage {
    notes: Vec<UseNote>,
    /// The number of notes after the last merge.
    merged: usize,
}

impl PendingUsage {
    pub(super) fn add(&mut self, mut notes: Vec<UseNote>) {
        self.notes.append(&mut notes);
        if self.notes.len() > MANY + 2 * self.merged {
            merge(&mut self.notes);
            self.merged = self.notes.len();
        }
    }

    /// Takes all notes.
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
            // The digests are equal, so this selects the later time.
            into.secret = into.secret.max(note.secret);
        }
        same
    });
}

/// Appends the notes of a key's usage that was collected at `unix`, in Unix seconds.
pub(super) fn notes_of(id: &str, collected: &Collected, unix: i64, notes: &mut Vec<UseNote>) {
    let key_id: Arc<str> = id.into();
    let day = unix / DAY;
    let note = |secret, requests| UseNote { key_id: key_id.clone(), secret, day, requests };
    // The first secret's note carries all requests. A note without a secret carries them if no last
    // use has changed since the previous collection: last uses are in whole seconds.
    let mut requests = collected.requests;
    for secret in &collected.secrets {
        notes.push(note(Some(*secret), std::mem::take(&mut requests)));
    }
    if requests > 0 {
        notes.push(note(None, requests));
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
        let mut pending = PendingUsage::default();
        for round in 0..i64::try_from(MANY).expect("a small number") {
            pending.add(vec![
                note("a", Some((digests[0], round)), 1),
                note("a", Some((digests[1], 5)), 1),
                note("a", None, 1),
                note("a", Some((digests[0], 7)), 2),
                note("b", None, 1),
            ]);
            assert!(pending.notes.len() <= MANY + 10);
        }
        let mut notes = pending.take();
        merge(&mut notes);
        let requests: u64 = notes.iter().map(|note| note.requests).sum();
        assert_eq!((notes.len(), requests), (5, 5 * MANY as u64), "nothing is lost");
        let latest = notes.iter().find(|note| {
            note.day == 1 && note.secret.is_some_and(|(digest, _)| digest == digests[0])
        });
        assert_eq!(latest.and_then(|note| note.secret), Some((digests[0], MANY as i64 - 1)));
        assert_eq!(pending.take(), []);
    }
}
