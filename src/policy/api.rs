//! One API that Keygate stands in front of, as the decision needs it.

use super::challenges::Challenges;
use super::cors::{Cors, is_preflight};
use super::definition::{ApiDefinition, Environment};
use super::endpoints::{Claims, EndpointTable};
use super::fields::{Fields, line};
use super::identity::encoded;
use super::scope::ScopeSet;
use super::withheld::Withheld;

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
