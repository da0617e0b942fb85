//! Endpoint patterns, `METHOD /path`.

use std::cmp::Ordering;
use std::fmt;

use http::Method;

use super::target::{BadTarget, check_path};

/// An endpoint pattern, `METHOD /path`. `*` matches one non-empty segment, and a final `**` matches
/// the rest of the path.
///
/// `/x/**` matches `/x/` and everything below it, but not `/x`. `GET` also allows `HEAD`. The query
/// is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub(super) method: Method,
    /// The segments of the path, wildcards included, without a final `**`.
    pub(super) segments: Box<[Box<str>]>,
    /// Whether the pattern ends with `**`.
    pub(super) rest: bool,
}

/// Why a text is not an endpoint pattern, or could never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// The text does not have the form `METHOD /path`.
    #[error("an endpoint pattern is `METHOD /path`, such as `GET /api/v1/tickets/*`")]
    Form,
    /// No request can have this method: it is in lower case, is `TRACE` or `CONNECT`, or is not a
    /// token.
    #[error(
        "no request has this method: write it in capitals, such as `GET`; TRACE and CONNECT are \
         always refused"
    )]
    Method,
    /// `**` is not at the end, or `*` is only a part of a segment.
    #[error("`*` stands for one whole segment and `**` for the rest, only at the end after a `/`")]
    Wildcard,
    /// The path contains `?` or `#`, but the query is not matched.
    #[error("the query is no part of the match: leave out `?` and what follows")]
    Query,
    /// Keygate refuses this path in any request.
    #[error("no request with this path is let through: {}", .0.explanation())]
    Path(BadTarget),
}

impl Pattern {
    /// Parses `METHOD /path`.
    ///
    /// # Errors
    /// Returns what is wrong with the text; see [`BadPattern`].
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

    /// Returns whether the pattern matches this method and path.
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

    /// Returns the longest prefix, in whole segments, of all matching paths.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        self.segments
            .iter()
            .take_while(|segment| segment.as_ref() != "*")
            .fold(String::new(), |path, segment| path + "/" + segment)
    }

    /// Returns whether paths below [`Self::literal_prefix`] can match, because a wildcard follows.
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

/// Returns whether a pattern with one method allows another. HEAD is GET without the content, so
/// `GET` allows both (RFC 9110 §9.3.2).
#[inline]
pub(super) fn allows(pattern: &Method, method: &Method) -> bool {
    pattern == method || (pattern == Method::GET && method == Method::HEAD)
}

#[inline]
pub(super) fn split_segment(path: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'/', path.as_bytes()) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

#[inline]
pub(super) fn compare(left: &str, right: &str, ignore_case: bool) -> Ordering {
    if ignore_case {
        let lower = |text| str::bytes(text).map(|byte| byte.to_ascii_lowercase());
        lower(left).cmp(lower(right))
    } else {
        left.cmp(right)
    }
}
