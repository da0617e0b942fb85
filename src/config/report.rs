//! Collects all problems of a file, and displays them as compilers do.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::nearest::Nearest;
use super::secret;

/// The most problems to list. One more line counts the others.
const LISTED: usize = 500;

/// Whether a problem prevents the use of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used, but is probably not as intended.
    Warning,
}

/// One problem and its position. It never quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as named to the program.
    pub file: Arc<Path>,
    /// The line, starting at 1. 0: the problem concerns the whole file.
    pub line: usize,
    /// The column in characters, starting at 1. 0: the problem concerns the whole file.
    pub column: usize,
    /// Whether the file can be used nevertheless.
    pub severity: Severity,
    /// A description of the problem.
    pub message: String,
    /// How to solve the problem.
    pub hint: Option<String>,
    /// Whether the problem may pass without an edit, because a file could not be read or used.
    pub may_pass: bool,
}

impl Problem {
    /// Returns an error that concerns the whole file.
    #[must_use]
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            severity: Severity::Error,
            message: message.into(),
            hint: None,
            may_pass: false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(out, "{}:{}:", self.line, self.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(out, " {severity}: {}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(out, "\n  hint: {hint}"))
    }
}

/// All problems of a file, in file order. At least one of them is a [`Severity::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// Collects problems by byte offset while a file is read.
#[derive(Debug)]
pub(super) struct Report<'t> {
    text: &'t str,
    file: Arc<Path>,
    /// The byte offset of each line, computed on first use.
    lines: OnceCell<Vec<usize>>,
    /// The offset of each part of the current text, in that text and in the file.
    places: RefCell<Vec<(usize, usize)>>,
    found: RefCell<Vec<Found>>,
    nearest: Nearest,
    /// The key prefixes of the file's APIs.
    prefixes: RefCell<Vec<String>>,
}

#[derive(Debug)]
struct Found {
    at: usize,
    severity: Severity,
    message: String,
    hint: Option<String>,
    may_pass: bool,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, file: &Path) -> Self {
        Self {
            text,
            file: file.into(),
            lines: OnceCell::new(),
            places: RefCell::default(),
            found: RefCell::default(),
            nearest: Nearest::default(),
            prefixes: RefCell::default(),
        }
    }

    /// Makes later byte offsets refer to another text. `places`: the offset of each of its parts,
    /// in that text and in the file.
    pub(super) fn reads(&self, places: &[(usize, usize)]) {
        let mut current = self.places.borrow_mut();
        current.clear();
        current.extend_from_slice(places);
    }

    /// Makes [`Self::is_plain`] recognise keys with these prefixes.
    pub(super) fn keys_begin_with(&self, prefixes: Vec<String>) {
        self.prefixes.replace(prefixes);
    }

    /// Returns whether a text may be displayed. Reports an error if it looks like a key.
    pub(super) fn is_plain(&self, at: usize, text: &str) -> bool {
        let prefixes = self.prefixes.borrow();
        let like_a_key = secret::is_like_a_key(text, prefixes.iter().map(String::as_str));
        if like_a_key {
            self.error_with_hint(
                at,
                "this looks like a key, and what stands here is shown in logs",
                "only the digest of a key stands in the file, as `sha256`: `keygate keys hash` \
                    makes it",
            );
        }
        !like_a_key
    }

    /// Converts a byte offset to one in the file.
    fn in_file(&self, at: usize) -> usize {
        let places = self.places.borrow();
        let part = places
            .partition_point(|(start, _)| *start <= at)
            .checked_sub(1)
            .map(|index| places[index]);
        part.map_or(at, |(start, in_file)| at - start + in_file)
    }

    /// Adds an error at a byte offset.
    pub(super) fn error(&self, at: usize, message: impl Into<String>) {
        self.note(at, Severity::Error, message.into(), None);
    }

    /// Adds an error: the file that is named at a byte offset cannot be used.
    pub(super) fn unusable(&self, at: usize, message: impl Into<String>) {
        self.note(at, Severity::Error, message.into(), None);
        if let Some(found) = self.found.borrow_mut().last_mut() {
            found.may_pass = true;
        }
    }

    /// Adds an error with a hint at a byte offset.
    pub(super) fn error_with_hint(
        &self,
        at: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.note(at, Severity::Error, message.into(), Some(hint.into()));
    }

    /// Adds a warning at a byte offset.
    pub(super) fn warn(&self, at: usize, message: impl Into<String>, hint: Option<String>) {
        self.note(at, Severity::Warning, message.into(), hint);
    }

    fn note(&self, at: usize, severity: Severity, message: String, hint: Option<String>) {
        self.found.borrow_mut().push(Found {
            at: self.in_file(at),
            severity,
            message,
            hint,
            may_pass: false,
        });
    }

    /// Returns the line of a byte offset, starting at 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.place(self.in_file(at)).0
    }

    /// Returns the line and column of a byte offset, starting at 1.
    pub(super) fn place_of(&self, at: usize) -> (usize, usize) {
        self.place(self.in_file(at))
    }

    /// Returns the line and column of a byte offset in the file, starting at 1.
    fn place(&self, at: usize) -> (usize, usize) {
        let starts = || {
            std::iter::once(0)
                .chain(memchr::memchr_iter(b'\n', self.text.as_bytes()).map(|end| end + 1))
                .collect()
        };
        let lines = self.lines.get_or_init(starts);
        let line = lines.partition_point(|start| *start <= at);
        (line, self.text.get(lines[line - 1]..at).map_or(0, |before| before.chars().count()) + 1)
    }

    /// Returns ``; did you mean `x`?`` for the candidate that is most similar to `name`, or an
    /// empty string if none is similar enough.
    pub(super) fn did_you_mean<'c>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> String {
        self.nearest.did_you_mean(name, candidates)
    }

    /// Returns all problems in file order, and whether one of them is an error.
    pub(super) fn finish(self) -> (Vec<Problem>, bool) {
        let mut found = self.found.take();
        found.sort_by_key(|problem| problem.at);
        let failed = found.iter().any(|problem| problem.severity == Severity::Error);
        if found.len() > LISTED {
            // Errors take precedence, so that many warnings cannot hide a single error.
            found.sort_by_key(|problem| problem.severity);
            let rest = found.split_off(LISTED);
            let errors = rest.iter().filter(|problem| problem.severity == Severity::Error).count();
            found.sort_by_key(|problem| problem.at);
            let message = format!("{errors} more errors and {} more warnings", rest.len() - errors);
            let severity = if errors > 0 { Severity::Error } else { Severity::Warning };
            found.push(Found {
                at: self.text.len(),
                severity,
                message,
                hint: None,
                may_pass: false,
            });
        }
        let problem = |problem: Found| {
            let (line, column) = self.place(problem.at);
            let Found { severity, message, hint, may_pass, .. } = problem;
            Problem { file: self.file.clone(), line, column, severity, message, hint, may_pass }
        };
        (found.into_iter().map(problem).collect(), failed)
    }
}
