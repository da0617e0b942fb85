//! The key endpoints that an API's own documentation promises (`[api.key_api]`): who may see, make
//! and revoke which keys there.
//!
//! A caller sees and makes only keys of this API, of the environment that it calls in, and of its
//! own organisation; one without an organisation sees itself and the keys that it made, and those
//! that they made. Lists have no pages, because the documents have none: a list is as long as the
//! cap on keys of an organisation, which counts for such a family too.

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

/// A caller and what it may see.
struct Caller<'c> {
    config: &'c Config,
    api: &'c ApiDefinition,
    environment: Option<&'c str>,
    /// Its own record.
    key: StoredKey,
}

/// What was done.
enum Done {
    Listed(Vec<KeyView>),
    Created(Box<KeyView>, String),
    Revoked,
}

/// An answer without a body.
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
            // An edit has taken the endpoints away after the request was let in.
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
        let actor = Actor { name: format!("key {}", call.key), organization: None };
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

    /// The record of a key of the store or the file.
    async fn own_record(&self, config: &Config, id: &str) -> Result<StoredKey> {
        match config.keys.iter().find(|key| *key.id == *id) {
            Some(key) => Ok(as_stored(config, key, |_| None, None)),
            None => self.store()?.key(id).await?.ok_or(ServiceError::NotFound),
        }
    }

    /// All keys that the caller sees, those of the file first, then the oldest first. Revoked ones
    /// are not among them.
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
            // Its prefix is not known, but its environment is, and so is how that begins.
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

    /// Whether the caller sees the key with this id.
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

    /// Whether a key of the store is one of this API and environment, and not revoked.
    fn is_here(&self, caller: &Caller<'_>, key: &StoredKey) -> bool {
        key.environment.as_deref() == caller.environment
            && key.apis.iter().any(|name| **name == *caller.api.name)
            && key.revocation.is_none()
            && !self.registry.is_revoked(&key.id)
    }

    /// The file tells only digests. So which environment a key of it belongs to is known where the
    /// file says it or there is one at most, and of the key that calls. Others are not shown: a
    /// test key must not touch live ones.
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

    /// A key of the store, the keys that it made, those that they made, and so on.
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

    /// Makes a key that may do no more than the caller.
    async fn create_below(
        &self,
        actor: &Actor,
        caller: &Caller<'_>,
        request: key_bodies::KeyRequest,
    ) -> Result<(KeyView, String)> {
        let Caller { config, api, .. } = *caller;
        let _lock = self.lock().await?;
        // It may have been revoked while this waited for its turn; its descendants may have been
        // meant, too.
        if self.registry.key(&caller.key.id).is_none_or(|key| key.is_revoked() || key.is_paused()) {
            return Err(ServiceError::Conflict(
                Conflict::KeyRevoked,
                "The calling key has been revoked.".into(),
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

    /// The cap for keys without an organisation: on all that descend from one key that was not made
    /// by another.
    async fn check_family(&self, config: &Config, of: &StoredKey) -> Result<()> {
        let mut root = of.clone();
        while let Some(parent) = root.parent.take() {
            root = match self.own_record(config, &parent).await {
                Ok(record) => record,
                // A key of the file that is no longer there.
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
    /// The maker's scopes that mean something in this API: those of another are nobody's business
    /// here.
    fn scopes_here(&self, maker: &StoredKey) -> Vec<String> {
        let known = |scope: &&String| *scope == "*" || super::validate::defines(self.api, scope);
        let scopes: Vec<String> = maker.scopes.iter().filter(known).cloned().collect();
        // An empty list may mean everything, so it is not made of one that is not.
        if scopes.is_empty() { maker.scopes.clone() } else { scopes }
    }
}
