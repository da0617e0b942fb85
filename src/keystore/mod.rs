//! The durable store of keys: SQLite on a thread of its own, so that a hung disk holds up changes
//! and nothing else.
//!
//! [`KeyStore`] is the handle. Each of its methods sends a command to the thread and waits for the
//! answer. The thread does changes and reads in the order in which they come. Everything that may
//! take long (noting use, pruning, a backup) is done in small steps, and whatever waits goes first
//! between two of them.
//!
//! | file | what is there |
//! |---|---|
//! | `record.rs`, `query.rs` | what is kept, and what is asked for |
//! | `schema.rs` | the tables and their versions |
//! | `open.rs` | opening the file, and reading all keys at the start |
//! | `thread.rs` | what is done when, and what happens after a write that failed |
//! | `write.rs`, `read.rs`, `backup.rs` | what is done |
//! | `health.rs` | figures for metrics and alerts |

mod backup;
mod health;
mod open;
mod place;
mod query;
mod read;
mod record;
mod schema;
mod thread;
mod write;

#[cfg(test)]
mod tests;

pub use health::Health;
pub use open::{OpenError, Opened};
pub use query::{AuditQuery, Condition, KeyQuery, UseNote};
pub use record::{
    AuditEntry, DayUse, Idempotency, Revocation, StoredKey, StoredOrganization, StoredSecret,
};

use std::fmt;
use std::path::Path;
use std::sync::{Arc, mpsc};

use place::Place;
use rusqlite::Connection;
use thread::{Command, Task};
use tokio::sync::oneshot;

use crate::policy::Digest;

/// The handle of the store; cheap to clone. When the last one is dropped, the thread does what was
/// queued and ends.
#[derive(Debug, Clone)]
pub struct KeyStore {
    commands: mpsc::Sender<Command>,
    health: Arc<Health>,
}

/// A change that is made in whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new key. Its revocation and last uses are not written.
    Create {
        /// Its record.
        key: Box<StoredKey>,
        /// How many keys that are not revoked its organisation may have; a key without organisation
        /// is under no cap.
        cap: Option<u32>,
        /// The request that asks for it.
        idempotency: Option<Idempotency>,
    },
    /// A key's record anew, but for what never changes (organisation, maker and parent), its
    /// revocation and its last uses. Its revision must be one more than what is stored.
    Update(Box<StoredKey>),
    /// Refuses ids for good, whether or not they are keys of the store. Keys' revisions rise by
    /// one; what was revoked before stays as it is.
    Revoke {
        /// The ids.
        ids: Vec<String>,
        /// The same for all of them.
        revocation: Revocation,
    },
    /// An organisation's settings. Its revision must be one more than what is stored, which is 0
    /// where nothing is.
    Organization(StoredOrganization),
}

/// The store could not do it. Nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitError {
    /// The disk does not do its part. The same change may work later.
    Unavailable(Unavailable),
    /// The change does not fit what is stored.
    Conflict(Conflict),
}

/// Why a change does not fit what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Another key has the id, or it was revoked.
    IdTaken,
    /// A key has one of the secrets.
    DigestTaken {
        /// That key.
        key_id: String,
    },
    /// Somebody else has changed it.
    Stale,
    /// The organisation has as many keys as it may have.
    CapReached(u32),
    /// The `Idempotency-Key` was used within the last 24 hours.
    IdempotencyKeyUsed,
    /// The key is revoked, which is final.
    Revoked,
    /// There is no such key.
    NotFound,
}

/// Use that was not written down.
#[derive(Debug)]
pub struct NotNoted {
    /// Why.
    pub cause: Unavailable,
    /// What was not; what is missing here was.
    pub notes: Vec<UseNote>,
}

/// How much history goes.
#[derive(Debug, Clone, Copy)]
pub struct Prune {
    /// Audit entries from before this moment (seconds since the Unix epoch).
    pub audit_before: i64,
    /// Counts of days before this one (days since the Unix epoch).
    pub uses_before_day: i64,
    /// Creations from before this moment can no longer be repeated.
    pub idempotency_before: i64,
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
        let (revocations, organizations) = open::read_all(&connection, each_key)?;
        Ok(Opened { store: Self::start(connection, Place::of(path)?)?, revocations, organizations })
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

impl fmt::Display for Unavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the store is unavailable: {}", self.0)
    }
}

impl std::error::Error for Unavailable {}

impl From<rusqlite::Error> for Unavailable {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Unavailable {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}
