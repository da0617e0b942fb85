//! One test per rule. In the texts, `⟦` marks the expected position of a problem.

mod api;
mod changes;
mod cors;
mod document;
mod examples;
mod files;
mod key;
mod key_endpoints;
mod locate;
mod pieces;
mod server;
mod units;
mod upstream_headers;

use std::path::Path;

use super::{Config, Problem, Problems, Severity, parse};
use crate::policy::Digest;

const SERVER: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";
const API: &str = "[[api]]\nname = \"desk\"\nupstream = \"http://127.0.0.1:3000\"\n";
const SCOPES: &str = "[api.scopes.\"tickets:read\"]\nallows = [\"GET /tickets/**\"]\n";

/// Returns a file with one API that has these settings.
fn with_api(settings: &str) -> String {
    format!("{SERVER}{API}{settings}\n")
}

/// Returns a file with one API, a scope `tickets:read`, and one key that has these settings.
fn with_key(settings: &str) -> String {
    format!(
        "{SERVER}{API}{SCOPES}[[key]]\nid = \"key_a\"\nsha256 = \"{}\"\n{settings}\n",
        digest("a")
    )
}

/// Returns the digest of `the key NAME`.
fn digest(name: &str) -> String {
    Digest::of(format!("the key {name}").as_bytes()).to_string()
}

fn accepted(text: &str) -> Config {
    parse(text, Path::new("gateway.toml")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn rejected(text: &str) -> Problems {
    parse(text, Path::new("gateway.toml")).map(drop).expect_err("the file should be refused")
}

/// Asserts that the file is refused with exactly these errors, one at each mark.
#[track_caller]
fn refused(marked: &str, reasons: &[&str]) {
    let problems = rejected(&marked.replace('⟦', ""));
    let errors: Vec<&Problem> =
        problems.0.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_problems(&errors, marked, reasons);
}

/// Asserts that the file is accepted with exactly these warnings, one at each mark.
#[track_caller]
fn warned(marked: &str, reasons: &[&str]) {
    let config = accepted(&marked.replace('⟦', ""));
    assert_problems(&config.warnings.iter().collect::<Vec<_>>(), marked, reasons);
}

#[track_caller]
fn assert_problems(found: &[&Problem], marked: &str, reasons: &[&str]) {
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    let shown = shown.join("\n");
    assert_eq!(found.len(), reasons.len(), "found:\n{shown}");
    for ((problem, reason), place) in found.iter().zip(reasons).zip(marks(marked)) {
        assert!(problem.to_string().contains(reason), "`{reason}` is not in:\n{shown}");
        assert_eq!((problem.line, problem.column), place, "the place of `{reason}` in:\n{shown}");
    }
    assert_eq!(marks(marked).len(), reasons.len(), "one mark for each reason");
}

/// Returns the line and column of each mark.
fn marks(marked: &str) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (index, line) in marked.lines().enumerate() {
        let before = |(nth, at): (usize, usize)| line[..at].chars().count() - nth;
        places.extend(
            line.match_indices('⟦')
                .map(|(at, _)| at)
                .enumerate()
                .map(|mark| (index + 1, before(mark) + 1)),
        );
    }
    places
}
