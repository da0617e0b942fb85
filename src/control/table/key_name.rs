//! How a key is named that may not be in memory.

use crate::policy::Digest;

/// What identifies a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::control) enum KeyName {
    /// Its id.
    Id(String),
    /// The digest of one of its secrets.
    Secret(Digest),
}
