//! Shards of a large table behind two levels of pointers: a change copies 64 pointers twice and the
//! shards that it touches, and two versions of the table share all others.

use std::sync::Arc;

/// Both are powers of two.
const GROUPS: usize = 64;
const SHARDS: usize = 64;

/// The entries of a shard lie right behind the pointer to it.
type Group<T> = [Arc<[T]>];

/// 4,096 shards, each of which is immutable. [`super::Digest::shard`] tells which one a digest is
/// in.
#[derive(Debug)]
pub(super) struct Shards<T>(Arc<[Arc<Group<T>>]>);

impl<T> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Shards<T> {
    /// Takes the shards in order from `make`.
    pub(super) fn new(make: impl FnMut(usize) -> Arc<[T]>) -> Self {
        let mut shards = (0..GROUPS * SHARDS).map(make);
        Self((0..GROUPS).map(|_| shards.by_ref().take(SHARDS).collect()).collect())
    }

    /// The shard of this number.
    pub(super) fn get(&self, number: usize) -> &[T] {
        &self.0[number / SHARDS][number % SHARDS]
    }

    /// All entries, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|group| group.iter()).flat_map(|shard| shard.iter())
    }

    /// The table after these edits, of which `shard_of` tells the shard; edits of one shard keep
    /// their order. `change` makes the new shard.
    pub(super) fn with<E>(
        &self,
        edits: &mut [E],
        shard_of: impl Fn(&E) -> usize,
        mut change: impl FnMut(&[T], &[E]) -> Arc<[T]>,
    ) -> Self {
        edits.sort_by_key(&shard_of);
        let mut groups = self.0.to_vec();
        let group_of = |edit: &E| shard_of(edit) / SHARDS;
        for of_group in edits.chunk_by(|left, right| group_of(left) == group_of(right)) {
            let group = &mut groups[group_of(&of_group[0])];
            let mut shards = group.to_vec();
            for of_shard in of_group.chunk_by(|left, right| shard_of(left) == shard_of(right)) {
                let place = &mut shards[shard_of(&of_shard[0]) % SHARDS];
                *place = change(place, of_shard);
            }
            *group = shards.into();
        }
        Self(groups.into())
    }

    /// The numbers of the shards in the group of this number; groups are counted round and round.
    pub(super) fn group(number: usize) -> std::ops::Range<usize> {
        let first = number % GROUPS * SHARDS;
        first..first + SHARDS
    }

    /// How many groups and shards the two have in common.
    #[cfg(test)]
    pub(super) fn shared_with(&self, other: &Self) -> (usize, usize) {
        let groups = || self.0.iter().zip(other.0.iter());
        let shards = groups().flat_map(|(left, right)| left.iter().zip(right.iter()));
        (
            groups().filter(|(left, right)| Arc::ptr_eq(left, right)).count(),
            shards.filter(|(left, right)| Arc::ptr_eq(left, right)).count(),
        )
    }
}
