//! The data on which requests are decided, at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use super::Now;
use super::address::AddressRange;
use super::api::Api;
use super::check::{Check, Trace};
use super::digest::Digest;
use super::key::{Grant, Grants, KeyRecord};
use super::keyring::Keyring;
use super::peer::Peer;
use super::refusal::Refusal;
use super::target::{BadTarget, Host, has_parameters, without_parameters};
use super::tombstones::{Cause, Tombstones};

/// The APIs and everything else that the decision depends on besides the keys.
#[derive(Debug)]
pub struct Routes {
    apis: Box<[Api]>,
    /// Indices of APIs by host, longest base path first. The hosts come from the configuration
    /// only, so a fast hash without protection against collisions suffices.
    hosts: hashbrown::HashMap<Box<str>, Box<[usize]>>,
    /// Indices of the APIs for any host, longest base path first.
    any_host: Box<[usize]>,
    pub(super) trusted_proxies: Box<[AddressRange]>,
    /// The hosts under which the portal's pages are.
    pub(super) portal_hosts: Box<[Box<str>]>,
}

/// The data on which requests are decided, at one moment. It is immutable. An edit makes a new
/// snapshot, which shares what does not change.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The APIs, and how requests are routed to them.
    pub routes: Arc<Routes>,
    /// The grants of keys. Key records refer to them by index.
    pub grants: Arc<[Grants]>,
    /// The key table.
    pub keyring: Keyring,
    /// Keys of the store that are refused for good.
    pub tombstones: Tombstones,
    /// Organisations whose keys are refused.
    pub closed: Arc<HashMap<Box<str>, Closed>>,
}

/// Why all keys of an organisation are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Permanently, by `[revoked]`.
    Revoked,
    /// Temporarily.
    Suspended,
}

impl Snapshot {
    /// Returns why all keys of this key's organisation are refused, or `None` if they are not.
    #[must_use]
    pub fn closed(&self, record: &KeyRecord) -> Option<Closed> {
        if self.closed.is_empty() {
            return None;
        }
        record.organization().and_then(|name| self.closed.get(name)).copied()
    }

    /// Returns what the key may do in the API at this index.
    #[must_use]
    pub fn grant(&self, record: &KeyRecord, api: usize) -> Option<&Grant> {
        self.grants.get(record.grants as usize)?.iter().find(|grant| grant.api == api)
    }

    /// Checks whether the key of an admitted request is still valid. `digest`: that of the
    /// presented secret. `api`: the name of the API. Returns `None` if the request would still be
    /// admitted as far as its key is concerned, or else the reason why not.
    #[must_use]
    pub fn verdict_on(&self, digest: &Digest, api: &str, now: Now) -> Option<Refusal> {
        let Some(record) = self.keyring.find(digest) else { return Some(self.stranger(digest)) };
        let index = self.routes.apis.iter().position(|other| &*other.definition.name == api);
        match self.check_key(record, digest, now, &mut ()) {
            Err(refusal) => Some(refusal),
            Ok(()) if index.and_then(|index| self.grant(record, index)).is_none() => {
                Some(Refusal::KeyNotForApi)
            }
            Ok(()) => None,
        }
    }

    /// Returns why a secret is refused that no key in force has.
    pub(super) fn stranger(&self, digest: &Digest) -> Refusal {
        self.tombstones.find(digest).map_or(Refusal::UnknownKey, Cause::refusal)
    }

    /// Checks what depends on the key alone, and not on the request.
    pub(super) fn check_key(
        &self,
        record: &KeyRecord,
        digest: &Digest,
        now: Now,
        trace: &mut impl Trace,
    ) -> Result<(), Refusal> {
        let closed = self.closed(record);
        if record.is_revoked() || closed == Some(Closed::Revoked) {
            return Err(Refusal::RevokedKey);
        }
        trace.passed(Check::NotRevoked);
        if record.is_paused() {
            return Err(Refusal::PausedKey);
        }
        trace.passed(Check::NotPaused);
        if closed.is_some() {
            return Err(Refusal::SuspendedOrganization);
        }
        trace.passed(Check::OrganizationOpen);
        let secret_ends = record.secret(digest).and_then(|secret| secret.ends_at);
        if [record.expires_at(), secret_ends].into_iter().flatten().any(|end| now.unix >= end) {
            return Err(Refusal::ExpiredKey);
        }
        trace.passed(Check::NotExpired);
        Ok(())
    }
}

impl Routes {
    /// Builds the routes from validated parts. The grants of keys refer to `apis` by index.
    #[must_use]
    pub fn new(apis: Vec<Api>, trusted_proxies: Vec<AddressRange>) -> Self {
        let mut hosts: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut any_host = Vec::new();
        for (index, api) in apis.iter().enumerate() {
            for host in &api.definition.hosts {
                hosts.entry(host.clone()).or_default().push(index);
            }
            if api.definition.hosts.is_empty() {
                any_host.push(index);
            }
        }
        let longest_first = |mut indices: Vec<usize>| -> Box<[usize]> {
            indices.sort_by_key(|index| std::cmp::Reverse(apis[*index].definition.base_path.len()));
            indices.into()
        };
        let hosts =
            hosts.into_iter().map(|(host, indices)| (host, longest_first(indices))).collect();
        let any_host = longest_first(any_host);
        Self {
            apis: apis.into(),
            hosts,
            any_host,
            trusted_proxies: trusted_proxies.into(),
            portal_hosts: Box::default(),
        }
    }

    /// Sets the hosts under which the portal's pages are, in lower case and without port.
    #[must_use]
    pub fn with_portal(self, hosts: &[Box<str>]) -> Self {
        Self { portal_hosts: hosts.into(), ..self }
    }

    /// Returns the APIs, in file order.
    #[must_use]
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// Returns the proxies whose `X-Forwarded-*` fields are trusted.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[AddressRange] {
        &self.trusted_proxies
    }

    /// Returns the API with the longest base path that covers the path. An API for this host takes
    /// precedence over those for any host.
    pub(super) fn find_api(
        &self,
        host: Host<'_>,
        path: &str,
        peer: &Peer,
    ) -> Result<(usize, &Api), Refusal> {
        let pick = |indices: &[usize], path: &str| {
            indices.iter().copied().find(|index| self.apis[*index].covers(path))
        };
        let claimed = if host.name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.hosts.get(host.name.to_ascii_lowercase().as_str())
        } else {
            self.hosts.get(host.name)
        };
        let choose = |path: &str| {
            claimed.and_then(|indices| pick(indices, path)).or_else(|| pick(&self.any_host, path))
        };
        let chosen = choose(path);
        // Some servers remove parameters before they resolve a path: they take `/admin;x` for a
        // path below `/admin`.
        if has_parameters(path) && choose(&without_parameters(path)) != chosen {
            return Err(Refusal::MalformedTarget(BadTarget::Parameter));
        }
        if let Some(index) = chosen {
            return Ok((index, &self.apis[index]));
        }
        let name_differs =
            || peer.tls_name.as_deref().is_some_and(|name| !name.eq_ignore_ascii_case(host.name));
        Err(match claimed {
            Some(_) => Refusal::UnknownPath,
            None if !self.any_host.is_empty() => Refusal::UnknownPath,
            None if name_differs() => Refusal::Misdirected,
            None => Refusal::UnknownHost,
        })
    }
}
