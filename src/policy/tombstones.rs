//! Remembers why revoked and expired keys are refused.
//!
//! An entry identifies a digest by 76 bits: 64 in its tag and twelve in the number of its shard. A
//! false match only changes the reason of a refusal, because keys in force are looked up first, in
//! the [`super::Keyring`].

use std::sync::Arc;

use super::digest::Digest;
use super::refusal::Refusal;
use super::shards::Shards;

const DAY: i64 = 86_400;

/// Why a key is refused permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The key was revoked.
    Revoked,
    /// The key has expired.
    Expired,
}

impl Cause {
    /// Returns the refusal for a caller with such a key.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Revoked => Refusal::RevokedKey,
            Self::Expired => Refusal::ExpiredKey,
        }
    }
}

/// A secret of a revoked or expired key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The digest of the secret.
    pub digest: Digest,
    /// Why the secret is refused.
    pub cause: Cause,
    /// When the key was revoked or expired, in Unix seconds.
    pub since: i64,
}

/// A tombstone as the table stores it, in 12 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: [u8; 8],
    /// Days since the Unix epoch.
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

/// Converts Unix seconds to days since the Unix epoch, limited to the range of `u16`.
fn day_of(unix: i64) -> u16 {
    u16::try_from(unix.max(0) / DAY).unwrap_or(u16::MAX)
}

/// A change of the table.
#[derive(Debug, Clone, Copy)]
pub enum TombstoneEdit {
    /// Adds a secret, or replaces its cause and its day.
    Add(Tombstone),
    /// Removes a secret.
    Remove(Digest),
}

impl TombstoneEdit {
    fn digest(&self) -> &Digest {
        match self {
            Self::Add(Tombstone { digest, .. }) | Self::Remove(digest) => digest,
        }
    }
}

/// The secrets of revoked and expired keys. The table is immutable, and two versions of it share
/// unchanged shards. Each shard is sorted and has no spare capacity.
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
    /// Builds the table. The last of several tombstones for the same secret counts.
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

    /// Returns the table after these edits. It shares all other shards with this one.
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

    /// Returns why this secret is refused, or `None` if the table does not contain it.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Cause> {
        if self.is_empty() {
            return None;
        }
        let shard = self.shards.get(digest.shard());
        place(shard, tag(digest)).ok().map(|at| shard[at].cause)
    }

    /// Removes the entries of a group of shards from days before that of `before`, in Unix seconds.
    /// Returns `None` if there are none. `group`: the number of the group, modulo 64.
    ///
    /// Each call handles one group only, because all groups at once would take milliseconds.
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

    /// Returns the number of secrets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Returns the index of the entry with this tag, or the index to insert it at as `Err`.
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
        /// The allocator's overhead, and the reference counts of a shard.
        const OVERHEAD: usize = 16 + 16;
        let table =
            Tombstones::new((0..DEAD).map(|number| tombstone(number, Cause::Revoked, 9)).collect());
        let bytes: usize = Shards::<Entry>::group(0)
            .map(|number| size_of_val(table.shards.get(number)) + OVERHEAD + size_of::<usize>() * 2)
            .sum::<usize>()
            * 64;
        assert_eq!(table.len(), DEAD);
        // A key with three secrets stays within the limit, too.
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
