//! Keys that have expired: memory lets go of them, and takes them back if the clock was wrong.

use std::sync::atomic::Ordering;

use super::{Answer, Desk, Office};
use crate::keystore::KeyQuery;

/// How many keys are looked at with one question to the store.
const PAGE: usize = 1000;

impl Office {
    /// Lets go of those of these keys of the store that have expired at `now`, in seconds since the
    /// Unix epoch.
    pub(in crate::control) fn bury_expired(&self, ids: &[Box<str>], now: i64) {
        self.desk.registry.bury_expired(ids, now);
    }

    /// Takes back keys that had expired at `before`, and have not at `now`: the clock was set back.
    pub(in crate::control) async fn revive(&self, now: i64, before: i64) -> Answer<()> {
        if self.desk.retired.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.desk.revive(now, before).await
    }
}

impl Desk {
    async fn revive(&self, now: i64, before: i64) -> Answer<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let _turn = self.take_turn().await?;
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
