//! The key table, which maps the digest of what the caller presents to a key record.

use std::sync::Arc;

use super::digest::Digest;
use super::key::KeyRecord;
use super::shards::Shards;

/// A secret and its record. The digest is not repeated here, because the record contains it and is
/// read anyway.
#[derive(Debug, Clone)]
struct Slot {
    tag: u64,
    record: Arc<KeyRecord>,
}

impl Slot {
    fn is(&self, digest: &Digest) -> bool {
        self.tag == digest.hash() && self.record.secret(digest).is_some()
    }
}

/// An open-addressed hash table with linear probing. At least a third of its slots are free. The
/// slots directly follow the reference counts of the [`Arc`], without another pointer.
type Shard = [Option<Slot>];

/// Returns the slot at which the search for a tag begins, in a shard with this many slots. It is
/// the tag, scaled to the number of slots.
fn home(tag: u64, slots: usize) -> usize {
    // The product of two 64-bit numbers, shifted right by 64, is less than either of them.
    ((u128::from(tag) * slots as u128) >> 64) as usize
}

fn shard(entries: Vec<Slot>) -> Arc<Shard> {
    let length = entries.len();
    let mut slots: Vec<Option<Slot>> = Vec::new();
    slots.resize_with(if length == 0 { 0 } else { length + length / 2 + 1 }, || None);
    for entry in entries {
        let mut at = home(entry.tag, slots.len());
        while slots[at].is_some() {
            at = (at + 1) % slots.len();
        }
        slots[at] = Some(entry);
    }
    slots.into()
}

/// All keys by digest. The table is immutable, and its versions share the parts that do not differ.
#[derive(Debug, Clone)]
pub struct Keyring {
    shards: Shards<Option<Slot>>,
    len: usize,
}

/// A change of the table. A digest identifies one secret; adding it again replaces the previous
/// record.
#[derive(Debug)]
pub enum Edit {
    /// Adds this secret of this record.
    Put(Digest, Arc<KeyRecord>),
    /// Removes this secret.
    Remove(Digest),
}

impl Edit {
    fn digest(&self) -> &Digest {
        match self {
            Self::Put(digest, _) | Self::Remove(digest) => digest,
        }
    }

    /// Returns the edits that replace one version of a key by another. `None` stands for a version
    /// that does not exist.
    pub fn replace(
        before: Option<&Arc<KeyRecord>>,
        after: Option<&Arc<KeyRecord>>,
    ) -> impl Iterator<Item = Self> {
        let kept = move |digest: &Digest| after.is_some_and(|after| after.secret(digest).is_some());
        let old =
            before.into_iter().flat_map(|before| before.secrets()).map(|secret| secret.digest);
        let removed = old.filter(move |digest| !kept(digest)).map(Self::Remove);
        let put = after.into_iter().flat_map(|after| {
            after.secrets().map(|secret| Self::Put(secret.digest, after.clone()))
        });
        removed.chain(put)
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new([])
    }
}

impl Keyring {
    /// Builds the table. The digests must be unique.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = Arc<KeyRecord>>) -> Self {
        // One large allocation, which is returned to the operating system. Thousands of growing
        // ones would leave gaps between the records.
        let mut entries: Vec<(usize, Slot)> = Vec::new();
        for record in keys {
            for secret in record.secrets() {
                let tag = secret.digest.hash();
                entries.push((secret.digest.shard(), Slot { tag, record: record.clone() }));
            }
        }
        let len = entries.len();
        entries.sort_unstable_by_key(|(shard, _)| *shard);
        let mut entries = entries.into_iter().peekable();
        let shards = Shards::new(|number| {
            let of_shard = std::iter::from_fn(|| entries.next_if(|(shard, _)| *shard == number));
            shard(of_shard.map(|(_, slot)| slot).collect())
        });
        Self { shards, len }
    }

    /// Returns the table after these edits. It shares all shards that they do not affect.
    #[must_use]
    pub fn with(&self, edits: impl IntoIterator<Item = Edit>) -> Self {
        let mut edits: Vec<Edit> = edits.into_iter().collect();
        let mut len = self.len;
        let change = |before: &Shard, edits: &[Edit]| {
            let mut entries: Vec<Slot> = before.iter().flatten().cloned().collect();
            len -= entries.len();
            for edit in edits {
                entries.retain(|slot| !slot.is(edit.digest()));
                if let Edit::Put(digest, record) = edit {
                    entries.push(Slot { tag: digest.hash(), record: record.clone() });
                }
            }
            len += entries.len();
            shard(entries)
        };
        let shards = self.shards.with(&mut edits, |edit| edit.digest().shard(), change);
        Self { shards, len }
    }

    /// Returns the record of a digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<&Arc<KeyRecord>> {
        let shard = self.shards.get(digest.shard());
        let home = home(digest.hash(), shard.len());
        // A third of the slots are free, so the search ends.
        let (before, from) = shard.split_at_checked(home)?;
        let found =
            from.iter().chain(before).map_while(Option::as_ref).find(|slot| slot.is(digest));
        found.map(|slot| &slot.record)
    }

    /// Returns how many groups and shards two tables share.
    #[cfg(test)]
    pub(super) fn shared_with(&self, other: &Self) -> (usize, usize) {
        self.shards.shared_with(&other.shards)
    }

    /// Returns every key once, in no particular order.
    pub fn records(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        let slots = self.shards.entries().flatten();
        let is_first = |slot: &&Slot| {
            slot.record.secrets().next().is_some_and(|secret| secret.digest.hash() == slot.tag)
        };
        slots.filter(is_first).map(|slot| &slot.record)
    }

    /// Returns the number of secrets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no secrets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
