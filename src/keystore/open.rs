//! Opening the file, and reading all of it once.

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

/// What an open store holds besides keys.
#[derive(Debug)]
pub struct Found {
    /// Ids that were revoked and are not those of keys of the store.
    pub revocations: Vec<String>,
    /// Secrets of keys of the file that were revoked.
    pub revoked_secrets: Vec<Digest>,
    /// Organisations of which something is kept.
    pub organizations: Vec<StoredOrganization>,
}

/// Opens the file for this process alone and brings it to the newest version.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    secure(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Whoever has the file open has it until they end, so waiting is of no use.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Exclusive before WAL: so the lock is held for good, and the index of the WAL is in memory
    // instead of a file.
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
    // Uses are noted all over the file. What is written again before the WAL has this many pages
    // goes into the file only once.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 4000")?;
    schema::migrate(&connection, schema::MIGRATIONS)?;
    // What a killed process had written and not synced is taken for committed now, and whoever sees
    // it may rely on it. Writing it anew makes it durable even where the system has forgotten that
    // it was not. It also shows that the disk can be written.
    write::beat(&connection)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    Ok(connection)
}

/// Makes the file where there is none, and sees that nobody else can read it. An existing file is
/// not opened here: closing it would let go of the locks that SQLite may hold on it in this
/// process. The WAL gets the mode of the file from SQLite.
fn secure(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            sync_folder(path)?;
            // Whoever expected keys in it has mistaken the path, or lost a disk.
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

/// Makes a new name durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Hands over all keys, ordered by id; returns what else the start needs. Four scans in the same
/// order run side by side, because a look-up for each of a million keys would take seconds.
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

/// Rows of one table in the order of keys' ids.
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

    /// Moves what belongs to this key, and skips what belongs to none before it.
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
