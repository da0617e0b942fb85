//! What the operations on keys and organizations work with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard, Notify};
use tokio::time::timeout;

use super::error::{Result, ServiceError};
use crate::control::registry::Registry;
use crate::control::table::KeyName;
use crate::keystore::{AuditEntry, Change, KeyStore, Revocation};

/// How long to wait for the changes that came before.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The operations on keys and organizations, over the registry, which puts them in force, and the
/// store.
pub(in crate::control) struct KeyOperations {
    pub(super) registry: Arc<Registry>,
    pub(super) store: Option<KeyStore>,
    /// Seconds since the Unix epoch.
    pub(super) clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// One change at a time, so that what a change was based on is still true when it is committed.
    pub(super) changes: tokio::sync::Mutex<()>,
    /// Revocations that are in force and that the store has yet to take.
    pub(super) unrecorded: Mutex<BTreeMap<KeyName, Revocation>>,
    /// Notified when the store has recorded the last of them.
    pub(super) recorded: Notify,
    /// Whether another process has taken over the store.
    pub(super) retired: AtomicBool,
}

impl KeyOperations {
    /// Over what runs and, where there is one, the store.
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
            recorded: Notify::new(),
            retired: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Waits until no other change is being made. Where that takes too long, the store hangs, and
    /// nothing is to be begun that would be done long after its answer.
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
    pub(super) fn unrecorded(&self) -> std::sync::MutexGuard<'_, BTreeMap<KeyName, Revocation>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyOperations {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyOperations").field("store", &self.store).finish_non_exhaustive()
    }
}
