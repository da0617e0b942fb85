//! Finding a key, whether or not it is still in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::actor::Actor;
use super::error::{Conflict, Result, ServiceError};
use super::operations::KeyOperations;
use crate::config::{Config, Revoked};
use crate::control::table::{Clash, KeyName};
use crate::keystore::{StoredKey, Taken};
use crate::policy::{Digest, KeyRecord};

/// How long an edit of the file waits for the store.
const COMPARISON: Duration = Duration::from_secs(1);
/// The same before what it revokes is in force.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(200);

/// A key that somebody asks about.
pub(super) enum Found {
    /// One that is in memory.
    Known(Arc<KeyRecord>),
    /// One that is refused for good, of which only the store knows more.
    Dead(Box<StoredKey>),
}

impl KeyOperations {
    /// What the store knows of a key that is refused for good; `None`: nothing, or there is no
    /// store.
    pub(in crate::control) async fn dead(&self, key: KeyName) -> Result<Option<StoredKey>> {
        let Some(store) = &self.store else { return Ok(None) };
        Ok(match key {
            KeyName::Id(id) => store.key(&id).await?,
            KeyName::Secret(digest) => store.key_by_digest(digest).await?,
        })
    }

    /// Keys of a new file that cannot stand beside those of the store that are refused for good. A
    /// store that does not answer soon is not waited for: what the file revokes must be in force.
    pub(super) async fn clashes_with_dead(&self, config: &Config) -> Vec<Clash> {
        let registry = &self.registry;
        let (ids, digests) = registry.look(|table| table.new_in(config));
        let taken = self.taken(ids, digests.clone(), COMPARISON).await;
        let taken = taken.unwrap_or_else(|| registry.look(|table| table.dead_among(&digests)));
        registry.look(|table| table.clashes_with(config, &taken))
    }

    /// Notes which values of `[revoked]` name keys of the store that memory no longer knows, so
    /// that they are not taken for mistakes.
    pub(super) async fn look_up_revoked(&self, revoked: &Revoked) {
        let (ids, digests) = self.registry.look(|table| table.unknown_in(revoked));
        if let Some(taken) = self.taken(ids, digests, LOOKUP_TIMEOUT).await {
            self.registry.note_named_dead(&taken);
        }
    }

    /// Which of these the store has. `None`: it does not answer in time.
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

    /// The key with this id, if the actor sees it.
    pub(super) async fn find(&self, actor: &Actor, id: &str) -> Result<Found> {
        let found = match (self.registry.key(id), &self.store) {
            (Some(record), _) => Some(Found::Known(record)),
            (None, Some(store)) => store.key(id).await?.map(|key| Found::Dead(Box::new(key))),
            (None, None) => None,
        };
        found.filter(|key| actor.sees(key.organization())).ok_or(ServiceError::NotFound)
    }

    /// A key of the store that this actor may touch and that can still be changed.
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
    /// Whose it is.
    pub(super) fn organization(&self) -> Option<&str> {
        match self {
            Self::Known(record) => record.organization(),
            Self::Dead(key) => key.organization.as_deref(),
        }
    }
}
