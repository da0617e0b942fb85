//! The key endpoints that an API's own documentation promises (`[api.key_api]`): which keys a
//! caller may list, create and revoke there.
//!
//! A caller sees and creates only keys of this API, of the environment of its request, and of its
//! own organisation. A caller without an organisation sees itself and its descendants: the keys
//! that it created, the keys that these created, and so on. Lists have no pages, because the
//! documentation has none. Their length is bounded by the limit of keys of an organisation, which
//! also applies to such a family.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::actor::Actor;
use super::create::{SHOWN, default_cap};
use super::error::{Conflict, Result, ServiceError};
use super::model::{KeyView, RevocationOrder};
use super::operations::KeyOperations;
use super::validate::{CheckedKey, Validation, api_named};
use super::view::as_stored;
use super::{key_bodies, rights, timestamp};
use crate::config::{Config, KeyConfig};
use crate::keystore::{KeyQuery, StoredKey};
use crate::policy::ApiDefinition;
use crate::state::{KeyAnswer, KeyCall};

/// A caller, and what determines which keys it may see.
struct Caller<'c> {
    config: &'c Config,
    api: &'c ApiDefinition,
    environment: Option<&'c str>,
    /// The caller's own record.
    key: StoredKey,
}

/// The outcome of a call.
enum Done {
    Listed(Vec<KeyView>),
    Created(Box<KeyView>, String),
    Revoked,
}

/// Returns a response without a body.
pub(super) fn empty(status: StatusCode) -> KeyAnswer {
    KeyAnswer { status, content_type: None, allow: None, body: Bytes::new() }
}

fn json(status: StatusCode, body: Bytes) -> KeyAnswer {
    KeyAnswer { status, content_type: Some("application/json".into()), allow: None, body }
}

impl KeyOperations {
    pub(super) async fn answer(self: &Arc<Self>, call: &KeyCall) -> KeyAnswer {
        let config = self.registry.config();
        let Some((api, key_api)) =
            api_named(&config, &call.api).and_then(|api| Some((api, api.key_api.as_ref()?)))
        else {
            // An edit removed the endpoints after the request was admitted.
            return empty(StatusCode::NOT_FOUND);
        };
        let refuse = |status, code, detail: &str| {
            let (body, content_type) =
                key_bodies::error(api, status, code, detail, &call.request_id);
            KeyAnswer { content_type: Some(content_type.into()), ..json(status, body) }
        };
        let allow = match call.path.strip_prefix('/') {
            None if key_api.create => "GET, HEAD, POST",
            None => "GET, HEAD",
            Some(_) => "DELETE",
        };
        if !allow.split(", ").any(|method| method == call.method.as_str()) {
            let answer = refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "There is no such method here.",
            );
            return KeyAnswer { allow: Some(allow.into()), ..answer };
        }
        match self.do_call(&config, api, call).await {
            Ok(Done::Listed(keys)) => json(StatusCode::OK, key_bodies::list(key_api.style, &keys)),
            Ok(Done::Created(view, key)) => {
                json(StatusCode::CREATED, key_bodies::created(key_api.style, &view, &key))
            }
            Ok(Done::Revoked) => match key_bodies::revoked(key_api.style) {
                Some(body) => json(StatusCode::OK, body),
                None => empty(StatusCode::NO_CONTENT),
            },
            Err(error) => refuse(error.status(), error.code(), &error.detail()),
        }
    }

    async fn do_call(
        self: &Arc<Self>,
        config: &Config,
        api: &ApiDefinition,
        call: &KeyCall,
    ) -> Result<Done> {
        let key = self.own_record(config, &call.key).await?;
        let caller = Caller { config, api, environment: call.environment.as_deref(), key };
        let actor = Actor::of_key(&call.key);
        match call.path.strip_prefix('/') {
            None if call.method == Method::POST => {
                let request = key_bodies::read(&call.body)?;
                let (view, text) = self.create_below(&actor, &caller, request).await?;
                actor.log_change("key.create", &view.id);
                Ok(Done::Created(Box::new(view), text))
            }
            None => Ok(Done::Listed(self.visible(&caller).await?)),
            Some(id) => {
                if !self.is_visible(&caller, id).await? {
                    return Err(ServiceError::NotFound);
                }
                self.revoke(&actor, id, RevocationOrder::default()).await?;
                actor.log_change("key.revoke", id);
                Ok(Done::Revoked)
            }
        }
    }

    /// Returns the record of a key of the file or of the store.
    ///
    /// # Errors
    /// Returns [`ServiceError::NotFound`] if there is none, or another error if the store cannot be
    /// read.
    async fn own_record(&self, config: &Config, id: &str) -> Result<StoredKey> {
        match config.keys.iter().find(|key| *key.id == *id) {
            Some(key) => Ok(as_stored(config, key, |_| None, None)),
            None => self.store()?.key(id).await?.ok_or(ServiceError::NotFound),
        }
    }

    /// Returns all keys that the caller may see: first those of the file, then those of the store,
    /// the oldest first. Omits revoked keys.
    async fn visible(&self, caller: &Caller<'_>) -> Result<Vec<KeyView>> {
        let file: Vec<&KeyConfig> = caller
            .config
            .keys
            .iter()
            .map(|key| &**key)
            .filter(|key| self.sees_of_file(caller, key))
            .collect();
        let mut views = self.file_views(caller.config, &file).await;
        for view in &mut views {
            // The first characters of the key are unknown, but its environment determines its
            // prefix.
            let environment = caller
                .api
                .environments
                .iter()
                .find(|known| Some(&*known.name) == caller.environment);
            view.prefix = environment
                .map(|known| known.prefix.chars().take(SHOWN).collect())
                .unwrap_or_default();
        }
        let mut stored = match &caller.key.organization {
            Some(_) => self.of_organization(caller).await?,
            None => self.family(&caller.key).await?,
        };
        stored.retain(|key| self.is_here(caller, key));
        stored
            .sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
        views.extend(stored.iter().map(|key| self.view(caller.config, key)));
        Ok(views)
    }

    /// Returns whether the caller may see the key with this id.
    async fn is_visible(&self, caller: &Caller<'_>, id: &str) -> Result<bool> {
        if let Some(key) = caller.config.keys.iter().find(|key| *key.id == *id) {
            return Ok(self.sees_of_file(caller, key));
        }
        let store = self.store()?;
        let Some(key) = store.key(id).await?.filter(|key| self.is_here(caller, key)) else {
            return Ok(false);
        };
        match &caller.key.organization {
            Some(own) => Ok(key.organization.as_ref() == Some(own)),
            None => Ok(id == caller.key.id
                || store
                    .descendants(&caller.key.id)
                    .await?
                    .iter()
                    .any(|descendant| descendant == id)),
        }
    }

    /// Returns whether a key of the store belongs to this API and environment, and is not revoked.
    fn is_here(&self, caller: &Caller<'_>, key: &StoredKey) -> bool {
        key.environment.as_deref() == caller.environment
            && key.apis.iter().any(|name| **name == *caller.api.name)
            && key.revocation.is_none()
            && !self.registry.is_revoked(&key.id)
    }

    /// Returns whether the caller may see a key of the file. A digest does not reveal the
    /// environment. It is known only for the calling key itself, or if the file names it, or if the
    /// API has at most one. A key of an unknown environment is hidden, because a test key must not
    /// affect live keys.
    fn sees_of_file(&self, caller: &Caller<'_>, key: &KeyConfig) -> bool {
        let opens = || {
            key.apis
                .iter()
                .filter_map(|index| caller.config.apis.get(*index))
                .any(|api| api.definition.name == caller.api.name)
        };
        let itself = *key.id == *caller.key.id;
        let organization = caller.key.organization.as_deref();
        let own = itself || (organization.is_some() && key.organization.as_deref() == organization);
        let here = match key.environment.as_deref() {
            _ if itself => true,
            Some(name) => caller.environment == Some(name),
            None => caller.api.environments.len() <= 1,
        };
        own && opens() && here && !self.registry.is_revoked(&key.id)
    }

    async fn of_organization(&self, caller: &Caller<'_>) -> Result<Vec<StoredKey>> {
        let query = KeyQuery {
            organization: caller.key.organization.clone(),
            api: Some(caller.api.name.to_string()),
            environment: caller.environment.map(str::to_owned),
            without_revoked: true,
            now: self.now(),
            limit: usize::MAX,
            ..KeyQuery::default()
        };
        Ok(self.store()?.keys(query).await?)
    }

    /// Returns a key, if it is in the store, and all its descendants.
    async fn family(&self, of: &StoredKey) -> Result<Vec<StoredKey>> {
        let store = self.store()?;
        let mut ids = store.descendants(&of.id).await?;
        ids.push(of.id.clone());
        let mut family = Vec::with_capacity(ids.len());
        for id in ids {
            family.extend(store.key(&id).await?);
        }
        Ok(family)
    }

    /// Creates a key that may do no more than the caller.
    async fn create_below(
        &self,
        actor: &Actor,
        caller: &Caller<'_>,
        request: key_bodies::KeyRequest,
    ) -> Result<(KeyView, String)> {
        let Caller { config, api, .. } = *caller;
        let _lock = self.lock().await?;
        // The caller may have been revoked or paused during the wait for the lock. If its
        // descendants were revoked too, the new key must not escape that.
        if self.registry.key(&caller.key.id).is_none_or(|key| key.is_revoked() || key.is_paused()) {
            return Err(ServiceError::Conflict(
                Conflict::KeyRevoked,
                "The calling key is no longer in force.".into(),
            ));
        }
        let maker = self.own_record(config, &caller.key.id).await?;
        let mut checks = Validation::default();
        let scopes = match request.scopes {
            Some(scopes) => {
                checks.scopes(&[api], &scopes);
                scopes
            }
            None => caller.scopes_here(&maker),
        };
        if !rights::scopes_within(api, &scopes, &maker.scopes) {
            checks.fault("scopes", "a key cannot give what it does not hold");
        }
        let expires_at = match request.expires_at {
            Some(text) => text.and_then(|text| checks.expiry(&text, self.now())),
            None => maker.expires_at,
        };
        if !rights::expiry_within(expires_at, maker.expires_at) {
            let end = maker.expires_at.map(timestamp::format).unwrap_or_default();
            checks.fault(
                "expires_at",
                format!("a key cannot outlive the one that makes it, which expires at {end}"),
            );
        }
        checks.finish()?;
        if maker.organization.is_none() {
            self.check_family(config, &maker).await?;
        }
        let checked = CheckedKey {
            name: request.name,
            organization: maker.organization.clone(),
            apis: vec![api.name.to_string()],
            environment: caller.environment.map(str::to_owned),
            scopes,
            allow_ips: maker.allow_ips,
            allow_referrers: maker.allow_referrers,
            allow_endpoints: maker.allow_endpoints,
            rate_limit: maker.rate_limit,
            expires_at,
        };
        let (key, text) = self.make(actor, config, checked, Some(&maker.id), None).await?;
        Ok((self.view(config, &key), text))
    }

    /// Checks the limit for keys without an organisation. It applies to a key that no other key
    /// created, together with all its descendants.
    ///
    /// # Errors
    /// Returns [`Conflict::CapReached`] if the limit is reached, or another error if the store
    /// fails.
    async fn check_family(&self, config: &Config, of: &StoredKey) -> Result<()> {
        let mut root = of.clone();
        while let Some(parent) = root.parent.take() {
            root = match self.own_record(config, &parent).await {
                Ok(record) => record,
                // A key that was removed from the file.
                Err(ServiceError::NotFound) => break,
                Err(error) => return Err(error),
            };
        }
        let family = self.family(&root).await?;
        let live = family.iter().filter(|key| key.revocation.is_none()).count();
        match default_cap(config) {
            Some(cap) if live >= cap as usize => Err(ServiceError::cap_reached(cap)),
            _ => Ok(()),
        }
    }
}

impl Caller<'_> {
    /// Returns the creating key's scopes that this API defines. Scopes of other APIs must not be
    /// disclosed here.
    fn scopes_here(&self, maker: &StoredKey) -> Vec<String> {
        let known = |scope: &&String| *scope == "*" || super::validate::defines(self.api, scope);
        let scopes: Vec<String> = maker.scopes.iter().filter(known).cloned().collect();
        // An empty list may permit everything, so a list must not become empty.
        if scopes.is_empty() { maker.scopes.clone() } else { scopes }
    }
}
