//! The store's thread: the order of its work, and recovery after a failed write.
//!
//! # Recovery after a failed write
//!
//! SQLite rolls back its own state. If only the `fsync` failed, though, the complete transaction is
//! in the WAL file after the valid frames. The next transaction overwrites it, but a process that
//! opens the file before then treats it as committed. The thread therefore writes a transaction
//! without effect (a "heartbeat") at once, before it reports the failure. It writes nothing else
//! until a heartbeat has succeeded. Until then, it tries one every second and before each write.
//! The file need not be reopened: data that the page cache has lost was not yet acknowledged, and
//! the heartbeat writes those pages again.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot::Sender;

use super::change::{Change, Prune};
use super::error::{CommitError, NotNoted, OpenError, Unavailable};
use super::health::Health;
use super::place::Place;
use super::query::UseNote;
use super::record::AuditEntry;
use super::sessions::OpenedSession;
use super::write::{self, Refused};
use super::{backup, open, sessions, uses};

/// The most rows that one step of a background task writes.
const STEP: usize = 500;
/// How often a store that cannot be written is tested.
const RETRY: Duration = Duration::from_secs(1);

pub(super) enum Command {
    Read(Box<dyn FnOnce(&Connection) + Send>),
    Commit(Box<(Change, AuditEntry)>, Sender<Result<(), CommitError>>),
    Later(Task),
    Backup(PathBuf, Sender<Result<(), Unavailable>>),
    /// Closes the file. The sender is dropped when this is done.
    Close(Sender<()>),
    /// Completes earlier commands and closes the file, so that another process can open it. Later
    /// commands wait.
    Release(Sender<()>),
    /// Reopens the file.
    Reclaim(PathBuf, Sender<Result<(), OpenError>>),
}

/// Background work, carried out in steps.
pub(super) enum Task {
    NoteUse(Vec<UseNote>, Sender<Result<(), NotNoted>>),
    NoteSeen(Box<(String, OpenedSession)>),
    Prune(Prune, Sender<Result<(), Unavailable>>),
}

pub(super) fn start(
    connection: Connection,
    place: Place,
    receiver: Receiver<Command>,
    health: Arc<Health>,
) -> io::Result<()> {
    let queue = Queue {
        receiver,
        urgent: VecDeque::new(),
        tasks: VecDeque::new(),
        backups: VecDeque::new(),
        closing: Vec::new(),
        releasing: None,
    };
    let run = move || {
        let mut queue = queue;
        let mut writer = Writer { connection, place, health };
        loop {
            run(&writer, &mut queue);
            let Some(released) = queue.releasing.take() else { break };
            let health = writer.health.clone();
            // The file must be closed before the caller learns of it.
            drop(writer);
            let _ = released.send(());
            let Some((connection, place)) = queue.wait_for_reclaim() else { return };
            writer = Writer { connection, place, health };
        }
        drop(writer);
        drop(queue);
    };
    std::thread::Builder::new().name("store".to_owned()).spawn(run).map(drop)
}

fn run(writer: &Writer, queue: &mut Queue) {
    loop {
        let is_over = queue.collect();
        if let Some(command) = queue.urgent.pop_front() {
            writer.run(command);
        } else if let Some(task) = queue.tasks.pop_front() {
            if let Some(rest) = writer.step(task) {
                queue.tasks.push_front(rest);
            }
        } else if let Some((to, answer)) = queue.backups.pop_front() {
            // The backup is made even if the caller has stopped waiting.
            writer.health.dequeue();
            let copied = backup::write(&writer.connection, &to, || {
                queue.let_others_go_first(writer);
            });
            let _ = answer.send(copied);
        } else if is_over {
            return;
        } else {
            queue.wait(writer);
        }
    }
}

/// Reopens a store that this process has released.
///
/// # Errors
/// Returns an error if the file cannot be opened.
fn reopen(path: &Path) -> Result<(Connection, Place), OpenError> {
    let connection = open::connect(path)?;
    Ok((connection, Place::of(path)?))
}

/// Commands in the order in which they are carried out: all urgent ones, one step of a task, one
/// step of a backup.
struct Queue {
    receiver: Receiver<Command>,
    urgent: VecDeque<Command>,
    tasks: VecDeque<Task>,
    backups: VecDeque<(PathBuf, Sender<Result<(), Unavailable>>)>,
    closing: Vec<Sender<()>>,
    releasing: Option<Sender<()>>,
}

impl Queue {
    /// Queues commands until the file is open again. Returns `None` if the store is closed instead.
    fn wait_for_reclaim(&mut self) -> Option<(Connection, Place)> {
        loop {
            match self.receiver.recv().ok()? {
                Command::Reclaim(path, answer) => match reopen(&path) {
                    Ok(opened) => {
                        let _ = answer.send(Ok(()));
                        return Some(opened);
                    }
                    Err(error) => drop(answer.send(Err(error))),
                },
                Command::Close(_) => return None,
                command => self.sort(command),
            }
        }
    }

    /// Queues the commands that were sent. Returns whether the thread must stop once they are
    /// completed, because the store is released or closed or all handles were dropped.
    fn collect(&mut self) -> bool {
        loop {
            // Commands after the release remain in the channel.
            if self.releasing.is_some() {
                return true;
            }
            match self.receiver.try_recv() {
                Ok(command) if self.closing.is_empty() => self.sort(command),
                // Commands after the close are dropped, which tells their senders that the store is
                // closed.
                Ok(_) => {}
                Err(TryRecvError::Empty) => return !self.closing.is_empty(),
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    fn sort(&mut self, command: Command) {
        match command {
            Command::Later(mut task) => {
                if let Task::NoteUse(notes, _) = &mut task {
                    // Rows that are adjacent in the file are written together.
                    notes.sort_unstable_by(|left, right| left.key_id.cmp(&right.key_id));
                }
                self.tasks.push_back(task);
            }
            Command::Backup(to, answer) => self.backups.push_back((to, answer)),
            Command::Close(answer) => self.closing.push(answer),
            Command::Release(answer) => self.releasing = Some(answer),
            // The store is open already.
            Command::Reclaim(_, answer) => drop(answer.send(Ok(()))),
            urgent @ (Command::Read(_) | Command::Commit(..)) => self.urgent.push_back(urgent),
        }
    }

    fn wait(&mut self, writer: &Writer) {
        let received = if writer.health.is_healthy() {
            self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.receiver.recv_timeout(RETRY)
        };
        match received {
            Ok(command) => self.sort(command),
            Err(RecvTimeoutError::Timeout) => drop(writer.heal()),
            // The next `collect` returns the same.
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }

    fn let_others_go_first(&mut self, writer: &Writer) {
        self.collect();
        while let Some(command) = self.urgent.pop_front() {
            writer.run(command);
            self.collect();
        }
        if let Some(rest) = self.tasks.pop_front().and_then(|task| writer.step(task)) {
            self.tasks.push_front(rest);
        }
    }
}

/// The connection and its health.
struct Writer {
    connection: Connection,
    place: Place,
    health: Arc<Health>,
}

impl Writer {
    fn run(&self, command: Command) {
        self.health.dequeue();
        match command {
            Command::Read(read) => {
                self.health.begin();
                read(&self.connection);
                self.health.end();
            }
            Command::Commit(order, answer) => {
                let (change, entry) = *order;
                let result = self.transact(|connection| write::change(connection, &change, &entry));
                let _ = answer.send(result);
            }
            // These commands have their own queues.
            Command::Later(_)
            | Command::Backup(..)
            | Command::Close(_)
            | Command::Release(_)
            | Command::Reclaim(..) => {}
        }
    }

    /// Carries out one step of a task and returns the rest of it, or `None` if it has ended. A task
    /// is completed even if the caller has stopped waiting.
    fn step(&self, task: Task) -> Option<Task> {
        match task {
            Task::NoteUse(mut notes, answer) => {
                let from = notes.len().saturating_sub(STEP);
                let result = self.background(|connection| uses::note(connection, &notes[from..]));
                if result.is_ok() && from > 0 {
                    notes.truncate(from);
                    return Some(Task::NoteUse(notes, answer));
                }
                self.health.dequeue();
                let _ = answer.send(result.map_err(|cause| NotNoted { cause, notes }));
            }
            Task::NoteSeen(noted) => {
                let (id, seen) = *noted;
                // The session counts as idle a little too early if this fails.
                let _ = self.background(|connection| sessions::note_seen(connection, &id, &seen));
                self.health.dequeue();
            }
            Task::Prune(prune, answer) => {
                let mut is_more = false;
                let result = self.background(|connection| {
                    is_more = write::prune(connection, prune, STEP as i64)?;
                    Ok(())
                });
                if result.is_ok() && is_more {
                    return Some(Task::Prune(prune, answer));
                }
                self.health.dequeue();
                let _ = answer.send(result);
            }
        }
        None
    }

    fn background(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Unavailable> {
        self.transact(|connection| Ok(write(connection)?)).map_err(|error| match error {
            CommitError::Unavailable(unavailable) => unavailable,
            CommitError::Conflict(conflict) => Unavailable(format!("{conflict:?}")),
        })
    }

    /// Writes in one transaction, which is durable when this returns.
    ///
    /// # Errors
    /// Returns an error if the change conflicts with the contents of the store, or if the store
    /// cannot be written. Nothing was written then.
    fn transact(
        &self,
        write: impl FnOnce(&Connection) -> Result<(), Refused>,
    ) -> Result<(), CommitError> {
        if !self.health.is_healthy() {
            self.heal().map_err(|error| {
                self.health.note_failure();
                CommitError::Unavailable(error.into())
            })?;
        }
        match self.attempt(write) {
            Ok(()) => {
                self.health.note_commit();
                Ok(())
            }
            Err(Refused::Conflict(conflict)) => Err(CommitError::Conflict(conflict)),
            Err(Refused::Sqlite(error)) => {
                tracing::error!(%error, "the store cannot write");
                self.health.note_failure();
                // Overwrites the failed transaction (see the module documentation). If this fails
                // too, the next write tries again.
                let _ = self.heal();
                Err(CommitError::Unavailable(error.into()))
            }
        }
    }

    fn attempt(
        &self,
        write: impl FnOnce(&Connection) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.health.begin();
        let result = self.write_transaction(write);
        self.health.end();
        result
    }

    /// Begins, writes and commits a transaction. An error drops the transaction, which rolls it
    /// back.
    fn write_transaction(
        &self,
        write: impl FnOnce(&Connection) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        write(&transaction)?;
        self.place.check()?;
        Ok(transaction.commit()?)
    }

    /// Writes a heartbeat. If it is durable, the store is healthy again.
    ///
    /// # Errors
    /// Returns an error if the heartbeat cannot be written.
    fn heal(&self) -> rusqlite::Result<()> {
        match self.attempt(|connection| Ok(write::beat(connection)?)) {
            Ok(()) => {
                tracing::info!("the store can write again");
                self.health.note_recovery();
                Ok(())
            }
            Err(Refused::Sqlite(error)) => Err(error),
            Err(Refused::Conflict(_)) => Ok(()),
        }
    }
}
