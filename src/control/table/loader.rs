//! The table is filled for the first time: with keys of the store as they are read, then with those
//! of the file.

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
    /// Seconds since the Unix epoch.
    now: i64,
    records: Vec<Arc<KeyRecord>>,
    tombstones: Vec<Tombstone>,
    /// What keys of the file have: those of the store that are refused for good are not in memory
    /// when it is their turn.
    ids: HashSet<KeyId>,
    digests: HashMap<Digest, KeyId>,
    clashes: Vec<Clash>,
}

impl Loader {
    /// With the file's APIs and no keys yet, at `now` in seconds since the Unix epoch.
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

    /// Takes in a key of the store.
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

    /// Takes in what else the store knows.
    pub(in crate::control) fn add_state(&mut self, found: Found) {
        let Found { revocations, revoked_secrets, organizations } = found;
        self.table.revoked = revocations.into_iter().map(Into::into).collect();
        self.table.revoked_secrets = revoked_secrets.into_iter().collect();
        let suspended =
            organizations.iter().filter(|organization| organization.suspended_at.is_some());
        self.table.suspended =
            suspended.map(|organization| organization.name.as_str().into()).collect();
    }

    /// The table, when all that the store knows is in.
    ///
    /// # Errors
    /// Keys of the file that cannot stand beside those of the store.
    pub(in crate::control) fn finish(self) -> Result<Table, Vec<Clash>> {
        let Self { mut table, records, tombstones, mut clashes, .. } = self;
        table.snapshot.keyring = Keyring::new(records.iter().cloned());
        table.snapshot.tombstones = Tombstones::new(tombstones);
        // At once in its final size, without moving a million entries again and again.
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
