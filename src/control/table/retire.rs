//! Reduces revoked and expired keys of the store to tombstones. Memory keeps these for the
//! `revoked_retention` of `[store]`.

use std::sync::Arc;

use super::Table;
use super::revoked::digests;
use crate::keystore::StoredKey;
use crate::policy::{Cause, Digest, Edit, KeyRecord, Now, Tombstone, TombstoneEdit};

/// Returns why a key of the store is refused permanently, and since when, in Unix seconds. Returns
/// `None` if it is neither revoked nor has expired at `now`.
pub(in crate::control) fn end_of(key: &StoredKey, now: i64) -> Option<(Cause, i64)> {
    match (&key.revocation, key.expires_at) {
        (Some(revocation), _) => Some((Cause::Revoked, revocation.at)),
        (None, Some(end)) if end <= now => Some((Cause::Expired, end)),
        _ => None,
    }
}

/// Returns when a key expired. Returns `None` if it has not expired at `now`, is revoked, or is not
/// of the store.
pub(in crate::control) fn expired_at(record: &KeyRecord, now: i64) -> Option<i64> {
    let may_be = record.is_stored() && !record.is_revoked();
    record.expires_at().filter(|end| may_be && *end <= now)
}

impl Table {
    /// Reduces keys of the store to tombstones. The store has recorded that they are revoked.
    /// `since`: when they were revoked, in Unix seconds.
    pub(in crate::control) fn retire_revoked(&mut self, ids: &[&str], since: i64, now: Now) {
        let mut dead = Vec::new();
        for id in ids {
            if self.key(id).is_none_or(|key| !key.is_stored()) {
                continue;
            }
            self.revoked.remove(*id);
            let Some(record) = self.remove(id) else { continue };
            self.departed.add_for_good(id, record.account(), now.monotonic);
            dead.push((record, Cause::Revoked, since));
        }
        self.retire(&dead, now);
    }

    /// Reduces those of these keys of the store to tombstones that have expired and are not
    /// revoked. Keeps their accounts for their windows, because a later change may extend their
    /// lifetime.
    pub(in crate::control) fn retire_expired(&mut self, ids: &[Box<str>], now: Now) {
        let mut dead = Vec::new();
        for id in ids {
            let Some(end) = self.key(id).and_then(|record| expired_at(record, now.unix)) else {
                continue;
            };
            let Some(record) = self.remove(id) else { continue };
            self.departed.add(id, record.account().clone(), now.monotonic);
            dead.push((record, Cause::Expired, end));
        }
        self.retire(&dead, now);
    }

    /// Notes that a key of which only tombstones are left has been revoked. `secrets` are its
    /// secrets.
    pub(in crate::control) fn retire_again(
        &mut self,
        id: &str,
        secrets: &[Digest],
        since: i64,
        now: Now,
    ) {
        self.revoked.remove(id);
        self.note_dead(id, None, secrets.iter().copied(), Cause::Revoked);
        if self.remembers(since, now.unix) {
            let edits = secrets.iter().map(|digest| {
                TombstoneEdit::Add(Tombstone { digest: *digest, cause: Cause::Revoked, since })
            });
            self.snapshot.tombstones = self.snapshot.tombstones.with(edits);
        }
    }

    fn retire(&mut self, dead: &[(Arc<KeyRecord>, Cause, i64)], now: Now) {
        for (record, cause, _) in dead {
            let organization = record.organization();
            self.note_dead(record.id(), organization, digests(record), *cause);
        }
        let edits = dead.iter().flat_map(|(record, ..)| Edit::replace(Some(record), None));
        self.snapshot.keyring = self.snapshot.keyring.with(edits);
        let remembered = dead.iter().filter(|(.., since)| self.remembers(*since, now.unix));
        let edits = remembered.flat_map(|(record, cause, since)| {
            record.secrets().map(|secret| {
                let (digest, cause, since) = (secret.digest, *cause, *since);
                TombstoneEdit::Add(Tombstone { digest, cause, since })
            })
        });
        self.snapshot.tombstones = self.snapshot.tombstones.with(edits);
    }

    /// Removes the tombstones of these secrets, because their key is admitted again.
    pub(super) fn remove_tombstones(&mut self, secrets: impl Iterator<Item = Digest>) {
        let retired = secrets.filter(|digest| self.snapshot.tombstones.find(digest).is_some());
        let edits: Vec<TombstoneEdit> = retired.map(TombstoneEdit::Remove).collect();
        if !edits.is_empty() {
            self.snapshot.tombstones = self.snapshot.tombstones.with(edits);
        }
    }

    /// Drops the tombstones that are older than the retention, in one of 64 groups. `group` may be
    /// any number and wraps around. Returns whether there were any.
    pub(in crate::control) fn forget_dead(&mut self, group: usize, now: i64) -> bool {
        let kept = self.snapshot.tombstones.forget(group, now.saturating_sub(self.retention()));
        kept.map(|kept| self.snapshot.tombstones = kept).is_some()
    }

    /// Returns whether tombstones of a key that has been refused since `since` are kept at `now`.
    pub(super) fn remembers(&self, since: i64, now: i64) -> bool {
        now.saturating_sub(since) <= self.retention()
    }

    /// Returns how long tombstones are kept, in seconds.
    fn retention(&self) -> i64 {
        // If `[store]` is removed, the store stays in use until the next start. Keep everything.
        let store = self.config.store.as_ref();
        let retention = store.and_then(|store| store.revoked_retention.as_secs().try_into().ok());
        retention.unwrap_or(i64::MAX)
    }
}
