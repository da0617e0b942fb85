//! A disk that loses what was not synced, and that fails on demand (`tests/crash/unsynced.c`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::harness::{Gateway, library};

/// A folder on such a disk, with a `gateway.toml` whose store is `keygate.db`.
pub(super) struct Disk {
    folder: Arc<TempDir>,
}

impl Disk {
    pub(super) fn new(folder: Arc<TempDir>) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn store(&self) -> PathBuf {
        self.folder().join("keygate.db")
    }

    /// Starts a gateway on this disk.
    pub(super) fn serve(&self) -> Gateway {
        Gateway::serve_in_with(self.folder.clone(), &self.environment())
    }

    /// Starts a gateway on an ordinary disk.
    pub(super) fn serve_safely(&self) -> Gateway {
        Gateway::serve_in(self.folder.clone())
    }

    /// Returns the environment variables that put a process on this disk.
    pub(super) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", library("crash/unsynced.c")), ("KEYGATE_TEST_STORE", self.store())]
    }

    /// Makes the disk fail in one of the ways that `unsynced.c` lists.
    pub(super) fn fail(&self, how: &str) {
        std::fs::write(self.control(how), "").expect("a control file");
    }

    pub(super) fn heal(&self, how: &str) {
        std::fs::remove_file(self.control(how)).expect("a disk that fails");
    }

    fn control(&self, how: &str) -> PathBuf {
        self.folder().join(format!("keygate.db.{how}"))
    }
}
