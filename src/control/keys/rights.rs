//! Compares the permissions of two keys. What matters is what a list permits: an empty list may
//! permit everything or nothing.

use super::validate::{api_named, defines};
use crate::config::Config;
use crate::keystore::StoredKey;
use crate::policy::{ApiDefinition, EmptyScopes};

/// Returns whether a key with the scopes `narrow` may do no more in an API than one with the scopes
/// `wide`.
pub(super) fn scopes_within(api: &ApiDefinition, narrow: &[String], wide: &[String]) -> bool {
    let mut counting = narrow.iter().filter(|scope| defines(api, scope));
    everything(api, wide)
        || (!everything(api, narrow) && counting.all(|scope| wide.contains(scope)))
}

/// Returns whether these scopes permit the whole API.
pub(super) fn everything(api: &ApiDefinition, scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == "*")
        || (scopes.is_empty() && api.empty_scopes == EmptyScopes::All)
}

/// Returns whether a key that expires at `narrow` expires no later than one that expires at `wide`.
/// `None` means never.
pub(super) fn expiry_within(narrow: Option<i64>, wide: Option<i64>) -> bool {
    wide.is_none_or(|wide| narrow.is_some_and(|narrow| narrow <= wide))
}

/// Returns whether a list of restrictions lets through nothing that the other does not. An empty
/// list lets everything through. Entries are compared as text, so the result may be wrongly
/// `false`, but never wrongly `true`.
fn list_within(narrow: &[String], wide: &[String]) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|entry| wide.contains(entry)))
}

/// Returns whether a change of a key only removes permissions.
pub(super) fn only_narrower(config: &Config, new: &StoredKey, old: &StoredKey) -> bool {
    let apis = || new.apis.iter().filter_map(|name| api_named(config, name));
    apis().all(|api| scopes_within(api, &new.scopes, &old.scopes))
        && list_within(&new.allow_ips, &old.allow_ips)
        && list_within(&new.allow_referrers, &old.allow_referrers)
        && list_within(&new.allow_endpoints, &old.allow_endpoints)
        && expiry_within(new.expires_at, old.expires_at)
        && new.rate_limit == old.rate_limit
        && (new.paused || !old.paused)
}
