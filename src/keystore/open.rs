//! Opens the file and reads all of it once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, Rows};

use super::error::OpenError;
use super::record::{StoredKey, StoredOrganization, StoredSecret};
use super::rows::{self, COLUMNS};
use super::{read, schema, write};
use crate::policy::Digest;

/// The contents of an open store besides its keys.
#[derive(Debug)]
pub struct Found {
    /// Revoked ids that no key of the store has.
    pub revocations: Vec<String>,
    /// Secrets of revoked keys of the configuration file.
    pub revoked_secrets: Vec<Digest>,
    /// Organisations that have settings.
    pub organizations: Vec<StoredOrganization>,
}

/// Opens the file exclusively for this process, and migrates it to the newest version.
///
/// # Errors
/// Returns an error if the file is not a store of this version or an older one, is accessible to
/// other users, is open elsewhere, or cannot be read or written.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    secure(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // A process that has the file open keeps it open until it ends, so waiting is useless.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Exclusive mode must precede WAL mode. SQLite then holds the lock permanently, and keeps the
    // WAL index in heap memory instead of a file.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::Io(io::Error::other(format!(
            "the journal mode is {mode}, not wal"
        ))));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864",
    )?;
    // Recorded uses are spread over the whole file. A page that is changed repeatedly before the
    // WAL has this many pages is written to the file only once.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 4000")?;
    schema::migrate(&connection, schema::MIGRATIONS)?;
    // SQLite treats transactions that a killed process wrote but did not sync as committed, and
    // readers may rely on them. Rewriting them makes them durable even if the kernel no longer
    // knows that they were not synced. It also shows that the disk can be written.
    write::beat(&connection)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    Ok(connection)
}

/// Creates the file if it does not exist. Otherwise checks that only its owner can access it. An
/// existing file is not opened here, because closing it would release the locks that SQLite may
/// hold on it in this process. SQLite gives the WAL the mode of the file.
fn secure(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            sync_folder(path)?;
            // If keys were expected, the path is wrong or a disk is missing.
            tracing::warn!(path = %path.display(), "there was no store here: a new one is made, \
                with no keys in it");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(path)?.mode() & 0o777;
            if mode & 0o077 != 0 { Err(OpenError::Permissions { mode }) } else { Ok(()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Syncs the directory of a file, which makes a new name durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Passes all keys to `each_key`, ordered by id, and returns the other contents. Merges four scans
/// in the same order, because a look-up for each of a million keys would take seconds.
pub(super) fn read_all(
    connection: &Connection,
    mut each_key: impl FnMut(StoredKey),
) -> Result<Found, OpenError> {
    let mut keys = connection.prepare(&format!("SELECT {COLUMNS} FROM keys ORDER BY id"))?;
    let mut secrets = connection.prepare(
        "SELECT key_id, digest, created_at, ends_at FROM secrets ORDER BY key_id, position",
    )?;
    let mut uses = connection
        .prepare("SELECT key_id, digest, used_at FROM last_uses ORDER BY key_id, digest")?;
    let mut revocations = connection
        .prepare("SELECT id, revoked_at, revoked_by, reason FROM revocations ORDER BY id")?;

    let mut secrets = Scan::new(secrets.query(())?, |row| rows::secret(row, 1));
    let mut uses =
        Scan::new(uses.query(())?, |row| Ok((rows::digest(row, 1)?, row.get::<_, i64>(2)?)));
    let mut revoked = Scan::new(revocations.query(())?, |row| rows::revocation(row, 1));
    let mut rows = keys.query(())?;
    let (mut found_secrets, mut found_uses, mut found_revocation) =
        (Vec::<StoredSecret>::new(), Vec::<(Digest, i64)>::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let mut key = rows::bare_key(row)?;
        secrets.take(&key.id, &mut found_secrets)?;
        uses.take(&key.id, &mut found_uses)?;
        revoked.take(&key.id, &mut found_revocation)?;
        key.secrets.reserve_exact(found_secrets.len());
        for mut secret in found_secrets.drain(..) {
            secret.last_used =
                found_uses.iter().find(|(digest, _)| *digest == secret.digest).map(|(_, at)| *at);
            key.secrets.push(secret);
        }
        found_uses.clear();
        key.revocation = found_revocation.pop();
        each_key(key);
    }

    let revocations = connection
        .prepare("SELECT id FROM revocations WHERE id NOT IN (SELECT id FROM keys) ORDER BY id")?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let revoked_secrets = connection
        .prepare("SELECT digest FROM revoked_secrets")?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let organizations = read::kept_organizations(connection)?;
    Ok(Found { revocations, revoked_secrets, organizations })
}

/// Rows of one table, ordered by key id.
struct Scan<'s, T, F> {
    rows: Rows<'s>,
    decode: F,
    next: Option<(String, T)>,
    started: bool,
}

impl<'s, T, F: Fn(&Row<'_>) -> rusqlite::Result<T>> Scan<'s, T, F> {
    fn new(rows: Rows<'s>, decode: F) -> Self {
        Self { rows, decode, next: None, started: false }
    }

    fn advance(&mut self) -> rusqlite::Result<()> {
        let row = self.rows.next()?;
        self.next = row
            .map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, (self.decode)(row)?)))
            .transpose()?;
        Ok(())
    }

    /// Appends the rows of this key to `found`. Skips rows before it that belong to no key.
    fn take(&mut self, id: &str, found: &mut Vec<T>) -> rusqlite::Result<()> {
        if !self.started {
            self.started = true;
            self.advance()?;
        }
        while self.next.as_ref().is_some_and(|(next, _)| next.as_str() <= id) {
            if let Some((_, value)) = self.next.take_if(|(next, _)| next == id) {
                found.push(value);
            }
            self.advance()?;
        }
        Ok(())
    }
}
