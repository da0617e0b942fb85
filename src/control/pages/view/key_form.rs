//! The form of a key: what was typed, what may be chosen, and what is asked for in sentences.

use super::{Choice, Field, FormError, Texts};

/// Everything that a key may be given. Groups that are empty or `None` are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct KeyForm {
    /// Field `name`.
    pub(in crate::control::pages) name: Field,
    /// Fields `api`, several at once. `None` where there is one API, or nothing to choose.
    pub(in crate::control::pages) apis: Option<Vec<Choice>>,
    /// What is wrong with the APIs. Only where they are shown.
    pub(in crate::control::pages) apis_error: Option<String>,
    /// Field `environment`. `None` where there is nothing to choose.
    pub(in crate::control::pages) environments: Option<Vec<Choice>>,
    /// What is wrong with the environment. Only where it is shown.
    pub(in crate::control::pages) environments_error: Option<String>,
    /// Fields `full_access` and `scope`.
    pub(in crate::control::pages) access: AccessField,
    /// Fields `expiry` and `expiry_date`.
    pub(in crate::control::pages) expiry: ExpiryField,
    /// Field `allow_ips`, one a line.
    pub(in crate::control::pages) addresses: Field,
    /// Field `allow_referrers`, one a line.
    pub(in crate::control::pages) referrers: Field,
    /// Field `allow_endpoints`, one a line.
    pub(in crate::control::pages) endpoints: Field,
    /// Field `rate_limit`, such as `100/min`, several separated by commas; empty: the API's.
    pub(in crate::control::pages) limit: Field,
    /// What applies without a limit of the key's own, such as `100/min`.
    pub(in crate::control::pages) usual_limit: Option<String>,
}

/// What the key may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct AccessField {
    /// Whether full access can be chosen.
    pub(in crate::control::pages) full_offered: bool,
    /// Whether it is: by choice, or because there are no scopes to choose from.
    pub(in crate::control::pages) full: bool,
    /// Scopes by resource.
    pub(in crate::control::pages) groups: Vec<ScopeGroup>,
    /// What is wrong with the choice.
    pub(in crate::control::pages) error: Option<String>,
}

/// The scopes of one resource, such as `tickets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct ScopeGroup {
    /// What they have in common.
    pub(in crate::control::pages) resource: String,
    /// One each, such as `tickets:read`.
    pub(in crate::control::pages) scopes: Vec<ScopeChoice>,
}

/// A scope that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct ScopeChoice {
    /// Such as `tickets:read`.
    pub(in crate::control::pages) name: String,
    /// What it is for.
    pub(in crate::control::pages) description: Option<String>,
    /// What it opens, such as `GET /api/v1/tickets`.
    pub(in crate::control::pages) endpoints: Vec<String>,
    /// Whether it is asked for.
    pub(in crate::control::pages) chosen: bool,
}

/// When the key stops working.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct ExpiryField {
    /// Values `30d`, `90d`, `365d`, `date`, `never`, or `keep` when a key is edited; only those
    /// that are allowed. The hint of one with a fixed day is that day, such as `26 Feb 2027`.
    pub(in crate::control::pages) choices: Vec<Choice>,
    /// The day typed for `date`, such as `2027-02-26`.
    pub(in crate::control::pages) date: String,
    /// The first day that may be typed.
    pub(in crate::control::pages) earliest: Option<String>,
    /// The last day that may be typed.
    pub(in crate::control::pages) latest: Option<String>,
    /// What is wrong with the choice or the day.
    pub(in crate::control::pages) error: Option<String>,
}

impl ExpiryField {
    /// The day on which the key ends, or `None` if it never does or nothing is chosen.
    fn day(&self) -> Option<&str> {
        let chosen = self.choices.iter().find(|choice| choice.chosen)?;
        match chosen.value.as_str() {
            "never" => None,
            "date" => Some(self.date.trim()).filter(|day| !day.is_empty()),
            _ => chosen.hint.as_deref(),
        }
    }

    /// Whether the key is to work for ever.
    fn never(&self) -> bool {
        self.choices.iter().any(|choice| choice.chosen && choice.value == "never")
    }

    /// Whether a day can be typed.
    pub(in crate::control::pages) fn dates(&self) -> bool {
        self.choices.iter().any(|choice| choice.value == "date")
    }

    /// The value that is chosen, or "".
    pub(in crate::control::pages) fn value(&self) -> &str {
        let chosen = self.choices.iter().find(|choice| choice.chosen);
        chosen.map_or("", |choice| choice.value.as_str())
    }
}

impl AccessField {
    /// The scopes that are asked for.
    pub(in crate::control::pages) fn chosen(&self) -> Vec<&str> {
        let all = self.groups.iter().flat_map(|group| &group.scopes);
        all.filter(|scope| scope.chosen).map(|scope| scope.name.as_str()).collect()
    }
}

impl KeyForm {
    /// All mistakes, in the order of the fields.
    pub(in crate::control::pages) fn errors(&self) -> Vec<FormError<'_>> {
        FormError::of(&[
            ("name", &self.name.error),
            ("apis", &self.apis_error),
            ("environments", &self.environments_error),
            ("access", &self.access.error),
            ("expiry", &self.expiry.error),
            ("allow_ips", &self.addresses.error),
            ("allow_referrers", &self.referrers.error),
            ("allow_endpoints", &self.endpoints.error),
            ("rate_limit", &self.limit.error),
        ])
    }

    /// Whether one of the settings that are folded away is in use or wrong.
    pub(in crate::control::pages) fn restricted(&self) -> bool {
        let fields = [&self.addresses, &self.referrers, &self.endpoints, &self.limit];
        fields.iter().any(|field| !field.value.trim().is_empty() || field.error.is_some())
    }

    /// The chosen environment, or "".
    pub(in crate::control::pages) fn environment(&self) -> &str {
        let choices = self.environments.as_deref().unwrap_or_default();
        choices.iter().find(|choice| choice.chosen).map_or("", |choice| choice.value.as_str())
    }

    /// The chosen APIs.
    pub(in crate::control::pages) fn chosen_apis(&self) -> Vec<&str> {
        let choices = self.apis.as_deref().unwrap_or_default();
        choices.iter().filter(|choice| choice.chosen).map(|choice| choice.value.as_str()).collect()
    }

    /// What is asked for, in short sentences. The script makes the same ones while one types.
    pub(in crate::control::pages) fn sentences(&self, texts: &Texts) -> String {
        let mut said = vec![texts.sentence_name.replace("{name}", self.name.value.trim())];
        let mut say = |text: &str, mark: &str, values: &[&str]| {
            if !values.is_empty() {
                said.push(text.replace(mark, &values.join(", ")));
            }
        };
        let environment = Some(self.environment()).filter(|name| !name.is_empty());
        say(&texts.sentence_environment, "{environment}", environment.as_slice());
        say(&texts.sentence_apis, "{apis}", &self.chosen_apis());
        let scopes = self.access.chosen();
        match (self.access.full, scopes.is_empty()) {
            (true, _) => say(&texts.sentence_full_access, "{}", &[""]),
            (false, true) => say(&texts.sentence_no_scopes, "{}", &[""]),
            (false, false) => say(&texts.sentence_scopes, "{scopes}", &scopes),
        }
        say(&texts.sentence_expires, "{day}", self.expiry.day().as_slice());
        if self.expiry.never() {
            say(&texts.sentence_never_expires, "{}", &[""]);
        }
        say(&texts.sentence_addresses, "{addresses}", &self.addresses.lines());
        say(&texts.sentence_referrers, "{referrers}", &self.referrers.lines());
        say(&texts.sentence_endpoints, "{endpoints}", &self.endpoints.lines());
        say(&texts.sentence_limit, "{limit}", &self.limit.lines());
        said.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_said_in_sentences() {
        let mut form = KeyForm { name: Field::of(" CRM Integration "), ..KeyForm::default() };
        form.environments = Some(vec![Choice::of("live", "Live", true)]);
        form.access.groups = vec![ScopeGroup {
            resource: "tickets".into(),
            scopes: vec![ScopeChoice {
                name: "tickets:read".into(),
                description: None,
                endpoints: Vec::new(),
                chosen: true,
            }],
        }];
        form.expiry.choices = vec![Choice::of("never", "Never", true)];
        form.addresses = Field::of("203.0.113.0/24\n2001:db8::/48\n");
        let sentences = form.sentences(&Texts::default());
        assert_eq!(
            sentences,
            "This makes the key “CRM Integration”. It is a live key. It may use tickets:read. \
             It never expires. It works only from 203.0.113.0/24, 2001:db8::/48."
        );
    }

    #[test]
    fn mistakes_are_listed_in_the_order_of_the_fields() {
        let mut form = KeyForm::default();
        form.limit.error = Some("Not a limit.".into());
        form.name.error = Some("Give the key a name.".into());
        let fields: Vec<_> = form.errors().iter().map(|error| error.field).collect();
        assert_eq!(fields, ["name", "rate_limit"]);
        assert!(form.restricted());
    }
}
