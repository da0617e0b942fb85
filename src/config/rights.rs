//! Converts names to what the decision uses: the grants of a key under this configuration.

use std::sync::Arc;

use super::Config;
use crate::policy::{Api, EmptyScopes, Grant, Grants, Limit, Routes, ScopeSet};

/// The rights of a key, as names, so that they remain valid after any edit of the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rights {
    /// The APIs that the key opens.
    pub apis: Vec<Arc<str>>,
    /// The scopes that the key holds, in order.
    pub scopes: Arc<[Box<str>]>,
    /// Rate limits that replace those of the APIs. `None`: the APIs' limits apply. Empty: no limit.
    pub rate_limit: Option<Arc<[Limit]>>,
}

impl Config {
    /// Returns the grant for each API. APIs that are not in the file are omitted.
    #[must_use]
    pub fn grants(&self, rights: &Rights) -> Grants {
        let index_of = |name: &str| self.apis.iter().position(|api| &*api.definition.name == name);
        rights.apis.iter().filter_map(|name| Some(self.grant(index_of(name)?, rights))).collect()
    }

    /// Returns the grant for one API. Scopes that the API does not define are omitted, so that they
    /// have no effect and are not disclosed to its upstream.
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

    /// Returns the APIs and the routes to them.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let apis = self.apis.iter().map(|api| Api::new(api.definition.clone())).collect();
        let portal = self.portal.as_ref().map_or(&[][..], |portal| &portal.hosts);
        Routes::new(apis, self.server.trusted_proxies.clone()).with_portal(portal)
    }
}
