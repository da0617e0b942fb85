//! Validates requests against the running configuration. The parsers of `gateway.toml` also parse
//! the entries of lists.

use super::error::{Result, ServiceError, Violation};
use super::model::{KeyChange, NewKey};
use super::timestamp;
use crate::config::{Config, MAX_LIMITS, parse_limit};
use crate::keystore::StoredKey;
use crate::policy::{AddressRange, ApiDefinition, Digest, Pattern, ReferrerPattern, is_new_key};
use crate::text::fault_in_name;

/// Limit of a name, in characters.
const LONGEST_NAME: usize = 200;
/// Limit of an organisation's name, in bytes. It is the same in the file.
const LONGEST_ORGANIZATION: usize = 1024;
/// Limit of the entries in a list of restrictions. Each request is checked against all of them.
const LONGEST_LIST: usize = 100;

/// Returns whether a word of the text has the form of a key that was made here.
fn contains_new_key(text: &str) -> bool {
    let separates = |char: char| !char.is_ascii_alphanumeric() && char != '_' && char != '-';
    text.split(separates).any(|word| is_new_key(word.as_bytes()))
}

/// The settings of a key, validated.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckedKey {
    pub(super) name: String,
    pub(super) organization: Option<String>,
    pub(super) apis: Vec<String>,
    pub(super) environment: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) allow_ips: Vec<String>,
    pub(super) allow_referrers: Vec<String>,
    pub(super) allow_endpoints: Vec<String>,
    pub(super) rate_limit: Option<Vec<String>>,
    pub(super) expires_at: Option<i64>,
}

/// All faults of a request, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Validation(Vec<Violation>);

impl Validation {
    pub(super) fn fault(&mut self, member: &str, message: impl Into<String>) {
        self.0.push(Violation { member: member.to_owned(), message: message.into() });
    }

    /// Ends the validation.
    ///
    /// # Errors
    /// Returns [`ServiceError::Invalid`] with all faults, if there are any.
    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(self.0)) }
    }

    pub(super) fn name(&mut self, name: &str) {
        self.text_for_people("name", name);
    }

    /// Checks a text that people and logs are shown.
    pub(super) fn text_for_people(&mut self, member: &str, text: &str) {
        if !(1..=LONGEST_NAME).contains(&text.chars().count()) {
            self.fault(member, format!("a name has 1 to {LONGEST_NAME} characters"));
        } else if let Some(fault) = fault_in_name(text) {
            self.fault(member, format!("the name {fault}"));
        } else if contains_new_key(text) {
            self.fault(member, "the name contains a key, and names are shown in logs");
        }
    }

    pub(super) fn organization(&mut self, name: &str) {
        if !(1..=LONGEST_ORGANIZATION).contains(&name.len()) {
            let message =
                format!("the name of an organization has 1 to {LONGEST_ORGANIZATION} bytes");
            self.fault("organization", message);
        } else if let Some(fault) = fault_in_name(name) {
            self.fault("organization", format!("the name of the organization {fault}"));
        } else if contains_new_key(name) {
            self.fault("organization", "the name contains a key, and names are shown in logs");
        }
    }

    /// Returns the definitions of the APIs with these names. `names` may be `None` only while there
    /// is one API.
    pub(super) fn apis<'c>(
        &mut self,
        config: &'c Config,
        names: Option<&[String]>,
    ) -> Vec<&'c ApiDefinition> {
        let all = || config.apis.iter().map(|api| &api.definition);
        let Some(names) = names else {
            if config.apis.len() > 1 {
                self.fault("apis", "there are several APIs; name those that the key opens");
            }
            return all().take(1).collect();
        };
        if names.is_empty() {
            self.fault("apis", "an empty list opens nothing");
        }
        let mut found: Vec<&ApiDefinition> = Vec::new();
        for (index, name) in names.iter().enumerate().take(config.apis.len() + 1) {
            let member = format!("apis[{index}]");
            match all().find(|api| *api.name == **name) {
                Some(api) if found.iter().any(|other| other.name == api.name) => {
                    self.fault(&member, "it stands twice")
                }
                Some(api) => found.push(api),
                None => self.fault(&member, "there is no API of this name"),
            }
        }
        found
    }

    /// Returns the environment of a key of these APIs: the named one, or the only one, or else
    /// `live`. Returns `None` if the APIs have no environments, or after a fault.
    fn environment(&mut self, apis: &[&ApiDefinition], named: Option<&str>) -> Option<String> {
        let with_environments: Vec<_> =
            apis.iter().filter(|api| !api.environments.is_empty()).collect();
        let Some(first) = with_environments.first() else {
            if named.is_some() && !apis.is_empty() {
                self.fault("environment", "its APIs have no environments");
            }
            return None;
        };
        let names = || first.environments.iter().map(|environment| &*environment.name);
        let name = match named {
            Some(name) => name,
            None if first.environments.len() == 1 => &first.environments[0].name,
            None if names().any(|name| name == "live") => "live",
            None => {
                self.fault(
                    "environment",
                    format!("name one of: {}", names().collect::<Vec<_>>().join(", ")),
                );
                return None;
            }
        };
        let prefix_in = |api: &ApiDefinition| {
            api.environments
                .iter()
                .find(|environment| *environment.name == *name)
                .map(|environment| environment.prefix.clone())
        };
        let Some(prefix) = prefix_in(first) else {
            self.fault(
                "environment",
                format!(
                    "there is no such environment; name one of: {}",
                    names().collect::<Vec<_>>().join(", ")
                ),
            );
            return None;
        };
        for api in &with_environments[1..] {
            if prefix_in(api).as_ref() != Some(&prefix) {
                self.fault(
                    "environment",
                    format!(
                        "keys of it start with `{prefix}` in `{}`, but not in `{}`",
                        first.name, api.name
                    ),
                );
            }
        }
        Some(name.to_owned())
    }

    /// Checks that no scope is repeated, and that each is `*` or defined by one of these APIs.
    /// Accepts any scope if there are no APIs, because none of the key's APIs exists any more.
    pub(super) fn scopes(&mut self, apis: &[&ApiDefinition], scopes: &[String]) {
        for (index, scope) in scopes.iter().enumerate() {
            let member = format!("scopes[{index}]");
            if scopes[..index].contains(scope) {
                self.fault(&member, "it stands twice");
                // A long list of duplicates must not cause a long response.
                return;
            }
            if scope != "*" && !apis.is_empty() && !apis.iter().any(|api| defines(api, scope)) {
                self.fault(&member, "no API of this key defines this scope");
            }
        }
    }

    fn list<T, E: ToString>(
        &mut self,
        member: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) {
        if texts.len() > LONGEST_LIST {
            return self.fault(member, format!("it has at most {LONGEST_LIST} entries"));
        }
        for (index, text) in texts.iter().enumerate() {
            if let Err(why) = parse(text) {
                self.fault(&format!("{member}[{index}]"), why.to_string());
            }
        }
    }

    fn restrictions(&mut self, addresses: &[String], referrers: &[String], endpoints: &[String]) {
        self.list("allow_ips", addresses, AddressRange::parse);
        self.list("allow_referrers", referrers, ReferrerPattern::parse);
        self.list("allow_endpoints", endpoints, Pattern::parse);
    }

    fn rate_limit(&mut self, texts: &[String]) {
        if texts.len() > MAX_LIMITS {
            return self.fault("rate_limit", format!("there are at most {MAX_LIMITS} limits"));
        }
        let mut windows = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match parse_limit(text) {
                Ok(limit) if windows.contains(&limit.window) => {
                    self.fault(
                        &format!("rate_limit[{index}]"),
                        "another limit has the same window; the lower one would do",
                    );
                }
                Ok(limit) => windows.push(limit.window),
                Err(why) => self.fault(&format!("rate_limit[{index}]"), why),
            }
        }
    }

    pub(super) fn expiry(&mut self, text: &str, now: i64) -> Option<i64> {
        let moment = timestamp::parse(text);
        match moment {
            None => self.fault(
                "expires_at",
                "write a date with time and offset as RFC 3339 has it, such as \
                    `2027-03-31T23:59:59Z`, up to the year 9999",
            ),
            Some(moment) if moment <= now => self.fault("expires_at", "this moment is over"),
            Some(_) => {}
        }
        moment
    }

    /// Parses a digest. The text may be a secret, so the fault does not repeat it.
    pub(super) fn digest(&mut self, text: &str) -> Option<Digest> {
        let digest = Digest::from_hex(text);
        if digest.is_none() {
            self.fault(
                "sha256",
                "a digest has 64 lower-case hexadecimal digits; it is not the key itself",
            );
        }
        digest
    }

    /// Validates all settings of a new key.
    pub(super) fn new_key(&mut self, config: &Config, new: NewKey, now: i64) -> CheckedKey {
        self.name(&new.name);
        if let Some(organization) = &new.organization {
            self.organization(organization);
        }
        let apis = self.apis(config, new.apis.as_deref());
        let environment = self.environment(&apis, new.environment.as_deref());
        self.scopes(&apis, &new.scopes);
        self.restrictions(&new.allow_ips, &new.allow_referrers, &new.allow_endpoints);
        self.rate_limit(new.rate_limit.as_deref().unwrap_or_default());
        let expires_at = new.expires_at.as_deref().and_then(|text| self.expiry(text, now));
        CheckedKey {
            name: new.name,
            organization: new.organization,
            apis: apis.iter().map(|api| api.name.to_string()).collect(),
            environment,
            scopes: new.scopes,
            allow_ips: new.allow_ips,
            allow_referrers: new.allow_referrers,
            allow_endpoints: new.allow_endpoints,
            rate_limit: new.rate_limit,
            expires_at,
        }
    }

    /// Returns a key with a change applied. Validates only what the change sets: the other settings
    /// may predate the configuration.
    pub(super) fn changed(
        &mut self,
        config: &Config,
        key: &StoredKey,
        change: KeyChange,
        now: i64,
    ) -> StoredKey {
        let mut new = key.clone();
        if let Some(name) = change.name {
            self.name(&name);
            new.name = name;
        }
        if let Some(scopes) = change.scopes {
            let apis: Vec<_> = key.apis.iter().filter_map(|name| api_named(config, name)).collect();
            self.scopes(&apis, &scopes);
            new.scopes = scopes;
        }
        self.restrictions(
            change.allow_ips.as_deref().unwrap_or_default(),
            change.allow_referrers.as_deref().unwrap_or_default(),
            change.allow_endpoints.as_deref().unwrap_or_default(),
        );
        new.allow_ips = change.allow_ips.unwrap_or(new.allow_ips);
        new.allow_referrers = change.allow_referrers.unwrap_or(new.allow_referrers);
        new.allow_endpoints = change.allow_endpoints.unwrap_or(new.allow_endpoints);
        if let Some(rate_limit) = change.rate_limit {
            self.rate_limit(rate_limit.as_deref().unwrap_or_default());
            new.rate_limit = rate_limit;
        }
        if let Some(expires_at) = change.expires_at {
            new.expires_at = expires_at.and_then(|text| self.expiry(&text, now));
            for secret in &mut new.secrets {
                secret.ends_at =
                    secret.ends_at.map(|end| end.min(new.expires_at.unwrap_or(i64::MAX)));
            }
        }
        new
    }
}

/// Returns the API with this name.
pub(super) fn api_named<'c>(config: &'c Config, name: &str) -> Option<&'c ApiDefinition> {
    config.apis.iter().map(|api| &api.definition).find(|api| *api.name == *name)
}

/// Returns whether an API defines a scope. Callers handle `*`, which applies to every API.
pub(super) fn defines(api: &ApiDefinition, scope: &str) -> bool {
    api.scopes.iter().any(|known| *known.name == *scope)
        || api.key_api.as_ref().is_some_and(|key_api| key_api.scope.as_deref() == Some(scope))
}
