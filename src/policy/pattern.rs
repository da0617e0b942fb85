//! Endpoint patterns, `METHOD /path`, and the table that finds what a request's endpoint is part
//! of.

use std::cmp::Ordering;
use std::fmt;

use http::Method;

use super::api::ScopeSet;
use super::target::{BadTarget, check_path};

/// `METHOD /path`, where `*` is one non-empty segment and a final `**` the rest of the path.
///
/// `/x/**` matches `/x/` and all below it, not `/x`. `GET` allows `HEAD`. The query does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    method: Method,
    /// The literal path with its wildcards, split at `/`; without the final `**`.
    segments: Box<[Box<str>]>,
    /// Whether it ends with `**`.
    rest: bool,
}

/// Why a text is no endpoint pattern, or one that could never match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadPattern {
    /// Not of the form `METHOD /path`.
    Form,
    /// A method that no request has here: lower case, `TRACE`, `CONNECT`, or no token.
    Method,
    /// `**` before the end, or a `*` inside a segment.
    Wildcard,
    /// A `?` or `#`: the query is no part of the match.
    Query,
    /// A path that Keygate refuses in any request.
    Path(BadTarget),
}

impl fmt::Display for BadPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => out.write_str(
                "an endpoint pattern is `METHOD /path`, such as `GET \
                /api/v1/tickets/*`",
            ),
            Self::Method => out.write_str(
                "no request has this method: write it in capitals, such as `GET`; \
                    TRACE and CONNECT are always refused",
            ),
            Self::Wildcard => out.write_str(
                "`*` stands for one whole segment and `**` for the \
                rest, only at the end after a `/`",
            ),
            Self::Query => out.write_str(
                "the query is no part of the match: leave out `?` and \
                what follows",
            ),
            Self::Path(why) => write!(
                out,
                "no request with this path is let through: \
                {}",
                why.explanation()
            ),
        }
    }
}

impl Pattern {
    /// Reads `METHOD /path`.
    ///
    /// # Errors
    /// What is wrong with the text; see [`BadPattern`].
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let (method, path) = text.split_once(' ').ok_or(BadPattern::Form)?;
        if !path.starts_with('/') || path.contains(' ') {
            return Err(BadPattern::Form);
        }
        if method.is_empty()
            || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        {
            return Err(BadPattern::Method);
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| BadPattern::Method)?;
        if method == Method::TRACE || method == Method::CONNECT {
            return Err(BadPattern::Method);
        }
        if path.contains(['?', '#']) {
            return Err(BadPattern::Query);
        }
        let mut segments: Vec<&str> = path[1..].split('/').collect();
        let rest = segments.last() == Some(&"**");
        if rest {
            segments.pop();
        }
        if segments.iter().any(|segment| segment.contains('*') && *segment != "*") {
            return Err(BadPattern::Wildcard);
        }
        check_path(path).map_err(BadPattern::Path)?;
        Ok(Self { method, segments: segments.into_iter().map(Into::into).collect(), rest })
    }

    /// Whether a request with this method and path is one that the pattern means.
    #[must_use]
    pub fn matches(&self, method: &Method, path: &str, ignore_case: bool) -> bool {
        let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
        for expected in &self.segments {
            let Some(path) = rest else { return false };
            let (segment, after) = split_segment(path);
            let fits = match expected.as_ref() {
                "*" => !segment.is_empty(),
                literal => compare(literal, segment, ignore_case) == Ordering::Equal,
            };
            if !fits {
                return false;
            }
            rest = after;
        }
        rest.is_some() == self.rest && allows(&self.method, method)
    }

    /// The longest path prefix, in whole segments, that every matching path starts with.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        self.segments
            .iter()
            .take_while(|segment| segment.as_ref() != "*")
            .fold(String::new(), |path, segment| path + "/" + segment)
    }

    /// Whether paths below [`Self::literal_prefix`] can match too, because a wildcard follows.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.rest || self.segments.iter().any(|segment| segment.as_ref() == "*")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", self.method)?;
        for segment in &self.segments {
            write!(out, "/{segment}")?;
        }
        if self.rest { out.write_str("/**") } else { Ok(()) }
    }
}

/// RFC 9110 §9.3.2: HEAD is GET without the content, so what allows one allows the other.
fn allows(pattern: &Method, method: &Method) -> bool {
    pattern == method || (pattern == Method::GET && method == Method::HEAD)
}

fn split_segment(path: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'/', path.as_bytes()) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

fn compare(left: &str, right: &str, ignore_case: bool) -> Ordering {
    if ignore_case {
        let lower = |text| str::bytes(text).map(|byte| byte.to_ascii_lowercase());
        lower(left).cmp(lower(right))
    } else {
        left.cmp(right)
    }
}

/// What the patterns that match an endpoint say about it, put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// The scopes that allow it.
    pub scopes: ScopeSet,
    /// Whether it needs no key.
    pub public: bool,
    /// Whether a pass-through credential opens it.
    pub pass_through: bool,
}

impl Claims {
    fn merge(&mut self, other: Self) {
        self.scopes = self.scopes.union(other.scopes);
        self.public |= other.public;
        self.pass_through |= other.pass_through;
    }
}

/// All endpoint patterns of one API in a tree by segment, so that a look-up costs one walk along
/// the path however many patterns there are.
#[derive(Debug, Default)]
pub struct EndpointTable {
    root: Node,
    ignore_case: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted by segment, so that look-up is a binary search.
    literals: Vec<(Box<str>, Node)>,
    any: Option<Box<Node>>,
    /// Claims of patterns that end here.
    ends: Vec<(Method, Claims)>,
    /// Claims of patterns that have `**` here.
    rests: Vec<(Method, Claims)>,
}

impl EndpointTable {
    /// Builds the table. With `ignore_case`, ASCII letters of paths match in either case.
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

    /// Everything that the patterns matching `method` and `path` claim.
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
