//! Evaluates `[revoked]` against all keys, those of the store included.

use std::collections::BTreeSet;
use std::path::Path;

use super::table::Table;
use crate::config::{Known, Problem, RevokedKey};

/// Calls `ask` with a view of all keys.
pub(super) fn with_known<T>(table: &Table, ask: impl FnOnce(&Known<'_>) -> T) -> T {
    let keys = |key: &RevokedKey<'_>| table.found_by(key);
    let dead = |key: &RevokedKey<'_>| table.has_tombstone_of(key);
    let organization = |name: &str| table.knows_organization(name);
    ask(&Known { keys: &keys, dead: &dead, organization: &organization, all: true })
}

/// Returns the warnings about the `[revoked]` that is in force.
pub(super) fn warnings(table: &Table, file: &Path) -> Vec<Problem> {
    with_known(table, |known| table.config().revoked_warnings(file, known))
}

/// The `[revoked]` that is in force, without values that could be secrets.
#[derive(Debug)]
pub(super) struct RevokedView {
    /// Ids of the keys that it names, sorted.
    pub(super) keys: Vec<String>,
    /// Names of the organisations that it names and that exist or existed.
    pub(super) organizations: Vec<String>,
    /// The warnings about it.
    pub(super) warnings: Vec<Problem>,
}

impl RevokedView {
    pub(super) fn of(table: &Table, file: &Path) -> Self {
        let revoked = &table.config().revoked;
        let keys: BTreeSet<Box<str>> =
            revoked.keys().flat_map(|key| table.found_by(&key)).map(|found| found.id).collect();
        let organizations = revoked
            .organizations()
            .map(|(name, _)| name.to_owned())
            .filter(|name| table.knows_organization(name));
        Self {
            keys: keys.into_iter().map(String::from).collect(),
            organizations: organizations.collect(),
            warnings: warnings(table, file),
        }
    }
}
