//! The form of a key: how it is filled, read and shown again with what is wrong.

use super::facts::apis_of;
use super::form::Fields;
use super::signed::Signed;
use super::view::{
    AccessField, Choice, ExpiryField, Field, KeyForm, Moment, ScopeChoice, ScopeGroup, Texts,
};
use crate::config::Config;
use crate::control::keys::{KeyView, Narrowing, Violation, format_time};
use crate::policy::{ApiDefinition, EmptyScopes};

const DAY: i64 = 86_400;
/// How many days a key can be asked to last.
const LIFETIMES: [i64; 3] = [30, 90, 365];

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) apis: Vec<String>,
    pub(super) environment: String,
    pub(super) full_access: bool,
    pub(super) scopes: Vec<String>,
    pub(super) expiry: String,
    pub(super) expiry_date: String,
    pub(super) addresses: String,
    pub(super) referrers: String,
    pub(super) endpoints: String,
    pub(super) limit: String,
}

impl Typed {
    /// Reads what was typed.
    pub(super) fn read(fields: &Fields) -> Self {
        let all = |name| fields.all(name).map(str::to_owned).collect();
        let text = |name| fields.text(name).to_owned();
        Self {
            name: fields.text("name").trim().to_owned(),
            apis: all("api"),
            environment: text("environment"),
            full_access: fields.is_set("full_access"),
            scopes: all("scope"),
            expiry: text("expiry"),
            expiry_date: text("expiry_date"),
            addresses: text("allow_ips"),
            referrers: text("allow_referrers"),
            endpoints: text("allow_endpoints"),
            limit: text("rate_limit"),
        }
    }

    /// Returns how a key is.
    pub(super) fn of(key: &KeyView) -> Self {
        Self {
            name: key.name.clone(),
            apis: key.apis.clone(),
            environment: key.environment.clone().unwrap_or_default(),
            full_access: key.scopes.iter().any(|scope| scope == "*"),
            scopes: key.scopes.clone(),
            expiry: if key.expires_at.is_some() { "keep" } else { "never" }.to_owned(),
            expiry_date: String::new(),
            addresses: key.allow_ips.join("\n"),
            referrers: key.allow_referrers.join("\n"),
            endpoints: key.allow_endpoints.join("\n"),
            limit: key.rate_limit.as_ref().map(|limits| limits.join(", ")).unwrap_or_default(),
        }
    }

    /// Returns the scopes of the key.
    pub(super) fn scopes(&self) -> Vec<String> {
        if self.full_access { vec!["*".to_owned()] } else { self.scopes.clone() }
    }

    /// Returns the limits of the key, or `None` for those of its APIs.
    pub(super) fn limits(&self) -> Option<Vec<String>> {
        let limits: Vec<String> = self
            .limit
            .split(',')
            .map(|limit| limit.trim().to_owned())
            .filter(|limit| !limit.is_empty())
            .collect();
        (!limits.is_empty()).then_some(limits)
    }

    /// Returns when the key expires. `Ok(None)` is never.
    ///
    /// # Errors
    /// Returns what is wrong with the choice.
    pub(super) fn expires_at(
        &self,
        texts: &Texts,
        now: i64,
        kept: Option<&str>,
    ) -> Result<Option<String>, String> {
        match self.expiry.as_str() {
            "never" => Ok(None),
            "keep" => Ok(kept.map(str::to_owned)),
            // The key works to the end of the day.
            "date" if !self.expiry_date.is_empty() => {
                Ok(Some(format!("{}T23:59:59Z", self.expiry_date)))
            }
            "date" => Err(texts.no_date.to_string()),
            choice => {
                let days = choice.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
                let days = days.filter(|days| LIFETIMES.contains(days));
                let days = days.ok_or_else(|| texts.no_expiry.to_string())?;
                Ok(Some(format_time(now.saturating_add(days * DAY))))
            }
        }
    }
}

/// Returns the lines that hold something, without the white space around them.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The faults of a form.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Violation>);

impl Faults {
    /// Returns what is wrong with a member of the key, if anything is.
    fn of(&self, member: &str) -> Option<String> {
        let concerns = |violation: &&Violation| violation.member.split('[').next() == Some(member);
        let faults: Vec<String> = self.0.iter().filter(concerns).map(sentence).collect();
        (!faults.is_empty()).then(|| faults.join(" "))
    }
}

/// Returns a fault as a sentence. Faults of lists say which entry they are about.
fn sentence(violation: &Violation) -> String {
    let entry = violation
        .member
        .split_once('[')
        .and_then(|(_, rest)| rest.strip_suffix(']')?.parse::<usize>().ok());
    let mut message = violation.message.clone();
    if let Some(first) = message.get(..1).map(str::to_uppercase) {
        message.replace_range(..1, &first);
    }
    match entry {
        Some(entry) => format!("Line {}: {message}.", entry + 1),
        None => format!("{message}."),
    }
}

/// Returns the form with what was typed and what is wrong. `edited` is the key that is changed, or
/// `None` for a new one.
pub(super) fn shown(
    signed: &Signed,
    typed: &Typed,
    faults: &Faults,
    edited: Option<&KeyView>,
) -> KeyForm {
    let config = signed.state.config();
    let none = Narrowing::default();
    let narrowing = signed.actor.narrowing().unwrap_or(&none);
    let permitted = permitted_apis(&config, narrowing);
    let apis = match edited {
        Some(key) => apis_of(&config, &key.apis),
        None => permitted.clone(),
    };
    let with_error =
        |value: &str, member| Field { value: value.to_owned(), error: faults.of(member) };
    let is_new = edited.is_none();
    let limits: Vec<String> =
        apis.iter().flat_map(|api| api.rate_limit.iter()).map(ToString::to_string).collect();
    KeyForm {
        name: with_error(&typed.name, "name"),
        apis: (is_new && permitted.len() > 1).then(|| api_choices(&permitted, typed)),
        apis_error: faults.of("apis"),
        environments: if is_new {
            environment_choices(&apis, narrowing, typed, signed.texts())
        } else {
            None
        },
        environments_error: faults.of("environment"),
        access: access_field(&apis, narrowing, typed, faults),
        expiry: expiry_field(signed, narrowing, typed, faults, edited),
        addresses: with_error(&typed.addresses, "allow_ips"),
        referrers: with_error(&typed.referrers, "allow_referrers"),
        endpoints: with_error(&typed.endpoints, "allow_endpoints"),
        limit: with_error(&typed.limit, "rate_limit"),
        usual_limit: (!limits.is_empty()).then(|| limits.join(", ")),
    }
}

/// Returns the APIs that a session can make keys for.
pub(super) fn permitted_apis<'c>(
    config: &'c Config,
    narrowing: &Narrowing,
) -> Vec<&'c ApiDefinition> {
    let is_inside = |api: &&ApiDefinition| {
        narrowing.apis.as_ref().is_none_or(|apis| apis.iter().any(|name| **name == *api.name))
    };
    config.apis.iter().map(|api| &api.definition).filter(is_inside).collect()
}

fn api_choices(permitted: &[&ApiDefinition], typed: &Typed) -> Vec<Choice> {
    let is_chosen = |name: &str| typed.apis.iter().any(|chosen| chosen == name);
    permitted.iter().map(|api| Choice::of(&api.name, &api.name, is_chosen(&api.name))).collect()
}

/// Returns the environments to choose from, or `None` if there is nothing to choose. The first one
/// is chosen if nothing was typed: that of `test`, if there is one, because it harms least.
fn environment_choices(
    apis: &[&ApiDefinition],
    narrowing: &Narrowing,
    typed: &Typed,
    texts: &Texts,
) -> Option<Vec<Choice>> {
    let mut names: Vec<&str> = Vec::new();
    for environment in apis.iter().flat_map(|api| &api.environments) {
        let is_inside = narrowing
            .environments
            .as_ref()
            .is_none_or(|environments| environments.iter().any(|name| **name == *environment.name));
        if is_inside && !names.contains(&&*environment.name) {
            names.push(&environment.name);
        }
    }
    if names.len() < 2 && narrowing.environments.is_none() || names.is_empty() {
        return None;
    }
    let usual = names.iter().find(|name| **name == "test").or(names.first()).copied();
    let chosen = if typed.environment.is_empty() { usual } else { Some(&*typed.environment) };
    let choice = |name: &str| Choice {
        hint: match name {
            "test" => Some(texts.environment_test_hint.to_string()),
            "live" => Some(texts.environment_live_hint.to_string()),
            _ => None,
        },
        ..Choice::of(name, name, chosen == Some(name))
    };
    Some(names.into_iter().map(choice).collect())
}

fn access_field(
    apis: &[&ApiDefinition],
    narrowing: &Narrowing,
    typed: &Typed,
    faults: &Faults,
) -> AccessField {
    let may_hold = |name: &str| {
        narrowing
            .scopes
            .as_ref()
            .is_none_or(|scopes| scopes.iter().any(|scope| scope == name || scope == "*"))
    };
    let mut groups: Vec<ScopeGroup> = Vec::new();
    for scope in apis.iter().flat_map(|api| &api.scopes).filter(|scope| may_hold(&scope.name)) {
        let resource = scope.name.split([':', '.']).next().unwrap_or_default();
        let choice = ScopeChoice {
            name: scope.name.to_string(),
            description: Some(scope.description.to_string()).filter(|text| !text.is_empty()),
            endpoints: scope.allows.iter().map(ToString::to_string).collect(),
            chosen: typed.scopes.iter().any(|chosen| **chosen == *scope.name),
        };
        match groups.iter_mut().find(|group| group.resource == resource) {
            Some(group) => group.scopes.push(choice),
            None => groups.push(ScopeGroup { resource: resource.to_owned(), scopes: vec![choice] }),
        }
    }
    let names_all = narrowing.scopes.as_ref().is_some_and(|scopes| scopes.iter().any(|s| s == "*"));
    let all_by_default = apis.iter().any(|api| api.empty_scopes == EmptyScopes::All);
    AccessField {
        full_offered: names_all && !groups.is_empty(),
        full: if groups.is_empty() { all_by_default } else { typed.full_access },
        groups,
        error: faults.of("scopes"),
    }
}

fn expiry_field(
    signed: &Signed,
    narrowing: &Narrowing,
    typed: &Typed,
    faults: &Faults,
    edited: Option<&KeyView>,
) -> ExpiryField {
    let (texts, now) = (signed.texts(), signed.state.now());
    let most = narrowing.max_key_lifetime;
    let day = |unix: i64| {
        let mut text = format_time(unix);
        text.truncate("2026-11-28".len());
        text
    };
    let mut choices = Vec::new();
    if let Some(at) = edited.and_then(|key| key.expires_at.as_deref()) {
        let hint = Some(Moment::new(at.get(..10).unwrap_or(at)).text);
        choices.push(Choice { hint, ..Choice::of("keep", &texts.expiry_keep, false) });
    }
    let labels = [&texts.expiry_30_days, &texts.expiry_90_days, &texts.expiry_365_days];
    for (days, label) in LIFETIMES.into_iter().zip(labels) {
        if most.is_none_or(|most| days * DAY <= most) {
            let hint = Some(Moment::new(&day(now + days * DAY)).text);
            choices.push(Choice { hint, ..Choice::of(&format!("{days}d"), label, false) });
        }
    }
    choices.push(Choice::of("date", &texts.expiry_date, false));
    if most.is_none() {
        choices.push(Choice::of("never", &texts.expiry_never, false));
    }
    let usual = if typed.expiry.is_empty() { "90d" } else { &*typed.expiry };
    let chosen = choices.iter().position(|choice| choice.value == usual).unwrap_or(0);
    choices[chosen].chosen = true;
    ExpiryField {
        choices,
        date: typed.expiry_date.clone(),
        earliest: Some(day(now)),
        latest: most.map(|most| day(now.saturating_add(most) - DAY)),
        error: faults.of("expires_at"),
    }
}
