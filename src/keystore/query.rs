//! What the store is asked for.

use std::sync::Arc;

use crate::policy::Digest;

/// Whether a key is accepted, as far as its record tells. The first that holds, from the bottom up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is.
    Active,
    /// Not until it is resumed.
    Paused,
    /// Its time is over.
    Expired,
    /// Never again.
    Revoked,
}

/// Which keys, ordered by id. What is `None` does not narrow.
#[derive(Debug, Clone, Default)]
pub struct KeyQuery {
    /// Keys of this organisation.
    pub organization: Option<String>,
    /// Keys that open this API.
    pub api: Option<String>,
    /// Keys of this environment.
    pub environment: Option<String>,
    /// Keys that this key made.
    pub parent: Option<String>,
    /// Part of the name, in any letter case.
    pub name: Option<String>,
    /// Keys in this condition at `now`.
    pub condition: Option<Condition>,
    /// Leaves revoked keys out; of no effect together with a condition.
    pub without_revoked: bool,
    /// Seconds since the Unix epoch.
    pub now: i64,
    /// Keys behind this id, for the next page.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Which entries of the audit log, the newest first. What is `None` does not narrow.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Entries that concern this organisation.
    pub organization: Option<String>,
    /// Entries about this key id or organisation.
    pub subject: Option<String>,
    /// Entries older than this sequence number, for the next page.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Which ids and secrets keys of the store have, the revoked ones too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Ids of keys of the store.
    pub ids: Vec<String>,
    /// Secrets, each with the id of its key.
    pub secrets: Vec<(Digest, String)>,
}

/// Requests of one key that are to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseNote {
    /// Of the store or of the file.
    pub key_id: Arc<str>,
    /// The secret that was presented, and when last (seconds since the Unix epoch).
    pub secret: Option<(Digest, i64)>,
    /// Days since the Unix epoch, in UTC.
    pub day: i64,
    /// How many are to be added to the day's.
    pub requests: u64,
}
