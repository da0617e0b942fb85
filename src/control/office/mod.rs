//! The key office: the rules by which keys are made, changed, rotated, revoked and accounted for.
//!
//! It stands between those who ask (the admin API, the documents' key endpoints), the store, which makes a change durable, and the
//! registry, which puts it in force. A change that gives access is committed before it is published; one that takes access away is
//! published before it is committed. So what was acknowledged is both durable and in force, and what was not is never in force
//! for longer than it was allowed to be.

mod error;
mod model;

pub(in crate::control) use error::{Conflict, OfficeError, Violation};
pub(in crate::control) use model::*;

use std::path::Path;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Actor {
    /// As the audit log names it: `token NAME`, `key ID` or `gateway.toml`.
    pub(in crate::control) name: String,
    /// The only organisation that it sees and touches; nothing: all.
    pub(in crate::control) organization: Option<String>,
}

/// Which entries of the audit log are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control) struct AuditFilter {
    pub(in crate::control) organization: Option<String>,
    /// A key's id or an organisation's name.
    pub(in crate::control) subject: Option<String>,
}

/// What an answer is made of that the office gives.
type Answer<T> = Result<T, OfficeError>;

/// Shared by all who ask. Its futures are `Send` and end on the control thread.
#[derive(Debug)]
pub(in crate::control) struct Office;

#[expect(unused_variables, clippy::unused_async, reason = "the interface, which others build on while it is written")]
impl Office {
    /// Makes a key. With an `Idempotency-Key`, the same request makes it once within 24 hours.
    pub(in crate::control) async fn create(&self, actor: &Actor, new: NewKey, idempotency: Option<&str>) -> Answer<CreatedKey> {
        Err(OfficeError::NoStore)
    }
    /// Takes in a key that exists already, by its digest.
    pub(in crate::control) async fn import(&self, actor: &Actor, imported: ImportedKey) -> Answer<KeyView> {
        Err(OfficeError::NoStore)
    }
    /// At most `limit` keys behind `after`, which is the `next` of the page before.
    pub(in crate::control) async fn list(&self, actor: &Actor, filter: KeyFilter, after: Option<&str>, limit: usize) -> Answer<KeyPage> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn key(&self, actor: &Actor, id: &str) -> Answer<KeyView> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn update(&self, actor: &Actor, id: &str, change: KeyChange, if_match: Option<u64>) -> Answer<KeyView> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn set_paused(&self, actor: &Actor, id: &str, paused: bool, if_match: Option<u64>) -> Answer<KeyView> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn rotate(
        &self,
        actor: &Actor,
        id: &str,
        rotation: Rotation,
        if_match: Option<u64>,
    ) -> Answer<CreatedKey> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn revoke(&self, actor: &Actor, id: &str, order: RevocationOrder) -> Answer<Revoked> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn organizations(&self, actor: &Actor, after: Option<&str>, limit: usize) -> Answer<OrganizationPage> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn organization(&self, actor: &Actor, name: &str) -> Answer<OrganizationView> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn set_suspended(&self, actor: &Actor, name: &str, suspended: bool) -> Answer<OrganizationView> {
        Err(OfficeError::NoStore)
    }
    pub(in crate::control) async fn change_organization(
        &self,
        actor: &Actor,
        name: &str,
        change: OrganizationChange,
        if_match: Option<u64>,
    ) -> Answer<OrganizationView> {
        Err(OfficeError::NoStore)
    }
    /// Requests per day from the day `from` to the day `to`, such as `2026-11-22`, both included.
    pub(in crate::control) async fn key_use(&self, actor: &Actor, id: &str, from: Option<&str>, to: Option<&str>) -> Answer<KeyUse> {
        Err(OfficeError::NoStore)
    }
    /// At most `limit` entries older than `before`, which is the `next` of the page before.
    pub(in crate::control) async fn audit(
        &self,
        actor: &Actor,
        filter: AuditFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Answer<AuditPage> {
        Err(OfficeError::NoStore)
    }
    /// Copies the store, while it is in use, to a file that is not there yet.
    pub(in crate::control) async fn backup(&self, actor: &Actor, path: &Path) -> Answer<()> {
        Err(OfficeError::NoStore)
    }
}
