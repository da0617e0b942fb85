//! The interface of the key service for the rest of the program.

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

/// How long a caller waits for a store that hangs. It is then told that nothing was acknowledged,
/// although the change may still be completed.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The key service. All callers share it, and it is cheap to clone. Its tasks run on the control
/// thread.
#[derive(Clone)]
pub(in crate::control) struct KeyService {
    operations: Arc<KeyOperations>,
}

impl KeyService {
    /// Creates the service. `store` is `None` if there is none. `clock` returns Unix seconds.
    pub(in crate::control) fn new(
        registry: Arc<Registry>,
        store: Option<KeyStore>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        Self { operations: Arc::new(KeyOperations::new(registry, store, clock)) }
    }

    /// Returns the running configuration.
    pub(in crate::control) fn config(&self) -> Arc<Config> {
        self.operations.registry.config()
    }

    /// Returns the operations, without timeouts and tasks of their own.
    #[cfg(test)]
    pub(super) fn operations(&self) -> Arc<KeyOperations> {
        self.operations.clone()
    }

    /// Makes a change. It is completed even if its caller has left, because nothing may interrupt
    /// it between commit and publication.
    ///
    /// # Errors
    /// Returns the error of the change, or [`ServiceError::Unavailable`] after [`RESPONSE_TIMEOUT`]
    /// or a panic.
    pub(in crate::control) async fn change<T, C>(
        &self,
        change: impl FnOnce(Arc<KeyOperations>) -> C,
    ) -> Result<T>
    where
        T: Send + 'static,
        C: Future<Output = Result<T>> + Send + 'static,
    {
        let task = tokio::spawn(change(self.operations.clone()));
        // A panic is a defect of ours. Nothing was acknowledged.
        timely(async { task.await.unwrap_or(Err(ServiceError::Unavailable)) }).await
    }

    /// Reads without changing anything. Stops if its caller has left.
    ///
    /// # Errors
    /// Returns the error of `read`, or [`ServiceError::Unavailable`] after [`RESPONSE_TIMEOUT`].
    pub(in crate::control) async fn read<T, L: Future<Output = Result<T>>>(
        &self,
        read: impl FnOnce(Arc<KeyOperations>) -> L,
    ) -> Result<T> {
        timely(read(self.operations.clone())).await
    }

    /// Revokes a key of the store or the file permanently. Revoking it again succeeds.
    ///
    /// # Errors
    /// Returns the errors of [`Self::change`], but [`ServiceError::Unrecorded`] in place of
    /// [`ServiceError::Unavailable`] if the key is refused although the store failed.
    pub(in crate::control) async fn revoke(
        &self,
        actor: &Actor,
        id: &str,
        order: RevocationOrder,
    ) -> Result<Revoked> {
        let (actor, owned) = (actor.clone(), id.to_owned());
        let done = self.change(|keys| async move { keys.revoke(&actor, &owned, order).await });
        done.await.map_err(|error| match error {
            ServiceError::Unavailable if self.operations.registry.is_revoked(id) => {
                ServiceError::Unrecorded
            }
            error => error,
        })
    }

    /// Copies the store, while it is in use, to a new file. There is no timeout, because a large
    /// store takes a while.
    ///
    /// # Errors
    /// Returns [`ServiceError::Forbidden`] if the actor is restricted to an organisation, and
    /// [`Conflict::FileExists`](super::error::Conflict::FileExists) if the path exists. Fails if
    /// there is no store or the copy fails.
    pub(in crate::control) async fn backup(&self, actor: &Actor, path: &Path) -> Result<()> {
        self.operations.backup(actor, path).await
    }

    /// Responds to a request to an API's own key endpoints.
    pub(in crate::control) async fn answer(&self, call: KeyCall) -> KeyAnswer {
        let keys = self.operations.clone();
        match tokio::spawn(async move { keys.answer(&call).await }).await {
            Ok(answer) => answer,
            // A panic is a defect of ours, and must not end the gateway.
            Err(_) => key_endpoints::empty(http::StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Notes which values of `[revoked]` name keys of the store that are no longer in memory. Does
    /// not wait long for the store, because the revocations of the file must be put in force.
    pub(in crate::control) async fn look_up_revoked(&self, revoked: &config::Revoked) {
        self.operations.look_up_revoked(revoked).await;
    }

    /// Has the store record keys that `[revoked]` of the file names, and retries until it has.
    pub(in crate::control) fn note_revoked_in_file(&self, names: Vec<KeyName>) {
        if !self.operations.retired.load(Ordering::Relaxed) {
            self.operations.note_revoked_in_file(names);
        }
    }

    /// Returns the keys of a new file that clash with keys of the store.
    pub(in crate::control) async fn clashes(&self, config: &Config) -> Vec<Clash> {
        let mut clashes = self.operations.registry.look(|table| table.clashes(config));
        clashes.extend(self.operations.clashes_with_dead(config).await);
        clashes
    }

    /// Reduces those of these keys of the store to tombstones that have expired at `now`, in Unix
    /// seconds.
    pub(in crate::control) fn retire_expired(&self, ids: &[Box<str>], now: i64) {
        self.operations.registry.retire_expired(ids, now);
    }

    /// Restores keys to memory that had expired at `before` but have not expired at `now`, because
    /// the clock was set back. Both are in Unix seconds.
    ///
    /// # Errors
    /// Fails if the store does.
    pub(in crate::control) async fn revive(&self, now: i64, before: i64) -> Result<()> {
        self.operations.revive(now, before).await
    }

    /// Leaves the store to another process, which follows the same `gateway.toml`.
    pub(in crate::control) fn retire(&self) {
        self.operations.retired.store(true, Ordering::Relaxed);
    }

    /// Tries once to have the store record every revocation that it has yet to record.
    pub(in crate::control) async fn flush(&self) {
        self.operations.flush().await;
    }

    /// Waits until no change is being made. No change begins until the returned guard is dropped.
    pub(in crate::control) async fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.operations.changes.lock().await
    }

    /// Waits until the store has recorded all revocations that are in force.
    pub(in crate::control) async fn recorded(&self) {
        loop {
            // Created before the check, so that no notification is missed.
            let recorded = self.operations.recorded.notified();
            if self.operations.unrecorded().is_empty() {
                return;
            }
            recorded.await;
        }
    }
}

/// Resolves as `answer` does, or to [`ServiceError::Unavailable`] after [`RESPONSE_TIMEOUT`]: a
/// disk may hang.
async fn timely<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(RESPONSE_TIMEOUT, answer).await.unwrap_or(Err(ServiceError::Unavailable))
}

impl fmt::Debug for KeyService {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.fmt(out)
    }
}
