//! The heart: one pass over a request head, check after check, to the first that refuses.

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

/// Who calls, as far as Keygate knows.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'s> {
    /// The holder of a key.
    Key {
        /// The key.
        record: &'s Arc<KeyRecord>,
        /// What it may do in this API.
        grant: &'s Grant,
        /// Of the secret that was presented.
        digest: Digest,
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
    responder: Responder,
}

/// Who answers an admitted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responder {
    /// The upstream.
    Upstream,
    /// Keygate itself, at the API's own key endpoints.
    KeyEndpoints,
    /// Keygate itself: a browser asks whether a page may make a request.
    Preflight,
}

/// The witness that a request was authorised and counted. Only [`charge`] makes one, and nothing is
/// sent to an upstream without it.
#[derive(Debug)]
pub struct Admission<'s> {
    permit: Permit<'s>,
    allowance: Option<Allowance>,
}

impl<'s> Permit<'s> {
    /// The API that the request is for.
    #[must_use]
    pub fn api(&self) -> &'s Api {
        self.api
    }

    /// Its index in the snapshot.
    #[must_use]
    pub fn api_index(&self) -> usize {
        self.api_index
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> Caller<'s> {
        self.caller
    }

    /// Who answers the request.
    #[must_use]
    pub fn responder(&self) -> Responder {
        self.responder
    }

    /// The same request as one that is refused all the same. It is not counted.
    #[must_use]
    pub fn refused(self, refusal: Refusal, now: Now) -> Refused<'s> {
        let allowance = self.allowance(now);
        Admission { permit: self, allowance }.refused(refusal)
    }

    /// What the limit leaves before this request; nothing where there is no limit.
    #[must_use]
    pub fn allowance(&self, now: Now) -> Option<Allowance> {
        let Caller::Key { record, grant, .. } = self.caller else { return None };
        record.account.peek(&self.api.definition.name, &grant.limits, now.monotonic)
    }
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

    /// Notes that the key was used. Returns it if it should be told to whoever collects uses: once
    /// between two collections.
    #[must_use]
    pub fn note_use(&self, now: Now) -> Option<&'s Arc<KeyRecord>> {
        let Caller::Key { record, digest, .. } = self.permit.caller else { return None };
        record
            .account
            .note_use(&self.permit.api.definition.name, &digest, now.unix)
            .then_some(record)
    }

    /// Who answers it.
    #[must_use]
    pub fn responder(&self) -> Responder {
        self.permit.responder
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

/// A refused request, with what was known by then.
#[derive(Debug)]
pub struct Refused<'s> {
    /// Why.
    pub refusal: Refusal,
    /// The API and its index, once it was found.
    pub api: Option<(usize, &'s Api)>,
    /// The key, once it was found, valid or not.
    pub key: Option<&'s Arc<KeyRecord>>,
    /// What the key may do in this API, once it was found to be valid, and the secret that was
    /// presented.
    pub grant: Option<(&'s Grant, Digest)>,
    /// What the limit leaves, for a valid key that has one.
    pub allowance: Option<Allowance>,
}

impl<'s> Refused<'s> {
    /// Notes that the key was used, if it was found to be valid; see [`Admission::note_use`].
    #[must_use]
    pub fn note_use(&self, now: Now) -> Option<&'s Arc<KeyRecord>> {
        let ((_, digest), record, (_, api)) = (self.grant?, self.key?, self.api?);
        record.account.note_use(&api.definition.name, &digest, now.unix).then_some(record)
    }

    /// A request that is refused before anything is known about it.
    #[must_use]
    pub fn early(refusal: Refusal) -> Self {
        Self { refusal, api: None, key: None, grant: None, allowance: None }
    }
}

/// A key that stands in for the one in the request's header, which is not known: for whoever asks
/// what would happen.
#[derive(Debug, Clone, Copy)]
pub struct StandIn<'s> {
    /// The key.
    pub record: &'s Arc<KeyRecord>,
    /// Index of its environment in the API's list.
    pub environment: Option<usize>,
}

/// Judges a request by its head. It counts nothing and has no other effect.
///
/// # Errors
/// The first check that refuses, in the order that the README gives.
pub fn authorise<'s>(
    head: &Head<'_>,
    snapshot: &'s Snapshot,
    now: Now,
) -> Result<Permit<'s>, Refused<'s>> {
    authorise_traced(head, None, snapshot, now, &mut ())
}

/// The same, with a key that stands in for the request's own, telling of each check that passes.
///
/// # Errors
/// The first check that refuses.
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

    // Browsers send no key with it (Fetch §3.3.5), and it reaches nothing that one would protect.
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

/// What is to be counted of an authorised request.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'s> {
    /// The key's.
    pub account: &'s Arc<Account>,
    /// Name of the API.
    pub api: &'s Arc<str>,
    /// Of the secret that was presented.
    pub digest: &'s Digest,
    /// Empty: there is no limit.
    pub limits: &'s [Limit],
}

impl Charge<'_> {
    /// Counts it in every window of its account, or, if one is used up, in none.
    ///
    /// # Errors
    /// A window is used up.
    pub fn count(&self, now: Now) -> Result<Option<Allowance>, Exhausted> {
        self.account.charge(self.api, self.digest, self.limits, now.monotonic)
    }
}

/// Counts an authorised request against its key's limits: in every window, or, if one is used up,
/// in none.
///
/// # Errors
/// [`Refusal::RateLimited`].
pub fn charge(permit: Permit<'_>, now: Now) -> Result<Admission<'_>, Refused<'_>> {
    charge_by(permit, |charge| charge.count(now))
}

/// The same where the counts are another's to keep: `count` has it counted there.
///
/// # Errors
/// [`Refusal::RateLimited`].
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
