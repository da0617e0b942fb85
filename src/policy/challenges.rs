//! The challenges that are sent to callers without a valid key.

use super::definition::{ApiDefinition, CredentialPlace};
use super::fields::line;
use super::refusal::Refusal;

/// The `WWW-Authenticate` lines of an API (RFC 9110 §11.6.1, RFC 6750 §3), built once.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    plain: Box<[u8]>,
    invalid_token: Box<[u8]>,
    invalid_request: Box<[u8]>,
    /// By index of the scope.
    insufficient_scope: Box<[Box<[u8]>]>,
}

impl Challenges {
    pub(super) fn new(api: &ApiDefinition) -> Self {
        let has = |bearer| {
            api.credentials.iter().any(|place| matches!(place, CredentialPlace::Bearer) == bearer)
        };
        let schemes: Vec<&str> = [(has(true), "Bearer"), (has(false), "ApiKey")]
            .into_iter()
            .filter_map(|(used, scheme)| used.then_some(scheme))
            .collect();
        let with = |error: &str| -> Box<[u8]> {
            let value = |scheme: &&str| {
                line(
                    "www-authenticate",
                    format!("{scheme} realm=\"{}\"{error}", api.name).as_bytes(),
                )
            };
            schemes.iter().map(value).collect::<Vec<_>>().concat().into()
        };
        Self {
            plain: with(""),
            invalid_token: with(", error=\"invalid_token\""),
            invalid_request: with(", error=\"invalid_request\""),
            insufficient_scope: api
                .scopes
                .iter()
                .map(|scope| &scope.name)
                .chain(api.key_api.iter().filter_map(|key_api| key_api.scope.as_ref()))
                .map(|scope| with(&format!(", error=\"insufficient_scope\", scope=\"{scope}\"")))
                .collect(),
        }
    }

    /// Returns the lines for the response to this refusal. `distinguish`: whether the API discloses
    /// the reason.
    pub(super) fn of(&self, refusal: Refusal, distinguish: bool) -> &[u8] {
        match refusal {
            _ if refusal.is_missing_credential()
                || (!distinguish && refusal.is_about_credential()) =>
            {
                &self.plain
            }
            _ if refusal.is_invalid_token() => &self.invalid_token,
            Refusal::AmbiguousCredential | Refusal::MalformedCredential => &self.invalid_request,
            Refusal::InsufficientScope(scope) => {
                self.insufficient_scope.get(scope).map_or(&[], |lines| lines)
            }
            _ => &[],
        }
    }
}
