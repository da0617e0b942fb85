//! Records of the store. They contain names instead of indices, so that a record remains valid
//! after any edit of `gateway.toml`.

use serde::{Deserialize, Serialize};

use crate::policy::{Digest, Hours};

/// A key of the store. Times are in seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// The id, unique among the keys of the store and the configuration file. It never changes.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The organisation that owns the key. It never changes.
    pub organization: Option<String>,
    /// Names of the APIs that the key opens, at least one.
    pub apis: Vec<String>,
    /// The first characters of the key, for display.
    pub prefix: String,
    /// The environment of the key, if its API has several.
    pub environment: Option<String>,
    /// Names of the scopes that the key holds, in order.
    pub scopes: Vec<String>,
    /// Permitted client addresses, as in `gateway.toml`. Empty: no restriction.
    pub allow_ips: Vec<String>,
    /// Permitted referrers, as in `gateway.toml`. Empty: no restriction.
    pub allow_referrers: Vec<String>,
    /// Permitted endpoints, as in `gateway.toml`. Empty: no restriction.
    pub allow_endpoints: Vec<String>,
    /// Rate limits that replace those of the API, such as `100/min`. `None`: the API's limits
    /// apply. An empty list: no limit.
    pub rate_limit: Option<Vec<String>>,
    /// When the key was created or imported.
    pub created_at: i64,
    /// Who created the key: `token NAME` or `key ID`.
    pub created_by: String,
    /// The id of the key that created this one at a key endpoint.
    pub parent: Option<String>,
    /// The time from which the key is refused. `None`: it does not expire.
    pub expires_at: Option<i64>,
    /// Whether the key is temporarily refused.
    pub paused: bool,
    /// The number of the current version. It begins at 1, and each change increments it.
    pub revision: u64,
    /// The secrets that callers may present, the newest first.
    pub secrets: Vec<StoredSecret>,
    /// The revocation. `None`: the key is not revoked.
    pub revocation: Option<Revocation>,
}

/// One secret of a key. Times are in seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    /// The SHA-256 digest of the complete key.
    pub digest: Digest,
    /// When the secret was created or imported.
    pub created_at: i64,
    /// When the grace period after a rotation ends. `None`: the secret has not been replaced.
    pub ends_at: Option<i64>,
    /// When the secret was last presented, as far as recorded.
    pub last_used: Option<i64>,
}

/// The reason why a key is refused permanently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When the key was revoked, in seconds since the Unix epoch.
    pub at: i64,
    /// Who revoked the key: `token NAME`, `key ID` or `gateway.toml`.
    pub by: String,
    /// The reason that they gave.
    pub reason: Option<String>,
}

/// The settings of an organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredOrganization {
    /// The name, as in the keys.
    pub name: String,
    /// The time from which all keys of the organisation are refused, in seconds since the Unix
    /// epoch. `None`: it is not suspended.
    pub suspended_at: Option<i64>,
    /// The most keys that it may have. `None`: the default of the configuration file applies.
    pub key_cap: Option<u32>,
    /// The number of the current version. Each change increments it. 0: no settings are stored.
    pub revision: u64,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The sequence number, which increases from entry to entry. 0 before the entry is written.
    pub sequence: u64,
    /// When the change was made, in seconds since the Unix epoch.
    pub at: i64,
    /// Who made the change: `token NAME`, `key ID` or `gateway.toml`.
    pub actor: String,
    /// The kind of change, such as `key.create`.
    pub action: String,
    /// The id of the key or the name of the organisation.
    pub subject: String,
    /// The organisation concerned.
    pub organization: Option<String>,
    /// The change, as JSON. It contains no secret.
    pub detail: String,
}

/// The request that created a key, so that repeating it does not create another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The name of the admin token that sent the `Idempotency-Key`. Different tokens may use the
    /// same one.
    pub token: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// The digest of the request in canonical form: white space and member order do not count.
    pub body: Digest,
}

/// The requests of one key on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayUse {
    /// The day in UTC, in days since the Unix epoch.
    pub day: i64,
    /// Requests by class, in the order of [`OutcomeClass::ALL`](crate::policy::OutcomeClass::ALL).
    pub counts: [u64; 5],
    /// The most requests within one minute.
    pub highest_minute: u32,
    /// The hours with requests, in order. Empty once they are too long ago to be kept.
    pub hours: Hours,
}
