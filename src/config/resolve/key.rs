//! Reads `[[key]]`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hashbrown::{Equivalent, HashMap, HashSet};

use super::context::{address_ranges, digest, organization};
use super::endpoints::{self, Endpoint};
use super::limits::limits;
use super::moment::instant;
use super::resolved_api::ResolvedApi;
use crate::config::document::{Section, Text, as_text};
use crate::config::report::Report;
use crate::config::secret::quote;
use crate::config::{ApiConfig, KeyConfig, names};
use crate::policy::{ApiDefinition, Digest, KeyId, Limit, ReferrerPattern, Restrictions, Scope};

/// Reads the keys of a file, one by one.
pub(super) struct Keys<'a> {
    apis: &'a [ResolvedApi<'a>],
    definitions: Vec<&'a ApiDefinition>,
    api_indices: HashMap<&'a str, usize>,
    /// The ids of all keys so far, with their positions.
    ids: HashMap<KeyId, usize>,
    digests: HashMap<Digest, usize>,
    /// Equal lists and names are stored once.
    scope_lists: HashSet<Arc<[Box<str>]>>,
    organizations: HashSet<Arc<str>>,
    /// The current time, in seconds since the Unix epoch.
    now: i64,
}

impl<'a> Keys<'a> {
    /// Returns a reader for about `count` keys.
    pub(super) fn new(apis: &'a [ResolvedApi<'a>], count: usize) -> Self {
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        Self {
            apis,
            definitions: apis.iter().map(|api| &api.config.definition).collect(),
            api_indices: apis
                .iter()
                .enumerate()
                .map(|(index, api)| (&*api.config.definition.name, index))
                .collect(),
            ids: HashMap::with_capacity(count),
            digests: HashMap::with_capacity(count),
            scope_lists: HashSet::new(),
            organizations: HashSet::new(),
            now: i64::try_from(now).unwrap_or(i64::MAX),
        }
    }

    /// Returns whether every key that is valid without warnings under these earlier APIs is the
    /// same under the current ones.
    pub(super) fn hold_under(&self, apis: &[Arc<ApiConfig>]) -> bool {
        apis.len() == self.definitions.len()
            && apis
                .iter()
                .zip(&self.definitions)
                .all(|(before, now)| keys_hold(&before.definition, now))
    }

    /// Returns whether a valid key needs a warning, because it has expired.
    pub(super) fn is_to_be_warned_of(&self, key: &KeyConfig) -> bool {
        key.expires_at.is_some_and(|expires_at| expires_at <= self.now)
    }

    /// Adds a key that was read before. Returns `None` if another key has its id or one of its
    /// digests.
    pub(super) fn take_in(&mut self, key: &KeyConfig, at: usize) -> Option<()> {
        if let Some(name) = &key.organization
            && !self.organizations.contains(name)
        {
            self.organizations.insert(name.clone());
        }
        let is_new = self.ids.insert(key.id.clone(), at).is_none();
        let digests_are_new =
            key.digests.iter().all(|digest| self.digests.insert(*digest, at).is_none());
        (is_new && digests_are_new).then_some(())
    }

    /// Reads the next key. Returns `None` if it has no valid id.
    pub(super) fn key(&mut self, section: Section<'_>) -> Option<KeyConfig> {
        let report = section.report;
        let id = self.id(section);
        let name = section
            .text("name")
            .map_or(id.as_deref().unwrap_or_default(), |text| {
                names::free_text(report, "name", text)
            })
            .into();
        let organization = organization(section)
            .map(|name| self.organizations.get_or_insert_with(name, |name| name.into()).clone());
        let apis = self.apis_of(section);
        let environment = self.environment_of(section, &apis);
        let digests = self.digests_of(section);
        for name in ["id", "name", "organization"] {
            check_for_secret(section, name, &digests);
        }
        let scopes = self.scopes_of(section, &apis);
        let expires_at = section
            .raw("expires_at")
            .and_then(|value| instant(report, value.span().start, value.get_ref()));
        if expires_at.is_some_and(|expires_at| expires_at <= self.now) {
            let id = quote(id.as_deref().unwrap_or_default());
            report.warn(section.at("expires_at"), format!("key {id} has expired"), None);
        }
        let endpoints = endpoints::endpoints(section, "allow_endpoints");
        for endpoint in &endpoints {
            self.check_endpoint(report, endpoint, &apis);
        }
        let restrictions = Restrictions {
            addresses: address_ranges(section, "allow_ips"),
            referrers: referrers(section),
            endpoints: endpoints.into_iter().map(|endpoint| endpoint.pattern).collect(),
        };
        for name in ["allow_ips", "allow_referrers", "allow_endpoints"] {
            // An empty list is ambiguous: it could permit nothing or everything.
            if section.is_empty_list(name) {
                report.error_with_hint(
                    section.at(name),
                    format!("`{name}` is an empty list"),
                    "leave it out, and nothing is restricted",
                );
            }
        }
        let rate_limit = rate_limit(section);
        Some(KeyConfig {
            id: id?,
            name,
            organization,
            apis,
            environment,
            digests,
            scopes,
            expires_at,
            restrictions,
            rate_limit,
        })
    }

    fn id(&mut self, section: Section<'_>) -> Option<KeyId> {
        let report = section.report;
        section.require(
            "id",
            "a name that never changes, such as `id = \"key_crm\"`; it is no secret",
        );
        let text = section.text("id")?;
        let Ok(id) = KeyId::parse(text.value) else {
            report.error(
                text.at,
                "a key's id has 1 to 128 of letters, digits, `.`, `_`, `:` and `-`",
            );
            return None;
        };
        if let Some(first) = self.ids.insert(id.clone(), text.at) {
            let message = format!(
                "two keys have the id {}; the first is on line {}",
                quote(&id),
                report.line(first)
            );
            report.error(text.at, message);
        }
        Some(id)
    }

    fn apis_of(&self, section: Section<'_>) -> Vec<usize> {
        let report = section.report;
        let names = || self.apis.iter().map(|api| &*api.config.definition.name);
        if !section.has("apis") {
            if self.apis.len() > 1 {
                let hint = format!(
                    "`apis = [\"…\"]` with one or several of: {}",
                    names().take(20).collect::<Vec<_>>().join(", ")
                );
                report.error_with_hint(
                    section.at,
                    "[[key]] has no `apis`, and there are several `[[api]]`",
                    hint,
                );
            }
            return if self.apis.len() == 1 { vec![0] } else { Vec::new() };
        }
        let mut indices = Vec::new();
        let texts = section.texts("apis");
        if section.is_empty_list("apis") {
            report.error(section.at("apis"), "`apis` is empty, so the key opens nothing");
        }
        for text in texts {
            match self.api_indices.get(text.value) {
                Some(index) if indices.contains(index) => {
                    report.error(text.at, "this API stands twice in `apis`");
                }
                Some(index) => indices.push(*index),
                None => {
                    let nearest = report.did_you_mean(text.value, names());
                    report.error(
                        text.at,
                        format!("there is no `[[api]]` named {}{nearest}", quote(text.value)),
                    );
                }
            }
        }
        indices
    }

    fn environment_of(&self, section: Section<'_>, apis: &[usize]) -> Option<Box<str>> {
        let report = section.report;
        let text = section.text("environment")?;
        let environments = || {
            apis.iter()
                .flat_map(|index| &self.apis[*index].config.definition.environments)
                .map(|known| &*known.name)
        };
        // If the APIs are unknown, there is nothing to compare with.
        if !apis.is_empty() && !environments().any(|name| name == text.value) {
            let nearest = report.did_you_mean(text.value, environments());
            report.error(
                text.at,
                format!("no API of this key has the environment {}{nearest}", quote(text.value)),
            );
        }
        Some(text.value.into())
    }

    fn digests_of(&mut self, section: Section<'_>) -> Vec<Digest> {
        let report = section.report;
        section.require("sha256", "the digest of the key: `keygate keys hash` makes it");
        let texts = section.text_or_texts("sha256");
        if section.is_empty_list("sha256") || texts.len() > 2 {
            report.error(section.at("sha256"), "a key has one digest, or two while it is rotated");
        }
        let mut digests = Vec::new();
        for text in texts {
            let Some(digest) = digest(report, text) else { continue };
            if let Some(first) = self.digests.insert(digest, text.at) {
                let message = format!(
                    "this digest stands twice; the first is on line {}",
                    report.line(first)
                );
                report.error_with_hint(
                    text.at,
                    message,
                    "one secret cannot be two keys; make a new one: `keygate keys new`",
                );
            }
            digests.push(digest);
        }
        digests
    }

    fn scopes_of(&mut self, section: Section<'_>, apis: &[usize]) -> Arc<[Box<str>]> {
        let report = section.report;
        let texts = section.texts("scopes");
        for text in &texts {
            let defined = |index: &usize| {
                let api = &self.apis[*index];
                let key_api = api.config.definition.key_api.as_ref();
                api.scopes.contains_key(text.value)
                    || key_api.is_some_and(|key_api| key_api.scope.as_deref() == Some(text.value))
            };
            // If the APIs are unknown, there is nothing to compare with.
            if text.value != "*" && !apis.is_empty() && !apis.iter().any(defined) {
                let known = apis
                    .iter()
                    .flat_map(|index| &self.apis[*index].config.definition.scopes)
                    .map(|scope| &*scope.name);
                let nearest = report.did_you_mean(text.value, known);
                let message =
                    format!("no API of this key defines the scope {}{nearest}", quote(text.value));
                report.error(text.at, message);
            }
        }
        let list: Vec<&str> = texts.iter().map(|text| text.value).collect();
        for (index, text) in texts.iter().enumerate() {
            if list[..index].contains(&text.value) {
                report.error(text.at, format!("{} stands twice in `scopes`", quote(text.value)));
            }
        }
        self.scope_lists
            .get_or_insert_with(&ScopeNames(&list), |names| {
                names.0.iter().map(|name| Box::from(*name)).collect()
            })
            .clone()
    }

    fn check_endpoint(&self, report: &Report<'_>, endpoint: &Endpoint<'_>, apis: &[usize]) {
        let mut reasons = Vec::new();
        for index in apis {
            match endpoints::reach(endpoint.text.value, *index, &self.definitions) {
                Ok(()) => return,
                Err(why) => reasons.push(endpoints::explain(why, *index, &self.definitions)),
            }
        }
        if !reasons.is_empty() {
            let pattern = quote(endpoint.text.value);
            let message = format!("{pattern} can never match in an API of this key");
            report.error_with_hint(endpoint.text.at, message, reasons.join("; "));
        }
    }
}

/// Returns whether an edit of an API leaves all valid keys unchanged.
fn keys_hold(before: &ApiDefinition, now: &ApiDefinition) -> bool {
    let remains = |scope: &Scope| now.scopes.iter().any(|other| other.name == scope.name);
    // Settings that do not affect the validity of keys. All other settings do, including those
    // added in the future.
    let before_but_for_these = ApiDefinition {
        scopes: now.scopes.clone(),
        credentials: now.credentials.clone(),
        public: now.public.clone(),
        pass_through: now.pass_through.clone(),
        pass_through_allows: now.pass_through_allows.clone(),
        errors: now.errors,
        errors_distinguish: now.errors_distinguish,
        empty_scopes: now.empty_scopes,
        rate_limit: now.rate_limit.clone(),
        rate_limit_reset: now.rate_limit_reset,
        rate_limit_draft: now.rate_limit_draft,
        upstream_headers: now.upstream_headers.clone(),
        expiry_warning: now.expiry_warning,
        expiry_header: now.expiry_header,
        proxy_headers: now.proxy_headers.clone(),
        cors: now.cors.clone(),
        ..before.clone()
    };
    before_but_for_these == *now && before.scopes.iter().all(remains)
}

/// Looks up a list of scopes without allocating one.
#[derive(Hash)]
struct ScopeNames<'l>(&'l [&'l str]);

impl Equivalent<Arc<[Box<str>]>> for ScopeNames<'_> {
    fn equivalent(&self, list: &Arc<[Box<str>]>) -> bool {
        self.0.len() == list.len()
            && self.0.iter().zip(list.iter()).all(|(left, right)| **left == **right)
    }
}

/// Reports a name that is one of the key's secrets, because names are displayed in logs.
fn check_for_secret(section: Section<'_>, name: &'static str, digests: &[Digest]) {
    let Some(text) = section.raw(name).and_then(as_text) else { return };
    if digests.contains(&Digest::of(text.value.as_bytes())) {
        let hint = "make a new key: this one stands in the file now, and names are shown in logs";
        section.report.error_with_hint(text.at, format!("`{name}` is the key itself"), hint);
    }
}

fn referrers(section: Section<'_>) -> Vec<ReferrerPattern> {
    let mut referrers = Vec::new();
    for text in section.texts("allow_referrers") {
        match ReferrerPattern::parse(text.value) {
            Ok(pattern) => referrers.push(pattern),
            Err(why) => {
                let message = format!("{} is no referrer pattern", quote(text.value));
                section.report.error_with_hint(text.at, message, why.to_string());
            }
        }
    }
    referrers
}

/// Reads the limits of the key. `"none"` is an empty list.
fn rate_limit(section: Section<'_>) -> Option<Arc<[Limit]>> {
    if !section.has("rate_limit") {
        return None;
    }
    let texts = section.text_or_texts("rate_limit");
    match texts.as_slice() {
        [Text { value: "none", .. }] => Some(Arc::default()),
        _ => Some(limits(section, &texts)),
    }
}
