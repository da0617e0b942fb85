//! Revokes keys permanently. A revoked key is refused at once, even if the store fails.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::actor::Actor;
use super::error::{Result, ServiceError};
use super::found::Found;
use super::model::{RevocationOrder, Revoked};
use super::operations::KeyOperations;
use super::permission::Permission;
use super::view::THE_FILE;
use crate::control::table::KeyName;
use crate::keystore::{Change, Revocation};
use crate::policy::Digest;
use crate::text::fault_in_name;

/// Limit of a reason, in characters.
const LONGEST_REASON: usize = 500;
/// The first and the longest pause before a failed attempt to record a revocation is repeated.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

impl KeyOperations {
    pub(super) async fn revoke(
        self: &Arc<Self>,
        actor: &Actor,
        id: &str,
        order: RevocationOrder,
    ) -> Result<Revoked> {
        actor.must(Permission::RevokeKeys)?;
        let known = self.find(actor, id).await?;
        let long = |reason: &String| {
            reason.chars().count() > LONGEST_REASON || fault_in_name(reason).is_some()
        };
        if order.reason.as_ref().is_some_and(long) {
            return Err(ServiceError::invalid(
                "reason",
                format!(
                    "at most {LONGEST_REASON} characters, none that control, hide or turn around \
                        others"
                ),
            ));
        }
        self.store()?;
        // First of all, because the rest may have to wait.
        self.registry.revoke([id].into_iter());
        let revocation =
            Revocation { at: self.now(), by: actor.name.clone(), reason: order.reason };
        let mut ids = vec![id.to_owned()];
        let done = self
            .revoke_in_store(actor, &mut ids, &revocation, order.descendants, known.organization())
            .await;
        if let Err(error) = done {
            for id in &ids {
                tracing::warn!(
                    by = actor.name,
                    action = "key.revoke",
                    subject = id,
                    "in force, but the store has yet to take it"
                );
            }
            self.record_later(ids.into_iter().map(KeyName::Id), &revocation);
            return Err(error);
        }
        self.retire(&ids, &revocation).await;
        Ok(Revoked { revoked: ids })
    }

    /// Commits the revocation of the first of these ids. With `descendants`, also revokes those of
    /// its descendants that this actor may see, and adds them to `ids`. The actor may not see all
    /// of them, because a key of the file may have moved between organisations.
    async fn revoke_in_store(
        &self,
        actor: &Actor,
        ids: &mut Vec<String>,
        revocation: &Revocation,
        descendants: bool,
        organization: Option<&str>,
    ) -> Result<()> {
        let _lock = self.lock().await?;
        let store = self.store()?;
        if descendants {
            for id in store.descendants(&ids[0]).await? {
                match self.find(actor, &id).await {
                    Ok(_) => ids.push(id),
                    Err(ServiceError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            self.registry.revoke(ids.iter().map(String::as_str));
        } else if !store.revocations(ids.clone()).await?.is_empty() {
            return Ok(());
        }
        let detail = json!({ "reason": revocation.reason, "descendants": ids[1..] });
        let entry = self.entry(actor, "key.revoke", &ids[0], organization, detail);
        let (ids, secrets) = (ids.clone(), self.secrets_of_file(ids));
        self.commit(Change::Revoke { ids, secrets, revocation: revocation.clone() }, entry).await
    }

    /// Returns the secrets of those keys that are in the file, each with its key's id.
    fn secrets_of_file(&self, ids: &[String]) -> Vec<(String, Digest)> {
        let keys = ids.iter().filter_map(|id| self.registry.key(id));
        let of_file = keys.filter(|key| !key.is_stored());
        let secrets = of_file.map(|key| {
            key.secrets().map(|secret| (key.id().to_owned(), secret.digest)).collect::<Vec<_>>()
        });
        secrets.flatten().collect()
    }

    /// Reduces keys to tombstones in memory, because the store has recorded that they are revoked.
    async fn retire(&self, ids: &[String], revocation: &Revocation) {
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            ids.iter().map(String::as_str).partition(|id| self.registry.key(id).is_some());
        if !known.is_empty() {
            self.registry.retire_revoked(&known, revocation.at);
        }
        let Some(store) = &self.store else { return };
        for id in unknown {
            // The key had expired. If the store cannot return its secrets now, it is still refused
            // as expired.
            if let Ok(Some(key)) = store.key(id).await {
                let secrets: Vec<_> = key.secrets.iter().map(|secret| secret.digest).collect();
                let since = key.revocation.map_or(revocation.at, |revocation| revocation.at);
                self.registry.retire_again(id, &secrets, since);
            }
        }
    }

    pub(super) fn note_revoked_in_file(self: &Arc<Self>, names: Vec<KeyName>) {
        if self.store.is_some() && !names.is_empty() {
            self.record_later(
                names,
                &Revocation { at: self.now(), by: THE_FILE.to_owned(), reason: None },
            );
        }
    }

    /// Ensures that the store will record these revocations, so that a restart does not admit the
    /// keys again.
    fn record_later(
        self: &Arc<Self>,
        names: impl IntoIterator<Item = KeyName>,
        revocation: &Revocation,
    ) {
        let mut unrecorded = self.unrecorded();
        let idle = unrecorded.is_empty();
        for name in names {
            unrecorded.entry(name).or_insert_with(|| revocation.clone());
        }
        if idle {
            tokio::spawn(self.clone().record_all());
        }
    }

    /// Records revocations until none is left.
    async fn record_all(self: Arc<Self>) {
        let mut pause = RETRY_PAUSE.0;
        while let Some((name, revocation)) = self.first_unrecorded() {
            if self.record(&name, &revocation).await.is_ok() {
                self.unrecorded().remove(&name);
                pause = RETRY_PAUSE.0;
            } else {
                tokio::time::sleep(pause).await;
                // The store detects by itself when it can write again. Attempts before that would
                // only fill the log.
                while self.store.as_ref().is_some_and(|store| !store.health().is_healthy()) {
                    tokio::time::sleep(RETRY_PAUSE.0).await;
                }
                pause = (pause * 2).min(RETRY_PAUSE.1);
            }
        }
        self.recorded.notify_waiters();
    }

    /// Tries once more to record each revocation, when the process stops.
    pub(super) async fn flush(&self) {
        while let Some((name, revocation)) = self.first_unrecorded() {
            self.unrecorded().remove(&name);
            if self.record(&name, &revocation).await.is_err() {
                // A value of the file that is no known id may be the key itself, so it is not
                // logged.
                let key = match &name {
                    KeyName::Id(id)
                        if revocation.by != THE_FILE || self.registry.key(id).is_some() =>
                    {
                        id
                    }
                    _ => "(one that [revoked] names)",
                };
                tracing::error!(
                    key,
                    "the store has not taken this revocation; name the key in [revoked] before \
                        the next start"
                );
            }
        }
    }

    fn first_unrecorded(&self) -> Option<(KeyName, Revocation)> {
        let unrecorded = self.unrecorded();
        unrecorded.first_key_value().map(|(name, revocation)| (name.clone(), revocation.clone()))
    }

    async fn record(&self, name: &KeyName, revocation: &Revocation) -> Result<()> {
        let id = match name {
            KeyName::Id(id) => id.clone(),
            KeyName::Secret(digest) => match self.store()?.key_by_digest(*digest).await? {
                Some(key) => key.id,
                None => return Ok(()),
            },
        };
        let id = &*id;
        let actor = Actor::named(&revocation.by);
        let known = match self.find(&actor, id).await {
            Ok(known) => Some(known),
            // The file may name ids that no key has.
            Err(ServiceError::NotFound) if revocation.by == THE_FILE => return Ok(()),
            Err(ServiceError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let organization = known.as_ref().and_then(Found::organization);
        let mut ids = vec![id.to_owned()];
        self.revoke_in_store(&actor, &mut ids, revocation, false, organization).await?;
        self.retire(&ids, revocation).await;
        Ok(())
    }
}
