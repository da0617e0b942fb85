//! Validates requests for portal sessions.

use std::time::Duration;

use http::Uri;

use super::error::{Result, ServiceError};
use super::permission::Permissions;
use super::session_model::NewSession;
use super::validate::Validation;
use crate::config::{Config, parse_duration};
use crate::policy::ApiDefinition;

/// How long a session lasts by default.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// The shortest and the longest lifetime.
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// The shortest and the longest lifetime of a key that can be set as the longest.
const KEY_LIFETIMES: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(3650 * 24 * 3600));
/// Limit of a path and of a URL, in bytes.
const LONGEST_URL: usize = 2048;
/// Limit of a language tag, in bytes (BCP 47 §4.4.1).
const LONGEST_LOCALE: usize = 35;

/// The settings of a session, validated.
#[derive(Debug)]
pub(super) struct CheckedSession {
    pub(super) organization: String,
    pub(super) permissions: Permissions,
    /// In seconds.
    pub(super) max_key_lifetime: Option<i64>,
    pub(super) path: String,
    pub(super) locale: String,
    /// In seconds.
    pub(super) lifetime: i64,
}

/// Validates a request for a session. `own` is the only organisation of the token, if it has one.
///
/// # Errors
/// Returns [`ServiceError::Invalid`] with every fault, or [`ServiceError::Forbidden`] for another
/// organisation than the token's own.
pub(super) fn check(
    config: &Config,
    new: &NewSession,
    own: Option<&str>,
) -> Result<CheckedSession> {
    let mut checks = Validation::default();
    let organization = match (own, new.organization.as_deref()) {
        (Some(own), Some(named)) if own != named => {
            return Err(ServiceError::Forbidden(format!(
                "The token is narrowed to the organization `{own}` and opens sessions for no other."
            )));
        }
        (own, named) => named.or(own).unwrap_or_default(),
    };
    if organization.is_empty() {
        checks.fault("organization", "name the organization whose keys the session manages");
    } else {
        checks.organization(organization);
    }
    checks.text_for_people("actor.id", &new.actor.id);
    checks.text_for_people("actor.name", &new.actor.name);
    let permissions = match &new.permissions {
        None => Permissions::all(),
        Some(permissions) => permissions.iter().copied().collect(),
    };
    if new.permissions.as_ref().is_some_and(Vec::is_empty) {
        checks.fault("permissions", "an empty list permits nothing");
    }
    narrowing(&mut checks, config, new);
    let max_key_lifetime = new.max_key_lifetime.as_deref();
    let max_key_lifetime =
        max_key_lifetime.map(|text| lifetime(&mut checks, "max_key_lifetime", text, KEY_LIFETIMES));
    let path = new.path.as_deref().unwrap_or("/keys");
    if !is_path(path) {
        checks.fault("path", "write a path of these pages, such as `/keys/new`");
    }
    if let Some(url) = &new.return_url {
        return_url(&mut checks, config, url);
    }
    let locale = new.locale.as_deref().unwrap_or("en");
    let is_locale = |char: u8| char.is_ascii_alphanumeric() || char == b'-';
    if !(2..=LONGEST_LOCALE).contains(&locale.len()) || !locale.bytes().all(is_locale) {
        checks.fault("locale", "write a language tag such as `en`");
    }
    let lifetime = match &new.expires_in {
        None => seconds(LIFETIME),
        Some(text) => lifetime(&mut checks, "expires_in", text, LIFETIMES),
    };
    checks.finish()?;
    Ok(CheckedSession {
        organization: organization.to_owned(),
        permissions,
        max_key_lifetime,
        path: path.to_owned(),
        locale: locale.to_owned(),
        lifetime,
    })
}

/// Validates the APIs, environments and scopes.
fn narrowing(checks: &mut Validation, config: &Config, new: &NewSession) {
    let apis: Vec<&ApiDefinition> = match &new.apis {
        Some(names) => checks.apis(config, Some(names)),
        None => config.apis.iter().map(|api| &api.definition).collect(),
    };
    if let Some(names) = &new.environments {
        if names.is_empty() {
            checks.fault("environments", "an empty list has no keys");
        }
        let exists = |name: &String| {
            let mut all = apis.iter().flat_map(|api| &api.environments);
            all.any(|environment| *environment.name == **name)
        };
        for (index, name) in names.iter().enumerate() {
            if !exists(name) {
                let member = format!("environments[{index}]");
                checks.fault(&member, "no API of the session has this environment");
                // A long list must not cause a long response.
                break;
            }
        }
    }
    checks.scopes(&apis, new.scopes.as_deref().unwrap_or_default());
}

/// Reads a lifetime. Returns it in seconds, or 0 after a fault.
fn lifetime(
    checks: &mut Validation,
    member: &str,
    text: &str,
    (shortest, longest): (Duration, Duration),
) -> i64 {
    match parse_duration(text) {
        Err(why) => checks.fault(member, why),
        Ok(lifetime) if !(shortest..=longest).contains(&lifetime) => {
            let shown = crate::config::show_duration;
            checks.fault(member, format!("it is from {} to {}", shown(shortest), shown(longest)));
        }
        Ok(lifetime) => return seconds(lifetime),
    }
    0
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Returns whether a text is a path of the pages, with or without a query. A browser would take
/// one that begins with `//` for another host.
fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~?=&%+".contains(&byte);
    path.len() <= LONGEST_URL
        && path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(plain)
}

/// Validates that a URL has one of the origins that the file lists.
fn return_url(checks: &mut Validation, config: &Config, url: &str) {
    let origins = config.portal.as_ref().map_or(&[][..], |portal| &portal.return_origins);
    let uri = url.parse::<Uri>().ok().filter(|_| url.len() <= LONGEST_URL);
    let origin = uri.as_ref().and_then(|uri| {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
        Some(format!("{scheme}://{authority}").to_ascii_lowercase())
    });
    if !origin.is_some_and(|origin| origins.iter().any(|listed| **listed == *origin)) {
        checks.fault("return_url", "its origin is none of `[portal] return_origins`");
    }
}

#[cfg(test)]
mod tests {
    use super::is_path;

    #[test]
    fn path_stays_on_the_pages() {
        for path in ["/", "/keys", "/keys/new?environment=test", "/keys/key_1%2F"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "keys", "//evil.example", "/\\evil.example", "/a b", "/<", "/é", "/#x"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
