//! `GET /keys`: the list of an organisation's keys.

use std::collections::HashSet;

use http::Uri;

use super::answer::{self, Page};
use super::facts::{
    access, apis_of, is_expiring, is_unused, last_use, maker, marks, moment, never_expires, state,
};
use super::first_call::example_call;
use super::form::{Fields, Query};
use super::signed::Signed;
use super::usage::DAYS;
use super::view::{
    Access, Card, CardKind, Choice, Empty, KeyFilters, KeyRow, KeysPage, Mark, Pages, Place, Texts,
};
use crate::config::Config;
use crate::control::keys::{self, KeyFilter, KeyView, Permission, Status};

/// How many keys a page has.
const ROWS: usize = 50;
/// How many keys are asked for at once.
const AT_ONCE: usize = 1000;
/// How many keys are sorted and counted. An organisation with more finds the others by their names.
const MOST_KEYS: usize = 10_000;

/// Shows the keys.
pub(super) async fn show(signed: Signed, uri: Uri, Query(query): Query) -> Page {
    let config = signed.state.config();
    let now = signed.state.now();
    let all = match all_keys(&signed).await {
        Ok(keys) => keys,
        Err(error) => return signed.failed(&error),
    };
    let filters = Filters::read(&query);
    let failing = match failing(&signed, &all).await {
        Ok(failing) => failing,
        Err(error) => return signed.failed(&error),
    };
    let fits = |key: &&KeyView| {
        filters.fit(&config, key, now) && (!filters.failing || failing.contains(&key.id))
    };
    let mut found: Vec<&KeyView> = all.iter().filter(fits).collect();
    filters.sort(&mut found);
    let total = found.len();
    let from = query.text("from").parse().unwrap_or(0).min(total);
    let may_revoke = signed.actor.may(Permission::RevokeKeys);
    let page = found.iter().skip(from).take(ROWS);
    let mut rows: Vec<KeyRow> = page.map(|key| row(&config, key, now, may_revoke)).collect();
    for row in rows.iter_mut().filter(|row| failing.contains(&row.id)) {
        row.marks.push(Mark::Failing);
    }
    if let Err(error) = add_months(&signed, &mut rows).await {
        return signed.failed(&error);
    }
    let rest = query.query_without("from");
    let pages = Pages {
        first: (from > 0).then(|| format!("{}?{rest}", uri.path())),
        next: (from + ROWS < total).then(|| format!("{}?{rest}&from={}", uri.path(), from + ROWS)),
    };
    let empty = match (all.is_empty(), rows.is_empty()) {
        (true, _) => Some(Empty::NoKeys { curl: example_call(&config, &signed.arrival) }),
        (false, true) => Some(Empty::NoMatch),
        (false, false) => None,
    };
    let texts = signed.texts();
    answer::ok(&KeysPage {
        frame: signed.frame(Place::Keys, &texts.keys_title),
        may_create: signed.actor.may(Permission::CreateKeys),
        cards: cards(&all, &filters, &failing, now),
        filters: filters.shown(&config, &all, texts),
        rows,
        total: Some(total as u64),
        pages,
        empty,
    })
}

/// Returns the keys that the person may see.
async fn all_keys(signed: &Signed) -> keys::Result<Vec<KeyView>> {
    let actor = signed.actor.clone();
    signed
        .state
        .read(move |keys| async move {
            let mut all = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let filter = KeyFilter::default();
                let page = keys.list(&actor, filter, after.as_deref(), AT_ONCE).await?;
                all.extend(page.keys);
                after = page.next;
                if after.is_none() || all.len() >= MOST_KEYS {
                    return Ok(all);
                }
            }
        })
        .await
}

/// Returns the keys many of whose requests of today were in vain, if the person may know that.
async fn failing(signed: &Signed, all: &[KeyView]) -> keys::Result<HashSet<String>> {
    if !signed.actor.may(Permission::ReadUsage) {
        return Ok(HashSet::new());
    }
    let actor = signed.actor.clone();
    let ids = all.iter().map(|key| key.id.clone()).collect();
    signed.state.read(move |keys| async move { keys.failing_today(&actor, ids).await }).await
}

/// Adds the requests of the last days, if the person may see them.
async fn add_months(signed: &Signed, rows: &mut [KeyRow]) -> keys::Result<()> {
    if !signed.actor.may(Permission::ReadUsage) {
        return Ok(());
    }
    let actor = signed.actor.clone();
    let ids = rows.iter().map(|row| row.id.clone()).collect();
    let read =
        signed.state.read(move |keys| async move { keys.last_days(&actor, ids, DAYS).await });
    let mut days = read.await?;
    for row in rows {
        row.month = days.remove(&row.id).unwrap_or_else(|| vec![0; DAYS]);
    }
    Ok(())
}

fn row(config: &Config, key: &KeyView, now: i64, may_revoke: bool) -> KeyRow {
    KeyRow {
        id: key.id.clone(),
        name: key.name.clone(),
        organization: None,
        prefix: key.prefix.clone(),
        last_four: None,
        environment: key.environment.clone(),
        access: access(config, key),
        created: key.created_at.as_deref().map(|at| moment(at, now)),
        created_by: key.created_by.as_deref().map(maker),
        last_use: last_use(key, now),
        expires: key.expires_at.as_deref().map(|at| moment(at, now)),
        month: Vec::new(),
        state: state(key),
        marks: marks(key, now),
        may_revoke: may_revoke && key.status != Status::Revoked,
    }
}

fn cards(all: &[KeyView], filters: &Filters<'_>, failing: &HashSet<String>, now: i64) -> Vec<Card> {
    let count = |fits: &dyn Fn(&KeyView) -> bool| all.iter().filter(|key| fits(key)).count() as u64;
    let cards = [
        (CardKind::Unused, count(&|key| is_unused(key, now)), filters.unused),
        (CardKind::Expiring, count(&|key| is_expiring(key, now)), filters.expiring),
        (CardKind::NeverExpiring, count(&never_expires), filters.never_expires),
        (CardKind::Failing, failing.len() as u64, filters.failing),
    ];
    let cards = cards.into_iter().filter(|(_, count, current)| *count > 0 || *current);
    cards.map(|(kind, count, current)| Card { kind, count, current }).collect()
}

/// What the list is narrowed to.
struct Filters<'q> {
    name: String,
    environment: &'q str,
    scope: &'q str,
    status: &'q str,
    sort: &'q str,
    unused: bool,
    never_expires: bool,
    full_access: bool,
    expiring: bool,
    failing: bool,
}

impl<'q> Filters<'q> {
    fn read(query: &'q Fields) -> Self {
        Self {
            name: query.text("name").trim().to_owned(),
            environment: query.text("environment"),
            scope: query.text("scope"),
            status: query.text("status"),
            sort: query.text("sort"),
            unused: query.is_set("unused_for"),
            never_expires: query.is_set("never_expires"),
            full_access: query.is_set("full_access"),
            expiring: query.is_set("expiring"),
            failing: query.is_set("failing"),
        }
    }

    fn fit(&self, config: &Config, key: &KeyView, now: i64) -> bool {
        let status = match self.status {
            "" => key.status != Status::Revoked,
            wanted => status_name(key.status) == wanted,
        };
        let named = self.name.to_lowercase();
        status
            && (named.is_empty()
                || key.name.to_lowercase().contains(&named)
                || key.id.to_lowercase().contains(&named))
            && (self.environment.is_empty() || key.environment.as_deref() == Some(self.environment))
            && (self.scope.is_empty() || key.scopes.iter().any(|scope| scope == self.scope))
            && (!self.unused || is_unused(key, now))
            && (!self.never_expires || never_expires(key))
            && (!self.full_access || access(config, key) == Access::Full)
            && (!self.expiring || is_expiring(key, now))
    }

    fn sort(&self, keys: &mut [&KeyView]) {
        match self.sort {
            "name" => keys.sort_by_cached_key(|key| key.name.to_lowercase()),
            // RFC 3339 in UTC sorts as text.
            "last_used" => keys.sort_by(|a, b| b.last_used_at.cmp(&a.last_used_at)),
            "expires" => keys.sort_by(|a, b| match (&a.expires_at, &b.expires_at) {
                (None, None) => std::cmp::Ordering::Equal,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(_), None) => std::cmp::Ordering::Less,
                (a, b) => a.cmp(b),
            }),
            _ => keys.sort_by(|a, b| b.created_at.cmp(&a.created_at)),
        }
    }

    fn shown(&self, config: &Config, all: &[KeyView], texts: &Texts) -> KeyFilters {
        let mut environments: Vec<&str> =
            all.iter().filter_map(|key| key.environment.as_deref()).collect();
        environments.sort_unstable();
        environments.dedup();
        let mut names: Vec<String> = all.iter().flat_map(|key| key.apis.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let apis = apis_of(config, &names);
        let scopes: Vec<&str> =
            apis.iter().flat_map(|api| &api.scopes).map(|scope| &*scope.name).collect();
        let states = [
            ("", &texts.any_state),
            ("active", &texts.state_active),
            ("paused", &texts.state_paused),
            ("expired", &texts.state_expired),
            ("suspended", &texts.state_suspended),
            ("revoked", &texts.state_revoked),
        ];
        let sorts = [
            ("created", &texts.sort_created),
            ("name", &texts.sort_name),
            ("last_used", &texts.sort_last_used),
            ("expires", &texts.sort_expires),
        ];
        let ticked =
            [self.unused, self.never_expires, self.full_access, self.expiring, self.failing];
        let chosen = [self.environment, self.scope, self.status, &self.name];
        KeyFilters {
            name: self.name.clone(),
            organizations: Vec::new(),
            environments: choices(&environments, &texts.any_environment, self.environment),
            scopes: choices(&scopes, &texts.any_scope, self.scope),
            states: states
                .map(|(value, label)| Choice::of(value, label, value == self.status))
                .into(),
            sorts: sorts.map(|(value, label)| Choice::of(value, label, value == self.sort)).into(),
            unused: self.unused,
            never_expires: self.never_expires,
            full_access: self.full_access,
            expiring: self.expiring,
            failing: self.failing,
            active: ticked.contains(&true) || chosen.iter().any(|value| !value.is_empty()),
        }
    }
}

/// Returns choices of which the first stands for all, or none if there is nothing to choose.
fn choices(values: &[&str], any: &str, chosen: &str) -> Vec<Choice> {
    if values.len() < 2 && chosen.is_empty() {
        return Vec::new();
    }
    let all = std::iter::once(Choice::of("", any, chosen.is_empty()));
    all.chain(values.iter().map(|value| Choice::of(value, value, *value == chosen))).collect()
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Paused => "paused",
        Status::Expired => "expired",
        Status::Suspended => "suspended",
        Status::Revoked => "revoked",
    }
}
