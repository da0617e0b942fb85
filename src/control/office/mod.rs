//! The key office: the rules by which keys are made, changed, rotated, revoked and accounted for.
//!
//! It stands between those who ask (the admin API, the documents' key endpoints), the store, which
//! makes a change durable, and the registry, which puts it in force. A change that gives access is
//! committed before it is published; one that only takes access away is published before it is
//! committed. So what was acknowledged is both durable and in force, and nothing is in force that
//! was not acknowledged, but that something may be refused already.
//!
//! | file | what is there |
//! |---|---|
//! | `model.rs`, `error.rs` | what is asked and answered |
//! | `check.rs`, `rights.rs`, `moment.rs` | whether it makes sense, and what it means |
//! | `create.rs`, `change.rs`, `revoke.rs`, `organizations.rs` | the changes |
//! | `found.rs`, `look.rs`, `view.rs` | looking without changing |
//! | `expired.rs` | what memory keeps of keys that have expired |
//! | `key_endpoints.rs`, `key_bodies.rs` | the documents' own key endpoints |

mod change;
mod check;
mod create;
mod error;
mod expired;
mod found;
mod key_bodies;
mod key_endpoints;
mod look;
mod model;
mod moment;
mod organizations;
mod revoke;
mod rights;
#[cfg(test)]
mod tests;
mod view;

pub(in crate::control) use error::{Conflict, OfficeError, Violation};
pub(in crate::control) use found::DeadKey;
pub(in crate::control) use model::*;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use found::Found;
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::registry::Registry;
use crate::keystore::{
    self, AuditEntry, Change, CommitError, KeyStore, Revocation, StoredKey, Unavailable,
};
use crate::state::{KeyAnswer, KeyCall};

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

/// How long to wait for the changes that came before.
const TURN: Duration = Duration::from_secs(5);
/// How long to wait for a store that hangs. Whoever asked is told that nothing was acknowledged;
/// what was begun may still be done.
const ANSWER: Duration = Duration::from_secs(10);

/// What an answer is made of that the office gives.
type Answer<T> = Result<T, OfficeError>;

/// Shared by all who ask; cheap to clone. Its tasks run on the control thread. A change goes on to
/// its end even if whoever asked for it has left: nobody may turn back between commit and
/// publication.
#[derive(Clone)]
pub(in crate::control) struct Office {
    desk: Arc<Desk>,
}

/// What the office works with.
struct Desk {
    registry: Arc<Registry>,
    store: Option<KeyStore>,
    /// Seconds since the Unix epoch.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// One change at a time, so that what a change was based on is still true when it is committed.
    turn: tokio::sync::Mutex<()>,
    /// Revocations that are in force and that the store has yet to take.
    owed: Mutex<BTreeMap<String, Revocation>>,
    /// Whether another process has taken over the store.
    retired: AtomicBool,
}

impl Office {
    /// Over what runs and, where there is one, the store. `clock` tells seconds since the Unix
    /// epoch.
    pub(in crate::control) fn new(
        registry: Arc<Registry>,
        store: Option<KeyStore>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        let turn = tokio::sync::Mutex::default();
        Self {
            desk: Arc::new(Desk {
                registry,
                store,
                clock: Box::new(clock),
                turn,
                owed: Mutex::default(),
                retired: AtomicBool::new(false),
            }),
        }
    }

    /// Makes a key. With an `Idempotency-Key`, the same request makes it once within 24 hours.
    pub(in crate::control) async fn create(
        &self,
        actor: &Actor,
        new: NewKey,
        idempotency: Option<&str>,
    ) -> Answer<CreatedKey> {
        let (desk, actor, idempotency) =
            (self.desk.clone(), actor.clone(), idempotency.map(str::to_owned));
        detached(async move { desk.create(&actor, new, idempotency.as_deref()).await }).await
    }

    /// Takes in a key that exists already, by its digest.
    pub(in crate::control) async fn import(
        &self,
        actor: &Actor,
        imported: ImportedKey,
    ) -> Answer<KeyView> {
        let (desk, actor) = (self.desk.clone(), actor.clone());
        detached(async move { desk.import(&actor, imported).await }).await
    }

    /// At most `limit` keys behind `after`, which is the `next` of the page before.
    pub(in crate::control) async fn list(
        &self,
        actor: &Actor,
        filter: KeyFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<KeyPage> {
        timely(self.desk.list(actor, filter, after, limit)).await
    }

    /// One key.
    pub(in crate::control) async fn key(&self, actor: &Actor, id: &str) -> Answer<KeyView> {
        timely(self.desk.look_up(actor, id)).await
    }

    /// Changes what a key of the store is and may do. `if_match` is the revision that the change is
    /// meant for.
    pub(in crate::control) async fn update(
        &self,
        actor: &Actor,
        id: &str,
        change: KeyChange,
        if_match: Option<u64>,
    ) -> Answer<KeyView> {
        let (desk, actor, id) = (self.desk.clone(), actor.clone(), id.to_owned());
        detached(async move { desk.update(&actor, &id, change, if_match).await }).await
    }

    /// Refuses a key for the time being, or admits it again.
    pub(in crate::control) async fn set_paused(
        &self,
        actor: &Actor,
        id: &str,
        paused: bool,
        if_match: Option<u64>,
    ) -> Answer<KeyView> {
        let (desk, actor, id) = (self.desk.clone(), actor.clone(), id.to_owned());
        detached(async move { desk.set_paused(&actor, &id, paused, if_match).await }).await
    }

    /// Gives a key a new secret; the one so far works until the grace period ends.
    pub(in crate::control) async fn rotate(
        &self,
        actor: &Actor,
        id: &str,
        rotation: Rotation,
        if_match: Option<u64>,
    ) -> Answer<CreatedKey> {
        let (desk, actor, id) = (self.desk.clone(), actor.clone(), id.to_owned());
        detached(async move { desk.rotate(&actor, &id, rotation, if_match).await }).await
    }

    /// Refuses a key of the store or the file for good. To do so again succeeds too.
    pub(in crate::control) async fn revoke(
        &self,
        actor: &Actor,
        id: &str,
        order: RevocationOrder,
    ) -> Answer<Revoked> {
        let (desk, actor, id) = (self.desk.clone(), actor.clone(), id.to_owned());
        detached(async move { desk.revoke(&actor, &id, order).await })
            .await
            .map_err(OfficeError::of_revocation)
    }

    /// Tells the store of keys that `[revoked]` of the file names, however long that takes.
    pub(in crate::control) fn note_revoked_in_file(&self, ids: Vec<String>) {
        if !self.desk.retired.load(Ordering::Relaxed) {
            self.desk.note_revoked_in_file(ids);
        }
    }

    /// Leaves the store to another process, which reads the same file.
    pub(in crate::control) fn retire(&self) {
        self.desk.retired.store(true, Ordering::Relaxed);
    }

    /// Tells the store of every revocation that it has yet to take, once.
    pub(in crate::control) async fn settle(&self) {
        self.desk.settle().await;
    }

    /// Waits until no change is being made; none is until what is returned is dropped.
    pub(in crate::control) async fn close(&self) -> MutexGuard<'_, ()> {
        self.desk.turn.lock().await
    }

    /// Whether there are revocations that the store has yet to take.
    pub(in crate::control) fn owes(&self) -> bool {
        !self.desk.owed().is_empty()
    }

    /// At most `limit` organisations behind the one named `after`.
    pub(in crate::control) async fn organizations(
        &self,
        actor: &Actor,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<OrganizationPage> {
        timely(self.desk.organizations(actor, after, limit)).await
    }

    /// One organisation.
    pub(in crate::control) async fn organization(
        &self,
        actor: &Actor,
        name: &str,
    ) -> Answer<OrganizationView> {
        timely(self.desk.organization(actor, name)).await
    }

    /// Refuses all keys of an organisation for the time being, or admits them again.
    pub(in crate::control) async fn set_suspended(
        &self,
        actor: &Actor,
        name: &str,
        suspended: bool,
    ) -> Answer<OrganizationView> {
        let (desk, actor, name) = (self.desk.clone(), actor.clone(), name.to_owned());
        detached(async move { desk.set_suspended(&actor, &name, suspended).await }).await
    }

    /// Changes what an organisation may have.
    pub(in crate::control) async fn change_organization(
        &self,
        actor: &Actor,
        name: &str,
        change: OrganizationChange,
        if_match: Option<u64>,
    ) -> Answer<OrganizationView> {
        let (desk, actor, name) = (self.desk.clone(), actor.clone(), name.to_owned());
        detached(async move { desk.change_organization(&actor, &name, change, if_match).await })
            .await
    }

    /// Requests per day from the day `from` to the day `to`, such as `2026-11-22`, both included.
    pub(in crate::control) async fn key_use(
        &self,
        actor: &Actor,
        id: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Answer<KeyUse> {
        timely(self.desk.key_use(actor, id, from, to)).await
    }

    /// At most `limit` entries older than `before`, which is the `next` of the page before.
    pub(in crate::control) async fn audit(
        &self,
        actor: &Actor,
        filter: AuditFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Answer<AuditPage> {
        timely(self.desk.audit(actor, filter, before, limit)).await
    }

    /// Copies the store, while it is in use, to a file that is not there yet.
    pub(in crate::control) async fn backup(&self, actor: &Actor, path: &Path) -> Answer<()> {
        self.desk.backup(actor, path).await
    }

    /// Answers a request to an API's own key endpoints.
    pub(in crate::control) async fn answer(&self, call: KeyCall) -> KeyAnswer {
        let desk = self.desk.clone();
        match tokio::spawn(async move { desk.answer(&call).await }).await {
            Ok(answer) => answer,
            // A panic in there is a mistake of ours, which must not end the gateway.
            Err(_) => key_endpoints::empty(http::StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// Lets a change go on to its end even if whoever asked for it has left.
async fn detached<T: Send + 'static>(
    change: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    // A panic in there is a mistake of ours; nothing was acknowledged.
    timely(async { tokio::spawn(change).await.unwrap_or(Err(OfficeError::Unavailable)) }).await
}

/// One event for each change that was made. Whoever restores a backup learns from these what was
/// revoked after it.
pub(in crate::control) fn log_change(actor: &Actor, action: &str, subject: &str) {
    tracing::info!(by = actor.name, action, subject, "changed by request");
}

/// Does not wait for ever for a disk that hangs.
async fn timely<T>(answer: impl Future<Output = Answer<T>>) -> Answer<T> {
    timeout(ANSWER, answer).await.unwrap_or(Err(OfficeError::Unavailable))
}

impl Desk {
    fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Waits until no other change is being made. Where that takes too long, the store hangs, and
    /// nothing is to be begun that would be done long after its answer.
    async fn take_turn(&self) -> Answer<MutexGuard<'_, ()>> {
        timeout(TURN, self.turn.lock()).await.map_err(|_| OfficeError::Unavailable)
    }

    fn store(&self) -> Answer<&KeyStore> {
        self.store.as_ref().ok_or(OfficeError::NoStore)
    }

    /// A key of the store that this actor may touch and that can still be changed.
    async fn changeable(
        &self,
        actor: &Actor,
        id: &str,
        if_match: Option<u64>,
    ) -> Answer<StoredKey> {
        let key = match self.find(actor, id).await? {
            Found::Known(record) if !record.is_stored() => return Err(OfficeError::FileKey),
            Found::Known(_) => self.store()?.key(id).await?.ok_or(OfficeError::NotFound)?,
            Found::Dead(key) => *key,
        };
        if if_match.is_some_and(|revision| revision != key.revision) {
            return Err(OfficeError::Stale);
        }
        if key.revocation.is_some() || self.registry.is_revoked(id) {
            return Err(OfficeError::Conflict(
                Conflict::KeyRevoked,
                "The key is revoked, which is final. Make a new one.".into(),
            ));
        }
        Ok(key)
    }

    /// Makes a change durable, together with its entry in the audit log.
    async fn commit(&self, change: Change, entry: AuditEntry) -> Answer<()> {
        Ok(self.store()?.commit(change, entry).await?)
    }

    fn entry(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        organization: Option<&str>,
        detail: serde_json::Value,
    ) -> AuditEntry {
        AuditEntry {
            sequence: 0,
            at: self.now(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            organization: organization.map(str::to_owned),
            detail: detail.to_string(),
        }
    }

    /// Nothing is left half-done in it by a panic.
    fn owed(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Revocation>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actor {
    /// Whether it sees what belongs to this organisation, or to none.
    fn sees(&self, organization: Option<&str>) -> bool {
        self.organization.is_none() || self.organization.as_deref() == organization
    }

    /// # Errors
    /// It is narrowed to an organisation, and this is not for organisations to do.
    fn must_be_operator(&self) -> Answer<()> {
        match self.organization {
            None => Ok(()),
            Some(_) => Err(OfficeError::Forbidden(
                "This is for the gateway's operator; the token is narrowed to an organization."
                    .into(),
            )),
        }
    }
}

impl fmt::Debug for Office {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Office").field("store", &self.desk.store).finish_non_exhaustive()
    }
}

impl From<Unavailable> for OfficeError {
    fn from(why: Unavailable) -> Self {
        tracing::error!(%why, "the key office could not do what it was asked");
        Self::Unavailable
    }
}

impl From<CommitError> for OfficeError {
    fn from(error: CommitError) -> Self {
        let conflict = match error {
            CommitError::Unavailable(why) => return why.into(),
            CommitError::Conflict(conflict) => conflict,
        };
        match conflict {
            keystore::Conflict::IdTaken => Self::Conflict(
                Conflict::IdTaken,
                "Another key in the store has, or had, this id.".into(),
            ),
            // Whose it is, is not for everybody to know.
            keystore::Conflict::DigestTaken { .. } => Self::Conflict(
                Conflict::DigestTaken,
                "Another key has, or had, the same secret.".into(),
            ),
            keystore::Conflict::Stale => Self::Stale,
            keystore::Conflict::CapReached(cap) => Self::cap_reached(cap),
            keystore::Conflict::IdempotencyKeyUsed => Self::IdempotencyReused,
            keystore::Conflict::Revoked => Self::Conflict(
                Conflict::KeyRevoked,
                "The key is revoked, which is final. Make a new one.".into(),
            ),
            keystore::Conflict::NotFound => Self::NotFound,
        }
    }
}

impl OfficeError {
    fn cap_reached(cap: u32) -> Self {
        Self::Conflict(
            Conflict::CapReached,
            format!(
                "There are {cap} keys, and there may not be more. Revoke those that are not needed."
            ),
        )
    }
}
