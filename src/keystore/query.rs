//! Queries of the store.

use std::sync::Arc;

use crate::policy::{Digest, Hours};

/// The status of a key, as far as its record determines it. If several apply, the last one in this
/// list takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The key is accepted.
    Active,
    /// The key is refused until it is resumed.
    Paused,
    /// The key has expired.
    Expired,
    /// The key is refused permanently.
    Revoked,
}

/// Selects keys, ordered by id. A criterion that is `None` matches every key.
#[derive(Debug, Clone, Default)]
pub struct KeyQuery {
    /// The organisation of the keys.
    pub organization: Option<String>,
    /// An API that the keys open.
    pub api: Option<String>,
    /// The environment of the keys.
    pub environment: Option<String>,
    /// The id of the key that created the keys.
    pub parent: Option<String>,
    /// A part of the name, in any letter case.
    pub name: Option<String>,
    /// The status of the keys at `now`.
    pub condition: Option<Condition>,
    /// Whether to omit revoked keys. Ignored if `condition` is set.
    pub without_revoked: bool,
    /// The current time, in seconds since the Unix epoch.
    pub now: i64,
    /// The id after which the page begins. `None`: the first page.
    pub after: Option<String>,
    /// The most keys to return.
    pub limit: usize,
}

/// Selects entries of the audit log, the newest first. A criterion that is `None` matches every
/// entry.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// The organisation that the entries concern.
    pub organization: Option<String>,
    /// The key id or organisation that the entries are about.
    pub subject: Option<String>,
    /// The sequence number before which the page begins. `None`: the first page.
    pub before: Option<u64>,
    /// The most entries to return.
    pub limit: usize,
}

/// Ids and secrets that keys of the store have, revoked keys included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Ids of keys of the store.
    pub ids: Vec<String>,
    /// Secrets, each with the id of its key.
    pub secrets: Vec<(Digest, String)>,
}

/// Requests of one key, of one day, to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseNote {
    /// The id of the key, which is in the store or in the configuration file.
    pub key_id: Arc<str>,
    /// The digest of the secret that was presented, and the time of its last use in seconds since
    /// the Unix epoch.
    pub secret: Option<(Digest, i64)>,
    /// The day of the requests in UTC, in days since the Unix epoch.
    pub day: i64,
    /// The requests to add, by hours of that day.
    pub hours: Hours,
}
