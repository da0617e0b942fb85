//! Errors of the store.

use std::io;

use rusqlite::ErrorCode;
use thiserror::Error;

use super::query::UseNote;

/// The reason why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The store is already open in another process or in this one.
    #[error("it is open in another process; only one gateway can use a store")]
    InUse,
    /// Other users have permissions on the file.
    #[error("other users may open it (its mode is {mode:04o}); run `chmod 600` on it first")]
    Permissions {
        /// The permission bits of the file.
        mode: u32,
    },
    /// The file is not a store of Keygate.
    #[error("it is not a store of Keygate")]
    NotAStore,
    /// A newer version of Keygate has written the file.
    #[error(
        "a newer Keygate has written it (version {version}; this one knows versions up to {known})"
    )]
    Newer {
        /// The schema version of the file.
        version: i64,
        /// The newest schema version that this program supports.
        known: i64,
    },
    /// SQLite returned an error.
    #[error("{0}")]
    Sqlite(rusqlite::Error),
    /// The operating system returned an error.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::NotADatabase) => Self::NotAStore,
            _ => Self::Sqlite(error),
        }
    }
}

/// The store could not carry out the operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub String);

impl From<rusqlite::Error> for Unavailable {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Unavailable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The reason why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// The store could not be written. The same change may succeed later.
    Unavailable(Unavailable),
    /// The change conflicts with the contents of the store.
    Conflict(Conflict),
}

/// The conflict of a change with the contents of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Another key has the id, or the id was revoked.
    IdTaken,
    /// A key has one of the secrets, or had it when the key was revoked.
    DigestTaken {
        /// The id of that key.
        key_id: String,
    },
    /// The stored revision is not the expected one, because of another change.
    Stale,
    /// The organisation already has the most keys that it may have.
    CapReached(u32),
    /// The `Idempotency-Key` was used within the last 24 hours.
    IdempotencyKeyUsed,
    /// The key is revoked, which is permanent.
    Revoked,
    /// No key of the store has the id.
    NotFound,
}

/// Uses of keys that were not recorded.
#[derive(Debug)]
pub struct NotNoted {
    /// The reason.
    pub cause: Unavailable,
    /// The notes that were not written. Notes that are absent here were written, unless the store
    /// was closed: then this is empty.
    pub notes: Vec<UseNote>,
}
