//! Key records. They are small, because the key table may hold a million of them. They are
//! immutable: an edit makes a new record.

use std::sync::Arc;

use once_cell::race::OnceBox;

use super::account::Account;
use super::digest::Digest;
use super::fields::line;
use super::identity::{Identity, encoded_list};
use super::key_id::KeyId;
use super::quota::Limit;
use super::restriction::Restrictions;
use super::scope::ScopeSet;

/// An organisation, shared by its keys.
#[derive(Debug)]
pub struct Organization {
    name: Box<str>,
}

impl Organization {
    /// Returns an organisation with this name.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into() })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One of the secrets that a caller may present for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// The digest of the complete secret.
    pub digest: Digest,
    /// When the secret ends, in Unix seconds; it is refused from then on. `None`: it ends with its
    /// key, which it never outlives.
    pub ends_at: Option<i64>,
}

/// Input of [`KeyRecord::new`].
#[derive(Debug, Clone)]
pub struct KeyDefinition {
    /// The unique id. It appears in logs and metrics, and is sent to the upstream.
    pub id: KeyId,
    /// The name, for people.
    pub name: Box<str>,
    /// The organisation that the key belongs to.
    pub organization: Option<Arc<Organization>>,
    /// The secrets, at least one.
    pub secrets: Vec<Secret>,
    /// When the key expires, in Unix seconds; it is refused from then on. `None`: never.
    pub expires_at: Option<i64>,
    /// Whether the key is refused permanently.
    pub revoked: bool,
    /// Whether the key is refused temporarily.
    pub paused: bool,
    /// Whether the key is in the store, and not in `gateway.toml`.
    pub stored: bool,
    /// Where the key may be used from, and for which endpoints.
    pub restrictions: Restrictions,
    /// The index of the key's grants ([`Grants`]) in the snapshot.
    pub grants: u32,
    /// The usage counts, which outlive the record.
    pub account: Arc<Account>,
}

/// The grants of a key, one for each API that it may be used for. Keys with the same rights share
/// them.
pub type Grants = Arc<[Grant]>;

/// What a key may do in one API.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The index of the API in the snapshot.
    pub(super) api: usize,
    pub(super) scopes: ScopeSet,
    /// Whether the key holds every scope, and may also use endpoints that no scope allows.
    pub(super) everything: bool,
    /// Whether the key may use the API's key endpoints.
    pub(super) manages_keys: bool,
    /// The names of the scopes, as a header line for the upstream.
    pub(super) scopes_line: Box<[u8]>,
    /// The key's own limits or those of the API. Empty: no limit.
    pub(super) limits: Arc<[Limit]>,
}

impl Grant {
    /// Returns a grant for the API at this index. `everything`: full access instead of `scopes`.
    /// `names`: the names of the scopes, as sent to the upstream.
    #[must_use]
    pub fn new(
        api: usize,
        scopes: ScopeSet,
        everything: bool,
        names: &[&str],
        limits: Arc<[Limit]>,
    ) -> Self {
        let scopes_line = line("x-keygate-scopes", encoded_list(names).as_bytes());
        Self { api, scopes, everything, manages_keys: everything, scopes_line, limits }
    }

    /// Returns the index of the API in the snapshot.
    #[must_use]
    pub fn api(&self) -> usize {
        self.api
    }

    /// Returns the scopes.
    #[must_use]
    pub fn scopes(&self) -> ScopeSet {
        self.scopes
    }

    /// Returns the limits. Empty: no limit.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Returns the grant with access to the API's key endpoints, if `manages_keys` is set or the
    /// key has full access.
    #[must_use]
    pub fn managing_keys(self, manages_keys: bool) -> Self {
        Self { manages_keys: manages_keys || self.everything, ..self }
    }
}

/// A key.
#[derive(Debug)]
pub struct KeyRecord {
    /// The digest of the secret that most callers present.
    digest: Digest,
    pub(super) account: Arc<Account>,
    /// Unix seconds. `i64::MAX`: never.
    expires_at: i64,
    pub(super) grants: u32,
    id_length: u8,
    revoked: bool,
    paused: bool,
    stored: bool,
    pub(super) organization: Option<Arc<Organization>>,
    pub(super) restrictions: Option<Box<Restrictions>>,
    /// The header lines about the key for the upstream, built on first use.
    pub(super) identity: OnceBox<Identity>,
    /// Further secrets, during a rotation. A thin pointer, because nearly all keys have none.
    #[allow(clippy::box_collection)]
    other_secrets: Option<Box<Vec<Secret>>>,
    /// The id followed by the name, in one allocation.
    text: Box<str>,
}

impl KeyRecord {
    /// Builds a record from validated parts.
    #[must_use]
    pub fn new(key: KeyDefinition) -> Self {
        let mut secrets = key.secrets.into_iter();
        let first = secrets.next().map_or(Digest::from_bytes([0; 32]), |secret| secret.digest);
        let others: Vec<Secret> = secrets.collect();
        Self {
            digest: first,
            account: key.account,
            expires_at: key.expires_at.unwrap_or(i64::MAX),
            grants: key.grants,
            id_length: key.id.length(),
            revoked: key.revoked,
            paused: key.paused,
            stored: key.stored,
            organization: key.organization,
            restrictions: (!key.restrictions.is_empty()).then(|| Box::new(key.restrictions)),
            identity: OnceBox::new(),
            other_secrets: (!others.is_empty()).then(|| Box::new(others)),
            text: [&*key.id, &*key.name].concat().into(),
        }
    }

    /// Returns the same key, refused permanently.
    #[must_use]
    pub fn revoked(&self) -> Self {
        self.with(true, self.paused)
    }

    /// Returns the same key with this state: `revoked` if it is refused permanently, `paused` if it
    /// is refused temporarily.
    #[must_use]
    pub fn with(&self, revoked: bool, paused: bool) -> Self {
        Self {
            digest: self.digest,
            account: self.account.clone(),
            expires_at: self.expires_at,
            grants: self.grants,
            id_length: self.id_length,
            revoked,
            paused,
            stored: self.stored,
            organization: self.organization.clone(),
            restrictions: self.restrictions.clone(),
            identity: OnceBox::new(),
            other_secrets: self.other_secrets.clone(),
            text: self.text.clone(),
        }
    }

    /// Returns the id, which is not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[..usize::from(self.id_length)]
    }

    /// Returns the name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[usize::from(self.id_length)..]
    }

    /// Returns the name of the key's organisation.
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        self.organization.as_deref().map(Organization::name)
    }

    /// Returns the secrets that callers may present.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> + Clone {
        let first = Secret { digest: self.digest, ends_at: None };
        std::iter::once(first)
            .chain(self.other_secrets.iter().flat_map(|others| others.iter().copied()))
    }

    /// Returns the secret with this digest.
    #[must_use]
    pub fn secret(&self, digest: &Digest) -> Option<Secret> {
        self.secrets().find(|secret| secret.digest == *digest)
    }

    /// Returns when the key expires, in Unix seconds, or `None` if never. It is refused from then
    /// on.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        (self.expires_at != i64::MAX).then_some(self.expires_at)
    }

    /// Returns whether the key is refused permanently.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Returns whether the key is refused temporarily.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns whether the key is in the store, and not in `gateway.toml`.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Returns where the key may be used from, and for which endpoints. Returns `None` if it may be
    /// used anywhere, for all that its scopes allow.
    #[must_use]
    pub fn restrictions(&self) -> Option<&Restrictions> {
        self.restrictions.as_deref()
    }

    /// Returns the index of the key's grants in the snapshot.
    #[must_use]
    pub fn grants(&self) -> u32 {
        self.grants
    }

    /// Returns the usage counts.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}
