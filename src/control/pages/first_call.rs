//! How a first call with a key looks.

use super::arrival::Arrival;
use crate::config::Config;
use crate::control::keys::KeyView;
use crate::control::public_origin::is_local;
use crate::policy::{ApiDefinition, CredentialPlace, Pattern};

/// Returns a first call with a key that was just made, ready to paste into a shell. It calls
/// something that the key may call, if there is an endpoint without variable parts.
pub(super) fn first_call(config: &Config, arrival: &Arrival, key: &KeyView, text: &str) -> String {
    let mut all = config.apis.iter().map(|api| &api.definition);
    let api = all.find(|api| key.apis.first().is_some_and(|name| **name == *api.name));
    let may = |scope: &str| key.scopes.iter().any(|held| held == scope || held == "*");
    let is_full = key.scopes.is_empty();
    api.map(|api| call(config, arrival, api, text, |scope| is_full || may(scope)))
        .unwrap_or_default()
}

/// Returns a first call with any key of the first API.
pub(super) fn example_call(config: &Config, arrival: &Arrival) -> String {
    let api = config.apis.first().map(|api| &api.definition);
    api.map(|api| call(config, arrival, api, "YOUR_API_KEY", |_| true)).unwrap_or_default()
}

fn call(
    config: &Config,
    arrival: &Arrival,
    api: &ApiDefinition,
    key: &str,
    may: impl Fn(&str) -> bool,
) -> String {
    let pages = config.portal.as_ref().and_then(|portal| portal.hosts.first());
    let host = match (api.hosts.first(), pages) {
        (Some(host), _) => host,
        // An API without hosts answers for every name.
        (None, Some(pages)) if is_local(pages) => "localhost",
        (None, _) => "YOUR_API_HOST",
    };
    let origin = if is_local(host) { arrival.origin_of(host) } else { format!("https://{host}") };
    let header = match api.credentials.first() {
        Some(CredentialPlace::Header(name)) => format!("{name}: {key}"),
        Some(CredentialPlace::Bearer) | None => format!("Authorization: Bearer {key}"),
    };
    let scopes = api.scopes.iter().filter(|scope| may(&scope.name));
    let path = scopes.flat_map(|scope| &scope.allows).find_map(readable_path);
    let path = path.unwrap_or_else(|| api.base_path.to_string());
    format!("curl -H '{header}' {origin}{path}")
}

/// Returns the path of an endpoint that can be read and has no variable parts.
fn readable_path(endpoint: &Pattern) -> Option<String> {
    let text = endpoint.to_string();
    let path = text.strip_prefix("GET ")?;
    (!path.contains(['*', '{'])).then(|| path.to_owned())
}
