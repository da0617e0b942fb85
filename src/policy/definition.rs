//! What an `[[api]]` block says, checked.

use std::sync::Arc;

use http::HeaderName;

use super::cors::CorsDefinition;
use super::hidden::Hidden;
use super::key_api::KeyApi;
use super::pattern::Pattern;
use super::quota::Limit;
use super::scope::Scope;

/// An `[[api]]` block, checked; what [`Api::new`](super::Api::new) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiDefinition {
    /// Unique; the realm of its challenges and the `api` label of its metrics.
    pub name: Arc<str>,
    /// Host names in lower case, without port; empty: any host.
    pub hosts: Vec<Box<str>>,
    /// `/`, or a path without a final `/`.
    pub base_path: Box<str>,
    /// At least one.
    pub credentials: Vec<CredentialPlace>,
    /// Empty: keys of any form, and no environment.
    pub environments: Vec<Environment>,
    /// In file order, at most [`ScopeSet::CAPACITY`](super::ScopeSet::CAPACITY).
    pub scopes: Vec<Scope>,
    /// Endpoints that need no key.
    pub public: Vec<Pattern>,
    /// Credentials that the upstream checks itself.
    pub pass_through: Vec<PassThrough>,
    /// The endpoints that they open.
    pub pass_through_allows: Vec<Pattern>,
    /// How errors look.
    pub errors: ErrorStyle,
    /// Whether the reason of a 401 is told.
    pub errors_distinguish: bool,
    /// What no scopes means.
    pub empty_scopes: EmptyScopes,
    /// Whether paths match in any letter case.
    pub case_insensitive_paths: bool,
    /// How the reset moment is told.
    pub rate_limit_reset: ResetStyle,
    /// Whether the `RateLimit` fields of the IETF draft are sent too.
    pub rate_limit_draft: bool,
    /// The limit of keys that have none of their own; empty: none.
    pub rate_limit: Arc<[Limit]>,
    /// Set towards the upstream after the client's own are gone: names, and whole lines as they are
    /// sent. The values may be secrets, and stand in memory once.
    pub upstream_headers: Vec<(HeaderName, Arc<Hidden>)>,
    /// The API's own key endpoints; none: every path belongs to the upstream.
    pub key_api: Option<KeyApi>,
    /// How long before its expiry a key is said to expire soon, in seconds.
    pub expiry_warning: u64,
    /// Whether answers to a key that expires soon say when (`X-Keygate-Key-Expires`).
    pub expiry_header: bool,
    /// Fields that are passed on from trusted proxies, and dropped if anybody else sends them.
    pub proxy_headers: Vec<HeaderName>,
    /// What browsers are told about pages of other origins; none: nothing.
    pub cors: Option<CorsDefinition>,
}

/// A place in a request where an API key may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialPlace {
    /// `Authorization: Bearer KEY` (RFC 6750 §2.1).
    Bearer,
    /// A header of its own, such as `X-API-Key`.
    Header(HeaderName),
}

impl CredentialPlace {
    /// The header field that carries the key.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        match self {
            Self::Bearer => &http::header::AUTHORIZATION,
            Self::Header(name) => name,
        }
    }
}

/// A credential that is not an API key and that the upstream checks itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassThrough {
    /// A header field of this name.
    Header(HeaderName),
    /// A cookie of this name.
    Cookie(Box<str>),
}

/// A world that keys belong to, told by their prefix: `live`, `test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name, as the upstream is told it.
    pub name: Box<str>,
    /// What its keys start with.
    pub prefix: Box<str>,
}

/// How errors look in this API.
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

/// What an empty list of scopes means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmptyScopes {
    /// The key may do nothing.
    #[default]
    None,
    /// The key may do everything.
    All,
}

/// How `X-RateLimit-Reset` tells its moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResetStyle {
    /// Seconds from now.
    #[default]
    Seconds,
    /// Seconds since the Unix epoch.
    Epoch,
}
