//! A key as the table keeps it: small, because there may be a million, and immutable: an edit makes
//! a new record.

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
    /// By its name.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One of the texts that a caller may present for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// Of the whole text.
    pub digest: Digest,
    /// Seconds since the Unix epoch; from then on it is refused. It never outlives its key.
    pub ends_at: Option<i64>,
}

/// What [`KeyRecord::new`] takes.
#[derive(Debug, Clone)]
pub struct KeyDefinition {
    /// Unique; in logs, metrics and towards the upstream.
    pub id: KeyId,
    /// For people.
    pub name: Box<str>,
    /// Whose it is.
    pub organization: Option<Arc<Organization>>,
    /// At least one.
    pub secrets: Vec<Secret>,
    /// Seconds since the Unix epoch; from then on the key is refused.
    pub expires_at: Option<i64>,
    /// Whether it is refused for good.
    pub revoked: bool,
    /// Whether it is refused for the time being.
    pub paused: bool,
    /// Whether the store keeps it, and not `gateway.toml`.
    pub stored: bool,
    /// Where it may be used from, and for what.
    pub restrictions: Restrictions,
    /// The APIs that it opens: index of its [`Terms`] in the snapshot.
    pub terms: u32,
    /// Its counts, which outlive the record.
    pub account: Arc<Account>,
}

/// What a key may do, API by API. Keys with the same rights share them.
pub type Terms = Arc<[Grant]>;

/// What a key may do in one API.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Index of the API in the snapshot.
    pub(super) api: usize,
    pub(super) scopes: ScopeSet,
    /// Whether it holds every scope, and endpoints without a scope too.
    pub(super) everything: bool,
    /// Whether it opens the API's own key endpoints.
    pub(super) manages_keys: bool,
    /// The scopes' names as the upstream is told them.
    pub(super) scopes_line: Box<[u8]>,
    /// Own or the API's; empty: none.
    pub(super) limits: Arc<[Limit]>,
}

impl Grant {
    /// In the API at this index: these scopes, or `everything`, within these limits. `names` are
    /// what the upstream is told.
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

    /// Index of the API in the snapshot.
    #[must_use]
    pub fn api(&self) -> usize {
        self.api
    }

    /// The scopes that it holds.
    #[must_use]
    pub fn scopes(&self) -> ScopeSet {
        self.scopes
    }

    /// Its limits; empty: none.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The same, and whether it opens the API's own key endpoints.
    #[must_use]
    pub fn managing_keys(self, manages_keys: bool) -> Self {
        Self { manages_keys: manages_keys || self.everything, ..self }
    }
}

/// A key.
#[derive(Debug)]
pub struct KeyRecord {
    /// The secret that most callers present.
    digest: Digest,
    pub(super) account: Arc<Account>,
    /// `i64::MAX`: never.
    expires_at: i64,
    pub(super) terms: u32,
    id_length: u8,
    revoked: bool,
    paused: bool,
    stored: bool,
    pub(super) organization: Option<Arc<Organization>>,
    pub(super) restrictions: Option<Box<Restrictions>>,
    /// The header lines that tell the upstream who calls; made on first use.
    pub(super) identity: OnceBox<Identity>,
    /// While it is rotated. Behind a thin pointer, because nearly all keys have none.
    #[allow(clippy::box_collection)]
    other_secrets: Option<Box<Vec<Secret>>>,
    /// Its id, then its name: in one piece of memory.
    text: Box<str>,
}

impl KeyRecord {
    /// From checked parts.
    #[must_use]
    pub fn new(key: KeyDefinition) -> Self {
        let mut secrets = key.secrets.into_iter();
        let first = secrets.next().map_or(Digest::from_bytes([0; 32]), |secret| secret.digest);
        let others: Vec<Secret> = secrets.collect();
        Self {
            digest: first,
            account: key.account,
            expires_at: key.expires_at.unwrap_or(i64::MAX),
            terms: key.terms,
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

    /// The same key, refused for good.
    #[must_use]
    pub fn revoked(&self) -> Self {
        self.with(true, self.paused)
    }

    /// The same key, refused for good or not, and for the time being or not.
    #[must_use]
    pub fn with(&self, revoked: bool, paused: bool) -> Self {
        Self {
            digest: self.digest,
            account: self.account.clone(),
            expires_at: self.expires_at,
            terms: self.terms,
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

    /// Its id, which is no secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[..usize::from(self.id_length)]
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[usize::from(self.id_length)..]
    }

    /// Whose it is.
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        self.organization.as_deref().map(Organization::name)
    }

    /// What callers may present.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> + Clone {
        let first = Secret { digest: self.digest, ends_at: None };
        std::iter::once(first)
            .chain(self.other_secrets.iter().flat_map(|others| others.iter().copied()))
    }

    /// The secret with this digest.
    #[must_use]
    pub fn secret(&self, digest: &Digest) -> Option<Secret> {
        self.secrets().find(|secret| secret.digest == *digest)
    }

    /// Seconds since the Unix epoch; from then on it is refused.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        (self.expires_at != i64::MAX).then_some(self.expires_at)
    }

    /// Whether it is refused for good.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Whether it is refused for the time being.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether the store keeps it, and not `gateway.toml`.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Where it may be used from, and for what; nothing: anywhere and for all that its scopes
    /// allow.
    #[must_use]
    pub fn restrictions(&self) -> Option<&Restrictions> {
        self.restrictions.as_deref()
    }

    /// Index of its terms in the snapshot.
    #[must_use]
    pub fn terms(&self) -> u32 {
        self.terms
    }

    /// Its counts.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}
