//! Finds keys of the file that clash with keys of the store.

use std::path::Path;

use hashbrown::HashSet;

use super::Table;
use crate::config::{Config, Entry, KeyConfig, Problem, locate, touched_keys};
use crate::keystore::Taken;
use crate::policy::{Digest, KeyId};

/// A key of the file with the id or a secret of a key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Clash {
    /// Id of the key of the file.
    pub(in crate::control) id: KeyId,
    /// Id of the key of the store that has, or had, the same digest, or a description if its id is
    /// unknown. `None`: both keys have the same id.
    pub(in crate::control) same_digest_as: Option<String>,
}

impl Clash {
    /// Converts the clash to a problem of the file at `path`. `text` is its content.
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
    /// Returns the keys of a new file that clash with keys of the store in memory. Only new and
    /// changed keys can clash.
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

    /// Returns the ids and digests of new and changed keys of a new file that no key in memory has.
    /// Revoked and expired keys of the store may have them, or may have had them.
    pub(in crate::control) fn new_in(&self, config: &Config) -> (Vec<String>, Vec<Digest>) {
        let (mut ids, mut digests) = (Vec::new(), Vec::new());
        for key in touched_keys(&self.config, config).1 {
            let known = self.key(&key.id);
            if known.is_none() {
                ids.push(key.id.to_string());
            }
            digests.extend(key.digests.iter().filter(|digest| self.key_of(digest).is_none()));
        }
        (ids, digests)
    }

    /// Returns those of these digests that have tombstones.
    pub(in crate::control) fn dead_among(&self, digests: &[Digest]) -> Taken {
        let dead = digests.iter().filter(|digest| self.snapshot.tombstones.find(digest).is_some());
        let secrets = dead.map(|digest| (*digest, "(revoked or expired)".to_owned()));
        Taken { ids: Vec::new(), secrets: secrets.collect() }
    }

    /// Returns the keys of a new file whose ids or digests are taken.
    pub(in crate::control) fn clashes_with(&self, config: &Config, taken: &Taken) -> Vec<Clash> {
        let ids: HashSet<&str> = taken.ids.iter().map(String::as_str).collect();
        let mut clashes = Vec::new();
        for key in touched_keys(&self.config, config).1 {
            if ids.contains(&*key.id) {
                clashes.push(Clash { id: key.id.clone(), same_digest_as: None });
            }
            for (digest, owner) in &taken.secrets {
                if key.digests.contains(digest) && *owner != *key.id {
                    let same_digest_as = Some(owner.clone());
                    clashes.push(Clash { id: key.id.clone(), same_digest_as });
                }
            }
        }
        clashes
    }
}
