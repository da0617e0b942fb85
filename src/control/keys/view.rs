//! Converts keys to what users see of them.

use serde_json::{Map, Value, json};

use super::model::{KeyView, SecretView, Source, Status};
use super::operations::KeyOperations;
use super::timestamp;
use crate::config::{Config, KeyConfig};
use crate::keystore::{Condition, Revocation, StoredKey, StoredSecret};
use crate::policy::{Digest, KeyRecord};

/// Number of hexadecimal digits of a digest in a fingerprint.
const FINGERPRINT: usize = 12;
/// The actor of revocations by `[revoked]`.
pub(super) const THE_FILE: &str = "gateway.toml";

impl KeyOperations {
    /// Returns the view of a key of the store.
    pub(super) fn view(&self, config: &Config, key: &StoredKey) -> KeyView {
        self.show(config, key, Source::Store)
    }

    /// Returns the views of keys of the file, with their last uses and revocations from the store.
    /// Omits these if there is no store or it fails.
    pub(super) async fn file_views(&self, config: &Config, keys: &[&KeyConfig]) -> Vec<KeyView> {
        let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
        let revoked: Vec<String> =
            ids.iter().filter(|id| self.registry.is_revoked(id)).cloned().collect();
        let (uses, revocations) = match &self.store {
            Some(store) => {
                let revocations = if revoked.is_empty() {
                    Vec::new()
                } else {
                    store.revocations(revoked).await.unwrap_or_default()
                };
                (store.last_used(ids).await.unwrap_or_default(), revocations)
            }
            None => Default::default(),
        };
        let view = |key: &&KeyConfig| {
            let last_used = |digest: &Digest| {
                uses.iter()
                    .find(|(id, used, _)| **id == *key.id && used == digest)
                    .map(|(_, _, at)| *at)
            };
            let revocation = revocations
                .iter()
                .find(|(id, _)| **id == *key.id)
                .map(|(_, revocation)| revocation.clone());
            self.show(config, &as_stored(config, key, last_used, revocation), Source::File)
        };
        keys.iter().map(view).collect()
    }

    fn show(&self, config: &Config, key: &StoredKey, source: Source) -> KeyView {
        let kept = source == Source::Store;
        let running = self.registry.key(&key.id);
        let status = self.status(key);
        // A revocation that is in force may not have been stored yet.
        let by_file = || {
            let digests = key.secrets.iter().map(|secret| secret.digest);
            config.revoked.key(&key.id, digests).map(|_| Revocation {
                at: 0,
                by: THE_FILE.to_owned(),
                reason: None,
            })
        };
        let revocation = key.revocation.clone().or_else(by_file);
        let secrets: Vec<(&StoredSecret, Option<i64>)> = key
            .secrets
            .iter()
            .map(|secret| (secret, last_used(running.as_deref(), secret)))
            .collect();
        let last_used_at = secrets.iter().filter_map(|(_, at)| *at).max();
        KeyView {
            id: key.id.clone(),
            name: key.name.clone(),
            organization: key.organization.clone(),
            apis: key.apis.clone(),
            prefix: key.prefix.clone(),
            environment: key.environment.clone(),
            scopes: key.scopes.clone(),
            allow_ips: key.allow_ips.clone(),
            allow_referrers: key.allow_referrers.clone(),
            allow_endpoints: key.allow_endpoints.clone(),
            rate_limit: key.rate_limit.clone(),
            status,
            source,
            created_at: kept.then(|| timestamp::format(key.created_at)),
            created_by: kept.then(|| key.created_by.clone()),
            parent: key.parent.clone(),
            expires_at: key.expires_at.map(timestamp::format),
            revoked_at: revocation
                .as_ref()
                .filter(|revocation| revocation.at > 0)
                .map(|revocation| timestamp::format(revocation.at)),
            revoked_by: revocation.as_ref().map(|revocation| revocation.by.clone()),
            revoked_because: revocation.and_then(|revocation| revocation.reason),
            last_used_at: last_used_at.map(timestamp::format),
            secrets: secrets
                .into_iter()
                .map(|(secret, last_used)| SecretView {
                    fingerprint: fingerprint(&secret.digest),
                    created_at: kept.then(|| timestamp::format(secret.created_at)),
                    ends_at: secret.ends_at.map(timestamp::format),
                    last_used_at: last_used.map(timestamp::format),
                })
                .collect(),
            revision: key.revision,
        }
    }

    /// Returns the status of a key. If there are several reasons to refuse it, the most serious one
    /// counts.
    pub(super) fn status(&self, key: &StoredKey) -> Status {
        let closed = key.organization.as_deref().is_some_and(|name| self.is_closed(name));
        let expired = key.expires_at.is_some_and(|at| at <= self.now());
        if key.revocation.is_some() || self.registry.is_revoked(&key.id) {
            Status::Revoked
        } else if closed {
            Status::Suspended
        } else if expired {
            Status::Expired
        } else if key.paused {
            Status::Paused
        } else {
            Status::Active
        }
    }

    /// Returns whether all keys of an organisation are refused.
    pub(super) fn is_closed(&self, organization: &str) -> bool {
        self.registry.look(|table| table.snapshot().closed.contains_key(organization))
    }
}

/// Returns the condition of the stored keys that can have this status, or `None` if no condition
/// selects them.
pub(super) fn condition(status: Status) -> Option<Condition> {
    match status {
        Status::Active => Some(Condition::Active),
        Status::Paused => Some(Condition::Paused),
        Status::Expired => Some(Condition::Expired),
        Status::Revoked => Some(Condition::Revoked),
        Status::Suspended => None,
    }
}

/// Returns when a secret was last used, in Unix seconds. The value in memory is usually the later
/// one, but after a restart it may be earlier than the stored one.
fn last_used(running: Option<&KeyRecord>, secret: &StoredSecret) -> Option<i64> {
    let in_memory = running
        .and_then(|key| key.account().last_used().find(|(digest, _)| *digest == secret.digest))
        .map(|(_, at)| at);
    in_memory.filter(|at| *at > 0).max(secret.last_used)
}

pub(super) fn fingerprint(digest: &Digest) -> String {
    let mut text = digest.to_string();
    text.truncate(FINGERPRINT);
    text
}

/// Converts a key of the file to the form of a stored key, so that the same code displays and
/// judges both.
pub(super) fn as_stored(
    config: &Config,
    key: &KeyConfig,
    last_used: impl Fn(&Digest) -> Option<i64>,
    revocation: Option<Revocation>,
) -> StoredKey {
    let apis: Vec<_> = key
        .apis
        .iter()
        .filter_map(|index| config.apis.get(*index))
        .map(|api| &api.definition)
        .collect();
    // A digest does not reveal the environment. If there is only one, the key belongs to it.
    let environment = match (&key.environment, apis.as_slice()) {
        (Some(name), _) => Some(name.to_string()),
        (None, [api]) if api.environments.len() == 1 => Some(api.environments[0].name.to_string()),
        _ => None,
    };
    let secrets = key.digests.iter().map(|digest| StoredSecret {
        digest: *digest,
        created_at: 0,
        ends_at: None,
        last_used: last_used(digest),
    });
    StoredKey {
        id: key.id.to_string(),
        name: key.name.to_string(),
        organization: key.organization.as_deref().map(str::to_owned),
        apis: apis.iter().map(|api| api.name.to_string()).collect(),
        prefix: String::new(),
        environment,
        scopes: key.scopes.iter().map(ToString::to_string).collect(),
        allow_ips: key.restrictions.addresses.iter().map(ToString::to_string).collect(),
        allow_referrers: key.restrictions.referrers.iter().map(ToString::to_string).collect(),
        allow_endpoints: key.restrictions.endpoints.iter().map(ToString::to_string).collect(),
        rate_limit: key
            .rate_limit
            .as_ref()
            .map(|limits| limits.iter().map(ToString::to_string).collect()),
        created_at: 0,
        created_by: String::new(),
        parent: None,
        expires_at: key.expires_at,
        paused: false,
        revision: 0,
        secrets: secrets.collect(),
        revocation,
    }
}

/// Returns the settings of a key for the audit log.
pub(super) fn settings(key: &StoredKey) -> Value {
    json!({
        "name": key.name,
        "organization": key.organization,
        "apis": key.apis,
        "environment": key.environment,
        "scopes": key.scopes,
        "allow_ips": key.allow_ips,
        "allow_referrers": key.allow_referrers,
        "allow_endpoints": key.allow_endpoints,
        "rate_limit": key.rate_limit,
        "expires_at": key.expires_at.map(timestamp::format),
        "parent": key.parent,
        "fingerprint": key.secrets.first().map(|secret| fingerprint(&secret.digest)),
    })
}

/// Returns the settings that differ, each with its old and its new value.
pub(super) fn difference(old: &StoredKey, new: &StoredKey) -> Value {
    let (Value::Object(old), Value::Object(new)) = (settings(old), settings(new)) else {
        return Value::Null;
    };
    let changed = new.into_iter().filter(|(name, value)| old.get(name) != Some(value));
    Value::Object(
        changed
            .map(|(name, value)| (name.clone(), json!({ "from": old.get(&name), "to": value })))
            .collect::<Map<_, _>>(),
    )
}
