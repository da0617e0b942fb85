//! The only writer of the published configuration. Changes the table of keys or the rest of the
//! configuration, and publishes the result with one atomic store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::table::{KeyName, Table};
use crate::config::Config;
use crate::keystore::{StoredKey, Taken};
use crate::policy::{AccountState, Digest, KeyRecord, Now};
use crate::state::{DeferredDrop, Published, Runtime, Shared};

/// The configuration in force. Only tasks of the control thread change it, and no task holds the
/// lock across an await point.
#[derive(Debug)]
pub(super) struct Registry {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    /// Previous processes that still serve open connections. They are notified of the changes that
    /// their own `gateway.toml` does not tell them.
    followers: Mutex<Vec<mpsc::UnboundedSender<KeyUpdate>>>,
    /// The group of tombstones that the next call of [`Self::forget_dead`] checks.
    groups: AtomicUsize,
}

/// A change of keys by request of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum KeyUpdate {
    /// A key of the store was created or changed.
    Put(Box<StoredKey>),
    /// Keys with these ids were revoked.
    Revoke(Vec<String>),
    /// An organisation was suspended (`true`) or resumed (`false`).
    Suspend(String, bool),
}

#[derive(Debug)]
struct Inner {
    table: Table,
    runtime: Arc<Runtime>,
    deferred: DeferredDrop,
}

impl Registry {
    /// Creates the registry of what has already been published.
    pub(super) fn new(shared: Arc<Shared>, table: Table, runtime: Arc<Runtime>) -> Self {
        Self {
            shared,
            inner: Mutex::new(Inner { table, runtime, deferred: DeferredDrop::default() }),
            followers: Mutex::default(),
            groups: AtomicUsize::new(0),
        }
    }

    /// Locks the state. Ignores that a panic may have poisoned the lock: later changes, such as
    /// revocations, must remain possible.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change and publishes the result. Every request that starts after this returns is
    /// judged by it.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner();
        let result = change(&mut inner);
        self.publish(&mut inner);
        result
    }

    fn publish(&self, inner: &mut Inner) {
        let published =
            Published { snapshot: inner.table.snapshot(), runtime: inner.runtime.clone() };
        let before = self.shared.publish(Arc::new(published));
        inner.deferred.add(before);
    }

    /// Returns the configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.inner().table.config().clone()
    }

    /// Returns the key with this id.
    pub(super) fn key(&self, id: &str) -> Option<Arc<KeyRecord>> {
        self.inner().table.key(id).cloned()
    }

    /// Returns the key that has a secret with this digest.
    pub(super) fn key_of(&self, digest: &Digest) -> Option<Arc<KeyRecord>> {
        self.inner().table.key_of(digest).cloned()
    }

    /// Returns whether the key with this id is revoked, by the file or by request.
    pub(super) fn is_revoked(&self, id: &str) -> bool {
        self.inner().table.is_revoked(id)
    }

    fn now(&self) -> Now {
        self.shared.clock.now()
    }

    /// Removes these keys, which the store has recorded as revoked, and keeps only their
    /// tombstones. `since` is the time of the revocation in Unix seconds.
    pub(super) fn retire_revoked(&self, ids: &[&str], since: i64) {
        self.change(|inner| inner.table.retire_revoked(ids, since, self.now()));
    }

    /// Removes those of these keys of the store that have expired at `now` (Unix seconds), and
    /// keeps only their tombstones.
    pub(super) fn retire_expired(&self, ids: &[Box<str>], now: i64) {
        let now = Now { unix: now, ..self.now() };
        self.change(|inner| inner.table.retire_expired(ids, now));
    }

    /// Records the revocation of a key that is no longer in memory. `secrets` are the digests of
    /// its secrets, and `since` is the time of the revocation in Unix seconds.
    pub(super) fn retire_again(&self, id: &str, secrets: &[Digest], since: i64) {
        self.change(|inner| inner.table.retire_again(id, secrets, since, self.now()));
    }

    /// Drops tombstones whose retention has passed at `now` (Unix seconds). Each call checks one
    /// 64th of them in turn. All at once would take milliseconds.
    pub(super) fn forget_dead(&self, now: i64) {
        let group = self.groups.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        if inner.table.forget_dead(group, now) {
            self.publish(&mut inner);
        }
    }

    /// Publishes a key of the store. Replaces the one with the same id.
    pub(super) fn put(&self, key: &StoredKey) {
        self.change(|inner| inner.table.put(key));
        self.notify_followers(|| KeyUpdate::Put(Box::new(key.clone())));
    }

    /// Revokes these keys, known or not.
    pub(super) fn revoke<'i>(&self, ids: impl Iterator<Item = &'i str> + Clone) {
        self.change(|inner| inner.table.revoke(ids.clone()));
        self.notify_followers(|| KeyUpdate::Revoke(ids.map(str::to_owned).collect()));
    }

    /// Suspends or resumes an organisation, and with it all of its keys.
    pub(super) fn suspend(&self, organization: &str, suspended: bool) {
        self.change(|inner| inner.table.suspend(organization, suspended));
        self.notify_followers(|| KeyUpdate::Suspend(organization.to_owned(), suspended));
    }

    /// Returns a receiver of all later changes by request. Dropping the receiver ends the
    /// subscription.
    pub(super) fn follow_changes(&self) -> mpsc::UnboundedReceiver<KeyUpdate> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn notify_followers(&self, change: impl FnOnce() -> KeyUpdate) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if !followers.is_empty() {
            let change = change();
            followers.retain(|follower| follower.send(change.clone()).is_ok());
        }
    }

    /// Applies a change of another process's registry.
    pub(super) fn repeat(&self, change: &KeyUpdate) {
        match change {
            KeyUpdate::Put(key) => self.put(key),
            KeyUpdate::Revoke(ids) => self.revoke(ids.iter().map(String::as_str)),
            KeyUpdate::Suspend(organization, suspended) => self.suspend(organization, *suspended),
        }
    }

    /// Imports another process's state of the keys.
    pub(super) fn import(&self, known: &[(Box<str>, AccountState)]) {
        let now = self.shared.clock.now().monotonic;
        self.inner().table.import(known, now);
    }

    /// Reads the table.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.inner().table)
    }

    /// Returns everything in force except the keys.
    pub(super) fn runtime(&self) -> Arc<Runtime> {
        self.inner().runtime.clone()
    }

    /// Publishes an edit of the file. Returns the keys that it revokes and whose revocation the
    /// store has not recorded.
    pub(super) fn follow(&self, config: &Arc<Config>, runtime: Runtime) -> Vec<KeyName> {
        let now = self.shared.clock.now().monotonic;
        self.change(|inner| {
            inner.table.follow(config, runtime.routes.clone(), now);
            inner.runtime = Arc::new(runtime);
            inner.table.keep_revoked()
        })
    }

    /// Does the same as [`Self::follow`] if only `[revoked]` has changed.
    pub(super) fn follow_revoked(&self, config: &Arc<Config>) -> Vec<KeyName> {
        let now = self.shared.clock.now().monotonic;
        self.change(|inner| {
            inner.table.follow(config, inner.runtime.routes.clone(), now);
            inner.table.keep_revoked()
        })
    }

    /// Records which values of a new file's `[revoked]` name keys that only the store knows.
    pub(super) fn note_named_dead(&self, taken: &Taken) {
        self.inner().table.note_named_dead(taken);
    }

    /// Takes the names of revoked keys that the store is yet to record.
    pub(super) fn take_unrecorded(&self) -> Vec<KeyName> {
        self.inner().table.take_unrecorded()
    }

    /// Publishes another TLS configuration for the data listener.
    pub(super) fn renew(&self, tls: Arc<rustls::ServerConfig>) {
        self.change(|inner| {
            let runtime = &*inner.runtime;
            let (routes, apis, server) =
                (runtime.routes.clone(), runtime.apis.clone(), runtime.server.clone());
            inner.runtime = Arc::new(Runtime {
                routes,
                apis,
                server,
                tls: Some(tls),
                log_requests: runtime.log_requests,
            });
        });
    }

    /// Frees previous configurations that no worker uses any more.
    pub(super) fn sweep(&self) {
        self.inner().deferred.sweep();
    }

    /// Takes the keys that cannot return and whose usage has been collected. Returns their ids and
    /// their numbers of requests.
    pub(super) fn forget_collected(&self) -> Vec<(Box<str>, u64)> {
        let now = self.now().monotonic;
        self.inner().table.forget_collected(now)
    }

    /// Drops the counts of removed keys that no longer matter. Returns the ids of these keys and
    /// their numbers of requests.
    pub(super) fn forget(&self) -> Vec<(Box<str>, u64)> {
        let now = self.shared.clock.now().monotonic;
        self.inner().table.forget(now)
    }
}
