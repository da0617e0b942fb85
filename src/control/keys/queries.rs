//! Reads keys, their usage and the audit log, and backs up the store.

use std::path::Path;

use super::actor::Actor;
use super::error::{Conflict, Result, ServiceError};
use super::found::Found;
use super::model::{
    AuditFilter, AuditPage, AuditView, KeyFilter, KeyPage, KeyView, Source, Status,
};
use super::operations::KeyOperations;
use super::permission::Permission;
use super::timestamp;
use super::view::{as_stored, condition};
use crate::config::{Config, KeyConfig};
use crate::keystore::{AuditEntry, AuditQuery, KeyQuery, StoredKey};
use crate::policy::Digest;

/// How often one call reads the audit log again because its entries were not for the caller. The
/// next page goes on from there.
const MOST_AUDIT_READS: usize = 20;

/// Where a page begins: after this key of the file, or after all keys of the file and this key of
/// the store.
enum After<'a> {
    File(&'a str),
    Store(&'a str),
}

impl KeyOperations {
    pub(in crate::control) async fn key(&self, actor: &Actor, id: &str) -> Result<KeyView> {
        actor.must(Permission::ReadKeys)?;
        self.visible_key(actor, id).await
    }

    /// Returns the key that has, or had, this secret.
    ///
    /// # Errors
    /// Returns [`ServiceError::NotFound`] if there is none that the actor may see.
    pub(in crate::control) async fn find_secret(
        &self,
        actor: &Actor,
        digest: Digest,
    ) -> Result<KeyView> {
        actor.must(Permission::ReadKeys)?;
        let id = match (self.registry.key_of(&digest), &self.store) {
            (Some(record), _) => record.id().to_owned(),
            (None, Some(store)) => {
                store.key_by_digest(digest).await?.ok_or(ServiceError::NotFound)?.id
            }
            (None, None) => return Err(ServiceError::NotFound),
        };
        self.visible_key(actor, &id).await
    }

    /// Returns a key that the actor may see, also if it has no permission to look at keys.
    pub(super) async fn visible_key(&self, actor: &Actor, id: &str) -> Result<KeyView> {
        let found = self.find(actor, id).await?;
        let config = self.registry.config();
        match found {
            Found::Dead(key) => return Ok(self.view(&config, &key)),
            Found::Known(record) if record.is_stored() => {
                let key = self.store()?.key(id).await?.ok_or(ServiceError::NotFound)?;
                return Ok(self.view(&config, &key));
            }
            Found::Known(_) => {}
        }
        let key = config.keys.iter().find(|key| *key.id == *id).ok_or(ServiceError::NotFound)?;
        self.file_views(&config, &[key]).await.pop().ok_or(ServiceError::NotFound)
    }

    pub(in crate::control) async fn list(
        &self,
        actor: &Actor,
        mut filter: KeyFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<KeyPage> {
        actor.must(Permission::ReadKeys)?;
        let after = after.map(After::read).transpose()?.unwrap_or(After::File(""));
        let limit = limit.max(1);
        let nothing = KeyPage { keys: Vec::new(), next: None };
        let Some(organization) = actor.narrow(filter.organization) else { return Ok(nothing) };
        filter.organization = organization;
        let config = self.registry.config();
        let (mut keys, behind) = match after {
            After::File(id) => (self.list_file(actor, &config, &filter, id, limit + 1).await, ""),
            After::Store(id) => (Vec::new(), id),
        };
        if keys.len() <= limit && filter.source != Some(Source::File) && self.store.is_some() {
            let rest = self.list_store(actor, &filter, behind, limit + 1 - keys.len()).await?;
            keys.extend(rest.iter().map(|key| self.view(&config, key)));
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|last| match last.source {
            Source::File => format!("file:{}", last.id),
            Source::Store => format!("store:{}", last.id),
        });
        Ok(KeyPage { keys, next })
    }

    async fn list_file(
        &self,
        actor: &Actor,
        config: &Config,
        filter: &KeyFilter,
        after: &str,
        limit: usize,
    ) -> Vec<KeyView> {
        if filter.source == Some(Source::Store) || filter.parent.is_some() {
            return Vec::new();
        }
        let part = filter.name.as_ref().map(|part| part.to_lowercase());
        let fits = |key: &&KeyConfig| {
            let organization = filter.organization.as_deref();
            *key.id > *after
                && organization.is_none_or(|wanted| key.organization.as_deref() == Some(wanted))
                && part.as_ref().is_none_or(|part| key.name.to_lowercase().contains(part))
                && (filter.api.is_none()
                    && filter.environment.is_none()
                    && filter.status.is_none()
                    && actor.partial_sight().is_none()
                    || {
                        let key = as_stored(config, key, |_| None, None);
                        actor.sees_key(&key)
                            && filter.api.as_ref().is_none_or(|wanted| key.apis.contains(wanted))
                            && filter
                                .environment
                                .as_ref()
                                .is_none_or(|wanted| key.environment.as_ref() == Some(wanted))
                            && filter.status.is_none_or(|wanted| self.status(&key) == wanted)
                    })
        };
        let mut keys: Vec<&KeyConfig> = config.keys.iter().map(|key| &**key).filter(fits).collect();
        keys.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        keys.truncate(limit);
        self.file_views(config, &keys).await
    }

    /// Lists keys of the store. The store cannot filter by suspended and revoked organisations, so
    /// its results are filtered again here.
    async fn list_store(
        &self,
        actor: &Actor,
        filter: &KeyFilter,
        after: &str,
        limit: usize,
    ) -> Result<Vec<StoredKey>> {
        let store = self.store()?;
        let mut query = KeyQuery {
            organization: filter.organization.clone(),
            api: filter.api.clone(),
            environment: filter.environment.clone(),
            parent: filter.parent.clone(),
            name: filter.name.clone(),
            condition: filter.status.and_then(condition),
            without_revoked: filter.status == Some(Status::Suspended),
            now: self.now(),
            after: Some(after.to_owned()).filter(|after| !after.is_empty()),
            limit,
        };
        let mut found = Vec::new();
        if filter.status == Some(Status::Suspended) {
            let closed: Vec<String> = self
                .registry
                .look(|table| table.snapshot().closed.keys().map(ToString::to_string).collect());
            let wanted = closed
                .into_iter()
                .filter(|name| filter.organization.as_ref().is_none_or(|wanted| wanted == name));
            for name in wanted {
                found.extend(
                    store.keys(KeyQuery { organization: Some(name), ..query.clone() }).await?,
                );
            }
            found.retain(|key| actor.sees_key(key));
            found.sort_unstable_by(|left, right| left.id.cmp(&right.id));
            found.truncate(limit);
            return Ok(found);
        }
        loop {
            let page = store.keys(query.clone()).await?;
            let is_last = page.len() < limit;
            query.after = page.last().map(|key| key.id.clone());
            found.extend(
                page.into_iter()
                    .filter(|key| filter.status.is_none_or(|wanted| self.status(key) == wanted))
                    .filter(|key| actor.sees_key(key)),
            );
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    pub(in crate::control) async fn audit(
        &self,
        actor: &Actor,
        filter: AuditFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<AuditPage> {
        actor.must(Permission::ReadAudit)?;
        let wrong = || ServiceError::invalid("before", "take it from `next` of the page before");
        let before = before.map(|text| text.parse().map_err(|_| wrong())).transpose()?;
        let Some(organization) = actor.narrow(filter.organization) else {
            return Ok(AuditPage { entries: Vec::new(), next: None });
        };
        let limit = limit.max(1);
        let query = AuditQuery { organization, subject: filter.subject, before, limit: limit + 1 };
        let (found, next) = self.entries(actor, query).await?;
        let next = next.map(|before| before.to_string());
        let entries = found.into_iter().map(|entry| AuditView {
            sequence: entry.sequence,
            at: timestamp::format(entry.at),
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            organization: entry.organization,
            detail: serde_json::from_str(&entry.detail).unwrap_or_default(),
        });
        Ok(AuditPage { entries: entries.collect(), next })
    }

    /// Returns entries of the audit log that the actor may see, one less than the query's limit at
    /// most, and where the next page begins, or `None` if there is none.
    async fn entries(
        &self,
        actor: &Actor,
        mut query: AuditQuery,
    ) -> Result<(Vec<AuditEntry>, Option<u64>)> {
        let limit = query.limit - 1;
        let mut found = Vec::new();
        for _ in 0..MOST_AUDIT_READS {
            let mut entries = self.store()?.audit(query.clone()).await?.into_iter().peekable();
            let mut examined = 0;
            while examined < limit && found.len() < limit {
                let Some(entry) = entries.next() else { return Ok((found, None)) };
                query.before = Some(entry.sequence);
                examined += 1;
                if self.shows(actor, &entry).await? {
                    found.push(entry);
                }
            }
            if entries.peek().is_none() {
                return Ok((found, None));
            }
            if found.len() == limit {
                break;
            }
        }
        Ok((found, query.before))
    }

    /// Returns whether the actor may see an entry of the audit log of its organisation. A portal
    /// session that does not see all keys sees the entries of its own keys only.
    async fn shows(&self, actor: &Actor, entry: &AuditEntry) -> Result<bool> {
        if actor.partial_sight().is_none() {
            return Ok(true);
        }
        match self.find(actor, &entry.subject).await {
            Ok(_) => Ok(true),
            Err(ServiceError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn backup(&self, actor: &Actor, path: &Path) -> Result<()> {
        actor.must_be_operator()?;
        let store = self.store()?;
        let to = path.to_owned();
        // A hanging disk would block the control thread.
        if tokio::task::spawn_blocking(move || to.try_exists())
            .await
            .is_ok_and(|there| there.unwrap_or(true))
        {
            return Err(ServiceError::Conflict(
                Conflict::FileExists,
                "There is something at that path already; a backup overwrites nothing.".into(),
            ));
        }
        store.backup(path).await?;
        tracing::info!(file = %path.display(), by = actor.name, "the store was backed up");
        Ok(())
    }
}

impl<'a> After<'a> {
    fn read(text: &'a str) -> Result<Self> {
        match text.split_once(':') {
            Some(("file", id)) => Ok(Self::File(id)),
            Some(("store", id)) => Ok(Self::Store(id)),
            _ => Err(ServiceError::invalid("after", "take it from `next` of the page before")),
        }
    }
}

impl Actor {
    /// Returns the organisation to filter by if `wanted` is asked for. `Some(None)` means all
    /// organisations. `None` means that the actor may see nothing of `wanted`.
    pub(super) fn narrow(&self, wanted: Option<String>) -> Option<Option<String>> {
        match (&self.organization, wanted) {
            (None, wanted) => Some(wanted),
            (Some(own), Some(wanted)) if *own != wanted => None,
            (Some(own), _) => Some(Some(own.clone())),
        }
    }
}
