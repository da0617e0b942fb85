//! What can go wrong.

use std::io;

use rusqlite::ErrorCode;
use thiserror::Error;

use super::query::UseNote;

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("it is open in another process; only one gateway can use a store")]
    InUse,
    /// The file is open to other users.
    #[error("other users may open it (its mode is {mode:04o}); run `chmod 600` on it first")]
    Permissions {
        /// The bits of its mode.
        mode: u32,
    },
    /// It is something else.
    #[error("it is not a store of Keygate")]
    NotAStore,
    /// A newer Keygate has written it.
    #[error(
        "a newer Keygate has written it (version {version}; this one knows versions up to {known})"
    )]
    Newer {
        /// Its version.
        version: i64,
        /// The newest one that this program knows.
        known: i64,
    },
    /// SQLite says no.
    #[error("{0}")]
    Sqlite(rusqlite::Error),
    /// The system says no.
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

/// The store could not do it. Nothing of it was done.
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

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// The disk does not do its part. The same change may work later.
    Unavailable(Unavailable),
    /// The change does not fit what is stored.
    Conflict(Conflict),
}

/// Why a change does not fit what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Another key has the id, or it was revoked.
    IdTaken,
    /// A key has one of the secrets, or had it when it was revoked.
    DigestTaken {
        /// That key.
        key_id: String,
    },
    /// Somebody else has changed it.
    Stale,
    /// The organisation has as many keys as it may have.
    CapReached(u32),
    /// The `Idempotency-Key` was used within the last 24 hours.
    IdempotencyKeyUsed,
    /// The key is revoked, which is final.
    Revoked,
    /// There is no such key.
    NotFound,
}

/// Use that was not written down.
#[derive(Debug)]
pub struct NotNoted {
    /// Why.
    pub cause: Unavailable,
    /// What was not; what is missing here was.
    pub notes: Vec<UseNote>,
}
