//! What an edit changes, in words that an operator can check against what was meant.

mod apis;
mod keys;
mod limits;
mod revocations;
mod server;
mod show;
mod tls;
mod touched;

pub use touched::touched_keys;

use super::{Config, Known};

/// What an edit changes. It names no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// What is in force at once.
    pub changes: Vec<String>,
    /// What is not in force before a restart.
    pub needs_restart: Vec<String>,
    /// How many lost access: keys and organizations newly revoked, keys removed or with a secret
    /// less.
    pub revoked: usize,
}

/// What `new` changes about `old`, where there are no keys besides those of the files.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Diff {
    let known =
        Known { keys: &|_| Vec::new(), dead: &|_| false, organization: &|_| false, all: true };
    diff_beside(old, new, &known)
}

/// What `new` changes about `old`, beside the keys that there are.
#[must_use]
pub fn diff_beside(old: &Config, new: &Config, known: &Known<'_>) -> Diff {
    let (mut changes, mut needs_restart) = (Vec::new(), Vec::new());
    server::server(old, new, (&mut needs_restart, &mut changes));
    apis::apis(old, new, &mut changes);
    let (lines, revoked) = keys::keys(old, new, known);
    changes.extend(lines);
    Diff { changes, needs_restart, revoked }
}
