//! What an edit changes.

use super::Config;

/// What an edit changes, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// What is in force at once.
    pub changes: Vec<String>,
    /// What is not in force before a restart.
    pub needs_restart: Vec<String>,
    /// How many keys lost access: newly revoked, removed, or with a secret less.
    pub revoked: usize,
}

/// What `new` changes about `old`. It names no secret.
#[must_use]
pub fn diff(_old: &Config, _new: &Config) -> Diff {
    Diff::default()
}
