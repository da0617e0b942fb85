//! All that requests are judged by, at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use super::Now;
use super::address::AddressRange;
use super::api::Api;
use super::check::{Check, Trace};
use super::digest::Digest;
use super::key::{Grant, KeyRecord, Terms};
use super::keyring::Keyring;
use super::peer::Peer;
use super::refusal::Refusal;
use super::target::{BadTarget, Host, has_parameters, without_parameters};
use super::tombstones::{Cause, Tombstones};

/// What requests are judged by besides the keys.
#[derive(Debug)]
pub struct Routes {
    apis: Box<[Api]>,
    /// Indices of APIs by host, longest base path first.
    /// Only the configuration chooses what is in it, so a hash that is quick will do.
    hosts: hashbrown::HashMap<Box<str>, Box<[usize]>>,
    /// Indices of APIs for any host, longest base path first.
    any_host: Box<[usize]>,
    pub(super) trusted_proxies: Box<[AddressRange]>,
}

/// All that requests are judged by, at one moment. It never changes; an edit makes a new one, which
/// shares what stays.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The APIs, and how requests find them.
    pub routes: Arc<Routes>,
    /// What keys may do; records refer to it by index.
    pub terms: Arc<[Terms]>,
    /// The keys.
    pub keyring: Keyring,
    /// Keys of the store that are refused for good.
    pub tombstones: Tombstones,
    /// Organisations whose keys are refused.
    pub closed: Arc<HashMap<Box<str>, Closed>>,
}

/// Why all keys of an organisation are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// For good, by `[revoked]`.
    Revoked,
    /// For the time being.
    Suspended,
}

impl Snapshot {
    /// Why all keys of this key's organisation are refused, if they are.
    #[must_use]
    pub fn closed(&self, record: &KeyRecord) -> Option<Closed> {
        if self.closed.is_empty() {
            return None;
        }
        record.organization().and_then(|name| self.closed.get(name)).copied()
    }

    /// What the key may do in the API at this index.
    #[must_use]
    pub fn grant(&self, record: &KeyRecord, api: usize) -> Option<&Grant> {
        self.terms.get(record.terms as usize)?.iter().find(|grant| grant.api == api)
    }

    /// Whether a request that was admitted with this secret in the API of this name would still be,
    /// as far as that depends on its key: `None`, or why not.
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

    /// Why a secret that no key in force has is refused.
    pub(super) fn stranger(&self, digest: &Digest) -> Refusal {
        self.tombstones.find(digest).map_or(Refusal::UnknownKey, Cause::refusal)
    }

    /// What does not depend on the request.
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
    /// Puts checked parts together. Grants of keys refer to `apis` by index.
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
        Self { apis: apis.into(), hosts, any_host, trusted_proxies: trusted_proxies.into() }
    }

    /// The APIs, in file order.
    #[must_use]
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// Whose `X-Forwarded-*` are believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[AddressRange] {
        &self.trusted_proxies
    }

    /// The API for a host, or any host, whose base path is the longest that covers the path.
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
        // Some servers cut parameters off before they look: for them `/admin;x` lies below
        // `/admin`.
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
