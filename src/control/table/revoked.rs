//! What `[revoked]` and the store refuse for good.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Table;
use crate::config::{Found, Hold, NamedBy, Revoked, RevokedKey};
use crate::keystore::Taken;
use crate::policy::{Cause, Digest, KeyRecord};

/// Names a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::control) enum KeyName {
    /// By its id.
    Id(String),
    /// By one of its secrets.
    Secret(Digest),
}

impl Table {
    /// Whether this id is refused for good, whatever else is said of it.
    pub(in crate::control) fn is_revoked(&self, id: &str) -> bool {
        self.refuses(id, [])
            || self.key(id).map_or(self.named_dead.has(id), |record| record.is_revoked())
    }

    /// Whether a key is refused for good that has this id and these digests.
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

    /// The keys that a value of `[revoked]` finds, once for each way to read it.
    pub(in crate::control) fn found_by(&self, value: &RevokedKey<'_>) -> Vec<Found> {
        let found = |record: &Arc<KeyRecord>, by| Found {
            id: record.id().into(),
            by,
            stored: record.is_stored(),
        };
        let dead = |id: &str, by| Found { id: id.into(), by, stored: true };
        let by_id = value.id().and_then(|id| match self.key(id) {
            Some(record) => Some(found(record, NamedBy::Id)),
            // Only its id is still known.
            None => (self.revoked.contains(id) || self.named_dead.has(id))
                .then(|| dead(id, NamedBy::Id)),
        });
        let by_digest = value.digests().filter_map(|(by, digest)| match self.key_of(&digest) {
            Some(record) => Some(found(record, by)),
            None => self.named_dead.owner(&digest).map(|id| dead(id, by)),
        });
        by_id.into_iter().chain(by_digest).collect()
    }

    /// Whether a value of `[revoked]` names a secret of a key that is refused already, of which
    /// memory does not know more.
    pub(in crate::control) fn has_tombstone_of(&self, value: &RevokedKey<'_>) -> bool {
        value.digests().any(|(_, digest)| self.snapshot.tombstones.find(&digest).is_some())
    }

    /// Ids and digests by which values of `[revoked]` may name keys that only the store knows.
    pub(in crate::control) fn unknown_in(&self, revoked: &Revoked) -> (Vec<String>, Vec<Digest>) {
        let unknown: Vec<_> = revoked.keys().filter(|key| self.found_by(key).is_empty()).collect();
        let ids = unknown.iter().filter_map(|key| key.id()).map(str::to_owned).collect();
        let digests = unknown.iter().flat_map(|key| key.digests()).map(|(_, digest)| digest);
        (ids, digests.collect())
    }

    /// Notes which of those the store knows. To be called before the file is followed that names
    /// them.
    pub(in crate::control) fn note_named_dead(&mut self, taken: &Taken) {
        taken.ids.iter().for_each(|id| self.named_dead.add(id, [].into_iter()));
        for (digest, id) in &taken.secrets {
            self.named_dead.add(id, [*digest].into_iter());
        }
    }

    /// Notes a key of the store of which only tombstones are kept from now on, if `[revoked]` names
    /// it or its organisation.
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
        // It may be given more time, unless the store knows that it is revoked.
        if cause == Cause::Expired && mark.hold == Hold::Lasting {
            self.untold.push(KeyName::Id(id.to_owned()));
        }
    }

    /// Whether there is an organisation of this name, or was.
    pub(in crate::control) fn knows_organization(&self, name: &str) -> bool {
        self.organizations.contains_key(name)
            || self.suspended.contains(name)
            || self.named_dead.has_organization(name)
    }

    /// Keeps keys of the store that the file revokes refused, whatever the file says later. Returns
    /// those of which the store has not been told, and names of what is not in memory: only the
    /// store can tell whether they are those of keys that have expired.
    pub(in crate::control) fn keep_revoked(&mut self) -> Vec<KeyName> {
        let values = self.config.revoked.keys().filter(|key| key.mark.hold == Hold::Lasting);
        let found = values.flat_map(|key| self.found_by(&key)).filter(|found| found.stored);
        let news: BTreeSet<Box<str>> = found
            .map(|found| found.id)
            .filter(|id| !self.revoked.contains(id) && self.key(id).is_some())
            .collect();
        self.revoked.extend(news.iter().cloned());
        let news = news.into_iter().map(|id| KeyName::Id(id.into()));
        self.take_untold().into_iter().chain(news).collect()
    }

    /// What the store has not been told since this was last asked.
    pub(in crate::control) fn take_untold(&mut self) -> Vec<KeyName> {
        std::mem::take(&mut self.untold)
    }

    /// Notes what the file revokes for good and `before` did not, as far as it names no key in
    /// memory.
    pub(super) fn note_newly_revoked(&mut self, before: &Revoked) {
        let config = self.config.clone();
        self.named_dead.keep(&config.revoked);
        for value in config.revoked.newly_lasting(before) {
            let id = value.id().filter(|id| self.key(id).is_none());
            self.untold.extend(id.map(|id| KeyName::Id(id.to_owned())));
            let digests = value.digests().map(|(_, digest)| digest);
            let unknown: Vec<_> = digests.filter(|it| self.key_of(it).is_none()).collect();
            self.untold.extend(unknown.into_iter().map(KeyName::Secret));
        }
    }

    /// The records that are to be replaced because the file revokes something else than `before`;
    /// of those with an id that `counts`.
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

/// What callers may present for a key.
pub(super) fn digests(record: &KeyRecord) -> impl Iterator<Item = Digest> + Clone {
    record.secrets().map(|secret| secret.digest)
}
