//! Key usage that is not yet stored.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::keystore::UseNote;
use crate::policy::{Collected, Digest, Hours, add_hour};

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
            note.hours.iter().for_each(|hour| add_hour(&mut into.hours, hour));
            // The digests are equal, so this selects the later time.
            into.secret = into.secret.max(note.secret);
        }
        same
    });
}

/// Appends the notes of a key's usage that was collected at `unix`, in Unix seconds.
pub(super) fn notes_of(id: &str, collected: Collected, unix: i64, notes: &mut Vec<UseNote>) {
    let key_id: Arc<str> = id.into();
    let note = |secret, day, hours| UseNote { key_id: key_id.clone(), secret, day, hours };
    let mut days: SmallVec<[(i64, Hours); 1]> = SmallVec::new();
    for hour in collected.hours {
        let day = i64::from(hour.hour / 24);
        match days.iter_mut().find(|(known, _)| *known == day) {
            Some((_, hours)) => hours.push(hour),
            None => days.push((day, Hours::from_iter([hour]))),
        }
    }
    // The first secret's note carries the requests of its day, so that one row is written.
    let mut secrets = collected.secrets.into_iter();
    let first = secrets.next();
    let day_of = |(_, at): &(Digest, i64)| at.div_euclid(DAY);
    let day = first.as_ref().map_or(unix.div_euclid(DAY), day_of);
    if let Some(first) = first {
        let with = days.iter().position(|(known, _)| *known == day);
        let hours = with.map_or_else(Hours::new, |place| days.swap_remove(place).1);
        notes.push(note(Some(first), day, hours));
    }
    notes.extend(secrets.map(|secret| note(Some(secret), day_of(&secret), Hours::new())));
    notes.extend(days.into_iter().map(|(day, hours)| note(None, day, hours)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::HourCounts;

    #[test]
    fn uses_of_the_same_secret_on_the_same_day_become_one_while_they_wait() {
        let digests = [Digest::of(b"one"), Digest::of(b"two")];
        let hours = |day: i64| {
            let hour = u32::try_from(day * 24).expect("a day");
            Hours::from_iter([HourCounts { hour, counts: [1, 0, 0, 0, 0], highest_minute: 1 }])
        };
        let note =
            |key: &str, secret, day| UseNote { key_id: key.into(), secret, day, hours: hours(day) };
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
        let counts = notes.iter().flat_map(|note| &note.hours).map(|hour| hour.counts[0]);
        let requests: u64 = counts.map(u64::from).sum();
        assert_eq!((notes.len(), requests), (5, 5 * MANY as u64), "nothing is lost");
        let latest = notes.iter().find(|note| {
            note.day == 1 && note.secret.is_some_and(|(digest, _)| digest == digests[0])
        });
        assert_eq!(latest.and_then(|note| note.secret), Some((digests[0], MANY as i64 - 1)));
        assert_eq!(pending.take(), []);
    }
}
