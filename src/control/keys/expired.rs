//! Restores expired keys to memory if the clock was set back.

use std::sync::atomic::Ordering;

use super::error::Result;
use super::operations::KeyOperations;
use crate::keystore::KeyQuery;

/// Number of keys that one query to the store returns.
const PAGE: usize = 1000;

impl KeyOperations {
    /// Restores keys to memory that had expired at `before` but have not expired at `now`, because
    /// the clock was set back. Both are in Unix seconds.
    ///
    /// # Errors
    /// Fails if the store does. Some keys may have been restored then.
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
