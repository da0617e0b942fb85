//! Requests and responses of the key service, in the form of the admin API's JSON. Unknown members
//! of a request are refused.
//!
//! Times are RFC 3339 in UTC, to the second. A member that is absent from a change leaves the
//! setting as it is. `null` removes the setting, if it can be removed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Where a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::control) enum Source {
    /// In the store: it can be changed here.
    Store,
    /// In `gateway.toml`: it can be looked at and revoked here, and changed there.
    File,
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::control) enum Status {
    /// It is.
    Active,
    /// Not until it is resumed.
    Paused,
    /// Its time is over.
    Expired,
    /// Its organisation is suspended or revoked.
    Suspended,
    /// Never again.
    Revoked,
}

/// A key as people see it. The key itself is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct KeyView {
    /// Never changes.
    pub(in crate::control) id: String,
    pub(in crate::control) name: String,
    pub(in crate::control) organization: Option<String>,
    /// Names of the APIs that it opens.
    pub(in crate::control) apis: Vec<String>,
    /// Its first characters; empty for keys of the file, of which only digests are known.
    pub(in crate::control) prefix: String,
    pub(in crate::control) environment: Option<String>,
    pub(in crate::control) scopes: Vec<String>,
    pub(in crate::control) allow_ips: Vec<String>,
    pub(in crate::control) allow_referrers: Vec<String>,
    pub(in crate::control) allow_endpoints: Vec<String>,
    /// Its own limits, such as `100/min`; empty: none; null: the API's.
    pub(in crate::control) rate_limit: Option<Vec<String>>,
    pub(in crate::control) status: Status,
    pub(in crate::control) source: Source,
    /// Null for keys of the file.
    pub(in crate::control) created_at: Option<String>,
    pub(in crate::control) created_by: Option<String>,
    /// The key that made it.
    pub(in crate::control) parent: Option<String>,
    pub(in crate::control) expires_at: Option<String>,
    pub(in crate::control) revoked_at: Option<String>,
    pub(in crate::control) revoked_by: Option<String>,
    pub(in crate::control) revoked_because: Option<String>,
    /// Of any of its secrets, to the second.
    pub(in crate::control) last_used_at: Option<String>,
    /// The newest first. More than one only while it is being rotated.
    pub(in crate::control) secrets: Vec<SecretView>,
    /// Rises with each change; its `ETag` is this number in quotes. 0 for keys of the file.
    pub(in crate::control) revision: u64,
}

/// One of the secrets that callers may present for a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct SecretView {
    /// The first 12 hexadecimal digits of its SHA-256, to tell secrets apart.
    pub(in crate::control) fingerprint: String,
    pub(in crate::control) created_at: Option<String>,
    /// When it stops working, after a rotation.
    pub(in crate::control) ends_at: Option<String>,
    pub(in crate::control) last_used_at: Option<String>,
}

/// A key that was just made or rotated.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct CreatedKey {
    #[serde(flatten)]
    pub(in crate::control) record: KeyView,
    /// The key. This is the only time that it is shown; absent where it was shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::control) key: Option<String>,
    /// True where this repeats a request that was answered before, so that the key was shown then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::control) key_shown: bool,
}

/// Leaves out the key.
impl fmt::Debug for CreatedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CreatedKey")
            .field("record", &self.record)
            .field("key_shown", &self.key_shown)
            .finish_non_exhaustive()
    }
}

/// A key to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct NewKey {
    /// For people; 1 to 200 characters.
    pub(in crate::control) name: String,
    #[serde(default)]
    pub(in crate::control) organization: Option<String>,
    /// May be left out only while there is one API.
    #[serde(default)]
    pub(in crate::control) apis: Option<Vec<String>>,
    /// Which prefix it gets. May be left out where the API has one environment or none, else it is
    /// `live` if there is one.
    #[serde(default)]
    pub(in crate::control) environment: Option<String>,
    #[serde(default)]
    pub(in crate::control) scopes: Vec<String>,
    #[serde(default)]
    pub(in crate::control) allow_ips: Vec<String>,
    #[serde(default)]
    pub(in crate::control) allow_referrers: Vec<String>,
    #[serde(default)]
    pub(in crate::control) allow_endpoints: Vec<String>,
    #[serde(default)]
    pub(in crate::control) rate_limit: Option<Vec<String>>,
    /// RFC 3339, in the future.
    #[serde(default)]
    pub(in crate::control) expires_at: Option<String>,
}

/// A key that exists already and of which only the digest is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct ImportedKey {
    /// A new one is made where it is absent.
    #[serde(default)]
    pub(in crate::control) id: Option<String>,
    /// SHA-256 of the exact key, 64 lower-case hexadecimal digits.
    pub(in crate::control) sha256: String,
    /// What people are shown of it, at most 8 characters of its beginning.
    #[serde(default)]
    pub(in crate::control) prefix: Option<String>,
    pub(in crate::control) name: String,
    #[serde(default)]
    pub(in crate::control) organization: Option<String>,
    #[serde(default)]
    pub(in crate::control) apis: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::control) environment: Option<String>,
    #[serde(default)]
    pub(in crate::control) scopes: Vec<String>,
    #[serde(default)]
    pub(in crate::control) allow_ips: Vec<String>,
    #[serde(default)]
    pub(in crate::control) allow_referrers: Vec<String>,
    #[serde(default)]
    pub(in crate::control) allow_endpoints: Vec<String>,
    #[serde(default)]
    pub(in crate::control) rate_limit: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::control) expires_at: Option<String>,
}

/// What is to be different about a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct KeyChange {
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    pub(in crate::control) name: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(in crate::control) scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(in crate::control) allow_ips: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(in crate::control) allow_referrers: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(in crate::control) allow_endpoints: Option<Vec<String>>,
    /// `null`: the API's limit; an empty list: none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(in crate::control) rate_limit: Option<Option<Vec<String>>>,
    /// `null`: never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(in crate::control) expires_at: Option<Option<String>>,
}

/// Refuses `null` for a setting that cannot be removed. It could be meant as "none", but would
/// change nothing.
fn not_null<'d, T: Deserialize<'d>, D: Deserializer<'d>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// Distinguishes `null` from an absent member.
fn present<'d, T: Deserialize<'d>, D: Deserializer<'d>>(
    input: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// How a key is rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Rotation {
    /// How long the secret so far goes on working, such as `24h`; `0s`: it stops at once. 24 hours
    /// where it is absent.
    #[serde(default)]
    pub(in crate::control) grace: Option<String>,
}

/// How a key is revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct RevocationOrder {
    /// For the record.
    #[serde(default)]
    pub(in crate::control) reason: Option<String>,
    /// Whether the keys that it made, and those that they made, are revoked too.
    #[serde(default)]
    pub(in crate::control) descendants: bool,
}

/// What was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct Revoked {
    /// All keys that are refused because of this order, the named one first.
    pub(in crate::control) revoked: Vec<String>,
}

/// Selects the keys of a list. `None` does not restrict it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control) struct KeyFilter {
    pub(in crate::control) organization: Option<String>,
    pub(in crate::control) api: Option<String>,
    pub(in crate::control) environment: Option<String>,
    pub(in crate::control) status: Option<Status>,
    pub(in crate::control) source: Option<Source>,
    /// A part of the name, in any letter case.
    pub(in crate::control) name: Option<String>,
    /// Id of the key that created them.
    pub(in crate::control) parent: Option<String>,
}

/// Some keys, ordered by id, those of the file first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct KeyPage {
    pub(in crate::control) keys: Vec<KeyView>,
    /// For the next page; null: there is none.
    pub(in crate::control) next: Option<String>,
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct OrganizationView {
    pub(in crate::control) name: String,
    /// Null: it is not suspended.
    pub(in crate::control) suspended_at: Option<String>,
    /// Whether `[revoked] organizations` of the file names it.
    pub(in crate::control) revoked: bool,
    /// Keys of the store that are not revoked.
    pub(in crate::control) keys: u64,
    /// How many it may have.
    pub(in crate::control) key_cap: u32,
    /// Rises with each change; its `ETag` is this number in quotes.
    pub(in crate::control) revision: u64,
}

/// What is to be different about an organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct OrganizationChange {
    /// How many keys it may have; `null`: the file's default.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    pub(in crate::control) key_cap: Option<Option<u32>>,
}

/// Some organisations, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct OrganizationPage {
    pub(in crate::control) organizations: Vec<OrganizationView>,
    /// For the next page; null: there is none.
    pub(in crate::control) next: Option<String>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct AuditView {
    pub(in crate::control) sequence: u64,
    pub(in crate::control) at: String,
    /// `token NAME`, `key ID` or `gateway.toml`.
    pub(in crate::control) actor: String,
    /// Such as `key.create`.
    pub(in crate::control) action: String,
    /// A key's id or an organisation's name.
    pub(in crate::control) subject: String,
    pub(in crate::control) organization: Option<String>,
    /// What changed.
    pub(in crate::control) detail: serde_json::Value,
}

/// Some entries of the audit log, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct AuditPage {
    pub(in crate::control) entries: Vec<AuditView>,
    /// For the next page; null: there is none.
    pub(in crate::control) next: Option<String>,
}

/// Selects entries of the audit log. `None` does not restrict them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control) struct AuditFilter {
    pub(in crate::control) organization: Option<String>,
    /// A key's id or an organisation's name.
    pub(in crate::control) subject: Option<String>,
}
