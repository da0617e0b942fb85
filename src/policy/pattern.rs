//! Endpoint patterns, `METHOD /path`.

use std::cmp::Ordering;
use std::fmt;

use http::Method;

use super::target::{BadTarget, check_path};

/// `METHOD /path`, where `*` is one non-empty segment and a final `**` the rest of the path.
///
/// `/x/**` matches `/x/` and all below it, not `/x`. `GET` allows `HEAD`. The query does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub(super) method: Method,
    /// The literal path with its wildcards, split at `/`; without the final `**`.
    pub(super) segments: Box<[Box<str>]>,
    /// Whether it ends with `**`.
    pub(super) rest: bool,
}

/// Why a text is no endpoint pattern, or one that could never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Not of the form `METHOD /path`.
    #[error("an endpoint pattern is `METHOD /path`, such as `GET /api/v1/tickets/*`")]
    Form,
    /// A method that no request has here: lower case, `TRACE`, `CONNECT`, or no token.
    #[error(
        "no request has this method: write it in capitals, such as `GET`; TRACE and CONNECT are \
         always refused"
    )]
    Method,
    /// `**` before the end, or a `*` inside a segment.
    #[error("`*` stands for one whole segment and `**` for the rest, only at the end after a `/`")]
    Wildcard,
    /// A `?` or `#`: the query is no part of the match.
    #[error("the query is no part of the match: leave out `?` and what follows")]
    Query,
    /// A path that Keygate refuses in any request.
    #[error("no request with this path is let through: {}", .0.explanation())]
    Path(BadTarget),
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
pub(super) fn allows(pattern: &Method, method: &Method) -> bool {
    pattern == method || (pattern == Method::GET && method == Method::HEAD)
}

pub(super) fn split_segment(path: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'/', path.as_bytes()) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

pub(super) fn compare(left: &str, right: &str, ignore_case: bool) -> Ordering {
    if ignore_case {
        let lower = |text| str::bytes(text).map(|byte| byte.to_ascii_lowercase());
        lower(left).cmp(lower(right))
    } else {
        left.cmp(right)
    }
}
