//! Evaluates one key under the configuration in force or under another file.

use std::sync::Arc;

use super::Table;
use super::revoked::digests;
use crate::config::Config;
use crate::keystore::StoredKey;
use crate::policy::{KeyRecord, Snapshot};

/// A configuration, and one key under it.
#[derive(Debug)]
pub(in crate::control) struct Trial {
    pub(in crate::control) snapshot: Snapshot,
    pub(in crate::control) config: Arc<Config>,
    pub(in crate::control) record: Option<Arc<KeyRecord>>,
}

impl Table {
    /// Returns what is in force, and the key with this id. `stored` is the store's record of a key
    /// that is no longer in memory.
    pub(in crate::control) fn present(
        &self,
        id: Option<&str>,
        stored: Option<&StoredKey>,
    ) -> Trial {
        if stored.is_some() {
            return self.trial(&self.config, id, stored);
        }
        Trial {
            snapshot: self.snapshot(),
            config: self.config.clone(),
            record: id.and_then(|id| self.key(id)).cloned(),
        }
    }

    /// Returns what would be in force with another file, and what the key with this id would be
    /// then.
    pub(in crate::control) fn trial(
        &self,
        config: &Arc<Config>,
        id: Option<&str>,
        stored: Option<&StoredKey>,
    ) -> Trial {
        let mut table = Self::new(config, Arc::new(config.routes()));
        table.grants = self.grants.clone();
        table.suspended = self.suspended.clone();
        table.revoked_secrets = self.revoked_secrets.clone();
        let known = id.and_then(|id| self.key(id));
        if let Some(id) = id.filter(|id| self.revoked.contains(*id)) {
            table.revoked.insert(id.into());
        }
        let account = || known.map(|record| record.account().clone()).unwrap_or_default();
        let record = match config.keys.iter().find(|key| Some(&*key.id) == id) {
            Some(key) => Some(KeyRecord::new(table.define_file(key, account()))),
            None => match (known.filter(|record| record.is_stored()), stored) {
                (Some(record), _) => {
                    let by_file = self.config.revoked.key(record.id(), digests(record)).is_some();
                    let revoked = table.refuses(record.id(), digests(record))
                        || (record.is_revoked() && !by_file);
                    Some(record.with(revoked, record.is_paused()))
                }
                (None, Some(key)) => table.define_stored(key, account()).map(KeyRecord::new),
                (None, None) => None,
            },
        };
        table.refresh_grants();
        table.refresh_closed();
        Trial { snapshot: table.snapshot, config: config.clone(), record: record.map(Arc::new) }
    }
}
