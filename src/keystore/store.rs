//! The handle of the store. Each method sends a command to the thread and waits for its result.

use std::path::Path;
use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::change::{Change, Prune};
use super::error::{CommitError, NotNoted, OpenError, Unavailable};
use super::health::Health;
use super::place::Place;
use super::query::{AuditQuery, KeyQuery, Taken, UseNote};
use super::record::{AuditEntry, DayUse, Revocation, StoredKey, StoredOrganization};
use super::sessions::OpenedSession;
use super::thread::{self, Command, Task};
use super::{open, read, uses};
use crate::policy::Digest;

/// The most ids or secrets that one command looks up. This takes a few milliseconds. Then waiting
/// commands have their turn.
const LOOKED_FOR: usize = 1000;

/// The handle of the store, cheap to clone. When the last handle is dropped, the thread completes
/// the queued commands and ends.
#[derive(Debug, Clone)]
pub struct KeyStore {
    commands: mpsc::Sender<Command>,
    health: Arc<Health>,
}

/// An open store and its contents besides keys.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub store: KeyStore,
    /// The contents besides keys.
    pub found: open::Found,
}

impl KeyStore {
    /// Opens the store, after creating or migrating it if necessary. Passes every key once to
    /// `each_key`, ordered by id; the keys include secrets that have ended. Blocks until the disk
    /// has been read, then starts the thread.
    ///
    /// # Errors
    /// Returns an error if the file is not a store of this version or an older one, is accessible
    /// to other users, is open in another process, or cannot be read or written.
    pub fn open(path: &Path, each_key: impl FnMut(StoredKey)) -> Result<Opened, OpenError> {
        let connection = open::connect(path)?;
        let found = open::read_all(&connection, each_key)?;
        Ok(Opened { store: Self::start(connection, Place::of(path)?)?, found })
    }

    fn start(connection: Connection, place: Place) -> Result<Self, OpenError> {
        let (commands, receiver) = mpsc::channel();
        let health = Arc::new(Health::default());
        thread::start(connection, place, receiver, health.clone())?;
        Ok(Self { commands, health })
    }

    /// Returns figures for metrics and alerts.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Makes a change and writes its entry in the audit log, in one transaction. Both are durable
    /// when this returns.
    ///
    /// # Errors
    /// Returns an error if the change conflicts with the contents of the store, or if the store
    /// cannot be written. Nothing was changed then.
    pub async fn commit(&self, change: Change, entry: AuditEntry) -> Result<(), CommitError> {
        let answer = self.ask(|answer| Command::Commit(Box::new((change, entry)), answer)).await;
        answer.unwrap_or_else(|closed| Err(CommitError::Unavailable(closed)))
    }

    /// Adds to the counts of days and updates last uses, in transactions of 500 notes. Changes have
    /// priority between two transactions.
    ///
    /// # Errors
    /// Returns an error with the notes that were not written if the store cannot be written.
    /// Returns an error without notes if the store is closed.
    pub async fn note_use(&self, notes: Vec<UseNote>) -> Result<(), NotNoted> {
        let answer = self.ask(|answer| Command::Later(Task::NoteUse(notes, answer))).await;
        answer.unwrap_or_else(|cause| Err(NotNoted { cause, notes: Vec::new() }))
    }

    /// Notes that a page of a portal session was asked for. Does not wait for the store.
    pub fn note_seen(&self, id: &str, seen: OpenedSession) {
        self.health.enqueue();
        let task = Task::NoteSeen(Box::new((id.to_owned(), seen)));
        if self.commands.send(Command::Later(task)).is_err() {
            self.health.dequeue();
        }
    }

    /// Deletes old history in small steps.
    ///
    /// # Errors
    /// Returns an error if the store cannot be written or is closed. Some history may have been
    /// deleted.
    pub async fn prune(&self, prune: Prune) -> Result<(), Unavailable> {
        self.ask(|answer| Command::Later(Task::Prune(prune, answer)))
            .await
            .and_then(|answer| answer)
    }

    /// Writes a copy of the store as of the end of the backup. Changes can be made meanwhile. The
    /// copy is complete and durable once it has its final name, and only its owner can read it.
    ///
    /// To restore it, put it in the place of a store that is not open, and remove the `-wal` file
    /// of that store. The gateway leaves this file only if it was killed, and SQLite would treat it
    /// as the WAL of the copy.
    ///
    /// # Errors
    /// Returns an error if the destination exists or cannot be written, or if the store is closed.
    pub async fn backup(&self, to: &Path) -> Result<(), Unavailable> {
        let to = to.to_owned();
        self.ask(|answer| Command::Backup(to, answer)).await.and_then(|answer| answer)
    }

    /// Waits until the thread has completed the queued commands and closed the file. From then on,
    /// other handles return errors.
    pub async fn close(self) {
        // No result is sent. The thread drops its sender when the file is closed.
        let _ = self.ask(Command::Close).await;
    }

    /// Completes the queued commands and closes the file, so that another process can open it.
    /// Later commands wait until [`Self::reclaim`] or [`Self::close`].
    ///
    /// # Errors
    /// Returns an error if the store is closed.
    pub async fn release(&self) -> Result<(), Unavailable> {
        self.order(Command::Release).await
    }

    /// Reopens the file at `path` after [`Self::release`].
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, after which this may be called again, or if
    /// the store is closed.
    pub async fn reclaim(&self, path: &Path) -> Result<(), OpenError> {
        let path = path.to_owned();
        let answer = self.order(|answer| Command::Reclaim(path, answer)).await;
        answer.unwrap_or_else(|closed| Err(OpenError::Io(std::io::Error::other(closed.0))))
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn key(&self, id: &str) -> Result<Option<StoredKey>, Unavailable> {
        let id = id.to_owned();
        self.read(move |connection| read::key(connection, &id)).await
    }

    /// Returns the key that has this secret, even if the secret has ended.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn key_by_digest(&self, digest: Digest) -> Result<Option<StoredKey>, Unavailable> {
        self.read(move |connection| read::key_by_digest(connection, &digest)).await
    }

    /// Returns which of the ids and secrets belong to keys of the store, revoked keys included.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn taken(
        &self,
        ids: Vec<String>,
        digests: Vec<Digest>,
    ) -> Result<Taken, Unavailable> {
        let mut taken = Taken::default();
        for ids in ids.chunks(LOOKED_FOR).map(<[_]>::to_vec) {
            let found = self.read(move |connection| read::taken_ids(connection, ids)).await?;
            taken.ids.extend(found);
        }
        for digests in digests.chunks(LOOKED_FOR).map(<[_]>::to_vec) {
            let found = self.read(move |connection| read::taken_secrets(connection, &digests));
            taken.secrets.extend(found.await?);
        }
        Ok(taken)
    }

    /// Returns a page of keys. Indexes find keys by organisation and parent. For other criteria,
    /// keys are examined in groups of a few thousand, and waiting commands have their turn after
    /// each group.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn keys(&self, query: KeyQuery) -> Result<Vec<StoredKey>, Unavailable> {
        let mut found = Vec::new();
        let mut query = Some(query);
        while let Some(next) = query.take() {
            let (keys, rest) = self.read(move |connection| read::keys(connection, next)).await?;
            found.extend(keys);
            query = rest;
        }
        Ok(found)
    }

    /// Returns the ids of the keys that this key created, directly or through other keys, revoked
    /// keys included.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn descendants(&self, id: &str) -> Result<Vec<String>, Unavailable> {
        let id = id.to_owned();
        self.read(move |connection| read::descendants(connection, &id)).await
    }

    /// Returns the number of keys of the organisation in the store, without revoked keys.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn count_keys(&self, organization: &str) -> Result<u64, Unavailable> {
        let name = organization.to_owned();
        self.read(move |connection| {
            Ok(read::organization(connection, &name)?.map_or(0, |(_, keys)| keys))
        })
        .await
    }

    /// Returns the organisations that have, or had, keys in the store, or that have settings. They
    /// are ordered by name, each with the number of its keys that are not revoked. `after`: the
    /// name after which the page begins.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn organizations(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(StoredOrganization, u64)>, Unavailable> {
        let after = after.unwrap_or_default().to_owned();
        self.read(move |connection| read::organizations(connection, &after, limit)).await
    }

    /// Returns the settings of an organisation and the number of its keys that are not revoked, or
    /// `None` if it never had keys in the store or settings.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn organization(
        &self,
        name: &str,
    ) -> Result<Option<(StoredOrganization, u64)>, Unavailable> {
        let name = name.to_owned();
        self.read(move |connection| read::organization(connection, &name)).await
    }

    /// Returns the daily requests of a key of the store or the configuration file, from `from_day`
    /// to `to_day` inclusive. Days without requests are omitted.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn uses(
        &self,
        key_id: &str,
        from_day: i64,
        to_day: i64,
    ) -> Result<Vec<DayUse>, Unavailable> {
        let id = key_id.to_owned();
        self.read(move |connection| uses::of_key(connection, &id, from_day, to_day)).await
    }

    /// Returns the same as [`Self::uses`] for several keys. Keys without requests are omitted.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn uses_of(
        &self,
        ids: Vec<String>,
        from_day: i64,
        to_day: i64,
    ) -> Result<Vec<(String, Vec<DayUse>)>, Unavailable> {
        let mut found = Vec::new();
        for ids in ids.chunks(LOOKED_FOR).map(<[_]>::to_vec) {
            let read =
                self.read(move |connection| uses::of_keys(connection, ids, from_day, to_day));
            found.extend(read.await?);
        }
        Ok(found)
    }

    /// Returns entries of the audit log.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, Unavailable> {
        self.read(move |connection| read::audit(connection, &query)).await
    }

    /// Returns the creation with this `Idempotency-Key` in the last 24 hours: the digest of its
    /// body and the id of the key. Returns `None` if there was none. `now`: the current time, in
    /// seconds since the Unix epoch.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn replay(
        &self,
        token: &str,
        key: &str,
        now: i64,
    ) -> Result<Option<(Digest, String)>, Unavailable> {
        let (token, key) = (token.to_owned(), key.to_owned());
        self.read(move |connection| read::replay(connection, &token, &key, now)).await
    }

    /// Returns when the secrets of these keys were last presented, in seconds since the Unix epoch.
    /// Used for keys of the configuration file, whose records are not in the store.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn last_used(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<(String, Digest, i64)>, Unavailable> {
        self.read(move |connection| read::last_used(connection, &ids)).await
    }

    /// Returns who revoked these ids, when and why, whether or not keys of the store have them. Ids
    /// that are not revoked are omitted.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn revocations(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<(String, Revocation)>, Unavailable> {
        self.read(move |connection| read::revocations(connection, &ids)).await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let answer = self.ask(|answer: oneshot::Sender<rusqlite::Result<T>>| {
            Command::Read(Box::new(move |connection| {
                // The caller may have stopped waiting.
                let _ = answer.send(read(connection));
            }))
        });
        answer.await?.map_err(Unavailable::from)
    }

    /// Sends a command that is not counted among the waiting ones.
    async fn order<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Unavailable> {
        let closed = || Unavailable("it is closed".to_owned());
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Unavailable> {
        let closed = || Unavailable("it is closed".to_owned());
        let (answer, answered) = oneshot::channel();
        self.health.enqueue();
        if self.commands.send(command(answer)).is_err() {
            self.health.dequeue();
            return Err(closed());
        }
        answered.await.map_err(|_| closed())
    }
}
