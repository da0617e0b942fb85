//! Converts what the key service knows of keys to what pages show.

use super::view::{Access, AuditRow, KeyState, LastUse, Mark, Moment, segment};
use crate::config::Config;
use crate::control::keys::{AuditView, KeyView, Source, Status, parse_time};
use crate::policy::{ApiDefinition, EmptyScopes};

/// Within how many seconds a key counts as expiring.
pub(super) const SOON: i64 = 14 * 86_400;
/// After how many seconds without a request a key counts as unused.
pub(super) const UNUSED: i64 = 90 * 86_400;

/// Returns a time with its distance from now. `now` is in Unix seconds.
pub(super) fn moment(at: &str, now: i64) -> Moment {
    match parse_time(at) {
        Some(unix) => Moment::with_distance(at, now - unix),
        None => Moment::new(at),
    }
}

/// Returns the definitions of a key's APIs.
pub(super) fn apis_of<'c>(config: &'c Config, names: &[String]) -> Vec<&'c ApiDefinition> {
    let all = config.apis.iter().map(|api| &api.definition);
    all.filter(|api| names.iter().any(|name| **name == *api.name)).collect()
}

pub(super) fn access(config: &Config, key: &KeyView) -> Access {
    let any_means_all = |api: &&ApiDefinition| api.empty_scopes == EmptyScopes::All;
    let apis = apis_of(config, &key.apis);
    if key.scopes.iter().any(|scope| scope == "*") {
        Access::Full
    } else if !key.scopes.is_empty() {
        Access::Scopes(key.scopes.clone())
    } else if apis.iter().any(any_means_all) {
        Access::Full
    } else {
        Access::NoScopes
    }
}

pub(super) fn state(key: &KeyView) -> KeyState {
    match key.status {
        Status::Active => KeyState::Active,
        Status::Paused => KeyState::Paused,
        Status::Expired => KeyState::Expired,
        Status::Suspended => KeyState::Suspended,
        Status::Revoked => KeyState::Revoked,
    }
}

pub(super) fn last_use(key: &KeyView, now: i64) -> LastUse {
    match &key.last_used_at {
        None => LastUse::Never,
        Some(at) => LastUse::At { when: moment(at, now), network: None, agent: None },
    }
}

/// Returns how many seconds ago a key was last used or, if never, made. Returns `None` for a key of
/// the file that was never used.
pub(super) fn quiet_for(key: &KeyView, now: i64) -> Option<i64> {
    let since = key.last_used_at.as_deref().or(key.created_at.as_deref())?;
    Some(now - parse_time(since)?)
}

/// Returns whether a key that is accepted was not used for long.
pub(super) fn is_unused(key: &KeyView, now: i64) -> bool {
    key.status == Status::Active && quiet_for(key, now).is_some_and(|quiet| quiet >= UNUSED)
}

/// Returns whether a key that is accepted expires soon.
pub(super) fn is_expiring(key: &KeyView, now: i64) -> bool {
    let at = key.expires_at.as_deref().and_then(parse_time);
    key.status == Status::Active && at.is_some_and(|at| at - now <= SOON)
}

/// Returns whether a key that is not refused for good never expires.
pub(super) fn never_expires(key: &KeyView) -> bool {
    key.expires_at.is_none() && key.status != Status::Revoked
}

pub(super) fn marks(key: &KeyView, now: i64) -> Vec<Mark> {
    let accepted = key.status == Status::Active;
    [
        (is_expiring(key, now), Mark::ExpiresSoon),
        (is_unused(key, now), Mark::Unused),
        (accepted && key.secrets.iter().any(|secret| secret.ends_at.is_some()), Mark::Rotating),
        (key.source == Source::File, Mark::InFile),
    ]
    .into_iter()
    .filter_map(|(holds, mark)| holds.then_some(mark))
    .collect()
}

/// Returns who made a key, for people: a person of the product by their own id.
pub(super) fn maker(name: &str) -> String {
    name.strip_prefix("portal:").unwrap_or(name).to_owned()
}

/// Returns an entry of the audit log. `name_of` returns the name of a key.
pub(super) fn audit_row(
    entry: AuditView,
    now: i64,
    name_of: impl Fn(&str) -> Option<String>,
) -> AuditRow {
    let detail = entry.detail.as_object();
    let person = detail.and_then(|detail| detail.get("person")?.as_str());
    let actor = person.map_or_else(|| entry.actor.clone(), str::to_owned);
    let hidden = ["person", "session", "key"];
    let mut facts: Vec<(String, String)> = detail
        .into_iter()
        .flatten()
        .filter(|(name, value)| !hidden.contains(&&***name) && !value.is_null())
        .map(|(name, value)| (name.replace('_', " "), shown(value)))
        .collect();
    facts.retain(|(_, value)| !value.is_empty());
    let name = name_of(&entry.subject);
    AuditRow {
        at: moment(&entry.at, now),
        actor,
        action: entry.action,
        link: name.is_some().then(|| format!("/keys/{}", segment(&entry.subject))),
        subject: name.unwrap_or(entry.subject),
        detail: facts,
    }
}

/// Returns a value of an entry for people.
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        serde_json::Value::Object(members) => match (members.get("from"), members.get("to")) {
            (Some(from), Some(to)) => format!("{} → {}", shown(from), shown(to)),
            _ => members.values().map(shown).collect::<Vec<_>>().join(", "),
        },
        other => other.to_string(),
    }
}
