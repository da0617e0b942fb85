//! One API behind Keygate, prepared for the decision.

use super::challenges::Challenges;
use super::cors::{Cors, is_preflight};
use super::definition::{ApiDefinition, Environment};
use super::endpoints::{Claims, EndpointTable};
use super::fields::{Fields, line};
use super::identity::encoded;
use super::scope::ScopeSet;
use super::withheld::Withheld;

/// An API, with everything that can be computed before the first request.
#[derive(Debug)]
pub struct Api {
    pub(super) definition: ApiDefinition,
    pub(super) endpoints: EndpointTable,
    pub(super) challenges: Challenges,
    pub(super) withheld: Withheld,
    /// The environments' names, as header lines for the upstream.
    pub(super) environment_lines: Vec<Box<[u8]>>,
    cors: Option<Cors>,
}

impl Api {
    /// Builds the look-up tables and the fixed parts of responses.
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

    /// Returns the definition that the API was built from.
    #[must_use]
    pub fn definition(&self) -> &ApiDefinition {
        &self.definition
    }

    /// Returns the CORS header lines of the response to this request, or of its refusal.
    #[must_use]
    pub fn cors_lines(&self, fields: &Fields<'_>) -> &[u8] {
        self.cors.as_ref().map_or(&[], |cors| cors.answer(fields))
    }

    /// Returns the CORS header lines of the response to this preflight request.
    #[must_use]
    pub fn preflight_lines(&self, fields: &Fields<'_>) -> &[u8] {
        self.cors.as_ref().map_or(&[], |cors| cors.preflight(fields))
    }

    /// Returns whether it is a preflight request, which Keygate itself answers.
    pub(super) fn is_preflight(&self, method: &http::Method, fields: &Fields<'_>) -> bool {
        self.cors.is_some() && is_preflight(method, fields)
    }

    /// Returns the environment that a key belongs to, by the longest prefix that matches, as an
    /// index into the definition's list. Returns `Ok(None)` if the API has no environments, and
    /// `Err` if it has some and none matches.
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

    /// Returns the scopes that allow this method and path, and whether the path is a key endpoint,
    /// which Keygate itself answers.
    #[must_use]
    pub fn claims(&self, method: &http::Method, path: &str) -> (ScopeSet, bool) {
        (self.endpoints.claims(method, path).scopes, self.is_key_endpoint(path))
    }

    /// Returns whether `path` is a key endpoint, which Keygate itself answers.
    pub(super) fn is_key_endpoint(&self, path: &str) -> bool {
        self.definition.key_api.as_ref().is_some_and(|key_api| self.lies_below(path, &key_api.path))
    }

    /// Returns the index of the scope that allows the key endpoints. If the API does not define
    /// that scope, the index follows those of the API's own scopes. Returns `None` if no scope is
    /// configured.
    #[must_use]
    pub fn key_scope(&self) -> Option<usize> {
        let wanted = self.definition.key_api.as_ref()?.scope.as_deref()?;
        let scopes = &self.definition.scopes;
        Some(scopes.iter().position(|scope| &*scope.name == wanted).unwrap_or(scopes.len()))
    }

    /// Returns the name of the scope at this index.
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

    /// Returns whether `path` is the base path or below it.
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
