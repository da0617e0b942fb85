//! Reports events of a file: a thin adapter between the system's notifications and
//! [`Watch`](super::watch::Watch).
//!
//! It watches directories instead of the file, because editors and Kubernetes replace the file.
//! Notifications only save time. Network mounts, single files mounted into a container and full
//! notification queues send none, so the caller polls every second anyway.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::watch::{Event, Identity};

/// Limit of queued events. Further ones are dropped, because the caller polls the file anyway.
const QUEUE: usize = 1024;

/// A watched directory, identified by inode: a new directory of the same name is not yet watched.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Directory {
    fn of_file(file: &Path) -> Option<Self> {
        let path = file.parent()?;
        let metadata = path.metadata().ok()?;
        Some(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The notifications about one file.
#[derive(Debug)]
pub(super) struct FileEvents {
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<notify::Event>,
    directories: Vec<Directory>,
    /// The path as given, and its target.
    names: Vec<PathBuf>,
}

impl FileEvents {
    /// Starts to watch. If the system cannot notify, there are no events.
    pub(super) fn new(path: &Path) -> Self {
        // Notifications name absolute paths.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (sender, events) = mpsc::channel(QUEUE);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Opening and reading also notify, including our own.
            if let Some(event) = event.ok().filter(|event| is_of_interest(event.kind)) {
                let _ = sender.try_send(event);
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "file changes are found by looking every second only");
        }
        let mut events = Self {
            path,
            watcher: watcher.ok(),
            events,
            directories: Vec::new(),
            names: Vec::new(),
        };
        events.follow();
        events
    }

    /// Updates the watched directories. Links may have changed, and a directory may have been
    /// replaced by another of the same name. To be called every second.
    pub(super) fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut names = vec![self.path.clone()];
        names.extend(self.path.canonicalize().ok().filter(|real| *real != names[0]));
        let wanted: Vec<Directory> =
            names.iter().filter_map(|name| Directory::of_file(name)).collect();
        self.names = names;
        if wanted == self.directories {
            return;
        }
        for old in self.directories.drain(..).filter(|old| !wanted.contains(old)) {
            let _ = watcher.unwatch(&old.path);
        }
        // Watching twice does no harm. A failed watch is retried at the next poll.
        self.directories = wanted
            .into_iter()
            .filter(|directory| watcher.watch(&directory.path, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }

    /// Waits for events that matter. Never resolves without notifications. Cancel-safe: dropping
    /// the future loses no event.
    pub(super) async fn next(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while events.is_empty() {
            let Some(event) = self.events.recv().await else { return std::future::pending().await };
            events.extend(self.translate(&event));
            // Take all queued events together: a close counts only if no further write follows.
            while let Ok(event) = self.events.try_recv() {
                events.extend(self.translate(&event));
            }
        }
        events
    }

    fn translate(&self, event: &notify::Event) -> Option<Event> {
        let ours = event.paths.iter().any(|path| self.names.contains(path));
        match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Some(Event::Poll),
            // The rename's second notification also carries the old name, which may be ours.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
            EventKind::Modify(ModifyKind::Name(_)) => {
                Some(if ours { Event::Renamed } else { Event::NeighbourRenamed })
            }
            _ if !ours => None,
            EventKind::Modify(ModifyKind::Data(_)) => Some(Event::Written),
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Event::Closed),
            _ => Some(Event::Poll),
        }
    }
}

fn is_of_interest(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write))) || !kind.is_access()
}

/// Returns the identity of the file that the path leads to, or `None` if there is no such file.
/// Accesses the disk.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|metadata| Identity::of(&metadata))
}
