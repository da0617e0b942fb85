//! Warns of values of `[revoked]` that match nothing, and of secrets among them.

use std::collections::HashMap;
use std::path::Path;

use super::Config;
use super::nearest::Nearest;
use super::report::{Problem, Severity};
use super::revoked::{Mark, NamedBy, RevokedKey};
use crate::policy::Digest;

/// A key that a value of `[revoked]` denotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The id of the key.
    pub id: Box<str>,
    /// How the value denotes the key.
    pub by: NamedBy,
    /// Whether the key is in the store instead of the file.
    pub stored: bool,
}

/// The existing keys and organisations.
pub struct Known<'k> {
    /// Returns the keys that a value denotes.
    pub keys: &'k dyn Fn(&RevokedKey<'_>) -> Vec<Found>,
    /// Returns whether a value that denotes no key is a secret of a key that is already refused,
    /// and of which nothing else is known.
    pub dead: &'k dyn Fn(&RevokedKey<'_>) -> bool,
    /// Returns whether an organisation of this name exists.
    pub organization: &'k dyn Fn(&str) -> bool,
    /// Whether these are all existing keys and organisations, instead of only those of the file.
    pub all: bool,
}

impl Config {
    /// Returns the warnings about `[revoked]`, in file order.
    #[must_use]
    pub fn revoked_warnings(&self, file: &Path, known: &Known<'_>) -> Vec<Problem> {
        let nearest = Nearest::default();
        let warning = |mark: Mark, message: String, hint: Option<String>| Problem {
            line: mark.line,
            column: mark.column,
            severity: Severity::Warning,
            hint,
            ..Problem::of_file(file, message)
        };
        let in_file = if known.all { "" } else { " in this file" };
        let elsewhere = (!known.all && self.store.is_some()).then(|| {
            "it may be one of the store's: the running gateway's log and `GET /v1/config` say"
                .to_owned()
        });
        let mut warnings = Vec::new();
        for key in self.revoked.keys() {
            let found = (known.keys)(&key);
            if found.is_empty() && !(known.dead)(&key) {
                let ids = self.keys.iter().map(|key| &*key.id);
                let near = key.id().map_or(String::new(), |id| nearest.did_you_mean(id, ids));
                let message = format!("this value of `[revoked] keys` finds no key{in_file}{near}");
                warnings.push(warning(key.mark, message, elsewhere.clone()));
            }
            for Found { id, by, .. } in found {
                let is = match by {
                    NamedBy::Id => continue,
                    NamedBy::Digest => "it is the digest of that key",
                    NamedBy::Secret => "it is that key itself, and the file now holds a secret",
                };
                let message = format!("replace this value by the id `{id}`: {is}");
                let hint = "the key is revoked, and stays so under its id".to_owned();
                warnings.push(warning(key.mark, message, Some(hint)));
            }
        }
        for (name, mark) in self.revoked.organizations() {
            if !(known.organization)(name) {
                let names = self.keys.iter().filter_map(|key| key.organization.as_deref());
                let near = nearest.did_you_mean(name, names);
                let message =
                    format!("no key{in_file} belongs to the organization that is named here{near}");
                warnings.push(warning(mark, message, elsewhere.clone()));
            }
        }
        warnings.sort_by_key(|warning| (warning.line, warning.column));
        warnings
    }

    /// Returns the warnings about `[revoked]` that can be determined from the file alone.
    #[must_use]
    pub fn revoked_warnings_of_file(&self, file: &Path) -> Vec<Problem> {
        if self.revoked.is_empty() {
            return Vec::new();
        }
        let ids: HashMap<&str, &str> = self.keys.iter().map(|key| (&*key.id, &*key.id)).collect();
        let digests = self.keys.iter().flat_map(|key| key.digests.iter().map(|it| (*it, &*key.id)));
        let digests: HashMap<Digest, &str> = digests.collect();
        let organizations: std::collections::HashSet<&str> =
            self.keys.iter().filter_map(|key| key.organization.as_deref()).collect();
        let keys = |key: &RevokedKey<'_>| {
            let by_id = key.id().and_then(|id| ids.get(id)).map(|id| (NamedBy::Id, *id));
            let by_digest = key
                .digests()
                .filter_map(|(by, digest)| digests.get(&digest).map(|id| (by, *id)))
                .collect::<Vec<_>>();
            by_id
                .into_iter()
                .chain(by_digest)
                .map(|(by, id)| Found { id: id.into(), by, stored: false })
                .collect()
        };
        let organization = |name: &str| organizations.contains(name);
        let known = Known {
            keys: &keys,
            dead: &|_| false,
            organization: &organization,
            all: self.store.is_none(),
        };
        self.revoked_warnings(file, &known)
    }
}
