//! Keys of the store that are refused for good: memory keeps tombstones of them, for as long as
//! `[store] revoked_retention` says.

use std::sync::Arc;

use super::Table;
use super::revoked::digests;
use crate::keystore::StoredKey;
use crate::policy::{Cause, Digest, Edit, KeyRecord, Now, Tombstone, TombstoneEdit};

/// Why a key of the store is refused at `now`, and since when, if it is one of those of which only
/// tombstones are kept.
pub(in crate::control) fn end_of(key: &StoredKey, now: i64) -> Option<(Cause, i64)> {
    match (&key.revocation, key.expires_at) {
        (Some(revocation), _) => Some((Cause::Revoked, revocation.at)),
        (None, Some(end)) if end <= now => Some((Cause::Expired, end)),
        _ => None,
    }
}

/// When a key of the store has expired, if it has at `now` and is not revoked.
pub(in crate::control) fn expired_at(record: &KeyRecord, now: i64) -> Option<i64> {
    let may_be = record.is_stored() && !record.is_revoked();
    record.expires_at().filter(|end| may_be && *end <= now)
}

impl Table {
    /// Keeps only tombstones of these keys of the store, which the store has as revoked since this
    /// moment, in seconds since the Unix epoch.
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

    /// Keeps only tombstones of those of these keys of the store that have expired and are not
    /// revoked. Their counts are kept for their windows: they may be given more time.
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

    /// Notes that a key of which only tombstones are kept is revoked now. It has these secrets.
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

    /// Forgets that these secrets were ones of a key that is refused for good: it is admitted
    /// again.
    pub(super) fn unearth(&mut self, secrets: impl Iterator<Item = Digest>) {
        let retired = secrets.filter(|digest| self.snapshot.tombstones.find(digest).is_some());
        let edits: Vec<TombstoneEdit> = retired.map(TombstoneEdit::Remove).collect();
        if !edits.is_empty() {
            self.snapshot.tombstones = self.snapshot.tombstones.with(edits);
        }
    }

    /// Drops tombstones that are older than they are kept, in one of 64 groups, which are counted
    /// round and round. Returns whether there were any.
    pub(in crate::control) fn forget_dead(&mut self, group: usize, now: i64) -> bool {
        let kept = self.snapshot.tombstones.forget(group, now.saturating_sub(self.retention()));
        kept.map(|kept| self.snapshot.tombstones = kept).is_some()
    }

    /// Whether memory still has something to say of a key that has been refused since this moment.
    pub(super) fn remembers(&self, since: i64, now: i64) -> bool {
        now.saturating_sub(since) <= self.retention()
    }

    /// In seconds.
    fn retention(&self) -> i64 {
        // A file that no longer has a store is not followed in that until the next start.
        let store = self.config.store.as_ref();
        let retention = store.and_then(|store| store.revoked_retention.as_secs().try_into().ok());
        retention.unwrap_or(i64::MAX)
    }
}
