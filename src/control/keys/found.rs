//! Finds keys, whether or not they are still in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::actor::Actor;
use super::error::{Conflict, Result, ServiceError};
use super::operations::KeyOperations;
use super::view::as_stored;
use crate::config::{Config, Revoked};
use crate::control::table::{Clash, KeyName};
use crate::keystore::{StoredKey, Taken};
use crate::policy::{Digest, KeyRecord};

/// How long an edit of the file waits for the store to compare keys.
const COMPARISON: Duration = Duration::from_secs(1);
/// How long it waits for the store to look up what it revokes. Its revocations are not in force
/// before that.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(200);

/// A key that was found.
pub(super) enum Found {
    /// A key in memory.
    Known(Arc<KeyRecord>),
    /// A revoked or expired key of the store. Memory has at most its tombstones.
    Dead(Box<StoredKey>),
}

impl KeyOperations {
    /// Returns the stored record of a key that is no longer in memory. Returns `None` if the store
    /// does not have the key, or if there is no store.
    pub(in crate::control) async fn dead(&self, key: KeyName) -> Result<Option<StoredKey>> {
        let Some(store) = &self.store else { return Ok(None) };
        Ok(match key {
            KeyName::Id(id) => store.key(&id).await?,
            KeyName::Secret(digest) => store.key_by_digest(digest).await?,
        })
    }

    /// Returns the keys of a new file that clash with revoked or expired keys of the store. If the
    /// store does not respond in time, compares with the tombstones instead: revocations by the
    /// file must not be delayed.
    pub(super) async fn clashes_with_dead(&self, config: &Config) -> Vec<Clash> {
        let registry = &self.registry;
        let (ids, digests) = registry.look(|table| table.new_in(config));
        let taken = self.taken(ids, digests.clone(), COMPARISON).await;
        let taken = taken.unwrap_or_else(|| registry.look(|table| table.dead_among(&digests)));
        registry.look(|table| table.clashes_with(config, &taken))
    }

    /// Notes which values of `[revoked]` name keys of the store that are no longer in memory, so
    /// that these values are not reported as mistakes.
    pub(super) async fn look_up_revoked(&self, revoked: &Revoked) {
        let (ids, digests) = self.registry.look(|table| table.unknown_in(revoked));
        if let Some(taken) = self.taken(ids, digests, LOOKUP_TIMEOUT).await {
            self.registry.note_named_dead(&taken);
        }
    }

    /// Returns which of these ids and digests belong to keys of the store. Returns `None` if the
    /// store fails, does not respond within `time`, or has been left to another process.
    async fn taken(&self, ids: Vec<String>, digests: Vec<Digest>, time: Duration) -> Option<Taken> {
        let Some(store) = &self.store else { return Some(Taken::default()) };
        if ids.is_empty() && digests.is_empty() {
            return Some(Taken::default());
        }
        if !store.health().is_healthy() || self.retired.load(Ordering::Relaxed) {
            return None;
        }
        let asked = async {
            let taken = store.taken(ids, digests).await;
            taken.inspect_err(|why| tracing::warn!(%why, "keys of the file cannot be compared"))
        };
        timeout(time, asked).await.ok()?.ok()
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    /// Returns [`ServiceError::NotFound`] if there is none that the actor may see, or
    /// [`ServiceError::Unavailable`] if the store fails.
    pub(super) async fn find(&self, actor: &Actor, id: &str) -> Result<Found> {
        let found = match (self.registry.key(id), &self.store) {
            (Some(record), _) => Some(Found::Known(record)),
            (None, Some(store)) => store.key(id).await?.map(|key| Found::Dead(Box::new(key))),
            (None, None) => None,
        };
        let found =
            found.filter(|key| actor.sees(key.organization())).ok_or(ServiceError::NotFound)?;
        if actor.partial_sight().is_some() && !self.is_inside(actor, &found).await? {
            return Err(ServiceError::NotFound);
        }
        Ok(found)
    }

    /// Returns whether a key is among those that a portal session sees.
    async fn is_inside(&self, actor: &Actor, found: &Found) -> Result<bool> {
        let record = match found {
            Found::Dead(key) => return Ok(actor.sees_key(key)),
            Found::Known(record) => record,
        };
        if record.is_stored() {
            let stored = self.store()?.key(record.id()).await?;
            return Ok(stored.is_some_and(|key| actor.sees_key(&key)));
        }
        let config = self.registry.config();
        let mut keys = config.keys.iter().filter(|key| *key.id == *record.id());
        Ok(keys.any(|key| actor.sees_key(&as_stored(&config, key, |_| None, None))))
    }

    /// Returns a key of the store for a change.
    ///
    /// # Errors
    /// Returns the errors of [`Self::find`], and [`ServiceError::FileKey`] for a key of the file.
    /// Returns [`ServiceError::Stale`] if `if_match` is not its revision, and
    /// [`Conflict::KeyRevoked`] if it is revoked.
    pub(super) async fn changeable(
        &self,
        actor: &Actor,
        id: &str,
        if_match: Option<u64>,
    ) -> Result<StoredKey> {
        let key = match self.find(actor, id).await? {
            Found::Known(record) if !record.is_stored() => return Err(ServiceError::FileKey),
            Found::Known(_) => self.store()?.key(id).await?.ok_or(ServiceError::NotFound)?,
            Found::Dead(key) => *key,
        };
        if if_match.is_some_and(|revision| revision != key.revision) {
            return Err(ServiceError::Stale);
        }
        if key.revocation.is_some() || self.registry.is_revoked(id) {
            return Err(ServiceError::Conflict(
                Conflict::KeyRevoked,
                "The key is revoked, which is final. Make a new one.".into(),
            ));
        }
        Ok(key)
    }
}

impl Found {
    /// Returns the key's organisation, or `None` if it has none.
    pub(super) fn organization(&self) -> Option<&str> {
        match self {
            Self::Known(record) => record.organization(),
            Self::Dead(key) => key.organization.as_deref(),
        }
    }
}
