//! Permanent revocations, by `[revoked]` and by request.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Table;
use super::key_name::KeyName;
use crate::config::{Found, Hold, NamedBy, Revoked, RevokedKey};
use crate::keystore::Taken;
use crate::policy::{Cause, Digest, KeyRecord};

impl Table {
    /// Returns whether the key with this id is permanently revoked.
    pub(in crate::control) fn is_revoked(&self, id: &str) -> bool {
        self.refuses(id, [])
            || self.key(id).map_or(self.named_dead.has(id), |record| record.is_revoked())
    }

    /// Returns whether the file or a request has revoked a key with this id and these digests.
    pub(super) fn refuses(
        &self,
        id: &str,
        digests: impl IntoIterator<Item = Digest, IntoIter: Clone>,
    ) -> bool {
        let mut digests = digests.into_iter();
        self.revoked.contains(id)
            || self.config.revoked.key(id, digests.clone()).is_some()
            || digests.any(|digest| self.revoked_secrets.contains(&digest))
    }

    /// Returns the keys that a value of `[revoked]` matches, once for each way to interpret the
    /// value.
    pub(in crate::control) fn found_by(&self, value: &RevokedKey<'_>) -> Vec<Found> {
        let found = |record: &Arc<KeyRecord>, by| Found {
            id: record.id().into(),
            by,
            stored: record.is_stored(),
        };
        let dead = |id: &str, by| Found { id: id.into(), by, stored: true };
        let by_id = value.id().and_then(|id| match self.key(id) {
            Some(record) => Some(found(record, NamedBy::Id)),
            // Only the id is still known.
            None => (self.revoked.contains(id) || self.named_dead.has(id))
                .then(|| dead(id, NamedBy::Id)),
        });
        let by_digest = value.digests().filter_map(|(by, digest)| match self.key_of(&digest) {
            Some(record) => Some(found(record, by)),
            None => self.named_dead.owner(&digest).map(|id| dead(id, by)),
        });
        by_id.into_iter().chain(by_digest).collect()
    }

    /// Returns whether a value of `[revoked]` matches a tombstone: it names a secret of a key that
    /// is already refused, and whose id is not in memory.
    pub(in crate::control) fn has_tombstone_of(&self, value: &RevokedKey<'_>) -> bool {
        value.digests().any(|(_, digest)| self.snapshot.tombstones.find(&digest).is_some())
    }

    /// Returns the ids and digests for which values of `[revoked]` may match keys that only the
    /// store has.
    pub(in crate::control) fn unknown_in(&self, revoked: &Revoked) -> (Vec<String>, Vec<Digest>) {
        let unknown: Vec<_> = revoked.keys().filter(|key| self.found_by(key).is_empty()).collect();
        let ids = unknown.iter().filter_map(|key| key.id()).map(str::to_owned).collect();
        let digests = unknown.iter().flat_map(|key| key.digests()).map(|(_, digest)| digest);
        (ids, digests.collect())
    }

    /// Notes which of them the store has. Must be called before the table follows the file that
    /// names them.
    pub(in crate::control) fn note_named_dead(&mut self, taken: &Taken) {
        taken.ids.iter().for_each(|id| self.named_dead.add(id, [].into_iter()));
        for (digest, id) in &taken.secrets {
            self.named_dead.add(id, [*digest].into_iter());
        }
    }

    /// Notes a key of the store that is being reduced to tombstones, if `[revoked]` names it or its
    /// organisation.
    pub(super) fn note_dead(
        &mut self,
        id: &str,
        organization: Option<&str>,
        digests: impl Iterator<Item = Digest> + Clone,
        cause: Cause,
    ) {
        let revoked = &self.config.revoked;
        if revoked.is_empty() {
            return;
        }
        if let Some(name) = organization.filter(|name| revoked.organization(name).is_some()) {
            self.named_dead.add_organization(name);
        }
        let Some(mark) = revoked.key(id, digests.clone()) else { return };
        self.named_dead.add(id, digests);
        // The lifetime of an expired key may be extended until the store has recorded its
        // revocation.
        if cause == Cause::Expired && mark.hold == Hold::Lasting {
            self.unrecorded.push(KeyName::Id(id.to_owned()));
        }
    }

    /// Returns whether an organisation with this name exists or existed, as far as is known.
    pub(in crate::control) fn knows_organization(&self, name: &str) -> bool {
        self.organizations.contains_key(name)
            || self.suspended.contains(name)
            || self.named_dead.has_organization(name)
    }

    /// Ensures that keys of the store that the file revokes remain revoked, whatever a later file
    /// says. Returns those that the store has yet to be told of, and the names that match no key in
    /// memory. Only the store can tell whether these belong to expired keys.
    pub(in crate::control) fn keep_revoked(&mut self) -> Vec<KeyName> {
        let values = self.config.revoked.keys().filter(|key| key.mark.hold == Hold::Lasting);
        let found = values.flat_map(|key| self.found_by(&key)).filter(|found| found.stored);
        let news: BTreeSet<Box<str>> = found
            .map(|found| found.id)
            .filter(|id| !self.revoked.contains(id) && self.key(id).is_some())
            .collect();
        self.revoked.extend(news.iter().cloned());
        let news = news.into_iter().map(|id| KeyName::Id(id.into()));
        self.take_unrecorded().into_iter().chain(news).collect()
    }

    /// Takes the revocations that the store has yet to be told of.
    pub(in crate::control) fn take_unrecorded(&mut self) -> Vec<KeyName> {
        std::mem::take(&mut self.unrecorded)
    }

    /// Notes what the file revokes permanently and `before` did not, if it matches no key in
    /// memory.
    pub(super) fn note_newly_revoked(&mut self, before: &Revoked) {
        let config = self.config.clone();
        self.named_dead.keep(&config.revoked);
        for value in config.revoked.newly_lasting(before) {
            let id = value.id().filter(|id| self.key(id).is_none());
            self.unrecorded.extend(id.map(|id| KeyName::Id(id.to_owned())));
            let digests = value.digests().map(|(_, digest)| digest);
            let unknown: Vec<_> = digests.filter(|it| self.key_of(it).is_none()).collect();
            self.unrecorded.extend(unknown.into_iter().map(KeyName::Secret));
        }
    }

    /// Returns changed records of the keys whose revocation changes because `[revoked]` differs
    /// from `before`. Considers only ids for which `counts` returns `true`.
    pub(super) fn revoked_otherwise(
        &self,
        before: &Revoked,
        counts: impl Fn(&str) -> bool,
    ) -> Vec<Arc<KeyRecord>> {
        let now = &self.config.revoked;
        let old = before.keys().filter(|key| !now.has(key));
        let values = old.chain(now.keys().filter(|key| !before.has(key)));
        let ids: BTreeSet<Box<str>> =
            values.flat_map(|key| self.found_by(&key)).map(|found| found.id).collect();
        let records = ids.iter().filter(|id| counts(id)).filter_map(|id| self.key(id));
        records
            .filter_map(|record| {
                let revoked = self.refuses(record.id(), digests(record));
                let is_other = record.is_revoked() != revoked;
                is_other.then(|| Arc::new(record.with(revoked, record.is_paused())))
            })
            .collect()
    }
}

/// Returns the digests of a key's secrets.
pub(super) fn digests(record: &KeyRecord) -> impl Iterator<Item = Digest> + Clone {
    record.secrets().map(|secret| secret.digest)
}
