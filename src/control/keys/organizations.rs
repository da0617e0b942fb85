//! Organisations: whether they are suspended, and how many keys they may have.

use std::collections::BTreeMap;

use serde_json::json;

use super::actor::Actor;
use super::create::default_cap;
use super::error::{Result, ServiceError};
use super::model::{OrganizationChange, OrganizationPage, OrganizationView};
use super::operations::KeyOperations;
use super::timestamp;
use crate::config::Config;
use crate::keystore::{Change, StoredOrganization};

/// The largest limit of keys that can be set.
const LARGEST_CAP: u32 = 1_000_000;

impl KeyOperations {
    pub(in crate::control) async fn organizations(
        &self,
        actor: &Actor,
        after: Option<&str>,
        limit: usize,
    ) -> Result<OrganizationPage> {
        let config = self.registry.config();
        let limit = limit.max(1);
        if let Some(own) = &actor.organization {
            let organizations = match self.find_organization(&config, own).await? {
                Some(found) if after.is_none_or(|after| **own > *after) => {
                    vec![view(&config, found)]
                }
                _ => Vec::new(),
            };
            return Ok(OrganizationPage { organizations, next: None });
        }
        let stored = match &self.store {
            Some(store) => store.organizations(after, limit + 1).await?,
            None => Vec::new(),
        };
        let mut found: BTreeMap<String, (StoredOrganization, u64)> = stored
            .into_iter()
            .map(|(organization, keys)| (organization.name.clone(), (organization, keys)))
            .collect();
        let in_file = config.keys.iter().filter_map(|key| key.organization.as_deref());
        for name in in_file.filter(|name| after.is_none_or(|after| *name > after)) {
            found.entry(name.to_owned()).or_insert_with(|| (unknown(name), 0));
        }
        let more = found.len() > limit;
        let organizations: Vec<_> =
            found.into_values().take(limit).map(|found| view(&config, found)).collect();
        let next = organizations.last().filter(|_| more).map(|last| last.name.clone());
        Ok(OrganizationPage { organizations, next })
    }

    pub(in crate::control) async fn organization(
        &self,
        actor: &Actor,
        name: &str,
    ) -> Result<OrganizationView> {
        if !actor.sees(Some(name)) {
            return Err(ServiceError::NotFound);
        }
        let config = self.registry.config();
        let found = self.find_organization(&config, name).await?.ok_or(ServiceError::NotFound)?;
        Ok(view(&config, found))
    }

    pub(in crate::control) async fn set_suspended(
        &self,
        actor: &Actor,
        name: &str,
        suspended: bool,
    ) -> Result<OrganizationView> {
        if !actor.sees(Some(name)) {
            return Err(ServiceError::NotFound);
        }
        actor.must_be_operator()?;
        self.store()?;
        if suspended {
            // First of all, because the rest may have to wait.
            self.registry.suspend(name, true);
        }
        let _lock = self.lock().await?;
        let config = self.registry.config();
        let Some((old, keys)) = self.find_organization(&config, name).await? else {
            self.registry.suspend(name, false);
            return Err(ServiceError::NotFound);
        };
        // Once more, because the organisation may have been resumed during the wait for the lock.
        if suspended {
            self.registry.suspend(name, true);
        }
        if old.suspended_at.is_some() == suspended {
            self.registry.suspend(name, suspended);
            return Ok(view(&config, (old, keys)));
        }
        let suspended_at = suspended.then(|| self.now());
        let new = StoredOrganization { suspended_at, revision: old.revision + 1, ..old };
        let action = if suspended { "organization.suspend" } else { "organization.resume" };
        let entry = self.entry(actor, action, name, Some(name), json!({}));
        self.commit(Change::Organization(new.clone()), entry).await?;
        self.registry.suspend(name, suspended);
        Ok(view(&config, (new, keys)))
    }

    pub(in crate::control) async fn change_organization(
        &self,
        actor: &Actor,
        name: &str,
        change: OrganizationChange,
        if_match: Option<u64>,
    ) -> Result<OrganizationView> {
        if !actor.sees(Some(name)) {
            return Err(ServiceError::NotFound);
        }
        actor.must_be_operator()?;
        if change.key_cap.flatten().is_some_and(|cap| cap > LARGEST_CAP) {
            return Err(ServiceError::invalid("key_cap", format!("it is from 0 to {LARGEST_CAP}")));
        }
        self.store()?;
        let _lock = self.lock().await?;
        let config = self.registry.config();
        let (old, keys) =
            self.find_organization(&config, name).await?.ok_or(ServiceError::NotFound)?;
        if if_match.is_some_and(|revision| revision != old.revision) {
            return Err(ServiceError::Stale);
        }
        let key_cap = change.key_cap.unwrap_or(old.key_cap);
        if key_cap == old.key_cap {
            return Ok(view(&config, (old, keys)));
        }
        let detail = json!({ "key_cap": { "from": old.key_cap, "to": key_cap } });
        let new = StoredOrganization { key_cap, revision: old.revision + 1, ..old };
        let entry = self.entry(actor, "organization.update", name, Some(name), detail);
        self.commit(Change::Organization(new.clone()), entry).await?;
        Ok(view(&config, (new, keys)))
    }

    /// Returns an organisation, and how many unrevoked keys it has in the store. Returns `None` if
    /// neither the store nor a key of the file has this organisation.
    async fn find_organization(
        &self,
        config: &Config,
        name: &str,
    ) -> Result<Option<(StoredOrganization, u64)>> {
        let stored = match &self.store {
            Some(store) => store.organization(name).await?,
            None => None,
        };
        let in_file = || config.keys.iter().any(|key| key.organization.as_deref() == Some(name));
        Ok(stored.or_else(|| in_file().then(|| (unknown(name), 0))))
    }
}

fn unknown(name: &str) -> StoredOrganization {
    StoredOrganization { name: name.to_owned(), ..StoredOrganization::default() }
}

fn view(config: &Config, (stored, keys): (StoredOrganization, u64)) -> OrganizationView {
    OrganizationView {
        revoked: config.revoked.organization(&stored.name).is_some(),
        name: stored.name,
        suspended_at: stored.suspended_at.map(timestamp::format),
        keys,
        key_cap: stored.key_cap.or_else(|| default_cap(config)).unwrap_or(0),
        revision: stored.revision,
    }
}
