//! The thread: what is done when, and what happens after a write that failed.
//!
//! # After a write that failed
//!
//! SQLite rolls its own state back. But where only the `fsync` failed, the transaction stands
//! complete behind the end of the WAL: it is overwritten by the next transaction, and whoever opens
//! the file before that takes it for committed. So the next transaction comes at once, before the
//! failure is told, and means nothing (a "heartbeat"). Nothing else is written until a heartbeat
//! has been; while none is, the thread tries one each second and before each change. There is no
//! need to open the file again: whatever the system's cache has lost was not yet acknowledged, and
//! the heartbeat writes those pages anew.

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
use super::write::{self, Refused};
use super::{backup, open};

/// How many rows a step of a background task writes.
const STEP: usize = 500;
/// How often a store that cannot write tries whether it can.
const RETRY: Duration = Duration::from_secs(1);

pub(super) enum Command {
    Read(Box<dyn FnOnce(&Connection) + Send>),
    Commit(Box<(Change, AuditEntry)>, Sender<Result<(), CommitError>>),
    Later(Task),
    Backup(PathBuf, Sender<Result<(), Unavailable>>),
    /// The sender is dropped when the file is closed.
    Close(Sender<()>),
    /// The file is closed for another process, after what was sent before. What is sent behind
    /// waits.
    Release(Sender<()>),
    /// The file is opened again.
    Reclaim(PathBuf, Sender<Result<(), OpenError>>),
}

/// What has time, and is done in steps.
pub(super) enum Task {
    NoteUse(Vec<UseNote>, Sender<Result<(), NotNoted>>),
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
            // The file is closed before whoever waits for it hears of it.
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
            // Whoever asked may have left; the backup is made all the same.
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

/// Opens a store again that this process has released.
fn reopen(path: &Path) -> Result<(Connection, Place), OpenError> {
    let connection = open::connect(path)?;
    Ok((connection, Place::of(path)?))
}

/// Commands in the order in which they are done: all that is urgent, a step of a task, a step of a
/// backup.
struct Queue {
    receiver: Receiver<Command>,
    urgent: VecDeque<Command>,
    tasks: VecDeque<Task>,
    backups: VecDeque<(PathBuf, Sender<Result<(), Unavailable>>)>,
    closing: Vec<Sender<()>>,
    releasing: Option<Sender<()>>,
}

impl Queue {
    /// Keeps what comes until the file is open again. Nothing: it never will be.
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

    /// Takes what was sent. True: nothing more will be.
    fn collect(&mut self) -> bool {
        loop {
            // What comes after the release waits where it is.
            if self.releasing.is_some() {
                return true;
            }
            match self.receiver.try_recv() {
                Ok(command) if self.closing.is_empty() => self.sort(command),
                // What comes after the close is dropped, and so its senders hear that the store is
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
                    // Neighbours in the file are written together.
                    notes.sort_unstable_by(|left, right| left.key_id.cmp(&right.key_id));
                }
                self.tasks.push_back(task);
            }
            Command::Backup(to, answer) => self.backups.push_back((to, answer)),
            Command::Close(answer) => self.closing.push(answer),
            Command::Release(answer) => self.releasing = Some(answer),
            // It is open.
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
            // The next `collect` sees it too.
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

/// The connection, and how it does.
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
            // These have queues of their own.
            Command::Later(_)
            | Command::Backup(..)
            | Command::Close(_)
            | Command::Release(_)
            | Command::Reclaim(..) => {}
        }
    }

    /// Does a part of a task and returns the rest of it. Whoever asked may have left; it is done
    /// all the same.
    fn step(&self, task: Task) -> Option<Task> {
        match task {
            Task::NoteUse(mut notes, answer) => {
                let from = notes.len().saturating_sub(STEP);
                let result =
                    self.background(|connection| write::note_use(connection, &notes[from..]));
                if result.is_ok() && from > 0 {
                    notes.truncate(from);
                    return Some(Task::NoteUse(notes, answer));
                }
                self.health.dequeue();
                let _ = answer.send(result.map_err(|cause| NotNoted { cause, notes }));
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

    /// Writes in one transaction, which is on the disk when this returns.
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
                // Overwrites what was written in vain; see above. Whether it succeeds is the
                // business of the next change.
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

    /// Dropping a transaction rolls it back.
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

    /// Writes a heartbeat; the store is healthy again if it is on the disk.
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
