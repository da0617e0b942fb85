//! From a checked file to the table that requests are judged by.

use super::{Config, KeyConfig};
use crate::policy::{Api, EmptyScopes, GrantDefinition, KeyDefinition, Keyring, ScopeSet, Snapshot, UsageBook};
use hashbrown::HashMap;
use std::sync::Arc;

/// What a list of scopes means in one API.
#[derive(Debug, Clone)]
struct Meaning {
    scopes: ScopeSet,
    everything: bool,
    names: Arc<[Box<str>]>,
}

impl Config {
    /// Builds the table, with each key's counts from `book`, where they are noted as listed `now`
    /// (monotonic nanoseconds).
    #[must_use]
    pub fn snapshot(&self, book: &mut UsageBook, now: u64) -> Snapshot {
        // Equal lists share their `Arc`, so its address stands for the list.
        let mut meanings: HashMap<(usize, *const Box<str>, usize), Meaning> = HashMap::new();
        let mut definition = |key: &KeyConfig| {
            let grants = key.apis.iter().map(|&index| {
                let api = &self.apis[index].definition;
                let meaning = meanings
                    .entry((index, key.scopes.as_ptr(), key.scopes.len()))
                    .or_insert_with(|| self.meaning(index, &key.scopes))
                    .clone();
                let limits = key.rate_limit.as_ref().unwrap_or(&api.rate_limit).clone();
                let usage = book.usage(&key.id, &api.name, &limits, now);
                GrantDefinition {
                    api: index,
                    scopes: meaning.scopes,
                    everything: meaning.everything,
                    scope_names: meaning.names,
                    limits,
                    usage,
                }
            });
            let grants = grants.collect();
            KeyDefinition {
                id: key.id.clone(),
                name: key.name.clone(),
                organization: key.organization.clone(),
                digests: key.digests.clone(),
                expires_at: key.expires_at,
                revoked: self.revoked.contains(&key.id),
                restrictions: key.restrictions.clone(),
                grants,
            }
        };
        let keyring = Keyring::new(self.keys.iter().map(&mut definition));
        let apis = self.apis.iter().map(|api| Api::new(api.definition.clone())).collect();
        Snapshot::new(apis, keyring, self.server.trusted_proxies.clone())
    }

    /// Only what the API itself knows counts there and is told to its upstream.
    fn meaning(&self, api: usize, held: &Arc<[Box<str>]>) -> Meaning {
        let api = &self.apis[api].definition;
        let index_of = |name: &str| api.scopes.iter().position(|scope| &*scope.name == name);
        let scopes = held.iter().filter_map(|name| index_of(name)).fold(ScopeSet::default(), ScopeSet::with);
        let everything = held.iter().any(|name| &**name == "*") || (held.is_empty() && api.empty_scopes == EmptyScopes::All);
        let is_known = |name: &str| name == "*" || index_of(name).is_some();
        let names = if held.iter().all(|name| is_known(name)) {
            held.clone()
        } else {
            held.iter().filter(|name| is_known(name)).cloned().collect()
        };
        Meaning { scopes, everything, names }
    }
}
