//! Matches a path against all endpoint patterns of an API at once.

use http::Method;

use super::pattern::{Pattern, allows, compare, split_segment};
use super::scope::ScopeSet;

/// The combined properties of all patterns that match an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// The scopes that allow the endpoint.
    pub scopes: ScopeSet,
    /// Whether the endpoint needs no key.
    pub public: bool,
    /// Whether the endpoint accepts a pass-through credential.
    pub pass_through: bool,
}

impl Claims {
    fn merge(&mut self, other: Self) {
        self.scopes = self.scopes.union(other.scopes);
        self.public |= other.public;
        self.pass_through |= other.pass_through;
    }
}

/// The endpoint patterns of one API, in a tree with one level for each segment. The cost of a
/// look-up depends on the path and hardly on the number of patterns.
#[derive(Debug, Default)]
pub struct EndpointTable {
    root: Node,
    ignore_case: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// The children for literal segments, sorted for binary search.
    literals: Vec<(Box<str>, Node)>,
    /// The child for `*`.
    any: Option<Box<Node>>,
    /// The claims of patterns that end here, by method.
    ends: Vec<(Method, Claims)>,
    /// The claims of patterns with a final `**` here, by method.
    rests: Vec<(Method, Claims)>,
}

impl EndpointTable {
    /// Builds the table. `ignore_case`: whether paths match regardless of the case of ASCII
    /// letters.
    #[must_use]
    pub fn new<'a>(
        patterns: impl IntoIterator<Item = (&'a Pattern, Claims)>,
        ignore_case: bool,
    ) -> Self {
        let mut table = Self { root: Node::default(), ignore_case };
        for (pattern, claims) in patterns {
            table.insert(pattern, claims);
        }
        table
    }

    fn insert(&mut self, pattern: &Pattern, claims: Claims) {
        let mut node = &mut self.root;
        for segment in &pattern.segments {
            node = if segment.as_ref() == "*" {
                node.any.get_or_insert_default()
            } else {
                let key: Box<str> = if self.ignore_case {
                    segment.to_ascii_lowercase().into()
                } else {
                    segment.clone()
                };
                let at = match node.literals.binary_search_by(|(literal, _)| literal.cmp(&key)) {
                    Ok(at) => at,
                    Err(at) => {
                        node.literals.insert(at, (key, Node::default()));
                        at
                    }
                };
                &mut node.literals[at].1
            };
        }
        let list = if pattern.rest { &mut node.rests } else { &mut node.ends };
        match list.iter_mut().find(|(method, _)| *method == pattern.method) {
            Some((_, known)) => known.merge(claims),
            None => list.push((pattern.method.clone(), claims)),
        }
    }

    /// Returns the combined claims of all patterns that match `method` and `path`.
    #[must_use]
    pub fn claims(&self, method: &Method, path: &str) -> Claims {
        let mut claims = Claims::default();
        self.walk(&self.root, Some(path.strip_prefix('/').unwrap_or(path)), method, &mut claims);
        claims
    }

    fn walk(&self, node: &Node, rest: Option<&str>, method: &Method, claims: &mut Claims) {
        let take = |list: &[(Method, Claims)], claims: &mut Claims| {
            for (_, found) in list.iter().filter(|(pattern, _)| allows(pattern, method)) {
                claims.merge(*found);
            }
        };
        let Some(path) = rest else { return take(&node.ends, claims) };
        take(&node.rests, claims);
        let (segment, after) = split_segment(path);
        let found = node
            .literals
            .binary_search_by(|(literal, _)| compare(literal, segment, self.ignore_case));
        if let Ok(at) = found {
            self.walk(&node.literals[at].1, after, method, claims);
        }
        if let (Some(any), false) = (&node.any, segment.is_empty()) {
            self.walk(any, after, method, claims);
        }
    }
}
