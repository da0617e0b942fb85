//! Creates keys, and imports existing ones.

use serde::Serialize;
use serde_json::json;

use super::actor::Actor;
use super::error::{Conflict, Result, ServiceError};
use super::found::Found;
use super::model::{CreatedKey, ImportedKey, KeyView, NewKey};
use super::operations::KeyOperations;
use super::permission::Permission;
use super::validate::{CheckedKey, Validation, api_named};
use super::view;
use crate::config::Config;
use crate::keystore::{Change, Idempotency, StoredKey, StoredSecret};
use crate::policy::{ApiDefinition, Digest, KeyApiStyle, KeyId, new_key};

/// How many of a key's first characters are shown.
pub(super) const SHOWN: usize = 8;
/// Prefix of generated ids, and of keys whose APIs define no prefix.
const ANY_PREFIX: &str = "key_";
/// Number of random characters in a generated id: 119 bits.
const ID_CHARACTERS: usize = 20;

impl KeyOperations {
    pub(in crate::control) async fn create(
        &self,
        actor: &Actor,
        mut new: NewKey,
        idempotency: Option<&str>,
    ) -> Result<CreatedKey> {
        actor.must(Permission::CreateKeys)?;
        self.store()?;
        new.organization = actor.place(new.organization)?;
        let idempotency = idempotency.map(|key| idempotent(actor, key, &new)).transpose()?;
        let _lock = self.lock().await?;
        let now = self.now();
        if let Some(request) = &idempotency
            && let Some(id) = self.replayed(request, now).await?
        {
            return self.shown_before(actor, &id).await;
        }
        let config = self.registry.config();
        let mut checks = Validation::default();
        let checked = checks.new_key(&config, new, now);
        checks.finish()?;
        let (key, text) = self.make(actor, &config, checked, None, idempotency).await?;
        Ok(CreatedKey { record: self.view(&config, &key), key: Some(text), key_shown: false })
    }

    /// Checks what [`Self::create`] checks before it makes a key.
    ///
    /// # Errors
    /// Returns the errors of [`Self::create`], but those of the store.
    pub(in crate::control) async fn check_new_key(&self, actor: &Actor, new: NewKey) -> Result<()> {
        actor.must(Permission::CreateKeys)?;
        let config = self.registry.config();
        let mut checks = Validation::default();
        let checked = checks.new_key(&config, new, self.now());
        checks.finish()?;
        let key = self.stored(actor, checked, String::new(), Digest::of(b""), String::new());
        self.check_narrowing(actor, &config, &key)
    }

    /// Returns the key that this request made or rotated before, or `None` if it is new.
    ///
    /// # Errors
    /// Returns [`ServiceError::IdempotencyReused`] if another request had the same
    /// `Idempotency-Key`.
    pub(super) async fn replayed(&self, request: &Idempotency, now: i64) -> Result<Option<String>> {
        match self.store()?.replay(&request.token, &request.key, now).await? {
            Some((body, _)) if body != request.body => Err(ServiceError::IdempotencyReused),
            before => Ok(before.map(|(_, id)| id)),
        }
    }

    /// Returns the key that a form with this `Idempotency-Key` made or rotated before, or `None` if
    /// none did.
    ///
    /// # Errors
    /// Fails if the store does, or if the actor may no longer see the key.
    pub(in crate::control) async fn made_before(
        &self,
        actor: &Actor,
        idempotency: &str,
    ) -> Result<Option<KeyView>> {
        let owner = actor.idempotency_owner();
        match self.store()?.replay(&owner, idempotency, self.now()).await? {
            Some((_, id)) => self.visible_key(actor, &id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the answer to a repeated request, which does not show the key again. The actor may
    /// no longer be allowed to see the key.
    pub(super) async fn shown_before(&self, actor: &Actor, id: &str) -> Result<CreatedKey> {
        Ok(CreatedKey { record: self.visible_key(actor, id).await?, key: None, key_shown: true })
    }

    /// Creates a key, commits it and puts it in force. Returns its record and its text. The caller
    /// holds the lock on changes.
    pub(super) async fn make(
        &self,
        actor: &Actor,
        config: &Config,
        checked: CheckedKey,
        parent: Option<&str>,
        idempotency: Option<Idempotency>,
    ) -> Result<(StoredKey, String)> {
        let apis: Vec<&ApiDefinition> =
            checked.apis.iter().filter_map(|name| api_named(config, name)).collect();
        let text = new_text(&apis, checked.environment.as_deref())?;
        let bare = apis.iter().any(|api| {
            api.key_api.as_ref().is_some_and(|key_api| key_api.style == KeyApiStyle::Bare)
        });
        let id = if bare { uuid::Uuid::new_v4().to_string() } else { new_id()? };
        let prefix = text.chars().take(SHOWN).collect();
        let mut key = self.stored(actor, checked, id, Digest::of(text.as_bytes()), prefix);
        key.parent = parent.map(str::to_owned);
        self.check_narrowing(actor, config, &key)?;
        self.keep(actor, config, &key, "key.create", idempotency).await?;
        Ok((key, text))
    }

    // Longer than 60 lines: the steps of one change, in order.
    pub(in crate::control) async fn import(
        &self,
        actor: &Actor,
        imported: ImportedKey,
    ) -> Result<KeyView> {
        actor.must(Permission::CreateKeys)?;
        self.store()?;
        let ImportedKey {
            id, sha256, prefix, name, organization, apis, environment, scopes, ..
        } = imported;
        let ImportedKey {
            allow_ips, allow_referrers, allow_endpoints, rate_limit, expires_at, ..
        } = imported;
        let organization = actor.place(organization)?;
        let new = NewKey {
            name,
            organization,
            apis,
            environment,
            scopes,
            allow_ips,
            allow_referrers,
            allow_endpoints,
            rate_limit,
            expires_at,
        };
        let _lock = self.lock().await?;
        let config = self.registry.config();
        let mut checks = Validation::default();
        let digest = checks.digest(&sha256);
        if let Some(Err(why)) = id.as_deref().map(KeyId::parse) {
            checks.fault("id", why.to_string());
        }
        if let Some(prefix) = &prefix
            && (prefix.chars().count() > SHOWN
                || !prefix.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            checks.fault("prefix", format!("at most the first {SHOWN} characters of the key"));
        }
        let checked = checks.new_key(&config, new, self.now());
        checks.finish()?;
        // An invalid digest has been reported above.
        let Some(digest) = digest else { return Err(ServiceError::NotFound) };
        let id = id.map_or_else(new_id, Ok)?;
        if self.registry.key(&id).is_some_and(|key| !key.is_stored()) {
            let detail = format!(
                "gateway.toml has a key with the id `{id}` already, so the store cannot have one."
            );
            return Err(ServiceError::Conflict(Conflict::IdTaken, detail));
        }
        self.must_be_new(actor, &digest).await?;
        if actor.organization.is_some() && self.has_history(&id).await? {
            return Err(ServiceError::Conflict(
                Conflict::IdTaken,
                format!("Another key had the id `{id}`. Choose another one."),
            ));
        }
        if self.registry.is_revoked(&id) {
            return Err(ServiceError::Conflict(
                Conflict::IdTaken,
                format!("The id `{id}` is revoked, which is final. Choose another one."),
            ));
        }
        let key = self.stored(actor, checked, id, digest, prefix.unwrap_or_default());
        self.check_narrowing(actor, &config, &key)?;
        self.keep(actor, &config, &key, "key.import", None).await?;
        Ok(self.view(&config, &key))
    }

    /// Checks that a key means no more than a portal session allows.
    ///
    /// # Errors
    /// Returns [`ServiceError::Invalid`] if it does.
    pub(super) fn check_narrowing(
        &self,
        actor: &Actor,
        config: &Config,
        key: &StoredKey,
    ) -> Result<()> {
        let now = self.now();
        actor.narrowing().map_or(Ok(()), |narrowing| narrowing.check(config, key, now))
    }

    /// Checks that a secret is new.
    ///
    /// # Errors
    /// Returns [`Conflict::DigestTaken`] if another key has it, or had it when it was revoked or
    /// expired.
    async fn must_be_new(&self, actor: &Actor, digest: &Digest) -> Result<()> {
        let other = match self.registry.key_of(digest) {
            Some(key) => Found::Known(key),
            None => match self.store()?.key_by_digest(*digest).await? {
                Some(key) => Found::Dead(Box::new(key)),
                None => return Ok(()),
            },
        };
        // The actor must not learn of keys that it may not see.
        let other = match &other {
            other if !actor.sees(other.organization()) => "Another key has".to_owned(),
            Found::Known(key) if key.is_stored() => {
                format!("The key `{}` in the store has", key.id())
            }
            Found::Known(key) => format!("The key `{}` in gateway.toml has", key.id()),
            Found::Dead(key) => format!("The key `{}` in the store has, or had,", key.id),
        };
        Err(ServiceError::Conflict(Conflict::DigestTaken, format!("{other} the same secret.")))
    }

    /// Returns whether the store has usage counts or descendants of an earlier key with this id,
    /// such as a key that was removed from the file. A new key with the id would inherit them.
    async fn has_history(&self, id: &str) -> Result<bool> {
        let store = self.store()?;
        Ok(!store.descendants(id).await?.is_empty()
            || !store.uses(id, i64::MIN, i64::MAX).await?.is_empty())
    }

    pub(super) fn stored(
        &self,
        actor: &Actor,
        checked: CheckedKey,
        id: String,
        digest: Digest,
        prefix: String,
    ) -> StoredKey {
        let now = self.now();
        StoredKey {
            id,
            name: checked.name,
            organization: checked.organization,
            apis: checked.apis,
            prefix,
            environment: checked.environment,
            scopes: checked.scopes,
            allow_ips: checked.allow_ips,
            allow_referrers: checked.allow_referrers,
            allow_endpoints: checked.allow_endpoints,
            rate_limit: checked.rate_limit,
            created_at: now,
            created_by: actor.name.clone(),
            parent: None,
            expires_at: checked.expires_at,
            paused: false,
            revision: 1,
            secrets: vec![StoredSecret { digest, created_at: now, ends_at: None, last_used: None }],
            revocation: None,
        }
    }

    /// Commits a new key and then puts it in force.
    async fn keep(
        &self,
        actor: &Actor,
        config: &Config,
        key: &StoredKey,
        action: &str,
        idempotency: Option<Idempotency>,
    ) -> Result<()> {
        let cap = self.cap(config, key.organization.as_deref()).await?;
        let organization = key.organization.as_deref();
        let entry =
            self.entry(actor, action, &key.id, organization, json!({ "key": view::settings(key) }));
        self.commit(Change::Create { key: Box::new(key.clone()), cap, idempotency }, entry).await?;
        self.registry.put(key);
        Ok(())
    }

    /// Returns the limit of keys of an organisation. Returns `None` if there is no organisation.
    async fn cap(&self, config: &Config, organization: Option<&str>) -> Result<Option<u32>> {
        let Some(name) = organization else { return Ok(None) };
        let own = self
            .store()?
            .organization(name)
            .await?
            .and_then(|(organization, _)| organization.key_cap);
        Ok(own.or_else(|| default_cap(config)))
    }
}

/// Returns the limit of keys of an organisation without a limit of its own.
pub(super) fn default_cap(config: &Config) -> Option<u32> {
    config.store.as_ref().map(|store| store.keys_per_organization)
}

impl Actor {
    /// Returns the organisation of a new key: the actor's own, if it has one, or else `named`.
    ///
    /// # Errors
    /// Returns [`ServiceError::Forbidden`] if `named` is not the actor's own.
    fn place(&self, named: Option<String>) -> Result<Option<String>> {
        match (&self.organization, named) {
            (Some(own), Some(named)) if *own != named => Err(ServiceError::Forbidden(format!(
                "The token is narrowed to the organization `{own}` and makes keys for no other."
            ))),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, named) => Ok(named),
        }
    }
}

/// Returns the record of a request with an `Idempotency-Key`.
///
/// # Errors
/// Fails if the request cannot be serialised.
pub(super) fn idempotent(
    actor: &Actor,
    key: &str,
    request: &impl Serialize,
) -> Result<Idempotency> {
    // Serialised again, so that whitespace and the order of members do not matter.
    let body =
        serde_json::to_vec(&(&actor.name, request)).map_err(|_| ServiceError::Unavailable)?;
    let token = actor.idempotency_owner();
    Ok(Idempotency { token, key: key.to_owned(), body: Digest::of(&body) })
}

/// Returns the text of a new key, which starts with the prefix of its environment.
pub(super) fn new_text(apis: &[&ApiDefinition], environment: Option<&str>) -> Result<String> {
    let prefix = environment.and_then(|name| {
        let all = apis.iter().flat_map(|api| &api.environments);
        all.into_iter()
            .find(|environment| *environment.name == *name)
            .map(|environment| &*environment.prefix)
    });
    random_text(prefix.unwrap_or(ANY_PREFIX))
}

/// Returns a random `Idempotency-Key` for a form.
///
/// # Errors
/// Fails if the system gives no random bytes.
pub(in crate::control) fn new_idempotency_key() -> Result<String> {
    random_text("")
}

/// Returns a new id: `key_` and random characters. An id is not secret.
fn new_id() -> Result<String> {
    let mut id = random_text(ANY_PREFIX)?;
    id.truncate(ANY_PREFIX.len() + ID_CHARACTERS);
    Ok(id)
}

pub(super) fn random_text(prefix: &str) -> Result<String> {
    let mut random = [0; 64];
    getrandom::fill(&mut random).map_err(|_| ServiceError::Unavailable)?;
    new_key(prefix, &random).ok_or(ServiceError::Unavailable)
}
