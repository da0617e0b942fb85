//! Detects whether the store's files were moved or deleted.
//!
//! SQLite continues to use the files that it has opened, even if their names are removed. If the
//! store is deleted or replaced by a backup while the gateway runs, every later change would be
//! acknowledged and then lost at the next start.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// The files of an open store, each with the device and inode numbers that it had when it was
/// opened.
#[derive(Debug)]
pub(super) struct Place([(PathBuf, (u64, u64)); 2]);

impl Place {
    /// Returns the files of the store at `path`, which must be open: the database and its WAL.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let known = |path: PathBuf| std::fs::metadata(&path).map(|file| (path, identity(&file)));
        Ok(Self([known(path.to_owned())?, known(wal.into())?]))
    }

    /// Checks that the files are in place.
    ///
    /// # Errors
    /// Returns an error if a file was deleted, or if its name now refers to another file.
    pub(super) fn check(&self) -> rusqlite::Result<()> {
        for (path, known) in &self.0 {
            let there = match std::fs::metadata(path) {
                Ok(file) => identity(&file) == *known,
                // A file that cannot be examined may still exist.
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            };
            if !there {
                let detail = format!(
                    "{} was deleted or replaced while it was in use: put it back, or `keygate \
                        backup` what is in use and restart with that",
                    path.display()
                );
                return Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED),
                    Some(detail),
                ));
            }
        }
        Ok(())
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
