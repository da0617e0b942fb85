//! What the store keeps, in its own words: names instead of indices, so that a record outlives
//! every edit of `gateway.toml`.

use serde::{Deserialize, Serialize};

use crate::policy::Digest;

/// A key of the store. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// Unique over store and file; never changes.
    pub id: String,
    /// For people.
    pub name: String,
    /// Whose it is; never changes.
    pub organization: Option<String>,
    /// Names of the APIs that it opens; at least one.
    pub apis: Vec<String>,
    /// What people are shown of the key: its first characters.
    pub prefix: String,
    /// The world that it belongs to, where its API has several.
    pub environment: Option<String>,
    /// Names of the scopes that it holds, in order.
    pub scopes: Vec<String>,
    /// As in `gateway.toml`; empty: no restriction.
    pub allow_ips: Vec<String>,
    /// As in `gateway.toml`; empty: no restriction.
    pub allow_referrers: Vec<String>,
    /// As in `gateway.toml`; empty: no restriction.
    pub allow_endpoints: Vec<String>,
    /// Instead of the API's, such as `100/min`; an empty list: no limit.
    pub rate_limit: Option<Vec<String>>,
    /// When it was made or imported.
    pub created_at: i64,
    /// Who made it: `token NAME` or `key ID`.
    pub created_by: String,
    /// The key that made it, by a key endpoint.
    pub parent: Option<String>,
    /// From then on it is refused.
    pub expires_at: Option<i64>,
    /// Whether it is refused for the time being.
    pub paused: bool,
    /// Counts the changes; the first version is 1.
    pub revision: u64,
    /// What callers may present, the newest first.
    pub secrets: Vec<StoredSecret>,
    /// Nothing: it is not revoked.
    pub revocation: Option<Revocation>,
}

/// One secret of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    /// Of the whole key text.
    pub digest: Digest,
    /// When it was made or imported.
    pub created_at: i64,
    /// When the grace period after a rotation ends.
    pub ends_at: Option<i64>,
    /// When it was last presented, as far as it is written down.
    pub last_used: Option<i64>,
}

/// Why a key is refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: i64,
    /// Who did it: `token NAME`, `key ID` or `gateway.toml`.
    pub by: String,
    /// In their words.
    pub reason: Option<String>,
}

/// What is kept of an organisation besides its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredOrganization {
    /// Its name, as in the keys.
    pub name: String,
    /// Since when all of its keys are refused.
    pub suspended_at: Option<i64>,
    /// How many keys it may have; nothing: the file's default.
    pub key_cap: Option<u32>,
    /// Counts the changes; 0: nothing is kept of it yet.
    pub revision: u64,
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Rises from one entry to the next; 0 before it is written.
    pub sequence: u64,
    /// When.
    pub at: i64,
    /// Who: `token NAME`, `key ID` or `gateway.toml`.
    pub actor: String,
    /// What, such as `key.create`.
    pub action: String,
    /// The key's id or the organisation's name.
    pub subject: String,
    /// The organisation concerned.
    pub organization: Option<String>,
    /// What changed, as JSON. No secret.
    pub detail: String,
}

/// The request for which a key was made, so that the same request does not make another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Whose key it is: the name of the admin token.
    pub token: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// Of the request's meaning.
    pub body: Digest,
}

/// Requests of one key in one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUse {
    /// Days since the Unix epoch, in UTC.
    pub day: i64,
    /// How many.
    pub requests: u64,
}
