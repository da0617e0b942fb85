//! Tells how much keys are used.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::actor::Actor;
use super::error::{Result, ServiceError};
use super::operations::KeyOperations;
use super::permission::Permission;
use super::timestamp;
use super::use_model::{
    DayUseView, HourUseView, KeySum, KeyUse, OrganizationUse, UseBy, UseCounts, UseSpan,
};
use super::view::as_stored;
use crate::keystore::{DayUse, KeyQuery};
use crate::policy::add_hour;

/// A key is failing if it had so many requests in a day, and more than so many per cent of them
/// were in vain.
const MANY_REQUESTS: u64 = 50;
const MANY_IN_VAIN: u64 = 20;

/// The days of a span, first and last.
type Days = (i64, i64);

impl KeyOperations {
    /// Tells how much a key is used.
    ///
    /// # Errors
    /// Returns [`ServiceError::NotFound`] if there is no such key that the actor may see,
    /// [`ServiceError::Invalid`] for a day that is none, and [`ServiceError::NoStore`] without a
    /// store.
    pub(in crate::control) async fn key_use(
        &self,
        actor: &Actor,
        id: &str,
        span: UseSpan,
    ) -> Result<KeyUse> {
        actor.must(Permission::ReadUsage)?;
        self.find(actor, id).await?;
        let (from, to) = self.days(&span)?;
        let days = self.store()?.uses(id, from, to).await?;
        let (days, hours) = views(days, span.by);
        Ok(KeyUse { id: id.to_owned(), days, hours })
    }

    /// Tells how much the keys of an organisation are used, revoked keys included, as far as the
    /// actor may see them.
    ///
    /// # Errors
    /// Returns [`ServiceError::NotFound`] if the actor may not see the organisation, and the other
    /// errors of [`Self::key_use`].
    pub(in crate::control) async fn organization_use(
        &self,
        actor: &Actor,
        name: &str,
        span: UseSpan,
    ) -> Result<OrganizationUse> {
        actor.must(Permission::ReadUsage)?;
        let (from, to) = self.days(&span)?;
        if !actor.sees(Some(name)) {
            return Err(ServiceError::NotFound);
        }
        let keys = self.keys_of(actor, name).await?;
        let mut all: BTreeMap<i64, DayUse> = BTreeMap::new();
        let mut sums = Vec::new();
        for (id, uses) in self.store()?.uses_of(keys.keys().cloned().collect(), from, to).await? {
            let mut sum = [0_u64; 5];
            for day in uses {
                add(&mut sum, &day.counts);
                let known = all
                    .entry(day.day)
                    .or_insert_with(|| DayUse { day: day.day, ..DayUse::default() });
                add(&mut known.counts, &day.counts);
                known.highest_minute = known.highest_minute.max(day.highest_minute);
                day.hours.iter().for_each(|hour| add_hour(&mut known.hours, hour));
            }
            let name = keys.get(&id).cloned().unwrap_or_default();
            sums.push(KeySum { id, name, counts: UseCounts::of(sum) });
        }
        sums.sort_by(|a, b| b.counts.requests.cmp(&a.counts.requests).then(a.id.cmp(&b.id)));
        let mut all: Vec<DayUse> = all.into_values().collect();
        all.iter_mut().for_each(|day| day.hours.sort_unstable_by_key(|hour| hour.hour));
        let (days, hours) = views(all, span.by);
        Ok(OrganizationUse { name: name.to_owned(), days, hours, keys: sums })
    }

    /// Returns the requests of each of these keys on each of the last `count` days, the oldest day
    /// first. The actor must be known to see the keys. Keys without requests are omitted.
    ///
    /// # Errors
    /// Returns [`ServiceError::NoStore`] without a store, and fails if the store does.
    pub(in crate::control) async fn last_days(
        &self,
        actor: &Actor,
        ids: Vec<String>,
        count: usize,
    ) -> Result<HashMap<String, Vec<u64>>> {
        actor.must(Permission::ReadUsage)?;
        let today = timestamp::day_of(self.now());
        let first = today + 1 - i64::try_from(count).unwrap_or(1);
        let mut found = HashMap::new();
        for (id, uses) in self.store()?.uses_of(ids, first, today).await? {
            let mut days = vec![0; count];
            for day in uses {
                let place = usize::try_from(day.day - first).unwrap_or(usize::MAX);
                if let Some(sum) = days.get_mut(place) {
                    *sum = UseCounts::of(day.counts).requests;
                }
            }
            found.insert(id, days);
        }
        Ok(found)
    }

    /// Returns those of these keys many of whose requests of today were refused or over the limit.
    /// The actor must be known to see the keys.
    ///
    /// # Errors
    /// Returns the errors of [`Self::last_days`].
    pub(in crate::control) async fn failing_today(
        &self,
        actor: &Actor,
        ids: Vec<String>,
    ) -> Result<HashSet<String>> {
        actor.must(Permission::ReadUsage)?;
        let today = timestamp::day_of(self.now());
        let used = self.store()?.uses_of(ids, today, today).await?;
        let is_failing = |days: &Vec<DayUse>| {
            days.iter().map(|day| UseCounts::of(day.counts)).any(|sum| {
                let in_vain = sum.refused.saturating_add(sum.limited);
                sum.requests >= MANY_REQUESTS
                    && in_vain.saturating_mul(100) > sum.requests.saturating_mul(MANY_IN_VAIN)
            })
        };
        Ok(used.into_iter().filter(|(_, days)| is_failing(days)).map(|(id, _)| id).collect())
    }

    /// Returns the ids and names of the keys of an organisation that the actor may see.
    async fn keys_of(&self, actor: &Actor, organization: &str) -> Result<BTreeMap<String, String>> {
        let config = self.registry.config();
        let of_file = config
            .keys
            .iter()
            .filter(|key| key.organization.as_deref() == Some(organization))
            .filter(|key| actor.sees_key(&as_stored(&config, key, |_| None, None)))
            .map(|key| (key.id.to_string(), key.name.to_string()));
        let query = KeyQuery {
            organization: Some(organization.to_owned()),
            now: self.now(),
            limit: usize::MAX,
            ..KeyQuery::default()
        };
        let stored = self.store()?.keys(query).await?;
        let stored = stored.into_iter().filter(|key| actor.sees_key(key));
        Ok(of_file.chain(stored.map(|key| (key.id, key.name))).collect())
    }

    /// Returns the first and the last day of a span.
    fn days(&self, span: &UseSpan) -> Result<Days> {
        let day = |member, text: Option<&str>, default| {
            let wrong = || ServiceError::invalid(member, "write a day such as `2026-11-22`");
            text.map_or(Ok(default), |text| timestamp::parse_day(text).ok_or_else(wrong))
        };
        let today = timestamp::day_of(self.now());
        Ok((day("from", span.from.as_deref(), 0)?, day("to", span.to.as_deref(), today)?))
    }
}

fn add(sum: &mut [u64; 5], more: &[u64; 5]) {
    sum.iter_mut().zip(more).for_each(|(count, more)| *count = count.saturating_add(*more));
}

fn views(days: Vec<DayUse>, by: UseBy) -> (Vec<DayUseView>, Option<Vec<HourUseView>>) {
    let hours = (by == UseBy::Hour).then(|| {
        let hours = days.iter().flat_map(|day| &day.hours);
        let view = |hour: &crate::policy::HourCounts| HourUseView {
            hour: timestamp::format(i64::from(hour.hour) * 3600),
            counts: UseCounts::of(hour.counts.map(u64::from)),
            highest_minute: hour.highest_minute,
        };
        hours.map(view).collect()
    });
    let view = |day: DayUse| DayUseView {
        day: timestamp::format_day(day.day),
        counts: UseCounts::of(day.counts),
        highest_minute: day.highest_minute,
    };
    (days.into_iter().map(view).collect(), hours)
}
