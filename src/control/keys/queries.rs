//! Reads keys, their usage and the audit log, and backs up the store.

use std::path::Path;

use super::actor::Actor;
use super::error::{Conflict, Result, ServiceError};
use super::found::Found;
use super::model::{
    AuditFilter, AuditPage, AuditView, DayUseView, KeyFilter, KeyPage, KeyUse, KeyView, Source,
    Status,
};
use super::operations::KeyOperations;
use super::timestamp;
use super::view::{as_stored, condition};
use crate::config::{Config, KeyConfig};
use crate::keystore::{AuditQuery, KeyQuery, StoredKey};

/// Where a page begins: after this key of the file, or after all keys of the file and this key of
/// the store.
enum After<'a> {
    File(&'a str),
    Store(&'a str),
}

impl KeyOperations {
    pub(in crate::control) async fn key(&self, actor: &Actor, id: &str) -> Result<KeyView> {
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
        let after = after.map(After::read).transpose()?.unwrap_or(After::File(""));
        let limit = limit.max(1);
        let nothing = KeyPage { keys: Vec::new(), next: None };
        let Some(organization) = actor.narrow(filter.organization) else { return Ok(nothing) };
        filter.organization = organization;
        let config = self.registry.config();
        let (mut keys, behind) = match after {
            After::File(id) => (self.list_file(&config, &filter, id, limit + 1).await, ""),
            After::Store(id) => (Vec::new(), id),
        };
        if keys.len() <= limit && filter.source != Some(Source::File) && self.store.is_some() {
            let rest = self.list_store(&filter, behind, limit + 1 - keys.len()).await?;
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
                && (filter.api.is_none() && filter.environment.is_none() && filter.status.is_none()
                    || {
                        let key = as_stored(config, key, |_| None, None);
                        filter.api.as_ref().is_none_or(|wanted| key.apis.contains(wanted))
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
                    .filter(|key| filter.status.is_none_or(|wanted| self.status(key) == wanted)),
            );
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    pub(in crate::control) async fn key_use(
        &self,
        actor: &Actor,
        id: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<KeyUse> {
        self.find(actor, id).await?;
        let day = |member, text: Option<&str>, default| {
            let wrong = || ServiceError::invalid(member, "write a day such as `2026-11-22`");
            text.map_or(Ok(default), |text| timestamp::parse_day(text).ok_or_else(wrong))
        };
        let (from, to) = (day("from", from, 0)?, day("to", to, timestamp::day_of(self.now()))?);
        let days = self.store()?.uses(id, from, to).await?;
        let days = days
            .into_iter()
            .map(|day| DayUseView { day: timestamp::format_day(day.day), requests: day.requests })
            .collect();
        Ok(KeyUse { id: id.to_owned(), days })
    }

    pub(in crate::control) async fn audit(
        &self,
        actor: &Actor,
        filter: AuditFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<AuditPage> {
        let wrong = || ServiceError::invalid("before", "take it from `next` of the page before");
        let before = before.map(|text| text.parse().map_err(|_| wrong())).transpose()?;
        let store = self.store()?;
        let Some(organization) = actor.narrow(filter.organization) else {
            return Ok(AuditPage { entries: Vec::new(), next: None });
        };
        let limit = limit.max(1);
        let mut found = store
            .audit(AuditQuery { organization, subject: filter.subject, before, limit: limit + 1 })
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.sequence.to_string());
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
    fn narrow(&self, wanted: Option<String>) -> Option<Option<String>> {
        match (&self.organization, wanted) {
            (None, wanted) => Some(wanted),
            (Some(own), Some(wanted)) if *own != wanted => None,
            (Some(own), _) => Some(Some(own.clone())),
        }
    }
}
