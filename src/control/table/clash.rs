//! Keys of the file that cannot stand beside those of the store.

use std::path::Path;
use std::sync::Arc;

use super::Table;
use crate::config::{Config, Entry, KeyConfig, Problem, locate, touched_keys};

/// A key of the file that cannot stand beside a key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Clash {
    /// The key of the file.
    pub(in crate::control) id: Arc<str>,
    /// The key of the store that has the same digest; nothing: the ids are the same.
    pub(in crate::control) same_digest_as: Option<String>,
}

impl Clash {
    /// The same as a mistake in the file, of which `text` is the content.
    pub(in crate::control) fn problem(&self, path: &Path, text: &str) -> Problem {
        let id = &*self.id;
        let (setting, message) = match &self.same_digest_as {
            None => ("id", format!("a key in the store has the id `{id}` too")),
            Some(other) => (
                "sha256",
                format!("the secret of key `{id}` is that of key `{other}` in the store"),
            ),
        };
        let line = locate(text, &Entry::Key { id, setting: Some(setting) }).unwrap_or(0);
        let hint = Some(
            "one of the two must go: this block, or the key in the store (`keygate keys \
                revoke` does not free its id)"
                .to_owned(),
        );
        Problem { line, column: usize::from(line > 0), hint, ..Problem::of_file(path, message) }
    }
}

impl Table {
    /// Keys of a new file that cannot stand beside those of the store. Those that stay what they
    /// are already do.
    pub(in crate::control) fn clashes(&self, config: &Config) -> Vec<Clash> {
        self.clashes_of(touched_keys(&self.config, config).1)
    }

    pub(super) fn clashes_of<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k KeyConfig>,
    ) -> Vec<Clash> {
        let mut clashes = Vec::new();
        for key in keys {
            if self.key(&key.id).is_some_and(|known| known.is_stored()) {
                clashes.push(Clash { id: key.id.clone(), same_digest_as: None });
            }
            let others = key
                .digests
                .iter()
                .filter_map(|digest| self.key_of(digest))
                .filter(|known| known.is_stored());
            clashes.extend(others.map(|other| Clash {
                id: key.id.clone(),
                same_digest_as: Some(other.id().to_owned()),
            }));
        }
        clashes
    }
}
