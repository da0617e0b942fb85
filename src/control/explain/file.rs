//! The file whose lines an explanation names.

use std::path::Path;

use sha2::Digest as _;

use crate::config::{Entry, MOST_TOML, Mark, locate, read_file};

/// The text of `gateway.toml`, or `None` if it is not known.
pub(super) struct File(Option<String>);

impl File {
    /// Holds a text that is known.
    pub(super) fn of(text: String) -> Self {
        Self(Some(text))
    }

    /// Returns the line of an entry, or `None` if the text is not known or has no such entry.
    pub(super) fn line(&self, entry: &Entry<'_>) -> Option<usize> {
        locate(self.0.as_deref()?, entry)
    }

    /// Returns the line of a value of `[revoked]`, or `None` if the text is not known.
    pub(super) fn line_of(&self, mark: Mark) -> Option<usize> {
        self.0.as_ref().map(|_| mark.line)
    }
}

/// Reads the file at `path`. Its text counts only if its digest is that of the running
/// configuration. Otherwise the second result says so.
pub(super) fn running_file(path: &Path, digest: Option<[u8; 32]>) -> (File, Vec<String>) {
    let content = read_file(path, MOST_TOML).ok();
    let runs = |content: &Vec<u8>| {
        digest.is_some() && digest == Some(sha2::Sha256::digest(content).into())
    };
    match content.filter(runs).and_then(|content| String::from_utf8(content).ok()) {
        Some(text) => (File::of(text), Vec::new()),
        None => (
            File(None),
            vec!["the file is not the one that runs, so its lines are not told".to_owned()],
        ),
    }
}
