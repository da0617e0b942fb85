//! Reads endpoint patterns, and finds those that can never match.

use crate::config::document::{Section, Text};
use crate::config::secret::quote;
use crate::policy::{ApiDefinition, Pattern};

/// A pattern and its position.
#[derive(Debug, Clone)]
pub(super) struct Endpoint<'t> {
    pub(super) pattern: Pattern,
    pub(super) text: Text<'t>,
}

/// The reason why a pattern never matches in an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// No path below the API's base path matches it.
    OutsideBasePath,
    /// Every path that matches it belongs to the API at this index, whose base path is longer.
    BelongsTo(usize),
}

/// Reads a list of patterns.
pub(super) fn endpoints<'t>(section: Section<'t>, name: &'static str) -> Vec<Endpoint<'t>> {
    let mut endpoints = Vec::new();
    for text in section.texts(name) {
        match Pattern::parse(text.value) {
            Ok(pattern) => endpoints.push(Endpoint { pattern, text }),
            Err(why) => {
                let message = format!("{} in `{name}` can never match", quote(text.value));
                section.report.error_with_hint(text.at, message, why.to_string());
            }
        }
    }
    endpoints
}

/// Checks that a request to the API at `index` can match the pattern, which must be well-formed.
///
/// # Errors
/// Returns the reason if no request can.
pub(super) fn reach(
    pattern: &str,
    index: usize,
    apis: &[&ApiDefinition],
) -> Result<(), Unreachable> {
    let mine = apis[index];
    let shape = Shape::of(pattern);
    if !shape.can_lie_under(&mine.base_path, mine.case_insensitive_paths) {
        return Err(Unreachable::OutsideBasePath);
    }
    // An API without `hosts` serves the hosts that no other API names. Only another API without
    // `hosts` can own its paths.
    let owner_on = |host: Option<&str>| {
        apis.iter().position(|other| {
            let same_host = host.map_or(other.hosts.is_empty(), |host| {
                other.hosts.iter().any(|name| &**name == host)
            });
            same_host
                && other.base_path.len() > mine.base_path.len()
                && shape.always_lies_under(other, mine.case_insensitive_paths)
        })
    };
    let mut owner = None;
    if mine.hosts.is_empty() {
        owner = owner_on(None);
    }
    for host in &mine.hosts {
        owner = owner_on(Some(host));
        if owner.is_none() {
            break;
        }
    }
    owner.map_or(Ok(()), |owner| Err(Unreachable::BelongsTo(owner)))
}

/// Explains why a pattern never matches in the API at `index`.
pub(super) fn explain(why: Unreachable, index: usize, apis: &[&ApiDefinition]) -> String {
    match why {
        Unreachable::OutsideBasePath => {
            format!(
                "it is outside of the `base_path` of {}, {}, which is part of the pattern",
                quote(&apis[index].name),
                quote(&apis[index].base_path)
            )
        }
        Unreachable::BelongsTo(other) => {
            format!(
                "such a path belongs to {}, whose `base_path` {} is longer",
                quote(&apis[other].name),
                quote(&apis[other].base_path)
            )
        }
    }
}

/// Returns whether every request that matches `narrow` also matches `wide`.
pub(super) fn covers(wide: &str, narrow: &str, ignore_case: bool) -> bool {
    let method = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let same_method =
        method(wide) == method(narrow) || (method(wide) == "GET" && method(narrow) == "HEAD");
    let (wide, narrow) = (Shape::of(wide), Shape::of(narrow));
    let long_enough = if wide.rest {
        narrow.segments.len() + usize::from(narrow.rest) > wide.segments.len()
    } else {
        narrow.segments.len() == wide.segments.len() && !narrow.rest
    };
    let fits = |(wide, narrow): (&&str, &&str)| match *wide {
        "*" => !narrow.is_empty(),
        literal => *narrow != "*" && same(literal, narrow, ignore_case),
    };
    same_method
        && long_enough
        && narrow.segments.len() >= wide.segments.len()
        && wide.segments.iter().zip(&narrow.segments).all(fits)
}

/// Returns whether every path that matches the pattern is `path` or below it.
pub(super) fn always_lies_under(pattern: &str, path: &str, ignore_case: bool) -> bool {
    let shape = Shape::of(pattern);
    let mut segments = shape.segments.iter();
    base_segments(path)
        .all(|base| segments.next().is_some_and(|segment| same(segment, base, ignore_case)))
}

/// The path of a pattern, which must be well-formed.
struct Shape<'p> {
    segments: Vec<&'p str>,
    rest: bool,
}

impl<'p> Shape<'p> {
    fn of(pattern: &'p str) -> Self {
        let path = pattern.split_once(" /").map_or("", |(_, path)| path);
        let mut segments: Vec<&str> = path.split('/').collect();
        let rest = segments.last() == Some(&"**");
        if rest {
            segments.pop();
        }
        Self { segments, rest }
    }

    /// Returns whether a matching path can be the base path or below it.
    fn can_lie_under(&self, base_path: &str, ignore_case: bool) -> bool {
        let mut segments = self.segments.iter();
        base_segments(base_path).all(|base| match segments.next() {
            Some(segment) => *segment == "*" || same(segment, base, ignore_case),
            None => self.rest,
        })
    }

    /// Returns whether every matching path is the base path of the other API or below it.
    fn always_lies_under(&self, other: &ApiDefinition, ignore_case: bool) -> bool {
        let mut segments = self.segments.iter();
        base_segments(&other.base_path).all(|base| {
            segments.next().is_some_and(|segment| {
                // If only this API ignores case, the other one does not own all spellings of the
                // path.
                let other_spellings = ignore_case
                    && !other.case_insensitive_paths
                    && base.bytes().any(|byte| byte.is_ascii_alphabetic());
                same(segment, base, other.case_insensitive_paths) && !other_spellings
            })
        })
    }
}

fn base_segments(base_path: &str) -> impl Iterator<Item = &str> {
    base_path.split('/').filter(|segment| !segment.is_empty())
}

fn same(left: &str, right: &str, ignore_case: bool) -> bool {
    if ignore_case { left.eq_ignore_ascii_case(right) } else { left == right }
}
