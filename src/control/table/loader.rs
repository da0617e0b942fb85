//! Fills the table at the start: first with the keys of the store, while they are read, and then
//! with those of the file.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::Table;
use super::clash::Clash;
use super::retire::end_of;
use crate::config::Config;
use crate::keystore::{Found, StoredKey};
use crate::policy::{Digest, KeyId, KeyRecord, Keyring, Routes, Tombstone, Tombstones};

/// A table that is being filled.
#[derive(Debug)]
pub(in crate::control) struct Loader {
    table: Table,
    /// The current time in Unix seconds.
    now: i64,
    records: Vec<Arc<KeyRecord>>,
    tombstones: Vec<Tombstone>,
    /// Ids and digests of the keys of the file. Revoked and expired keys of the store are compared
    /// with these, because they are no longer in memory when keys of the file are added.
    ids: HashSet<KeyId>,
    digests: HashMap<Digest, KeyId>,
    clashes: Vec<Clash>,
}

impl Loader {
    /// Creates a loader with the APIs of the file and no keys. `now` is in Unix seconds.
    pub(in crate::control) fn new(config: &Arc<Config>, routes: Arc<Routes>, now: i64) -> Self {
        let digests = config
            .keys
            .iter()
            .flat_map(|key| key.digests.iter().map(|digest| (*digest, key.id.clone())));
        Self {
            table: Table::new(config, routes),
            now,
            records: Vec::new(),
            tombstones: Vec::new(),
            ids: config.keys.iter().map(|key| key.id.clone()).collect(),
            digests: digests.collect(),
            clashes: Vec::new(),
        }
    }

    /// Adds a key of the store.
    pub(in crate::control) fn add(&mut self, key: &StoredKey) {
        let Some((cause, since)) = end_of(key, self.now) else {
            let definition = self.table.define_stored(key, Arc::default());
            self.records.extend(definition.map(|key| Arc::new(KeyRecord::new(key))));
            return;
        };
        if let Some(id) = self.ids.get(&*key.id) {
            self.clashes.push(Clash { id: id.clone(), same_digest_as: None });
        }
        for secret in &key.secrets {
            if let Some(id) = self.digests.get(&secret.digest) {
                let same_digest_as = Some(key.id.clone());
                self.clashes.push(Clash { id: id.clone(), same_digest_as });
            }
        }
        let digests = key.secrets.iter().map(|secret| secret.digest);
        self.table.note_dead(&key.id, key.organization.as_deref(), digests.clone(), cause);
        if self.table.remembers(since, self.now) {
            self.tombstones.extend(digests.map(|digest| Tombstone { digest, cause, since }));
        }
    }

    /// Adds what the store holds besides keys.
    pub(in crate::control) fn add_state(&mut self, found: Found) {
        let Found { revocations, revoked_secrets, organizations } = found;
        self.table.revoked = revocations.into_iter().map(Into::into).collect();
        self.table.revoked_secrets = revoked_secrets.into_iter().collect();
        let suspended =
            organizations.iter().filter(|organization| organization.suspended_at.is_some());
        self.table.suspended =
            suspended.map(|organization| organization.name.as_str().into()).collect();
    }

    /// Returns the table, after everything in the store has been added.
    ///
    /// # Errors
    /// Returns the keys of the file that clash with keys of the store.
    pub(in crate::control) fn finish(self) -> Result<Table, Vec<Clash>> {
        let Self { mut table, records, tombstones, mut clashes, .. } = self;
        table.snapshot.keyring = Keyring::new(records.iter().cloned());
        table.snapshot.tombstones = Tombstones::new(tombstones);
        // Reserved at once, so that the table does not grow repeatedly while a million keys are
        // added.
        table.reserve(records.len());
        records.into_iter().for_each(|record| table.register(record));
        let config = table.config.clone();
        clashes.extend(table.clashes_of(config.keys.iter().map(|key| &**key)));
        if !clashes.is_empty() {
            return Err(clashes);
        }
        let records = config.keys.iter().map(|key| {
            let definition = table.define_file(key, Arc::default());
            Arc::new(KeyRecord::new(definition))
        });
        let records = records.collect();
        table.replace(records, &[], 0);
        table.refresh_closed();
        Ok(table)
    }
}
