//! Converts keys of the file and the store to the definitions that requests are judged by.

use std::sync::Arc;

use super::Table;
use crate::config::{KeyConfig, Rights, parse_limit};
use crate::keystore::StoredKey;
use crate::policy::{
    Account, AddressRange, KeyDefinition, KeyId, Organization, Pattern, ReferrerPattern,
    Restrictions, Secret,
};

/// Organisations are swept once there are more than this many besides twice those that were in use
/// at the last sweep.
const IDLE: usize = 1024;

impl Table {
    fn organization(&mut self, name: &str) -> Arc<Organization> {
        self.forget_organizations();
        if let Some(known) = self.organizations.get(name) {
            return known.clone();
        }
        self.organizations.entry(name.into()).or_insert_with(|| Organization::new(name)).clone()
    }

    /// Removes organisations without keys, once there may be many.
    fn forget_organizations(&mut self) {
        if self.organizations.len() > 2 * self.organizations_in_use + IDLE {
            self.organizations.retain(|_, organization| Arc::strong_count(organization) > 1);
            self.organizations_in_use = self.organizations.len();
        }
    }

    pub(super) fn define_file(&mut self, key: &KeyConfig, account: Arc<Account>) -> KeyDefinition {
        let apis =
            key.apis.iter().map(|index| self.config.apis[*index].definition.name.clone()).collect();
        let rights =
            Rights { apis, scopes: key.scopes.clone(), rate_limit: key.rate_limit.clone() };
        KeyDefinition {
            id: key.id.clone(),
            name: key.name.clone(),
            organization: key.organization.as_deref().map(|name| self.organization(name)),
            secrets: key
                .digests
                .iter()
                .map(|digest| Secret { digest: *digest, ends_at: None })
                .collect(),
            expires_at: key.expires_at,
            revoked: self.refuses(&key.id, key.digests.iter().copied()),
            paused: false,
            stored: false,
            restrictions: key.restrictions.clone(),
            grants: self.grants.index_of(rights, &self.config),
            account,
        }
    }

    /// Returns the definition of a key of the store. The key is paused if this version cannot parse
    /// one of its restrictions or limits. Returns `None` if its id is invalid, because messages
    /// could not name it.
    pub(super) fn define_stored(
        &mut self,
        key: &StoredKey,
        account: Arc<Account>,
    ) -> Option<KeyDefinition> {
        let Ok(id) = KeyId::parse(&key.id) else {
            tracing::error!("the store has a key whose id cannot be one; it is refused");
            return None;
        };
        let restrictions = restrictions(key);
        let limits = key.rate_limit.as_ref().map(|texts| {
            texts.iter().map(|text| parse_limit(text).ok()).collect::<Option<Arc<[_]>>>()
        });
        let understood = restrictions.is_some() && !matches!(limits, Some(None));
        if !understood {
            tracing::error!(
                key = key.id,
                "the store's record of this key has a restriction or limit that cannot be read; \
                    it is refused"
            );
        }
        let rights = Rights {
            apis: key.apis.iter().map(|name| name.as_str().into()).collect(),
            scopes: key.scopes.iter().map(|name| name.as_str().into()).collect(),
            rate_limit: limits.flatten(),
        };
        Some(KeyDefinition {
            id,
            name: key.name.as_str().into(),
            organization: key.organization.as_deref().map(|name| self.organization(name)),
            secrets: key
                .secrets
                .iter()
                .map(|secret| Secret { digest: secret.digest, ends_at: secret.ends_at })
                .collect(),
            expires_at: key.expires_at,
            revoked: key.revocation.is_some()
                || self.refuses(&key.id, key.secrets.iter().map(|secret| secret.digest)),
            paused: key.paused || !understood,
            stored: true,
            restrictions: restrictions.unwrap_or_default(),
            grants: self.grants.index_of(rights, &self.config),
            account,
        })
    }
}

fn restrictions(key: &StoredKey) -> Option<Restrictions> {
    Some(Restrictions {
        addresses: key
            .allow_ips
            .iter()
            .map(|text| AddressRange::parse(text).ok())
            .collect::<Option<_>>()?,
        referrers: key
            .allow_referrers
            .iter()
            .map(|text| ReferrerPattern::parse(text).ok())
            .collect::<Option<_>>()?,
        endpoints: key
            .allow_endpoints
            .iter()
            .map(|text| Pattern::parse(text).ok())
            .collect::<Option<_>>()?,
    })
}
