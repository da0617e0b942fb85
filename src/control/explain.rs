//! Explains why a request is refused or admitted. Runs the decision with a trace, and names the
//! line of the file or the record of the store behind each check.

mod case;
mod dead;
mod file;
mod reason;

pub(super) use dead::dead_key;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::case::{Case, Facts, Keeper, Verdict};
use self::file::{File, running_file};
use super::keys::Actor;
use super::registry::Registry;
use super::table::Trial;
use crate::config::{Problems, parse};
use crate::keystore::StoredKey;
use crate::policy::{
    Api, Caller, Check, Fields, Head, KeyRecord, Now, Peer, Permit, Refusal, Refused, StandIn,
    Target, authorise_traced,
};
use crate::state::{RefusedKey, RefusedRequest, Shared};

/// What is asked: about a request that could be made, or, by `request_id`, about one that was
/// refused in the last hour.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// Id of the key that would be presented, never the key; absent: none.
    #[serde(default)]
    key: Option<String>,
    /// `GET` where it is absent.
    #[serde(default)]
    method: Option<String>,
    /// Needed without `request_id`.
    #[serde(default)]
    path: Option<String>,
    /// The first host of the key's API where it is absent.
    #[serde(default)]
    host: Option<String>,
    /// Where the client is; 127.0.0.1 where it is absent.
    #[serde(default)]
    address: Option<String>,
    /// The `Referer` field.
    #[serde(default)]
    referrer: Option<String>,
    /// The text of a gateway.toml to judge by, instead of the running configuration.
    #[serde(default)]
    config: Option<String>,
    /// Of a request that was refused in the last hour; nothing else may stand beside it.
    #[serde(default)]
    request_id: Option<String>,
}

impl Question {
    /// Returns whether the question is about another file than the running one.
    pub(super) fn tries_a_file(&self) -> bool {
        self.config.is_some()
    }
}

/// Every check in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    /// Whether the request reaches the upstream.
    allowed: bool,
    /// Why not, as the `code` of the refusal.
    refusal: Option<&'static str>,
    /// Of the refusal.
    status: Option<u16>,
    /// The API that the request is for, as far as it was found.
    api: Option<String>,
    /// When it was refused, for a request of the past.
    refused_at: Option<String>,
    checks: Vec<CheckView>,
    /// What limits the answer, such as a file that has changed since it was loaded.
    notes: Vec<String>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
struct CheckView {
    /// Its name.
    check: &'static str,
    verdict: Verdict,
    /// What was found, for people.
    detail: String,
    /// Where what it goes by is kept.
    source: Option<Keeper>,
    /// The line of gateway.toml.
    line: Option<usize>,
}

/// Why there is no explanation.
#[derive(Debug)]
pub(super) enum NoExplanation {
    /// A member of the question is invalid: its name, and why.
    Invalid(&'static str, String),
    /// There is no such key, or the caller may not see it.
    UnknownKey,
    /// There is no such request, or the caller may not see it.
    UnknownRequest,
    /// The text of `config` has mistakes.
    Config(Problems),
}

/// Answers a question. `stored`: the store's record of the [`dead_key`], if any. `digest`: the
/// digest of the running file at `path`, or `None` if it is not known. Reads the file, so it may
/// block briefly.
///
/// # Errors
/// Returns why there is no explanation.
// Longer than 60 lines: the steps of one answer, in order.
pub(super) fn explain(
    question: &Question,
    stored: Option<&StoredKey>,
    actor: &Actor,
    registry: &Registry,
    shared: &Shared,
    path: &Path,
    digest: Option<[u8; 32]>,
) -> Result<Explanation, NoExplanation> {
    let now = shared.clock.now();
    let revocation = stored.and_then(|key| key.revocation.as_ref());
    let sees = |record: &KeyRecord| {
        actor.organization.is_none() || actor.organization.as_deref() == record.organization()
    };
    if let Some(id) = &question.request_id {
        let others = [
            &question.key,
            &question.method,
            &question.path,
            &question.host,
            &question.address,
            &question.referrer,
        ];
        if others.into_iter().any(Option::is_some) || question.config.is_some() {
            return Err(NoExplanation::Invalid("request_id", "stands alone".to_owned()));
        }
        let request = shared.refused_request(id).ok_or(NoExplanation::UnknownRequest)?;
        let id = stored.map(|key| &*key.id);
        let Trial { snapshot, config, record } = registry.look(|table| table.present(id, stored));
        let record = match &request.key {
            Some(RefusedKey::Known(record)) => Some(record.clone()),
            Some(RefusedKey::Dead(_)) => record,
            None => None,
        };
        if !record.as_ref().map_or(actor.organization.is_none(), |key| sees(key)) {
            return Err(NoExplanation::UnknownRequest);
        }
        let (file, notes) = running_file(path, digest);
        let record = record.as_ref();
        let case = Case { snapshot: &snapshot, config: &config, file, record, revocation, now };
        return Ok(case.of_the_past(&request, notes));
    }
    let (trial, file, notes) = match &question.config {
        Some(text) => {
            let config = Arc::new(parse(text, path).map_err(NoExplanation::Config)?);
            let trial =
                registry.look(|table| table.trial(&config, question.key.as_deref(), stored));
            (trial, File::of(text.clone()), Vec::new())
        }
        None => {
            let (file, notes) = running_file(path, digest);
            (registry.look(|table| table.present(question.key.as_deref(), stored)), file, notes)
        }
    };
    let Trial { snapshot, config, record } = trial;
    let record = match (&question.key, record) {
        (None, _) => None,
        (Some(_), Some(record)) if sees(&record) => Some(record),
        (Some(_), _) => return Err(NoExplanation::UnknownKey),
    };
    let record = record.as_ref();
    Case { snapshot: &snapshot, config: &config, file, record, revocation, now }
        .of_a_request(question, notes)
}

impl Case<'_> {
    // Longer than 60 lines: one answer, field by field.
    fn of_a_request(
        &self,
        question: &Question,
        mut notes: Vec<String>,
    ) -> Result<Explanation, NoExplanation> {
        let invalid = |member, why: &str| NoExplanation::Invalid(member, why.to_owned());
        let method = question.method.as_deref().unwrap_or("GET");
        let method: Method = method.parse().map_err(|_| invalid("method", "this is no method"))?;
        let target = question.path.as_deref().ok_or_else(|| invalid("path", "is needed"))?;
        let uri: Uri = target.parse().map_err(|_| invalid("path", "this is no path"))?;
        let address = match question.address.as_deref() {
            Some(text) => text.parse().map_err(|_| invalid("address", "this is no address"))?,
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let host = match &question.host {
            Some(host) => host.clone(),
            None => {
                let host = self.usual_host();
                notes.push(format!("no host was given, so `{host}` was taken"));
                host
            }
        };
        if question.address.is_none()
            && self
                .record
                .and_then(|record| record.restrictions())
                .is_some_and(|all| !all.addresses.is_empty())
        {
            notes.push("no address was given, so 127.0.0.1 was taken".to_owned());
        }
        let mut headers = HeaderMap::new();
        let value = |member, text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| invalid(member, "cannot stand in a header field"))
        };
        headers.insert(header::HOST, value("host", &host)?);
        if let Some(referrer) = &question.referrer {
            headers.insert(header::REFERER, value("referrer", referrer)?);
        }
        let peer = Peer::new(address, self.config.tls.is_some(), None);
        let fields = Fields::from(&headers);
        let head =
            Head { method: &method, target: Target::from(&uri), fields: &fields, peer: &peer };
        let stand_in = self.record.map(|record| StandIn { record, environment: None });
        let mut passed = Vec::new();
        let outcome = authorise_traced(&head, stand_in, self.snapshot, self.now, &mut passed);
        let (api, refusal) = match &outcome {
            Ok(permit) => (Some(permit.api()), over_limit(permit, self.now)),
            Err(Refused { api, refusal, .. }) => (api.map(|(_, api)| api), Some(*refusal)),
        };
        if outcome.is_ok() && refusal.is_none() {
            passed.push(Check::Limit);
        }
        if method == Method::OPTIONS && api.is_some_and(|api| api.definition().cors.is_some()) {
            notes.push(
                "a browser's preflight here is answered by Keygate itself, by [api.cors]"
                    .to_owned(),
            );
        }
        let facts = Facts { method: &method, path: uri.path(), host: &host, address };
        let public =
            matches!(&outcome, Ok(permit) if !matches!(permit.caller(), Caller::Key { .. }));
        let passes = |check| passed.contains(&check) || (public && check == Check::NeedsKey);
        Ok(self.lay_out(&facts, api, refusal, passes, None, notes))
    }

    /// Explains a request that was refused in the past. All checks before the one that refused it
    /// had passed.
    fn of_the_past(&self, request: &RefusedRequest, notes: Vec<String>) -> Explanation {
        let method = request.method().parse().unwrap_or(Method::GET);
        let facts = Facts {
            method: &method,
            path: request.path(),
            host: request.host(),
            address: request.address,
        };
        let apis = self.snapshot.routes.apis();
        let api = request
            .api
            .as_ref()
            .and_then(|name| apis.iter().find(|api| api.definition().name == *name));
        let refusing = Check::behind(request.refusal);
        let passes = |check: Check| {
            let restrictions = self.record.and_then(|key| key.restrictions());
            let is_there = match check {
                Check::Address => restrictions.is_some_and(|all| !all.addresses.is_empty()),
                Check::Referrer => restrictions.is_some_and(|all| !all.referrers.is_empty()),
                Check::Endpoint => restrictions.is_some_and(|all| !all.endpoints.is_empty()),
                _ => true,
            };
            is_there && refusing.is_none_or(|refusing| position(check) < position(refusing))
        };
        self.lay_out(&facts, api, Some(request.refusal), passes, Some(request.at), notes)
    }

    /// Returns a host of the key's first API, or `localhost` if that has none.
    fn usual_host(&self) -> String {
        let grants =
            self.record.and_then(|record| self.snapshot.grants.get(record.grants() as usize));
        let index = grants.and_then(|grants| grants.first()).map_or(0, crate::policy::Grant::api);
        let host = self.config.apis.get(index).and_then(|api| api.definition.hosts.first());
        host.map_or_else(|| "localhost".to_owned(), ToString::to_string)
    }

    fn lay_out(
        &self,
        facts: &Facts<'_>,
        api: Option<&Api>,
        refusal: Option<Refusal>,
        passes: impl Fn(Check) -> bool,
        refused_at: Option<i64>,
        notes: Vec<String>,
    ) -> Explanation {
        let refusing = refusal.and_then(Check::behind);
        let checks = Check::ALL.into_iter().map(|check| {
            let verdict = match refusing {
                Some(refusing) if refusing == check => Verdict::Refused,
                Some(refusing) if position(check) > position(refusing) => Verdict::NotReached,
                _ if passes(check) => Verdict::Passed,
                _ => Verdict::NotApplicable,
            };
            let (detail, source, line) = self.reason(check, verdict, facts, api, refusal);
            CheckView { check: check.code(), verdict, detail, source, line }
        });
        let distinguishes = api.is_none_or(|api| api.definition().errors_distinguish);
        Explanation {
            allowed: refusal.is_none(),
            refusal: refusal.map(Refusal::code),
            status: refusal.map(|refusal| refusal.status(distinguishes).as_u16()),
            api: api.map(|api| api.definition().name.to_string()),
            refused_at: refused_at
                .and_then(|at| jiff::Timestamp::from_second(at).ok())
                .map(|at| at.to_string()),
            checks: checks.collect(),
            notes,
        }
    }
}

fn position(check: Check) -> usize {
    Check::ALL.iter().position(|other| *other == check).unwrap_or(usize::MAX)
}

/// Returns the refusal if the rate limit would refuse an authorised request at `now`. Counts
/// nothing.
fn over_limit(permit: &Permit<'_>, now: Now) -> Option<Refusal> {
    let allowance = permit.allowance(now)?;
    (allowance.remaining == 0).then_some(Refusal::RateLimited(allowance.reset))
}
