//! The one writer: changes the table of keys or the rest of the configuration, and puts the result
//! in force by one store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::table::{KeyName, Table};
use crate::config::Config;
use crate::keystore::{StoredKey, Taken};
use crate::policy::{AccountState, Digest, KeyRecord, Now};
use crate::state::{DeferredDrop, Published, Shared, Site};

/// What is in force, and how it is changed. Only tasks of the control thread change it, and none
/// holds it while it waits.
#[derive(Debug)]
pub(super) struct Registry {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    /// Processes that still serve old connections, and are told of changes that their own
    /// `gateway.toml` does not tell them.
    followers: Mutex<Vec<mpsc::UnboundedSender<Change>>>,
    /// Which part of the tombstones is looked at next.
    groups: AtomicUsize,
}

/// A change of keys by request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Change {
    /// This key of the store is as it says now.
    Put(Box<StoredKey>),
    /// Keys with these ids are refused for good.
    Revoke(Vec<String>),
    /// Keys of this organisation are refused, or admitted again.
    Suspend(String, bool),
}

#[derive(Debug)]
struct Inner {
    table: Table,
    site: Arc<Site>,
    deferred: DeferredDrop,
}

impl Registry {
    /// With what is published already.
    pub(super) fn new(shared: Arc<Shared>, table: Table, site: Arc<Site>) -> Self {
        Self {
            shared,
            inner: Mutex::new(Inner { table, site, deferred: DeferredDrop::default() }),
            followers: Mutex::default(),
            groups: AtomicUsize::new(0),
        }
    }

    /// A panic cannot leave it half-changed for longer than until the next publication.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what a change makes of the table in force: every request that starts after this returns
    /// is judged by it.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner();
        let result = change(&mut inner);
        self.publish(&mut inner);
        result
    }

    fn publish(&self, inner: &mut Inner) {
        let published = Published { snapshot: inner.table.snapshot(), site: inner.site.clone() };
        let before = self.shared.publish(Arc::new(published));
        inner.deferred.add(before);
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.inner().table.config().clone()
    }

    /// The key with this id.
    pub(super) fn key(&self, id: &str) -> Option<Arc<KeyRecord>> {
        self.inner().table.key(id).cloned()
    }

    /// The key that has a secret with this digest.
    pub(super) fn key_of(&self, digest: &Digest) -> Option<Arc<KeyRecord>> {
        self.inner().table.key_of(digest).cloned()
    }

    /// Whether this id is refused for good, whatever else is said of it.
    pub(super) fn is_revoked(&self, id: &str) -> bool {
        self.inner().table.is_revoked(id)
    }

    fn now(&self) -> Now {
        self.shared.clock.now()
    }

    /// Keeps only tombstones of these keys of the store, which the store has as revoked since this
    /// moment, in seconds since the Unix epoch.
    pub(super) fn retire_revoked(&self, ids: &[&str], since: i64) {
        self.change(|inner| inner.table.retire_revoked(ids, since, self.now()));
    }

    /// Keeps only tombstones of those of these keys of the store that have expired.
    pub(super) fn retire_expired(&self, ids: &[Box<str>], now: i64) {
        let now = Now { unix: now, ..self.now() };
        self.change(|inner| inner.table.retire_expired(ids, now));
    }

    /// Notes that a key of which only tombstones are kept is revoked now. It has these secrets.
    pub(super) fn retire_again(&self, id: &str, secrets: &[Digest], since: i64) {
        self.change(|inner| inner.table.retire_again(id, secrets, since, self.now()));
    }

    /// Drops tombstones that are older than they are kept at `now`, in seconds since the Unix
    /// epoch. Each call looks at a 64th of them, and the next one at the next.
    pub(super) fn forget_dead(&self, now: i64) {
        let group = self.groups.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        if inner.table.forget_dead(group, now) {
            self.publish(&mut inner);
        }
    }

    /// Puts a key of the store in force, in the place of the one with the same id.
    pub(super) fn put(&self, key: &StoredKey) {
        self.change(|inner| inner.table.put(key));
        self.notify_followers(|| Change::Put(Box::new(key.clone())));
    }

    /// Refuses these keys for good, known or not.
    pub(super) fn revoke<'i>(&self, ids: impl Iterator<Item = &'i str> + Clone) {
        self.change(|inner| inner.table.revoke(ids.clone()));
        self.notify_followers(|| Change::Revoke(ids.map(str::to_owned).collect()));
    }

    /// Refuses or admits all keys of an organisation.
    pub(super) fn suspend(&self, organization: &str, suspended: bool) {
        self.change(|inner| inner.table.suspend(organization, suspended));
        self.notify_followers(|| Change::Suspend(organization.to_owned(), suspended));
    }

    /// Has somebody told of every change by request from now on, for as long as they listen.
    pub(super) fn follow_changes(&self) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn notify_followers(&self, change: impl FnOnce() -> Change) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if !followers.is_empty() {
            let change = change();
            followers.retain(|follower| follower.send(change.clone()).is_ok());
        }
    }

    /// Does what another process's registry did.
    pub(super) fn repeat(&self, change: &Change) {
        match change {
            Change::Put(key) => self.put(key),
            Change::Revoke(ids) => self.revoke(ids.iter().map(String::as_str)),
            Change::Suspend(organization, suspended) => self.suspend(organization, *suspended),
        }
    }

    /// Goes on with what another process knew of keys.
    pub(super) fn import(&self, known: &[(Box<str>, AccountState)]) {
        let now = self.shared.clock.now().monotonic;
        self.inner().table.import(known, now);
    }

    /// Looks at the table without changing it.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.inner().table)
    }

    /// What is served by besides the keys.
    pub(super) fn site(&self) -> Arc<Site> {
        self.inner().site.clone()
    }

    /// Follows an edit of the file. Returns keys of the store that the file revokes and of which
    /// the store has not been told.
    pub(super) fn follow(&self, config: &Arc<Config>, site: Site) -> Vec<KeyName> {
        let now = self.shared.clock.now().monotonic;
        self.change(|inner| {
            inner.table.follow(config, site.routes.clone(), now);
            inner.site = Arc::new(site);
            inner.table.keep_revoked()
        })
    }

    /// The same where only `[revoked]` has changed.
    pub(super) fn follow_revoked(&self, config: &Arc<Config>) -> Vec<KeyName> {
        let now = self.shared.clock.now().monotonic;
        self.change(|inner| {
            inner.table.follow(config, inner.site.routes.clone(), now);
            inner.table.keep_revoked()
        })
    }

    /// Notes which keys that `[revoked]` of a new file names only the store knows.
    pub(super) fn note_named_dead(&self, taken: &Taken) {
        self.inner().table.note_named_dead(taken);
    }

    /// What the store has not been told of what `[revoked]` names.
    pub(super) fn take_untold(&self) -> Vec<KeyName> {
        self.inner().table.take_untold()
    }

    /// Serves by another certificate.
    pub(super) fn renew(&self, tls: Arc<rustls::ServerConfig>) {
        self.change(|inner| {
            let site = &*inner.site;
            let (routes, apis, server) =
                (site.routes.clone(), site.apis.clone(), site.server.clone());
            inner.site = Arc::new(Site {
                routes,
                apis,
                server,
                tls: Some(tls),
                log_requests: site.log_requests,
            });
        });
    }

    /// Frees what nobody uses any more.
    pub(super) fn sweep(&self) {
        self.inner().deferred.sweep();
    }

    /// Ids and requests of keys that cannot come back, once their uses are collected.
    pub(super) fn forget_collected(&self) -> Vec<(Box<str>, u64)> {
        let now = self.now().monotonic;
        self.inner().table.forget_collected(now)
    }

    /// Drops the counts of keys that are gone for good; returns their ids and requests.
    pub(super) fn forget(&self) -> Vec<(Box<str>, u64)> {
        let now = self.shared.clock.now().monotonic;
        self.inner().table.forget(now)
    }
}
