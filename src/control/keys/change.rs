//! Changes keys of the store: their permissions, whether they are paused, and their secrets.

use serde_json::json;

use super::actor::Actor;
use super::create::{SHOWN, idempotent, new_text};
use super::error::{Conflict, Result, ServiceError};
use super::model::{CreatedKey, KeyChange, KeyView, Rotation};
use super::operations::KeyOperations;
use super::permission::Permission;
use super::validate::{Validation, api_named};
use super::{rights, timestamp, view};
use crate::config::parse_duration;
use crate::keystore::{Change, Idempotency, StoredKey, StoredSecret};
use crate::policy::{ApiDefinition, Digest};

/// How long the former secrets work after a rotation by default, in seconds.
const GRACE: i64 = 24 * 60 * 60;
/// The longest time that a rotation may grant them, in seconds.
const LONGEST_GRACE: i64 = 90 * 24 * 60 * 60;
/// Limit of secrets that work at the same time. Another rotation ends the oldest at once.
const MOST_SECRETS: usize = 3;

impl KeyOperations {
    pub(in crate::control) async fn update(
        &self,
        actor: &Actor,
        id: &str,
        change: KeyChange,
        if_match: Option<u64>,
    ) -> Result<KeyView> {
        actor.must(Permission::UpdateKeys)?;
        let _lock = self.lock().await?;
        let old = self.changeable(actor, id, if_match).await?;
        let config = self.registry.config();
        let mut checks = Validation::default();
        let new = checks.changed(&config, &old, change, self.now());
        checks.finish()?;
        self.check_narrowing(actor, &config, &new)?;
        let detail = view::difference(&old, &new);
        let narrower = rights::only_narrower(&config, &new, &old);
        let audit = (actor, "key.update", detail);
        let key = self.replace(audit, old, new, narrower, None).await?;
        Ok(self.view(&config, &key))
    }

    pub(in crate::control) async fn set_paused(
        &self,
        actor: &Actor,
        id: &str,
        paused: bool,
        if_match: Option<u64>,
    ) -> Result<KeyView> {
        actor.must(Permission::UpdateKeys)?;
        let _lock = self.lock().await?;
        let old = self.changeable(actor, id, if_match).await?;
        let new = StoredKey { paused, ..old.clone() };
        if !paused {
            self.check_narrowing(actor, &self.registry.config(), &new)?;
        }
        let action = if paused { "key.pause" } else { "key.resume" };
        let key = self.replace((actor, action, json!({})), old, new, paused, None).await?;
        Ok(self.view(&self.registry.config(), &key))
    }

    pub(in crate::control) async fn rotate(
        &self,
        actor: &Actor,
        id: &str,
        rotation: Rotation,
        if_match: Option<u64>,
        idempotency: Option<&str>,
    ) -> Result<CreatedKey> {
        actor.must(Permission::RotateKeys)?;
        let grace = grace(&rotation)?;
        let request = idempotency.map(|key| idempotent(actor, key, &(id, grace))).transpose()?;
        let _lock = self.lock().await?;
        let now = self.now();
        if let Some(request) = &request
            && let Some(id) = self.replayed(request, now).await?
        {
            return self.shown_before(actor, &id).await;
        }
        let old = self.changeable(actor, id, if_match).await?;
        if old.expires_at.is_some_and(|at| at <= now) {
            return Err(ServiceError::Conflict(
                Conflict::KeyExpired,
                "The key has expired. Give it a new expiry first.".into(),
            ));
        }
        let config = self.registry.config();
        let apis: Vec<_> = old.apis.iter().filter_map(|name| api_named(&config, name)).collect();
        let text = new_text(&apis, old.environment.as_deref())?;
        // The file may have changed since the key was created, so its environment may no longer
        // have a prefix.
        if !apis.iter().any(|api| takes(api, &text)) {
            return Err(ServiceError::invalid(
                "environment",
                "no API of this key takes new keys of its environment; make another key",
            ));
        }
        let digest = Digest::of(text.as_bytes());
        let ends_at = now.saturating_add(grace).min(old.expires_at.unwrap_or(i64::MAX));
        let mut new = old.clone();
        new.prefix = text.chars().take(SHOWN).collect();
        for (index, secret) in new.secrets.iter_mut().enumerate() {
            // The new secret will precede all of these.
            let end = if index + 1 < MOST_SECRETS { ends_at } else { now };
            secret.ends_at = Some(secret.ends_at.map_or(end, |known| known.min(end)));
        }
        new.secrets
            .insert(0, StoredSecret { digest, created_at: now, ends_at: None, last_used: None });
        let detail = json!({
            "fingerprint": view::fingerprint(&digest),
            "former_secrets_end_at": timestamp::format(ends_at),
        });
        self.check_narrowing(actor, &config, &new)?;
        let key = self.replace((actor, "key.rotate", detail), old, new, false, request).await?;
        Ok(CreatedKey { record: self.view(&config, &key), key: Some(text), key_shown: false })
    }

    /// Commits a changed key and puts it in force. The audit log gets the actor, the action and the
    /// detail. `narrower`: the change only removes access, and is put in force before it is
    /// committed. The caller holds the lock on changes.
    async fn replace(
        &self,
        (actor, action, detail): (&Actor, &str, serde_json::Value),
        old: StoredKey,
        mut new: StoredKey,
        narrower: bool,
        idempotency: Option<Idempotency>,
    ) -> Result<StoredKey> {
        if new == old {
            // A change that the store did not accept may be in force. Publish the stored record
            // again.
            self.registry.put(&old);
            return Ok(old);
        }
        prune(&mut new.secrets, self.now());
        new.revision = old.revision + 1;
        if narrower {
            self.registry.put(&new);
        }
        let entry = self.entry(actor, action, &new.id, new.organization.as_deref(), detail);
        self.commit(Change::Update { key: Box::new(new.clone()), idempotency }, entry).await?;
        self.registry.put(&new);
        Ok(new)
    }
}

/// Returns how long the former secrets work, in seconds.
///
/// # Errors
/// Returns [`ServiceError::Invalid`] if the time cannot be read or is too long.
fn grace(rotation: &Rotation) -> Result<i64> {
    let Some(text) = rotation.grace.as_deref() else { return Ok(GRACE) };
    let duration = parse_duration(text).map_err(|why| ServiceError::invalid("grace", why))?;
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    if seconds > LONGEST_GRACE {
        return Err(ServiceError::invalid("grace", "the longest is 90 days, `90d`"));
    }
    Ok(seconds)
}

/// Returns whether an API accepts keys with the prefix of this one.
fn takes(api: &ApiDefinition, text: &str) -> bool {
    api.environments.is_empty()
        || api.environments.iter().any(|environment| text.starts_with(&*environment.prefix))
}

/// Removes secrets that have ended, except for the most recently used one, which shows when the key
/// was last used.
fn prune(secrets: &mut Vec<StoredSecret>, now: i64) {
    let latest = secrets.iter().filter_map(|secret| secret.last_used).max();
    secrets.retain(|secret| {
        secret.ends_at.is_none_or(|end| end > now)
            || (latest.is_some() && secret.last_used == latest)
    });
}
