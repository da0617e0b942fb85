//! Describes the reason of each check in words, and where its rule is written.

use super::case::{Case, Facts, Keeper, Verdict};
use crate::config::Entry;
use crate::keystore::Revocation;
use crate::policy::{Api, Check, Closed, Grant, KeyRecord, Refusal, Restrictions};

/// The description, where the rule is kept, and the line of `gateway.toml`.
type Reason = (String, Option<Keeper>, Option<usize>);

impl Case<'_> {
    /// Returns the reason of a check.
    // Longer than 60 lines: one arm for each check, in the documented order.
    pub(super) fn reason(
        &self,
        check: Check,
        verdict: Verdict,
        facts: &Facts<'_>,
        api: Option<&Api>,
        refusal: Option<Refusal>,
    ) -> Reason {
        let nothing = |detail: String| (detail, None, None);
        if verdict == Verdict::NotReached {
            return nothing(String::new());
        }
        let refused = verdict == Verdict::Refused;
        let reason = || refusal.map_or("", Refusal::detail).to_owned();
        let name = api.map_or("", |api| &*api.definition().name);
        let in_api = |setting| Entry::Api { name, setting };
        let in_file = |detail: String, entry: Entry<'_>| {
            let line = self.file.line(&entry);
            (detail, Some(Keeper::File), line)
        };
        match check {
            Check::Request if refused => nothing(reason()),
            Check::Request => {
                nothing(format!("{} {} can be read in one way only", facts.method, facts.path))
            }
            Check::ClientAddress if refused => {
                in_file(reason(), Entry::Table { name: "server", setting: Some("trusted_proxies") })
            }
            Check::ClientAddress => nothing(format!("the client is {}", facts.address)),
            Check::Api if refused => {
                nothing(format!("no API claims the host `{}` and this path", facts.host))
            }
            Check::Api => in_file(
                format!("`{name}` claims the host `{}` and this path", facts.host),
                in_api(None),
            ),
            Check::Query if refused => nothing(reason()),
            Check::Query => nothing("no key stands in the query".to_owned()),
            Check::NeedsKey if self.record.is_none() && refusal.is_none() => in_file(
                "the endpoint is public, or the upstream checks the caller itself".to_owned(),
                in_api(Some("public")),
            ),
            Check::NeedsKey => nothing("the endpoint is not public, so a key is needed".to_owned()),
            Check::Credential if refused => in_file(reason(), in_api(Some("credentials"))),
            Check::Credential | Check::Environment if verdict == Verdict::NotApplicable => {
                nothing("not looked at: the key is named by its id".to_owned())
            }
            Check::Credential => in_file(
                "one key is presented, in one place".to_owned(),
                in_api(Some("credentials")),
            ),
            Check::Environment => {
                in_file("its prefix is one of the API's".to_owned(), in_api(Some("environments")))
            }
            Check::Limit => self.limit(refused, api, &in_api(Some("rate_limit")), refusal),
            Check::Scope => self.scope(refused, facts, api, refusal),
            Check::KnownKey if refused => nothing(reason()),
            _ => match self.record {
                Some(record) => self.reason_of_key(check, refused, record, name, &reason()),
                None => nothing(String::new()),
            },
        }
    }

    // Longer than 60 lines for the same reason.
    fn reason_of_key(
        &self,
        check: Check,
        refused: bool,
        record: &KeyRecord,
        api: &str,
        reason: &str,
    ) -> Reason {
        let id = record.id();
        // Only a key of the file has lines.
        let of_key = |detail: String, setting: Option<&str>| match record.is_stored() {
            true => (detail, Some(Keeper::Store), None),
            false => {
                let line = self
                    .file
                    .line(&Entry::Key { id, setting })
                    .or_else(|| self.file.line(&Entry::Key { id, setting: None }));
                (detail, Some(Keeper::File), line)
            }
        };
        let by_file = self.config.revoked.key(id, record.secrets().map(|secret| secret.digest));
        let organization = record.organization().unwrap_or_default();
        let count = |number: usize, what: &str| {
            format!("{number} {what}{}", if number == 1 { "" } else { "s" })
        };
        let restrictions = |pick: fn(&Restrictions) -> usize| record.restrictions().map_or(0, pick);
        match check {
            Check::KnownKey => of_key(format!("`{id}` ({}) is known", record.name()), None),
            Check::NotRevoked if refused && by_file.is_some() => (
                "[revoked] keys names it".to_owned(),
                Some(Keeper::File),
                by_file.and_then(|mark| self.file.line_of(mark)),
            ),
            Check::NotRevoked
                if refused && self.snapshot.closed(record) == Some(Closed::Revoked) =>
            {
                let mark = self.config.revoked.organization(organization);
                (
                    format!("[revoked] organizations names `{organization}`"),
                    Some(Keeper::File),
                    mark.and_then(|mark| self.file.line_of(mark)),
                )
            }
            Check::NotRevoked if refused => (self.revocation_in_words(), Some(Keeper::Store), None),
            Check::NotRevoked => {
                of_key("neither it nor its organization is revoked".to_owned(), None)
            }
            Check::NotPaused if refused => (reason.to_owned(), Some(Keeper::Store), None),
            Check::NotPaused => of_key("it is not paused".to_owned(), None),
            Check::OrganizationOpen if refused => {
                (format!("`{organization}` is suspended"), Some(Keeper::Store), None)
            }
            Check::OrganizationOpen => {
                (String::from("its organization is not suspended"), None, None)
            }
            Check::NotExpired => {
                let detail = match record
                    .expires_at()
                    .and_then(|end| jiff::Timestamp::from_second(end).ok())
                {
                    Some(end) if refused => format!("it expired at {end}"),
                    Some(end) => format!("it expires at {end}"),
                    None => "it never expires".to_owned(),
                };
                of_key(detail, Some("expires_at"))
            }
            Check::ForApi if refused => of_key(format!("it does not open `{api}`"), Some("apis")),
            Check::ForApi => of_key(format!("it opens `{api}`"), Some("apis")),
            Check::Address => match restrictions(|all| all.addresses.len()) {
                0 => ("it may be used from any address".to_owned(), None, None),
                _ if refused => of_key(reason.to_owned(), Some("allow_ips")),
                number => of_key(
                    format!("the address is in one of {}", count(number, "range")),
                    Some("allow_ips"),
                ),
            },
            Check::Referrer => match restrictions(|all| all.referrers.len()) {
                0 => ("it may be used from any page".to_owned(), None, None),
                _ if refused => of_key(reason.to_owned(), Some("allow_referrers")),
                number => of_key(
                    format!("the referrer fits one of {}", count(number, "pattern")),
                    Some("allow_referrers"),
                ),
            },
            _ => match restrictions(|all| all.endpoints.len()) {
                0 => {
                    ("it may be used for any endpoint that its scopes allow".to_owned(), None, None)
                }
                _ if refused => of_key(reason.to_owned(), Some("allow_endpoints")),
                number => of_key(
                    format!("the endpoint fits one of {}", count(number, "pattern")),
                    Some("allow_endpoints"),
                ),
            },
        }
    }

    fn revocation_in_words(&self) -> String {
        let mut words = "the store says that it is revoked".to_owned();
        if let Some(Revocation { at, by, reason }) = self.revocation {
            if let Ok(at) = jiff::Timestamp::from_second(*at) {
                words.push_str(&format!(", since {at}"));
            }
            words.push_str(&format!(", by {by}"));
            if let Some(reason) = reason {
                words.push_str(&format!(": {reason}"));
            }
        }
        words
    }

    fn scope(
        &self,
        refused: bool,
        facts: &Facts<'_>,
        api: Option<&Api>,
        refusal: Option<Refusal>,
    ) -> Reason {
        let (Some(api), Some(record)) = (api, self.record) else {
            return (String::new(), None, None);
        };
        let name = &*api.definition().name;
        let in_scope = |detail: String, scope: &str| {
            let line = self.file.line(&Entry::Scope { api: name, scope });
            (
                detail,
                Some(Keeper::File),
                line.or_else(|| self.file.line(&Entry::Api { name, setting: Some("key_api") })),
            )
        };
        match refusal {
            Some(Refusal::InsufficientScope(index)) if refused => {
                let scope = api.scope_name(index).unwrap_or_default();
                in_scope(
                    format!("the scope `{scope}` would allow it, and the key does not hold it"),
                    scope,
                )
            }
            Some(_) if refused => {
                let line = self.file.line(&Entry::Api { name, setting: Some("scopes") });
                (
                    "no scope of the API allows this method and path".to_owned(),
                    Some(Keeper::File),
                    line,
                )
            }
            _ => {
                let (scopes, key_endpoint) = api.claims(facts.method, facts.path);
                let index =
                    self.config.apis.iter().position(|other| &*other.definition.name == name);
                let grant = index.and_then(|index| self.snapshot.grant(record, index));
                let held = grant.and_then(|grant| {
                    (0..api.definition().scopes.len())
                        .find(|at| grant.scopes().contains(*at) && scopes.contains(*at))
                });
                match held.and_then(|at| api.scope_name(at)) {
                    Some(scope) => in_scope(
                        format!("the scope `{scope}` allows it, and the key holds it"),
                        scope,
                    ),
                    None if key_endpoint => ("the key may manage keys".to_owned(), None, None),
                    None => ("the key has full access".to_owned(), None, None),
                }
            }
        }
    }

    fn limit(
        &self,
        refused: bool,
        api: Option<&Api>,
        of_api: &Entry<'_>,
        refusal: Option<Refusal>,
    ) -> Reason {
        let (Some(api), Some(record)) = (api, self.record) else {
            return ("there is no limit".to_owned(), None, None);
        };
        let index = self
            .config
            .apis
            .iter()
            .position(|other| other.definition.name == api.definition().name);
        let grant = index.and_then(|index| self.snapshot.grant(record, index));
        let limits: Vec<String> =
            grant.map_or(&[][..], Grant::limits).iter().map(ToString::to_string).collect();
        if limits.is_empty() {
            return ("there is no limit".to_owned(), None, None);
        }
        let detail = match refusal {
            Some(Refusal::RateLimited(wait)) if refused => {
                format!(
                    "{} is used up; the next request is admitted in {} s",
                    limits.join(", "),
                    wait.div_ceil(1_000_000_000)
                )
            }
            _ => format!("{} has room", limits.join(", ")),
        };
        let own = (!record.is_stored())
            .then(|| self.file.line(&Entry::Key { id: record.id(), setting: Some("rate_limit") }))
            .flatten();
        (detail, Some(Keeper::File), own.or_else(|| self.file.line(of_api)))
    }
}
