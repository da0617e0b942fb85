//! Whether one key may do no more than another. What counts is what the lists mean, not what stands
//! in them.

use super::validate::{api_named, defines};
use crate::config::Config;
use crate::keystore::StoredKey;
use crate::policy::{ApiDefinition, EmptyScopes};

/// Whether a key with the scopes `narrow` may do nothing in an API that one with the scopes `wide`
/// may not.
pub(super) fn scopes_within(api: &ApiDefinition, narrow: &[String], wide: &[String]) -> bool {
    let mut counting = narrow.iter().filter(|scope| defines(api, scope));
    everything(api, wide)
        || (!everything(api, narrow) && counting.all(|scope| wide.contains(scope)))
}

/// Whether these scopes open the whole API.
pub(super) fn everything(api: &ApiDefinition, scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == "*")
        || (scopes.is_empty() && api.empty_scopes == EmptyScopes::All)
}

/// Whether a key that expires at `narrow` is gone when one that expires at `wide` is. Nothing:
/// never.
pub(super) fn expiry_within(narrow: Option<i64>, wide: Option<i64>) -> bool {
    wide.is_none_or(|wide| narrow.is_some_and(|narrow| narrow <= wide))
}

/// Whether a list of restrictions lets through nothing that the other does not. An empty one lets
/// everything through. Entries are compared as they stand, so that this may say no where the truth
/// is yes.
fn list_within(narrow: &[String], wide: &[String]) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|entry| wide.contains(entry)))
}

/// Whether a change of a key only takes away.
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
