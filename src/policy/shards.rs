//! A large immutable table in shards, behind two levels of pointers. A change copies the shards
//! that it touches and the 64 pointers of each level above them. Both versions share the rest.

use std::sync::Arc;

/// The number of groups, and of shards in a group. Both are powers of two.
const GROUPS: usize = 64;
const SHARDS: usize = 64;

/// The shards of a group. One pointer leads to the entries of a shard.
type Group<T> = [Arc<[T]>];

/// 4,096 immutable shards. [`super::Digest::shard`] returns the number of a digest's shard.
#[derive(Debug)]
pub(super) struct Shards<T>(Arc<[Arc<Group<T>>]>);

impl<T> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Shards<T> {
    /// Builds the table. Calls `make` with the number of each shard, in order.
    pub(super) fn new(make: impl FnMut(usize) -> Arc<[T]>) -> Self {
        let mut shards = (0..GROUPS * SHARDS).map(make);
        Self((0..GROUPS).map(|_| shards.by_ref().take(SHARDS).collect()).collect())
    }

    /// Returns the shard with this number.
    pub(super) fn get(&self, number: usize) -> &[T] {
        &self.0[number / SHARDS][number % SHARDS]
    }

    /// Returns all entries, shard by shard.
    pub(super) fn entries(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|group| group.iter()).flat_map(|shard| shard.iter())
    }

    /// Returns the table after these edits. `shard_of` returns the shard number of an edit.
    /// `change` makes a new shard from the old one and its edits, which keep their order.
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

    /// Returns the shard numbers of a group. `number`: the number of the group, modulo 64.
    pub(super) fn group(number: usize) -> std::ops::Range<usize> {
        let first = number % GROUPS * SHARDS;
        first..first + SHARDS
    }

    /// Returns the number of groups and the number of shards that both tables share.
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
