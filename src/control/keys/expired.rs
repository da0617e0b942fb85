//! Keys that have expired: memory lets go of them, and takes them back if the clock was wrong.

use std::sync::atomic::Ordering;

use super::error::Result;
use super::operations::KeyOperations;
use crate::keystore::KeyQuery;

/// How many keys are looked at with one question to the store.
const PAGE: usize = 1000;

impl KeyOperations {
    /// Takes back keys that had expired at `before`, and have not at `now`: the clock was set back.
    pub(super) async fn revive(&self, now: i64, before: i64) -> Result<()> {
        if self.retired.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(store) = &self.store else { return Ok(()) };
        let _lock = self.lock().await?;
        let mut query = KeyQuery { without_revoked: true, now, limit: PAGE, ..KeyQuery::default() };
        loop {
            let keys = store.keys(query.clone()).await?;
            let is_back = |end: i64| now < end && end <= before;
            for key in keys.iter().filter(|key| key.expires_at.is_some_and(is_back)) {
                if self.registry.key(&key.id).is_none() {
                    self.registry.put(key);
                }
            }
            if keys.len() < PAGE {
                return Ok(());
            }
            query.after = keys.last().map(|key| key.id.clone());
        }
    }
}
