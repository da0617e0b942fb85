//! What is in force, and what would be under another file.

use std::sync::Arc;

use super::Table;
use super::revoked::digests;
use crate::config::Config;
use crate::policy::{KeyRecord, Snapshot};

/// A configuration, and one key under it.
#[derive(Debug)]
pub(in crate::control) struct Trial {
    pub(in crate::control) snapshot: Snapshot,
    pub(in crate::control) config: Arc<Config>,
    pub(in crate::control) record: Option<Arc<KeyRecord>>,
}

impl Table {
    /// What is in force, and the key with this id.
    pub(in crate::control) fn present(&self, id: Option<&str>) -> Trial {
        Trial {
            snapshot: self.snapshot(),
            config: self.config.clone(),
            record: id.and_then(|id| self.key(id)).cloned(),
        }
    }

    /// What would be in force if the file were this one, and what the key with this id would be.
    pub(in crate::control) fn trial(&self, config: &Arc<Config>, id: Option<&str>) -> Trial {
        let mut table = Self::new(config, Arc::new(config.routes()));
        table.terms = self.terms.clone();
        table.suspended = self.suspended.clone();
        let known = id.and_then(|id| self.key(id));
        if let Some(id) = id.filter(|id| self.revoked.contains(*id)) {
            table.revoked.insert(id.into());
        }
        let record = match config.keys.iter().find(|key| Some(&*key.id) == id) {
            Some(key) => {
                let account = known.map(|record| record.account().clone()).unwrap_or_default();
                Some(KeyRecord::new(table.define_file(key, account)))
            }
            None => known.filter(|record| record.is_stored()).map(|record| {
                let by_file = self.config.revoked.key(record.id(), digests(record)).is_some();
                record.with(
                    table.refuses(record.id(), digests(record))
                        || (record.is_revoked() && !by_file),
                    record.is_paused(),
                )
            }),
        };
        table.refresh_terms();
        table.refresh_closed();
        Trial { snapshot: table.snapshot, config: config.clone(), record: record.map(Arc::new) }
    }
}
