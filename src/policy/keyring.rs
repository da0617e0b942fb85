//! The table of keys: from the digest of what the caller presents to the record behind it.

use std::sync::Arc;

use super::digest::Digest;
use super::key::KeyRecord;
use super::shards::Shards;

/// A secret and the record that it belongs to. The digest itself is in the record, which is read
/// anyway.
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

/// An open-addressed table with linear probing, at least a third free.
type Shard = [Option<Slot>];

/// Where the search for a tag begins in a shard with this many slots: the tag, scaled.
fn home(tag: u64, slots: usize) -> usize {
    // The product of two 64-bit numbers, shifted by 64, is below the second.
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

/// All keys by digest: immutable, in pieces that two versions of the table can share.
#[derive(Debug, Clone)]
pub struct Keyring {
    shards: Shards<Option<Slot>>,
    len: usize,
}

/// A change of the table. A digest stands for one secret; one that is put replaces the one before.
#[derive(Debug)]
pub enum Edit {
    /// This secret of this record is known from now on.
    Put(Digest, Arc<KeyRecord>),
    /// This secret is not known any more.
    Remove(Digest),
}

impl Edit {
    fn digest(&self) -> &Digest {
        match self {
            Self::Put(digest, _) | Self::Remove(digest) => digest,
        }
    }

    /// Replaces one version of a key by another, either of which may be missing.
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
    /// Builds the table. Digests are expected to be unique.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = Arc<KeyRecord>>) -> Self {
        // One big piece of memory, which goes back to the system; thousands of growing ones would
        // leave holes between the records.
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

    /// The table after these edits; it shares all shards that they do not touch.
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

    /// The record behind a digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<&Arc<KeyRecord>> {
        let shard = self.shards.get(digest.shard());
        let home = home(digest.hash(), shard.len());
        // A third of the slots is free, so the search ends.
        let (before, from) = shard.split_at_checked(home)?;
        let found =
            from.iter().chain(before).map_while(Option::as_ref).find(|slot| slot.is(digest));
        found.map(|slot| &slot.record)
    }

    /// How many groups and shards the two have in common.
    #[cfg(test)]
    pub(super) fn shared_with(&self, other: &Self) -> (usize, usize) {
        self.shards.shared_with(&other.shards)
    }

    /// Every key once, in no order.
    pub fn records(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        let slots = self.shards.entries().flatten();
        let is_first = |slot: &&Slot| {
            slot.record.secrets().next().is_some_and(|secret| secret.digest.hash() == slot.tag)
        };
        slots.filter(is_first).map(|slot| &slot.record)
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
