//! The handle of the store: each of its methods sends a command to the thread and waits for the
//! answer.

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
use super::thread::{self, Command, Task};
use super::{open, read};
use crate::policy::Digest;

/// How many ids or secrets one command looks for: a few milliseconds, after which whatever waits
/// has its turn.
const LOOKED_FOR: usize = 1000;

/// The handle of the store; cheap to clone. When the last one is dropped, the thread does what was
/// queued and ends.
#[derive(Debug, Clone)]
pub struct KeyStore {
    commands: mpsc::Sender<Command>,
    health: Arc<Health>,
}

/// An open store and what it holds besides keys.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub store: KeyStore,
    /// What it holds.
    pub found: open::Found,
}

impl KeyStore {
    /// Opens the store, makes or migrates it where need be, and hands over every key once, ordered
    /// by id. Secrets that have ended are among them. It takes the time that the disk takes; the
    /// thread is started when it is done.
    ///
    /// # Errors
    /// Fails if the file is not a store of this version or an older one, is open to other users or
    /// open in another process, or cannot be read or written.
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

    /// Figures for metrics and alerts.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Makes a change together with its entry in the audit log. It is on the disk when this
    /// returns.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn commit(&self, change: Change, entry: AuditEntry) -> Result<(), CommitError> {
        let answer = self.ask(|answer| Command::Commit(Box::new((change, entry)), answer)).await;
        answer.unwrap_or_else(|closed| Err(CommitError::Unavailable(closed)))
    }

    /// Adds to the counts of days and raises last uses, in transactions of 500 between which
    /// changes go first.
    ///
    /// # Errors
    /// Hands back what was not written.
    pub async fn note_use(&self, notes: Vec<UseNote>) -> Result<(), NotNoted> {
        let answer = self.ask(|answer| Command::Later(Task::NoteUse(notes, answer))).await;
        answer.unwrap_or_else(|cause| Err(NotNoted { cause, notes: Vec::new() }))
    }

    /// Deletes old history, in small steps.
    ///
    /// # Errors
    /// Some of it may be deleted.
    pub async fn prune(&self, prune: Prune) -> Result<(), Unavailable> {
        self.ask(|answer| Command::Later(Task::Prune(prune, answer)))
            .await
            .and_then(|answer| answer)
    }

    /// Writes a copy of the store as of the moment when it is done, while changes go on. The copy
    /// is complete and on the disk once it has its name; nobody but the owner can read it. To
    /// restore it, put it in the place of a store that is not open, and remove that store's `-wal`,
    /// which a gateway leaves only if it was killed: SQLite would take it for the copy's.
    ///
    /// # Errors
    /// Fails if the destination exists or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<(), Unavailable> {
        let to = to.to_owned();
        self.ask(|answer| Command::Backup(to, answer)).await.and_then(|answer| answer)
    }

    /// Lets the thread do what was queued, and waits until the file is closed. Other handles can do
    /// nothing from then on.
    pub async fn close(self) {
        // An answer is never sent: the thread drops its end when it is done.
        let _ = self.ask(Command::Close).await;
    }

    /// Lets the thread do what was queued, and closes the file, so that another process may open
    /// it. What is asked from then on waits until [`Self::reclaim`] or [`Self::close`].
    ///
    /// # Errors
    /// The store is closed already.
    pub async fn release(&self) -> Result<(), Unavailable> {
        self.order(Command::Release).await
    }

    /// Opens the file at `path` again after [`Self::release`].
    ///
    /// # Errors
    /// It cannot be opened; it may be tried again.
    pub async fn reclaim(&self, path: &Path) -> Result<(), OpenError> {
        let path = path.to_owned();
        let answer = self.order(|answer| Command::Reclaim(path, answer)).await;
        answer.unwrap_or_else(|closed| Err(OpenError::Io(std::io::Error::other(closed.0))))
    }

    /// The key with this id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn key(&self, id: &str) -> Result<Option<StoredKey>, Unavailable> {
        let id = id.to_owned();
        self.read(move |connection| read::key(connection, &id)).await
    }

    /// The key that has this secret, ended or not.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn key_by_digest(&self, digest: Digest) -> Result<Option<StoredKey>, Unavailable> {
        self.read(move |connection| read::key_by_digest(connection, &digest)).await
    }

    /// Which of these ids and secrets keys of the store have, the revoked ones too.
    ///
    /// # Errors
    /// The file cannot be read.
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

    /// A page of keys. Organisation and parent are found by index; for the rest, keys are looked
    /// through, a few thousand at a time, with other commands in between.
    ///
    /// # Errors
    /// The file cannot be read.
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

    /// The keys that this one made, those that they made, and so on; the revoked ones too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn descendants(&self, id: &str) -> Result<Vec<String>, Unavailable> {
        let id = id.to_owned();
        self.read(move |connection| read::descendants(connection, &id)).await
    }

    /// How many keys of the store the organisation has, revoked ones left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn count_keys(&self, organization: &str) -> Result<u64, Unavailable> {
        let name = organization.to_owned();
        self.read(move |connection| {
            Ok(read::organization(connection, &name)?.map_or(0, |(_, keys)| keys))
        })
        .await
    }

    /// Organisations that have keys in the store or settings, ordered by name, each with the number
    /// of its keys that are not revoked.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn organizations(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(StoredOrganization, u64)>, Unavailable> {
        let after = after.unwrap_or_default().to_owned();
        self.read(move |connection| read::organizations(connection, &after, limit)).await
    }

    /// What is kept of an organisation, and the number of its keys that are not revoked.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn organization(
        &self,
        name: &str,
    ) -> Result<Option<(StoredOrganization, u64)>, Unavailable> {
        let name = name.to_owned();
        self.read(move |connection| read::organization(connection, &name)).await
    }

    /// Requests of a key of the store or the file from one day to another, both included; days
    /// without any are left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn uses(
        &self,
        key_id: &str,
        from_day: i64,
        to_day: i64,
    ) -> Result<Vec<DayUse>, Unavailable> {
        let id = key_id.to_owned();
        self.read(move |connection| read::uses(connection, &id, from_day, to_day)).await
    }

    /// Entries of the audit log.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, Unavailable> {
        self.read(move |connection| read::audit(connection, &query)).await
    }

    /// What a creation with this `Idempotency-Key` in the last 24 hours was for: its body and the
    /// key's id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn replay(
        &self,
        token: &str,
        key: &str,
        now: i64,
    ) -> Result<Option<(Digest, String)>, Unavailable> {
        let (token, key) = (token.to_owned(), key.to_owned());
        self.read(move |connection| read::replay(connection, &token, &key, now)).await
    }

    /// When secrets of these keys were last presented: for keys of the file, whose records are not
    /// here.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn last_used(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<(String, Digest, i64)>, Unavailable> {
        self.read(move |connection| read::last_used(connection, &ids)).await
    }

    /// Who revoked these ids, when and why, whether or not they are keys of the store; those that
    /// are not revoked are left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn revocations(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<(String, Revocation)>, Unavailable> {
        self.read(move |connection| read::revocations(connection, &ids)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let answer = self.ask(|answer: oneshot::Sender<rusqlite::Result<T>>| {
            Command::Read(Box::new(move |connection| {
                // Whoever asked may have left.
                let _ = answer.send(read(connection));
            }))
        });
        answer.await?.map_err(Unavailable::from)
    }

    /// Sends what is not counted among the commands that wait.
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
