//! The heart: one pass over a request head, check after check, to the first that refuses.

use super::address::{AddressRange, client_address};
use super::api::Api;
use super::credential::{find_key, has_pass_through, query_holds_key};
use super::keyring::{Digest, Grant, KeyRecord, Keyring};
use super::quota::Allowance;
use super::refusal::Refusal;
use super::target::{BadTarget, Host, check_path, has_parameters, host_of, without_parameters};
use super::{Now, forwarding::Peer};
use http::{HeaderMap, Method, Uri, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A request as the decision sees it: everything but the body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'h> {
    /// The method, as sent.
    pub method: &'h Method,
    /// The target, as sent.
    pub uri: &'h Uri,
    /// All header fields, as sent.
    pub headers: &'h HeaderMap,
    /// Who is at the other end of the connection.
    pub peer: &'h Peer,
}

/// All that requests are judged by, at one moment. It never changes; an edit makes a new one.
#[derive(Debug)]
pub struct Snapshot {
    apis: Box<[Api]>,
    /// Indices of APIs by host, longest base path first.
    hosts: HashMap<Box<str>, Box<[usize]>>,
    /// Indices of APIs for any host, longest base path first.
    any_host: Box<[usize]>,
    keyring: Keyring,
    trusted_proxies: Box<[AddressRange]>,
}

impl Snapshot {
    /// Puts checked parts together. Grants of keys refer to `apis` by index.
    #[must_use]
    pub fn new(apis: Vec<Api>, keyring: Keyring, trusted_proxies: Vec<AddressRange>) -> Self {
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
        let hosts = hosts.into_iter().map(|(host, indices)| (host, longest_first(indices))).collect();
        let any_host = longest_first(any_host);
        Self { apis: apis.into(), hosts, any_host, keyring, trusted_proxies: trusted_proxies.into() }
    }

    /// The APIs, in file order.
    #[must_use]
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Whose `X-Forwarded-*` are believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[AddressRange] {
        &self.trusted_proxies
    }

    /// The API for a host, or any host, whose base path is the longest that covers the path.
    fn find_api(&self, host: Host<'_>, path: &str, peer: &Peer) -> Result<(usize, &Api), Refusal> {
        let pick = |indices: &[usize], path: &str| indices.iter().copied().find(|index| self.apis[*index].covers(path));
        let claimed = if host.name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.hosts.get(host.name.to_ascii_lowercase().as_str())
        } else {
            self.hosts.get(host.name)
        };
        let choose = |path: &str| claimed.and_then(|indices| pick(indices, path)).or_else(|| pick(&self.any_host, path));
        let chosen = choose(path);
        // Some servers cut parameters off before they look: for them `/admin;x` lies below `/admin`.
        if has_parameters(path) && choose(&without_parameters(path)) != chosen {
            return Err(Refusal::MalformedTarget(BadTarget::Parameter));
        }
        if let Some(index) = chosen {
            return Ok((index, &self.apis[index]));
        }
        let name_differs = || peer.tls_name.as_deref().is_some_and(|name| !name.eq_ignore_ascii_case(host.name));
        Err(match claimed {
            Some(_) => Refusal::UnknownPath,
            None if !self.any_host.is_empty() => Refusal::UnknownPath,
            None if name_differs() => Refusal::Misdirected,
            None => Refusal::UnknownHost,
        })
    }
}

/// Who calls, as far as Keygate knows.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'s> {
    /// The holder of a key.
    Key {
        /// The key.
        record: &'s Arc<KeyRecord>,
        /// What it may do in this API.
        grant: &'s Grant,
        /// Index of its environment in the API's list.
        environment: Option<usize>,
    },
    /// Somebody with a credential that the upstream checks itself.
    PassThrough,
    /// Anybody, at an endpoint that needs no key.
    Public,
}

/// The witness that a request was authorised. Only [`authorise`] makes one.
#[derive(Debug)]
pub struct Permit<'s> {
    api: &'s Api,
    api_index: usize,
    caller: Caller<'s>,
    client: IpAddr,
}

/// The witness that a request was authorised and counted. Only [`charge`] makes one, and nothing is sent
/// to an upstream without it.
#[derive(Debug)]
pub struct Admission<'s> {
    permit: Permit<'s>,
    allowance: Option<Allowance>,
}

impl<'s> Admission<'s> {
    /// The API that the request is for.
    #[must_use]
    pub fn api(&self) -> &'s Api {
        self.permit.api
    }

    /// Its index in the snapshot.
    #[must_use]
    pub fn api_index(&self) -> usize {
        self.permit.api_index
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> Caller<'s> {
        self.permit.caller
    }

    /// The client's address behind trusted proxies.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.permit.client
    }

    /// What the limit leaves; nothing where there is no limit.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// The same request as one that got no answer from the upstream. It stays counted.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> Refused<'s> {
        let (key, grant) = match self.permit.caller {
            Caller::Key { record, grant, .. } => (Some(record), Some(grant)),
            Caller::PassThrough | Caller::Public => (None, None),
        };
        Refused { refusal, api: Some((self.permit.api_index, self.permit.api)), key, grant, allowance: self.allowance }
    }
}

/// A refused request, with what was known by then.
#[derive(Debug)]
pub struct Refused<'s> {
    /// Why.
    pub refusal: Refusal,
    /// The API and its index, once it was found.
    pub api: Option<(usize, &'s Api)>,
    /// The key, once it was found, valid or not.
    pub key: Option<&'s Arc<KeyRecord>>,
    /// The key's limits in this API, once it was found to be valid.
    pub grant: Option<&'s Grant>,
    /// What the limit leaves, for a valid key that has one.
    pub allowance: Option<Allowance>,
}

impl Refused<'_> {
    fn early(refusal: Refusal) -> Self {
        Self { refusal, api: None, key: None, grant: None, allowance: None }
    }
}

/// Judges a request by its head. It counts nothing and has no other effect.
///
/// # Errors
/// The first check that refuses, in the order that the README gives.
pub fn authorise<'s>(head: &Head<'_>, snapshot: &'s Snapshot, now: Now) -> Result<Permit<'s>, Refused<'s>> {
    let path = head.uri.path();
    let host = parse(head).map_err(Refused::early)?;
    let client = client_address(head.peer.address, head.headers, &snapshot.trusted_proxies).map_err(Refused::early)?;
    let (api_index, api) = snapshot.find_api(host, path, head.peer).map_err(Refused::early)?;

    let refused = |refusal| Refused { api: Some((api_index, api)), ..Refused::early(refusal) };
    let permit = |caller| Permit { api, api_index, caller, client };

    if head.uri.query().is_some_and(|query| query_holds_key(api, query)) {
        return Err(refused(Refusal::KeyInQuery));
    }
    let claims = api.endpoints.claims(head.method, path);
    if claims.public {
        return Ok(permit(Caller::Public));
    }
    let Some(key) = find_key(api, head.headers).map_err(refused)? else {
        if claims.pass_through && has_pass_through(api, head.headers) {
            return Ok(permit(Caller::PassThrough));
        }
        return Err(refused(Refusal::MissingKey));
    };

    let environment = api.environment_of(key).map_err(|()| refused(Refusal::UnknownKey))?;
    let record = snapshot.keyring.find(&Digest::of(key)).ok_or_else(|| refused(Refusal::UnknownKey))?;
    let refused_key = |refusal| Refused { key: Some(record), ..refused(refusal) };
    if record.revoked {
        return Err(refused_key(Refusal::RevokedKey));
    }
    if record.expires_at.is_some_and(|expires_at| now.unix >= expires_at) {
        return Err(refused_key(Refusal::ExpiredKey));
    }
    let grant = record.grant(api_index).ok_or_else(|| refused_key(Refusal::KeyNotForApi))?;

    let refused_valid = |refusal| {
        let allowance = grant.usage.peek(&grant.limits, now.monotonic);
        Refused { grant: Some(grant), allowance, ..refused_key(refusal) }
    };
    if let Some(restrictions) = &record.restrictions {
        let ignore_case = api.definition.case_insensitive_paths;
        restrictions.check(client, head.headers, head.method, path, ignore_case).map_err(refused_valid)?;
    }
    if !grant.everything && !grant.scopes.intersects(claims.scopes) {
        return Err(refused_valid(match claims.scopes.first() {
            Some(scope) => Refusal::InsufficientScope(scope),
            None => Refusal::NoScopeAllows,
        }));
    }
    Ok(permit(Caller::Key { record, grant, environment }))
}

/// Counts an authorised request against its key's limits: in every window, or, if one is used up, in none.
///
/// # Errors
/// [`Refusal::RateLimited`].
pub fn charge(permit: Permit<'_>, now: Now) -> Result<Admission<'_>, Refused<'_>> {
    let Caller::Key { record, grant, .. } = permit.caller else {
        return Ok(Admission { permit, allowance: None });
    };
    grant.usage.note_request();
    match grant.usage.charge(&grant.limits, now.monotonic) {
        Ok(allowance) => Ok(Admission { permit, allowance }),
        Err(exhausted) => Err(Refused {
            refusal: Refusal::RateLimited(exhausted.retry),
            api: Some((permit.api_index, permit.api)),
            key: Some(record),
            grant: Some(grant),
            allowance: Some(exhausted.allowance),
        }),
    }
}

/// What every request must satisfy before anybody asks whom it is for.
fn parse<'h>(head: &Head<'h>) -> Result<Host<'h>, Refusal> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refusal::MethodNotAllowed);
    }
    check_framing(head.headers)?;
    check_path(head.uri.path()).map_err(Refusal::MalformedTarget)?;
    host_of(head.uri, head.headers).map_err(|_| Refusal::MalformedHost)
}

/// RFC 9112 §6.1: a body is `chunked` or has a length, never both, and no other coding is understood.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let sound =
        coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() && !headers.contains_key(header::CONTENT_LENGTH);
    if sound { Ok(()) } else { Err(Refusal::MalformedFraming) }
}
