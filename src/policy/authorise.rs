//! The decision on a request head: the checks run in order, up to the first that refuses.

use std::net::IpAddr;
use std::sync::Arc;

use super::Now;
use super::account::Account;
use super::address::client_address;
use super::api::Api;
use super::check::{Check, Trace};
use super::credential::{find_key, has_pass_through, query_holds_key, repeats_pass_through};
use super::digest::Digest;
use super::endpoints::Claims;
use super::head::Head;
use super::key::{Grant, KeyRecord};
use super::quota::{Allowance, Exhausted, Limit};
use super::refusal::Refusal;
use super::snapshot::Snapshot;

/// The caller, as far as Keygate can tell.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'s> {
    /// The holder of a key.
    Key {
        /// The record of the key.
        record: &'s Arc<KeyRecord>,
        /// What the key may do in this API.
        grant: &'s Grant,
        /// The digest of the secret that was presented.
        digest: Digest,
        /// The index of the key's environment in the API's list.
        environment: Option<usize>,
    },
    /// A caller with a credential that the upstream checks itself.
    PassThrough,
    /// Any caller, at an endpoint that needs no key.
    Public,
}

/// Proof that a request was authorised. Only [`authorise`] and [`authorise_traced`] make one.
#[derive(Debug)]
pub struct Permit<'s> {
    api: &'s Api,
    api_index: usize,
    caller: Caller<'s>,
    client: IpAddr,
    responder: Responder,
}

/// Who answers an admitted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responder {
    /// The upstream.
    Upstream,
    /// Keygate itself, at the API's key endpoints.
    KeyEndpoints,
    /// Keygate itself, with the response to a preflight request.
    Preflight,
}

/// Proof that a request was authorised and counted. Only [`charge`] and [`charge_by`] return one,
/// and nothing is sent to an upstream without it.
#[derive(Debug)]
pub struct Admission<'s> {
    permit: Permit<'s>,
    allowance: Option<Allowance>,
}

impl<'s> Permit<'s> {
    /// Returns the API that the request is for.
    #[must_use]
    pub fn api(&self) -> &'s Api {
        self.api
    }

    /// Returns the index of the API in the snapshot.
    #[must_use]
    pub fn api_index(&self) -> usize {
        self.api_index
    }

    /// Returns the caller.
    #[must_use]
    pub fn caller(&self) -> Caller<'s> {
        self.caller
    }

    /// Returns who answers the request.
    #[must_use]
    pub fn responder(&self) -> Responder {
        self.responder
    }

    /// Turns the permit into a refusal. The request is not counted.
    #[must_use]
    pub fn refused(self, refusal: Refusal, now: Now) -> Refused<'s> {
        let allowance = self.allowance(now);
        Admission { permit: self, allowance }.refused(refusal)
    }

    /// Returns what remains of the limit before this request, or `None` if there is no limit.
    #[must_use]
    pub fn allowance(&self, now: Now) -> Option<Allowance> {
        let Caller::Key { record, grant, .. } = self.caller else { return None };
        record.account.peek(&self.api.definition.name, &grant.limits, now.monotonic)
    }
}

impl<'s> Admission<'s> {
    /// Returns the API that the request is for.
    #[must_use]
    pub fn api(&self) -> &'s Api {
        self.permit.api
    }

    /// Returns the index of the API in the snapshot.
    #[must_use]
    pub fn api_index(&self) -> usize {
        self.permit.api_index
    }

    /// Returns the caller.
    #[must_use]
    pub fn caller(&self) -> Caller<'s> {
        self.permit.caller
    }

    /// Returns the client's address, as determined from trusted proxies.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.permit.client
    }

    /// Records a use of the key. Returns the key if the usage recorder must be notified, which is
    /// once between two collections.
    #[must_use]
    pub fn note_use(&self, now: Now) -> Option<&'s Arc<KeyRecord>> {
        let Caller::Key { record, digest, .. } = self.permit.caller else { return None };
        record
            .account
            .note_use(&self.permit.api.definition.name, &digest, now.unix)
            .then_some(record)
    }

    /// Returns who answers the request.
    #[must_use]
    pub fn responder(&self) -> Responder {
        self.permit.responder
    }

    /// Returns what remains of the limit, or `None` if there is no limit.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// Returns a refusal of the request, which got no response from the upstream. The request stays
    /// counted.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> Refused<'s> {
        let (key, grant) = match self.permit.caller {
            Caller::Key { record, grant, digest, .. } => (Some(record), Some((grant, digest))),
            Caller::PassThrough | Caller::Public => (None, None),
        };
        Refused {
            refusal,
            api: Some((self.permit.api_index, self.permit.api)),
            key,
            grant,
            allowance: self.allowance,
        }
    }
}

/// A refused request, with what was known about it at that point.
#[derive(Debug)]
pub struct Refused<'s> {
    /// The reason.
    pub refusal: Refusal,
    /// The API and its index, if it was determined.
    pub api: Option<(usize, &'s Api)>,
    /// The key, if it was found, valid or not.
    pub key: Option<&'s Arc<KeyRecord>>,
    /// What the key may do in this API, if it was found valid, and the digest of the secret that
    /// was presented.
    pub grant: Option<(&'s Grant, Digest)>,
    /// What remains of the limit, for a valid key that has one.
    pub allowance: Option<Allowance>,
}

impl<'s> Refused<'s> {
    /// Records a use of the key if it was found valid; see [`Admission::note_use`].
    #[must_use]
    pub fn note_use(&self, now: Now) -> Option<&'s Arc<KeyRecord>> {
        let ((_, digest), record, (_, api)) = (self.grant?, self.key?, self.api?);
        record.account.note_use(&api.definition.name, &digest, now.unix).then_some(record)
    }

    /// Returns the refusal of a request about which nothing else is known.
    #[must_use]
    pub fn early(refusal: Refusal) -> Self {
        Self { refusal, api: None, key: None, grant: None, allowance: None }
    }
}

/// A key that replaces the one in the request's header, to find out what would happen to a request
/// whose secret is not known.
#[derive(Debug, Clone, Copy)]
pub struct StandIn<'s> {
    /// The record of the key.
    pub record: &'s Arc<KeyRecord>,
    /// The index of the key's environment in the API's list.
    pub environment: Option<usize>,
}

/// Decides on a request by its head. Counts nothing and has no other effect.
///
/// # Errors
/// Returns the refusal of the first check that fails, in the order that the README gives.
pub fn authorise<'s>(
    head: &Head<'_>,
    snapshot: &'s Snapshot,
    now: Now,
) -> Result<Permit<'s>, Refused<'s>> {
    authorise_traced(head, None, snapshot, now, &mut ())
}

/// Decides like [`authorise`], and reports each check that passes to `trace`. `stand_in`: a key
/// that replaces the one in the request, if any.
///
/// # Errors
/// Returns the refusal of the first check that fails.
// Longer than 60 lines: the checks stand in one place, in the documented order.
pub fn authorise_traced<'s>(
    head: &Head<'_>,
    stand_in: Option<StandIn<'s>>,
    snapshot: &'s Snapshot,
    now: Now,
    trace: &mut impl Trace,
) -> Result<Permit<'s>, Refused<'s>> {
    let routes = &*snapshot.routes;
    let path = head.target.path;
    let host = head.check().map_err(Refused::early)?;
    trace.passed(Check::Request);
    let client = client_address(head.peer.address, head.fields, &routes.trusted_proxies)
        .map_err(Refused::early)?;
    trace.passed(Check::ClientAddress);
    let (api_index, api) = routes.find_api(host, path, head.peer).map_err(Refused::early)?;
    trace.passed(Check::Api);

    let refused = |refusal| Refused { api: Some((api_index, api)), ..Refused::early(refusal) };
    let permit = |caller, responder| Permit { api, api_index, caller, client, responder };

    // Browsers send no credentials with a preflight request (Fetch §3.3.5), and its response
    // contains nothing that a key would protect.
    if api.is_preflight(head.method, head.fields) {
        return Ok(permit(Caller::Public, Responder::Preflight));
    }
    if head.target.query.is_some_and(|query| query_holds_key(api, query)) {
        return Err(refused(Refusal::KeyInQuery));
    }
    trace.passed(Check::Query);
    if repeats_pass_through(api, head.fields) {
        return Err(refused(Refusal::AmbiguousCredential));
    }
    // A proxy that appends its own line leaves the client's in place, and the upstream could read
    // either. From anyone else, these fields are not forwarded.
    if head.repeats_one_of(&api.definition.proxy_headers)
        && routes.trusted_proxies.iter().any(|range| range.contains(head.peer.address))
    {
        return Err(refused(Refusal::RepeatedHeader));
    }
    let key_endpoint = api.is_key_endpoint(path);
    let claims =
        if key_endpoint { Claims::default() } else { api.endpoints.claims(head.method, path) };
    if claims.public {
        return Ok(permit(Caller::Public, Responder::Upstream));
    }
    trace.passed(Check::NeedsKey);
    let (record, digest, environment) = match stand_in {
        Some(StandIn { record, environment }) => (
            record,
            record.secrets().next().map_or(Digest::of(b""), |secret| secret.digest),
            environment,
        ),
        None => {
            let Some(key) = find_key(api, head.fields).map_err(refused)? else {
                if claims.pass_through && has_pass_through(api, head.fields) {
                    return Ok(permit(Caller::PassThrough, Responder::Upstream));
                }
                return Err(refused(Refusal::MissingKey));
            };
            trace.passed(Check::Credential);
            let environment = api.environment_of(key).map_err(|()| refused(Refusal::UnknownKey))?;
            trace.passed(Check::Environment);
            let digest = Digest::of(key);
            let record = snapshot.keyring.find(&digest);
            (record.ok_or_else(|| refused(snapshot.stranger(&digest)))?, digest, environment)
        }
    };
    trace.passed(Check::KnownKey);
    let refused_key = |refusal| Refused { key: Some(record), ..refused(refusal) };
    snapshot.check_key(record, &digest, now, trace).map_err(refused_key)?;
    let grant =
        snapshot.grant(record, api_index).ok_or_else(|| refused_key(Refusal::KeyNotForApi))?;
    trace.passed(Check::ForApi);

    let refused_valid = |refusal| {
        let allowance = record.account.peek(&api.definition.name, &grant.limits, now.monotonic);
        Refused { grant: Some((grant, digest)), allowance, ..refused_key(refusal) }
    };
    if let Some(restrictions) = &record.restrictions {
        let ignore_case = api.definition.case_insensitive_paths;
        restrictions.check(client, head, path, ignore_case, trace).map_err(refused_valid)?;
    }
    let allowed = if key_endpoint {
        grant.manages_keys
    } else {
        grant.everything || grant.scopes.intersects(claims.scopes)
    };
    if !allowed {
        let wanted = if key_endpoint { api.key_scope() } else { claims.scopes.first() };
        return Err(refused_valid(
            wanted.map_or(Refusal::NoScopeAllows, Refusal::InsufficientScope),
        ));
    }
    trace.passed(Check::Scope);
    let responder = if key_endpoint { Responder::KeyEndpoints } else { Responder::Upstream };
    Ok(permit(Caller::Key { record, grant, digest, environment }, responder))
}

/// What to count for an authorised request.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'s> {
    /// The account of the key.
    pub account: &'s Arc<Account>,
    /// The name of the API.
    pub api: &'s Arc<str>,
    /// The digest of the secret that was presented.
    pub digest: &'s Digest,
    /// The limits of the key. Empty if there is none.
    pub limits: &'s [Limit],
}

impl Charge<'_> {
    /// Counts the request in every window of its account, or in no window if one is exhausted.
    /// Returns what remains, or `None` if there is no limit.
    ///
    /// # Errors
    /// Returns [`Exhausted`] if a window is exhausted.
    pub fn count(&self, now: Now) -> Result<Option<Allowance>, Exhausted> {
        self.account.charge(self.api, self.digest, self.limits, now.monotonic)
    }
}

/// Counts an authorised request against the limits of its key: in every window, or in no window if
/// one is exhausted.
///
/// # Errors
/// Returns [`Refusal::RateLimited`] if a window is exhausted.
pub fn charge(permit: Permit<'_>, now: Now) -> Result<Admission<'_>, Refused<'_>> {
    charge_by(permit, |charge| charge.count(now))
}

/// Admits a request like [`charge`], where another process keeps the counts. `count` has the
/// request counted there.
///
/// # Errors
/// Returns [`Refusal::RateLimited`] if a window is exhausted.
pub fn charge_by<'s>(
    permit: Permit<'s>,
    count: impl FnOnce(Charge<'_>) -> Result<Option<Allowance>, Exhausted>,
) -> Result<Admission<'s>, Refused<'s>> {
    let Caller::Key { record, grant, digest, .. } = permit.caller else {
        return Ok(Admission { permit, allowance: None });
    };
    let api = permit.api;
    let charge = Charge {
        account: &record.account,
        api: &api.definition.name,
        digest: &digest,
        limits: &grant.limits,
    };
    match count(charge) {
        Ok(allowance) => Ok(Admission { permit, allowance }),
        Err(exhausted) => Err(Refused {
            refusal: Refusal::RateLimited(exhausted.retry),
            api: Some((permit.api_index, permit.api)),
            key: Some(record),
            grant: Some((grant, digest)),
            allowance: Some(exhausted.allowance),
        }),
    }
}
