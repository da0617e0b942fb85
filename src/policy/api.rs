//! One API that Keygate stands in front of, as the decision needs it.

use std::sync::Arc;

use http::HeaderName;

use super::cors::{Cors, CorsDefinition, is_preflight};
use super::fields::{Fields, line};
use super::hidden::Hidden;
use super::identity::encoded;
use super::key_api::KeyApi;
use super::pattern::{Claims, EndpointTable, Pattern};
use super::quota::Limit;
use super::reply::Challenges;
use super::withheld::Withheld;

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

/// A named permission and the endpoints that it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its name, such as `tickets:read`.
    pub name: Box<str>,
    /// For people.
    pub description: Box<str>,
    /// The endpoints.
    pub allows: Vec<Pattern>,
}

/// A set of scopes of one API, by their place in its list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u128);

impl ScopeSet {
    /// How many scopes one API can have.
    pub const CAPACITY: usize = 128;

    /// The set with the scope at `index` added. An index from [`Self::CAPACITY`] on changes
    /// nothing.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        if index < Self::CAPACITY { Self(self.0 | 1 << index) } else { self }
    }

    /// Whether the scope at `index` is in the set.
    #[must_use]
    pub fn contains(self, index: usize) -> bool {
        index < Self::CAPACITY && self.0 >> index & 1 == 1
    }

    /// All scopes that are in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any scope is in both.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The scope that comes first in the file.
    #[must_use]
    pub fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }
}

/// An `[[api]]` block, checked; what [`Api::new`] takes.
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
    /// In file order, at most [`ScopeSet::CAPACITY`].
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

/// An API with all that can be worked out before the first request.
#[derive(Debug)]
pub struct Api {
    pub(super) definition: ApiDefinition,
    pub(super) endpoints: EndpointTable,
    pub(super) challenges: Challenges,
    pub(super) withheld: Withheld,
    /// The names of the environments as the upstream is told them.
    pub(super) environment_lines: Vec<Box<[u8]>>,
    cors: Option<Cors>,
}

impl Api {
    /// Prepares the look-up tables and the fixed parts of its answers.
    #[must_use]
    pub fn new(definition: ApiDefinition) -> Self {
        let of_scopes = definition.scopes.iter().enumerate().flat_map(|(index, scope)| {
            let claims = Claims { scopes: ScopeSet::default().with(index), ..Claims::default() };
            scope.allows.iter().map(move |pattern| (pattern, claims))
        });
        let public = Claims { public: true, ..Claims::default() };
        let pass_through = Claims { pass_through: true, ..Claims::default() };
        let patterns = of_scopes
            .chain(definition.public.iter().map(|pattern| (pattern, public)))
            .chain(definition.pass_through_allows.iter().map(|pattern| (pattern, pass_through)));
        let endpoints = EndpointTable::new(patterns, definition.case_insensitive_paths);
        let challenges = Challenges::new(&definition);
        let withheld = Withheld::new(&definition);
        let environment_line = |environment: &Environment| {
            line("x-keygate-environment", encoded(&environment.name).as_bytes())
        };
        let environment_lines = definition.environments.iter().map(environment_line).collect();
        let cors = definition.cors.as_ref().map(Cors::new);
        Self { definition, endpoints, challenges, withheld, environment_lines, cors }
    }

    /// What it was made from.
    #[must_use]
    pub fn definition(&self) -> &ApiDefinition {
        &self.definition
    }

    /// What browsers are told in the answer to this request, refusals included, as whole lines.
    #[must_use]
    pub fn cors_lines(&self, fields: &Fields<'_>) -> &[u8] {
        self.cors.as_ref().map_or(&[], |cors| cors.answer(fields))
    }

    /// What the answer to this preflight says, as whole lines.
    #[must_use]
    pub fn preflight_lines(&self, fields: &Fields<'_>) -> &[u8] {
        self.cors.as_ref().map_or(&[], |cors| cors.preflight(fields))
    }

    /// Whether it is a preflight, which Keygate itself answers.
    pub(super) fn is_preflight(&self, method: &http::Method, fields: &Fields<'_>) -> bool {
        self.cors.is_some() && is_preflight(method, fields)
    }

    /// The environment that a key belongs to by its prefix (the longest that fits), as an index
    /// into the definition's list. Nothing where the API has environments and none fits.
    pub(super) fn environment_of(&self, key: &[u8]) -> Result<Option<usize>, ()> {
        let environments = &self.definition.environments;
        if environments.is_empty() {
            return Ok(None);
        }
        let fitting = environments
            .iter()
            .enumerate()
            .filter(|(_, environment)| key.starts_with(environment.prefix.as_bytes()));
        fitting
            .max_by_key(|(_, environment)| environment.prefix.len())
            .map(|(index, _)| Some(index))
            .ok_or(())
    }

    /// The scopes that allow this method and path, and whether Keygate itself answers there.
    #[must_use]
    pub fn claims(&self, method: &http::Method, path: &str) -> (ScopeSet, bool) {
        (self.endpoints.claims(method, path).scopes, self.is_key_endpoint(path))
    }

    /// Whether Keygate itself answers at `path`.
    pub(super) fn is_key_endpoint(&self, path: &str) -> bool {
        self.definition.key_api.as_ref().is_some_and(|key_api| self.lies_below(path, &key_api.path))
    }

    /// Index of the scope that opens the key endpoints; it comes behind the API's own where it is
    /// none of them.
    #[must_use]
    pub fn key_scope(&self) -> Option<usize> {
        let wanted = self.definition.key_api.as_ref()?.scope.as_deref()?;
        let scopes = &self.definition.scopes;
        Some(scopes.iter().position(|scope| &*scope.name == wanted).unwrap_or(scopes.len()))
    }

    /// The name of the scope at this index.
    #[must_use]
    pub fn scope_name(&self, index: usize) -> Option<&str> {
        let own = self.definition.scopes.get(index).map(|scope| &*scope.name);
        own.or_else(|| {
            self.definition
                .key_api
                .as_ref()?
                .scope
                .as_deref()
                .filter(|_| self.key_scope() == Some(index))
        })
    }

    /// Whether `path` lies at or below the base path.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.definition.base_path.as_ref() == "/"
            || self.lies_below(path, &self.definition.base_path)
    }

    fn lies_below(&self, path: &str, base: &str) -> bool {
        let Some(head) = path.as_bytes().get(..base.len()) else { return false };
        let same = if self.definition.case_insensitive_paths {
            head.eq_ignore_ascii_case(base.as_bytes())
        } else {
            head == base.as_bytes()
        };
        same && matches!(path.as_bytes().get(base.len()), None | Some(b'/'))
    }
}
