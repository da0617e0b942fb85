//! The state that the operations on keys and organisations share.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard, Notify};
use tokio::time::timeout;

use super::actor::Actor;
use super::error::{Result, ServiceError};
use crate::control::registry::Registry;
use crate::control::table::KeyName;
use crate::keystore::{AuditEntry, Change, KeyStore, Revocation};

/// How long a change waits for earlier changes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The operations on keys and organisations. The registry puts changes in force. The store makes
/// them durable.
pub(in crate::control) struct KeyOperations {
    pub(super) registry: Arc<Registry>,
    pub(super) store: Option<KeyStore>,
    /// Returns Unix seconds.
    pub(super) clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// Held during a change, so that what the change is based on is still true when it is
    /// committed.
    pub(super) changes: tokio::sync::Mutex<()>,
    /// Revocations that are in force and that the store has yet to record.
    pub(super) unrecorded: Mutex<BTreeMap<KeyName, Revocation>>,
    /// Notified when the store has recorded all of them.
    pub(super) recorded: Notify,
    /// Portal sessions that have ended and that the store has yet to record as ended.
    pub(super) ended_sessions: Mutex<HashSet<String>>,
    /// Whether another process has taken over the store.
    pub(super) retired: AtomicBool,
}

impl KeyOperations {
    /// Creates the operations. `store` is `None` if there is none.
    pub(super) fn new(
        registry: Arc<Registry>,
        store: Option<KeyStore>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            registry,
            store,
            clock: Box::new(clock),
            changes: tokio::sync::Mutex::default(),
            unrecorded: Mutex::default(),
            ended_sessions: Mutex::default(),
            recorded: Notify::new(),
            retired: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Waits until no other change is being made.
    ///
    /// # Errors
    /// Returns [`ServiceError::Unavailable`] if that takes longer than [`LOCK_TIMEOUT`]. The store
    /// hangs then, and a change must not be completed long after its caller got an error.
    pub(super) async fn lock(&self) -> Result<MutexGuard<'_, ()>> {
        timeout(LOCK_TIMEOUT, self.changes.lock()).await.map_err(|_| ServiceError::Unavailable)
    }

    pub(super) fn store(&self) -> Result<&KeyStore> {
        self.store.as_ref().ok_or(ServiceError::NoStore)
    }

    /// Makes a change durable, together with its entry in the audit log.
    pub(super) async fn commit(&self, change: Change, entry: AuditEntry) -> Result<()> {
        Ok(self.store()?.commit(change, entry).await?)
    }

    pub(super) fn entry(
        &self,
        actor: &Actor,
        action: &str,
        subject: &str,
        organization: Option<&str>,
        mut detail: serde_json::Value,
    ) -> AuditEntry {
        if let (Some((session, person)), Some(detail)) = (actor.person(), detail.as_object_mut()) {
            detail.insert("session".to_owned(), session.into());
            detail.insert("person".to_owned(), person.into());
        }
        AuditEntry {
            sequence: 0,
            at: self.now(),
            actor: actor.name.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            organization: organization.map(str::to_owned),
            detail: detail.to_string(),
        }
    }

    /// A panic cannot leave this half-changed, so a poisoned lock is used as it is.
    pub(super) fn unrecorded(&self) -> std::sync::MutexGuard<'_, BTreeMap<KeyName, Revocation>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyOperations {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyOperations").field("store", &self.store).finish_non_exhaustive()
    }
}
