//! From names to what the decision works with: what a key's rights come to under this
//! configuration.

use std::sync::Arc;

use super::Config;
use crate::policy::{Api, EmptyScopes, Grant, Grants, Limit, Routes, ScopeSet};

/// What a key may do, in names: it outlives every edit of the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rights {
    /// The APIs that it opens.
    pub apis: Vec<Arc<str>>,
    /// The scopes that it holds, in order.
    pub scopes: Arc<[Box<str>]>,
    /// Instead of the APIs'; empty: no limit.
    pub rate_limit: Option<Arc<[Limit]>>,
}

impl Config {
    /// What these rights come to, API by API. APIs that are not in the file are left out.
    #[must_use]
    pub fn grants(&self, rights: &Rights) -> Grants {
        let index_of = |name: &str| self.apis.iter().position(|api| &*api.definition.name == name);
        rights.apis.iter().filter_map(|name| Some(self.grant(index_of(name)?, rights))).collect()
    }

    /// Only what the API itself knows counts there and is told to its upstream.
    fn grant(&self, index: usize, rights: &Rights) -> Grant {
        let api = &self.apis[index].definition;
        let held = &rights.scopes;
        let index_of = |name: &str| api.scopes.iter().position(|scope| &*scope.name == name);
        let key_scope = api.key_api.as_ref().and_then(|key_api| key_api.scope.as_deref());
        let scopes =
            held.iter().filter_map(|name| index_of(name)).fold(ScopeSet::default(), ScopeSet::with);
        let everything = held.iter().any(|name| &**name == "*")
            || (held.is_empty() && api.empty_scopes == EmptyScopes::All);
        let is_known =
            |name: &str| name == "*" || index_of(name).is_some() || key_scope == Some(name);
        let names: Vec<&str> =
            held.iter().map(|name| &**name).filter(|name| is_known(name)).collect();
        let limits = rights.rate_limit.as_ref().unwrap_or(&api.rate_limit).clone();
        let manages_keys = key_scope.is_some_and(|scope| held.iter().any(|name| **name == *scope));
        Grant::new(index, scopes, everything, &names, limits).managing_keys(manages_keys)
    }

    /// The APIs, and how requests find them.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let apis = self.apis.iter().map(|api| Api::new(api.definition.clone())).collect();
        Routes::new(apis, self.server.trusted_proxies.clone())
    }
}
