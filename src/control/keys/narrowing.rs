//! The limits of a portal session: which keys it sees, and which keys it may make.

use super::error::{Result, ServiceError, Violation};
use super::rights::{everything, expiry_within, scopes_within};
use super::timestamp;
use super::validate::api_named;
use crate::config::{Config, show_duration};
use crate::keystore::StoredKey;
use crate::policy::ApiDefinition;

/// The limits of a session, besides its organisation and its permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control) struct Narrowing {
    /// The only APIs whose keys it sees and makes. `None`: all.
    pub(in crate::control) apis: Option<Vec<String>>,
    /// The only environments whose keys it sees and makes. `None`: all.
    pub(in crate::control) environments: Option<Vec<String>>,
    /// The scopes that a key may have at most. `None`: all that are defined, but not `*`.
    pub(in crate::control) scopes: Option<Vec<String>>,
    /// How long a key may last at most, in seconds from the change on. `None`: for ever.
    pub(in crate::control) max_key_lifetime: Option<i64>,
}

impl Narrowing {
    /// Returns whether all keys of the organisation are inside.
    pub(super) fn sees_all(&self) -> bool {
        self.apis.is_none() && self.environments.is_none()
    }

    /// Returns whether a key is inside: all its APIs and its environment are among those of the
    /// session. A key of an unknown environment is outside if the environments are limited.
    pub(super) fn sees(&self, key: &StoredKey) -> bool {
        let within = |list: &Option<Vec<String>>, name: &String| {
            list.as_ref().is_none_or(|list| list.contains(name))
        };
        let environment = match (&self.environments, &key.environment) {
            (Some(_), None) => false,
            (environments, Some(name)) => within(environments, name),
            (None, None) => true,
        };
        environment && key.apis.iter().all(|name| within(&self.apis, name))
    }

    /// Checks that a key means no more than the session allows. `now` is in Unix seconds.
    ///
    /// # Errors
    /// Returns [`ServiceError::Invalid`] with each setting that goes beyond the session.
    pub(super) fn check(&self, config: &Config, key: &StoredKey, now: i64) -> Result<()> {
        let mut faults = Vec::new();
        let mut fault = |member: &str, message: String| {
            faults.push(Violation { member: member.to_owned(), message });
        };
        if !(Self { environments: None, ..self.clone() }).sees(key) {
            fault("apis", "it opens an API outside this session".to_owned());
        } else if !self.sees(key) {
            fault("environment", "it is outside this session".to_owned());
        }
        let mut apis = key.apis.iter().filter_map(|name| api_named(config, name));
        if !apis.all(|api| self.covers(api, &key.scopes)) {
            fault("scopes", "a key made here may not hold all of these scopes".to_owned());
        }
        let latest = self.max_key_lifetime.map(|lifetime| now.saturating_add(lifetime));
        if let Some((latest, lifetime)) = latest.zip(self.max_key_lifetime)
            && !expiry_within(key.expires_at, Some(latest))
        {
            let lifetime = std::time::Duration::from_secs(lifetime.unsigned_abs());
            let end = timestamp::format(latest);
            let lifetime = show_duration(lifetime);
            fault("expires_at", format!("a key made here lasts {lifetime} at most: until {end}"));
        }
        if faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(faults)) }
    }

    /// Returns whether a key with these scopes does no more in an API than the session allows.
    fn covers(&self, api: &ApiDefinition, scopes: &[String]) -> bool {
        match &self.scopes {
            Some(most) => scopes_within(api, scopes, most),
            // Without defined scopes, there is nothing that a key could hold instead.
            None => api.scopes.is_empty() && scopes.is_empty() || !everything(api, scopes),
        }
    }
}
