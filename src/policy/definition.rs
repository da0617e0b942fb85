//! The contents of an `[[api]]` table, validated.

use std::sync::Arc;

use http::HeaderName;

use super::cors::CorsDefinition;
use super::hidden::Hidden;
use super::key_api::KeyApi;
use super::pattern::Pattern;
use super::quota::Limit;
use super::scope::Scope;

/// The contents of an `[[api]]` table, validated. Input of [`Api::new`](super::Api::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiDefinition {
    /// The unique name, used as the realm of challenges and as the `api` label of metrics.
    pub name: Arc<str>,
    /// Host names in lower case, without port. Empty: any host.
    pub hosts: Vec<Box<str>>,
    /// The base path: `/`, or a path without a trailing `/`.
    pub base_path: Box<str>,
    /// Credential locations, at least one.
    pub credentials: Vec<CredentialPlace>,
    /// Environments of keys. Empty: keys may have any form and belong to no environment.
    pub environments: Vec<Environment>,
    /// Scopes in file order, at most [`ScopeSet::CAPACITY`](super::ScopeSet::CAPACITY).
    pub scopes: Vec<Scope>,
    /// Endpoints that need no key.
    pub public: Vec<Pattern>,
    /// Credentials that the upstream checks itself.
    pub pass_through: Vec<PassThrough>,
    /// Endpoints that pass-through credentials open.
    pub pass_through_allows: Vec<Pattern>,
    /// The format of errors.
    pub errors: ErrorStyle,
    /// Whether a 401 response discloses its reason.
    pub errors_distinguish: bool,
    /// The meaning of an empty list of scopes.
    pub empty_scopes: EmptyScopes,
    /// Whether paths match regardless of letter case.
    pub case_insensitive_paths: bool,
    /// The format of `X-RateLimit-Reset`.
    pub rate_limit_reset: ResetStyle,
    /// Whether to also send the `RateLimit` fields of the IETF draft.
    pub rate_limit_draft: bool,
    /// The limits of keys that have none of their own. Empty: no limit.
    pub rate_limit: Arc<[Limit]>,
    /// Fields that replace the client's own towards the upstream: each name with its complete
    /// header line. The values may be secrets, and are in memory only once.
    pub upstream_headers: Vec<(HeaderName, Arc<Hidden>)>,
    /// The API's key endpoints. `None`: every path belongs to the upstream.
    pub key_api: Option<KeyApi>,
    /// How long before its expiry a key counts as expiring soon, in seconds.
    pub expiry_warning: u64,
    /// Whether responses to a key that expires soon include `X-Keygate-Key-Expires`.
    pub expiry_header: bool,
    /// Fields that are forwarded from trusted proxies, and removed from all other requests.
    pub proxy_headers: Vec<HeaderName>,
    /// CORS settings. `None`: Keygate sends no CORS fields.
    pub cors: Option<CorsDefinition>,
}

/// A location of the API key in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialPlace {
    /// `Authorization: Bearer KEY` (RFC 6750 §2.1).
    Bearer,
    /// A separate header field, such as `X-API-Key`.
    Header(HeaderName),
}

impl CredentialPlace {
    /// Returns the name of the header field that carries the key.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        match self {
            Self::Bearer => &http::header::AUTHORIZATION,
            Self::Header(name) => name,
        }
    }
}

/// A credential that is not an API key, and that the upstream checks itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassThrough {
    /// A header field with this name.
    Header(HeaderName),
    /// A cookie with this name.
    Cookie(Box<str>),
}

/// An environment that keys belong to by their prefix, such as `live` or `test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The name, as sent to the upstream.
    pub name: Box<str>,
    /// The prefix of its keys.
    pub prefix: Box<str>,
}

/// The format of an API's errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorStyle {
    /// `application/problem+json` (RFC 9457).
    #[default]
    Problem,
    /// `{"detail": …}`.
    Detail,
    /// `{"success": false, "message": …}`.
    Envelope,
}

/// The meaning of an empty list of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmptyScopes {
    /// The key may do nothing.
    #[default]
    None,
    /// The key may do everything.
    All,
}

/// The format of `X-RateLimit-Reset`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResetStyle {
    /// Seconds from now.
    #[default]
    Seconds,
    /// Seconds since the Unix epoch.
    Epoch,
}
