//! Describes the changes of an edit, so that an operator can compare them with the intended ones.

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

/// The changes of an edit. They contain no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Changes that take effect immediately.
    pub changes: Vec<String>,
    /// Changes that take effect after a restart.
    pub needs_restart: Vec<String>,
    /// The number of keys and organisations that lose access: newly revoked keys and organisations,
    /// removed keys, and keys with a secret removed.
    pub revoked: usize,
}

/// Returns the changes from `old` to `new`, with no keys besides those of the files.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Diff {
    let known =
        Known { keys: &|_| Vec::new(), dead: &|_| false, organization: &|_| false, all: true };
    diff_beside(old, new, &known)
}

/// Returns the changes from `old` to `new`. `known`: the existing keys and organisations.
#[must_use]
pub fn diff_beside(old: &Config, new: &Config, known: &Known<'_>) -> Diff {
    let (mut changes, mut needs_restart) = (Vec::new(), Vec::new());
    server::server(old, new, (&mut needs_restart, &mut changes));
    apis::apis(old, new, &mut changes);
    let (lines, revoked) = keys::keys(old, new, known);
    changes.extend(lines);
    Diff { changes, needs_restart, revoked }
}
