//! What memory keeps of keys that are refused for good: enough to say why, and no more.
//!
//! A digest is cut to 76 bits here, of which twelve are told by the shard. A false match would only
//! name the wrong reason to somebody who is refused anyway: keys that are in force are looked for
//! first, in the [`super::Keyring`].

use std::sync::Arc;

use super::digest::Digest;
use super::refusal::Refusal;
use super::shards::Shards;

const DAY: i64 = 86_400;

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Cause {
    /// What a caller with such a key is told.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Revoked => Refusal::RevokedKey,
            Self::Expired => Refusal::ExpiredKey,
        }
    }
}

/// One secret of a key that is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// Of the secret.
    pub digest: Digest,
    /// Why it is refused.
    pub cause: Cause,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
}

/// What is kept of a tombstone: 12 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: [u8; 8],
    /// Since the Unix epoch.
    day: u16,
    cause: Cause,
}

impl Entry {
    fn of(tombstone: &Tombstone) -> Self {
        let Tombstone { digest, cause, since } = tombstone;
        Self { tag: tag(digest), day: day_of(*since), cause: *cause }
    }
}

fn tag(digest: &Digest) -> [u8; 8] {
    digest.hash().to_be_bytes()
}

/// Days since the Unix epoch, as far as they can be told.
fn day_of(unix: i64) -> u16 {
    u16::try_from(unix.max(0) / DAY).unwrap_or(u16::MAX)
}

/// A change of the table.
#[derive(Debug, Clone, Copy)]
pub enum TombstoneEdit {
    /// This secret is refused from now on, for this reason.
    Add(Tombstone),
    /// Nothing is known of this secret any more.
    Remove(Digest),
}

impl TombstoneEdit {
    fn digest(&self) -> &Digest {
        match self {
            Self::Add(Tombstone { digest, .. }) | Self::Remove(digest) => digest,
        }
    }
}

/// Secrets of keys that are refused for good: immutable, in pieces that two versions of the table
/// can share. Each piece is sorted and has no room to spare.
#[derive(Debug, Clone)]
pub struct Tombstones {
    shards: Shards<Entry>,
    len: usize,
}

impl Default for Tombstones {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Tombstones {
    /// Builds the table; of several tombstones of one secret, the last one counts.
    #[must_use]
    pub fn new(mut tombstones: Vec<Tombstone>) -> Self {
        tombstones.sort_by_key(|tombstone| tombstone.digest.shard());
        let nothing: Arc<[Entry]> = Arc::default();
        let mut rest = &*tombstones;
        let mut len = 0;
        let shards = Shards::new(|number| {
            let end = rest.partition_point(|tombstone| tombstone.digest.shard() == number);
            let (of_shard, others) = rest.split_at(end);
            rest = others;
            if of_shard.is_empty() {
                return nothing.clone();
            }
            let mut entries = Vec::with_capacity(of_shard.len());
            of_shard.iter().for_each(|tombstone| insert(&mut entries, Entry::of(tombstone)));
            len += entries.len();
            entries.into()
        });
        Self { shards, len }
    }

    /// The table after these edits; it shares all shards that they do not touch.
    #[must_use]
    pub fn with(&self, edits: impl IntoIterator<Item = TombstoneEdit>) -> Self {
        let mut edits: Vec<TombstoneEdit> = edits.into_iter().collect();
        let mut len = self.len;
        let change = |before: &[Entry], edits: &[TombstoneEdit]| {
            len -= before.len();
            let mut entries = before.to_vec();
            for edit in edits {
                match edit {
                    TombstoneEdit::Add(tombstone) => insert(&mut entries, Entry::of(tombstone)),
                    TombstoneEdit::Remove(digest) => {
                        if let Ok(at) = place(&entries, tag(digest)) {
                            entries.remove(at);
                        }
                    }
                }
            }
            len += entries.len();
            entries.into()
        };
        let shards = self.shards.with(&mut edits, |edit| edit.digest().shard(), change);
        Self { shards, len }
    }

    /// Why a key with this secret is refused, if it is one of these.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Cause> {
        let shard = self.shards.get(digest.shard());
        place(shard, tag(digest)).ok().map(|at| shard[at].cause)
    }

    /// The table without what is older than a day (`before`, in seconds since the Unix epoch), in
    /// one of 64 groups of shards, which are counted round and round. `None`: there is nothing of
    /// the kind. All of them at once would take milliseconds.
    #[must_use]
    pub fn forget(&self, group: usize, before: i64) -> Option<Self> {
        let before = day_of(before);
        let is_old = |entry: &Entry| entry.day < before;
        let mut old: Vec<usize> = Shards::<Entry>::group(group)
            .filter(|number| self.shards.get(*number).iter().any(is_old))
            .collect();
        if old.is_empty() {
            return None;
        }
        let mut len = self.len;
        let shards = self.shards.with(
            &mut old,
            |number| *number,
            |shard, _| {
                let kept: Arc<[Entry]> =
                    shard.iter().filter(|entry| !is_old(entry)).copied().collect();
                len -= shard.len() - kept.len();
                kept
            },
        );
        Some(Self { shards, len })
    }

    /// How many secrets it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Where the entry with this tag is, or belongs.
fn place(entries: &[Entry], tag: [u8; 8]) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.tag.cmp(&tag))
}

fn insert(entries: &mut Vec<Entry>, entry: Entry) {
    match place(entries, entry.tag) {
        Ok(at) => entries[at] = entry,
        Err(at) => entries.insert(at, entry),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    fn tombstone(number: usize, cause: Cause, day: i64) -> Tombstone {
        Tombstone { digest: digest(number), cause, since: day * DAY }
    }

    #[test]
    fn dead_key_costs_at_most_40_bytes_over_a_million() {
        const DEAD: usize = 1_000_000;
        /// What the allocator adds to a piece of memory, and the counts in front of a shard.
        const OVERHEAD: usize = 16 + 16;
        let table =
            Tombstones::new((0..DEAD).map(|number| tombstone(number, Cause::Revoked, 9)).collect());
        let bytes: usize = Shards::<Entry>::group(0)
            .map(|number| size_of_val(table.shards.get(number)) + OVERHEAD + size_of::<usize>() * 2)
            .sum::<usize>()
            * 64;
        assert_eq!(table.len(), DEAD);
        // Even a key with three secrets stays below.
        assert!(3 * bytes / DEAD <= 40, "{} bytes a secret", bytes as f64 / DEAD as f64);
        assert_eq!(table.find(&digest(77)), Some(Cause::Revoked));
        assert_eq!(table.find(&digest(DEAD)), None);
    }

    #[test]
    fn adding_one_key_among_many_leaves_the_other_shards_shared() {
        let before = Tombstones::new(
            (0..10_000).map(|number| tombstone(number, Cause::Expired, 9)).collect(),
        );
        let after = before.with([TombstoneEdit::Add(tombstone(7, Cause::Revoked, 9))]);
        assert_eq!(after.find(&digest(7)), Some(Cause::Revoked));
        assert_eq!(before.find(&digest(7)), Some(Cause::Expired), "a published table has changed");
        assert_eq!(after.len(), before.len());
        assert_eq!(after.shards.shared_with(&before.shards), (63, 4095));
    }

    proptest! {
        #[test]
        fn table_knows_what_was_added_last_until_it_is_removed(
            edits in proptest::collection::vec((0_usize..60, 0_u8..4, 1_i64..9), 1..120),
            oldest in 0_i64..10,
        ) {
            let mut known: BTreeMap<usize, (Cause, i64)> = BTreeMap::new();
            let mut table = Tombstones::default();
            for (number, action, day) in edits {
                let cause = if action == 1 { Cause::Expired } else { Cause::Revoked };
                if action == 0 {
                    known.remove(&number);
                    table = table.with([TombstoneEdit::Remove(digest(number))]);
                } else {
                    known.insert(number, (cause, day));
                    table = table.with([TombstoneEdit::Add(tombstone(number, cause, day))]);
                }
                prop_assert_eq!(table.len(), known.len());
            }
            let all = known.iter().map(|(number, (cause, day))| tombstone(*number, *cause, *day));
            let rebuilt = Tombstones::new(all.collect());
            for number in 0..60 {
                let expected = known.get(&number).map(|(cause, _)| *cause);
                prop_assert_eq!(table.find(&digest(number)), expected);
                prop_assert_eq!(rebuilt.find(&digest(number)), expected);
            }
            for group in 0..64 {
                table = table.forget(group, oldest * DAY).unwrap_or(table);
            }
            known.retain(|_, (_, day)| *day >= oldest);
            prop_assert_eq!(table.len(), known.len());
            for number in 0..60 {
                let expected = known.get(&number).map(|(cause, _)| *cause);
                prop_assert_eq!(table.find(&digest(number)), expected);
            }
        }
    }
}
