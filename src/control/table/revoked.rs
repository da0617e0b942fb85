//! What `[revoked]` and the store refuse for good.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Table;
use crate::config::{Found, Hold, NamedBy, Revoked, RevokedKey};
use crate::policy::{Digest, KeyRecord};

impl Table {
    /// Whether this id is refused for good, whatever else is said of it.
    pub(in crate::control) fn is_revoked(&self, id: &str) -> bool {
        self.refuses(id, []) || self.key(id).is_some_and(|record| record.is_revoked())
    }

    /// Whether a key is refused for good that has this id and these digests.
    pub(super) fn refuses(&self, id: &str, digests: impl IntoIterator<Item = Digest>) -> bool {
        self.revoked.contains(id) || self.config.revoked.key(id, digests).is_some()
    }

    /// The keys that a value of `[revoked]` finds, once for each way to read it.
    pub(in crate::control) fn found_by(&self, value: &RevokedKey<'_>) -> Vec<Found> {
        let found = |record: &Arc<KeyRecord>, by| Found {
            id: record.id().into(),
            by,
            stored: record.is_stored(),
        };
        let by_id = value.id().and_then(|id| match self.key(id) {
            Some(record) => Some(found(record, NamedBy::Id)),
            // Only its id is still known.
            None => self.revoked.contains(id).then(|| Found {
                id: id.into(),
                by: NamedBy::Id,
                stored: true,
            }),
        });
        let by_digest = value
            .digests()
            .filter_map(|(by, digest)| self.key_of(&digest).map(|record| found(record, by)));
        by_id.into_iter().chain(by_digest).collect()
    }

    /// Whether there is an organisation of this name, or was.
    pub(in crate::control) fn knows_organization(&self, name: &str) -> bool {
        self.organizations.contains_key(name) || self.suspended.contains(name)
    }

    /// Keeps keys of the store that the file revokes refused, whatever the file says later. Returns
    /// those of which the store has not been told.
    pub(in crate::control) fn keep_revoked(&mut self) -> Vec<String> {
        let values = self.config.revoked.keys().filter(|key| key.mark.hold == Hold::Lasting);
        let found = values.flat_map(|key| self.found_by(&key)).filter(|found| found.stored);
        let news: BTreeSet<Box<str>> =
            found.map(|found| found.id).filter(|id| !self.revoked.contains(id)).collect();
        self.revoked.extend(news.iter().cloned());
        self.take_untold().into_iter().chain(news.into_iter().map(String::from)).collect()
    }

    /// Keys of the store that came after the file had revoked them, of which the store has not been
    /// told.
    pub(in crate::control) fn take_untold(&mut self) -> Vec<String> {
        std::mem::take(&mut self.untold)
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
pub(super) fn digests(record: &KeyRecord) -> impl Iterator<Item = Digest> {
    record.secrets().map(|secret| secret.digest)
}
