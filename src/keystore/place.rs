//! Whether the store's files are still where they were.
//!
//! SQLite goes on with the files that it has opened, whatever becomes of their names. Somebody who
//! deletes the store, or puts a backup in its place, while the gateway runs would make every later
//! change one that is acknowledged and gone after the next start.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// The files of an open store, each with the device and number that it had when it was opened.
#[derive(Debug)]
pub(super) struct Place([(PathBuf, (u64, u64)); 2]);

impl Place {
    /// Of the store that has been opened at `path`, with its WAL.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let known = |path: PathBuf| std::fs::metadata(&path).map(|file| (path, identity(&file)));
        Ok(Self([known(path.to_owned())?, known(wal.into())?]))
    }

    /// # Errors
    /// A file is gone, or another one has its name.
    pub(super) fn check(&self) -> rusqlite::Result<()> {
        for (path, known) in &self.0 {
            let there = match std::fs::metadata(path) {
                Ok(file) => identity(&file) == *known,
                // What cannot be looked at may be there all the same.
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
