//! How the rest of the program calls the key service.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::actor::Actor;
use super::error::{Result, ServiceError};
use super::key_endpoints;
use super::model::{RevocationOrder, Revoked};
use super::operations::KeyOperations;
use crate::config::{self, Config};
use crate::control::registry::Registry;
use crate::control::table::{Clash, KeyName};
use crate::keystore::KeyStore;
use crate::state::{KeyAnswer, KeyCall};

/// How long to wait for a store that hangs. Whoever asked is told that nothing was acknowledged;
/// what was begun may still be done.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Shared by all who ask; cheap to clone. Its tasks run on the control thread.
#[derive(Clone)]
pub(in crate::control) struct KeyService {
    operations: Arc<KeyOperations>,
}

impl KeyService {
    /// Over what runs and, where there is one, the store. `clock` tells seconds since the Unix
    /// epoch.
    pub(in crate::control) fn new(
        registry: Arc<Registry>,
        store: Option<KeyStore>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        Self { operations: Arc::new(KeyOperations::new(registry, store, clock)) }
    }

    /// The rules by themselves.
    #[cfg(test)]
    pub(super) fn operations(&self) -> Arc<KeyOperations> {
        self.operations.clone()
    }

    /// Makes a change. It goes on to its end even if whoever asked for it has left: nobody may turn
    /// back between commit and publication.
    ///
    /// # Errors
    /// Those of the change; [`ServiceError::Unavailable`] where it takes too long.
    pub(in crate::control) async fn change<T, C>(
        &self,
        change: impl FnOnce(Arc<KeyOperations>) -> C,
    ) -> Result<T>
    where
        T: Send + 'static,
        C: Future<Output = Result<T>> + Send + 'static,
    {
        let task = tokio::spawn(change(self.operations.clone()));
        // A panic in there is a mistake of ours; nothing was acknowledged.
        timely(async { task.await.unwrap_or(Err(ServiceError::Unavailable)) }).await
    }

    /// Reads without changing anything, and no longer than somebody waits for it.
    ///
    /// # Errors
    /// What `read` says; [`ServiceError::Unavailable`] where it takes too long.
    pub(in crate::control) async fn read<T, L: Future<Output = Result<T>>>(
        &self,
        read: impl FnOnce(Arc<KeyOperations>) -> L,
    ) -> Result<T> {
        timely(read(self.operations.clone())).await
    }

    /// Refuses a key of the store or the file for good. To do so again succeeds too.
    ///
    /// # Errors
    /// Those of [`Self::change`], but that the key is refused even where the store does not answer.
    pub(in crate::control) async fn revoke(
        &self,
        actor: &Actor,
        id: &str,
        order: RevocationOrder,
    ) -> Result<Revoked> {
        let (actor, id) = (actor.clone(), id.to_owned());
        self.change(|keys| async move { keys.revoke(&actor, &id, order).await })
            .await
            .map_err(ServiceError::of_revocation)
    }

    /// Copies the store, while it is in use, to a file that is not there yet. A large one takes its
    /// time.
    pub(in crate::control) async fn backup(&self, actor: &Actor, path: &Path) -> Result<()> {
        self.operations.backup(actor, path).await
    }

    /// Answers a request to an API's own key endpoints.
    pub(in crate::control) async fn answer(&self, call: KeyCall) -> KeyAnswer {
        let keys = self.operations.clone();
        match tokio::spawn(async move { keys.answer(&call).await }).await {
            Ok(answer) => answer,
            // A panic in there is a mistake of ours, which must not end the gateway.
            Err(_) => key_endpoints::empty(http::StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Notes which values of `[revoked]` name keys of the store that memory no longer knows. A
    /// store that does not answer soon is not waited for: what the file revokes must be in force.
    pub(in crate::control) async fn look_up_revoked(&self, revoked: &config::Revoked) {
        self.operations.look_up_revoked(revoked).await;
    }

    /// Tells the store of keys that `[revoked]` of the file names, however long that takes.
    pub(in crate::control) fn note_revoked_in_file(&self, names: Vec<KeyName>) {
        if !self.operations.retired.load(Ordering::Relaxed) {
            self.operations.note_revoked_in_file(names);
        }
    }

    /// Keys of a new file that cannot stand beside those of the store.
    pub(in crate::control) async fn clashes(&self, config: &Config) -> Vec<Clash> {
        let mut clashes = self.operations.registry.look(|table| table.clashes(config));
        clashes.extend(self.operations.clashes_with_dead(config).await);
        clashes
    }

    /// Lets go of those of these keys of the store that have expired at `now`, in seconds since the
    /// Unix epoch.
    pub(in crate::control) fn retire_expired(&self, ids: &[Box<str>], now: i64) {
        self.operations.registry.retire_expired(ids, now);
    }

    /// Takes back keys that had expired at `before`, and have not at `now`: the clock was set back.
    pub(in crate::control) async fn revive(&self, now: i64, before: i64) -> Result<()> {
        self.operations.revive(now, before).await
    }

    /// Leaves the store to another process, which reads the same file.
    pub(in crate::control) fn retire(&self) {
        self.operations.retired.store(true, Ordering::Relaxed);
    }

    /// Tells the store of every revocation that it has yet to take, once.
    pub(in crate::control) async fn flush(&self) {
        self.operations.flush().await;
    }

    /// Waits until no change is being made; none is until what is returned is dropped.
    pub(in crate::control) async fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.operations.changes.lock().await
    }

    /// Waits until the store has recorded all revocations that are in force.
    pub(in crate::control) async fn recorded(&self) {
        loop {
            // First, so that no notification is missed.
            let recorded = self.operations.recorded.notified();
            if self.operations.unrecorded().is_empty() {
                return;
            }
            recorded.await;
        }
    }
}

/// Does not wait for ever for a disk that hangs.
async fn timely<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(RESPONSE_TIMEOUT, answer).await.unwrap_or(Err(ServiceError::Unavailable))
}

impl fmt::Debug for KeyService {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.fmt(out)
    }
}
