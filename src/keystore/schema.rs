//! The tables and their migrations.
//!
//! | table | row | key |
//! |---|---|---|
//! | `keys` | a key, except for the contents of the next four tables | `id` |
//! | `secrets` | one secret of a key; `position` 0 is the newest | `key_id, position` |
//! | `revocations` | a permanently refused id, even without a row in `keys` | `id` |
//! | `revoked_secrets` | a secret of a revoked key of the configuration file | `digest` |
//! | `last_uses` | the last use of a secret, and its requests on that day | `key_id, digest` |
//! | `uses` | the requests of a key on a day, except those in `last_uses` | `key_id, day` |
//! | `organizations` | an organisation; `live_keys` counts keys that are not revoked | `name` |
//! | `idempotency` | a creation that may be repeated within a day | `token, request` |
//! | `portal_sessions` | a session at the pages, until it ends | `id` |
//! | `audit` | an entry of the audit log | `sequence` |
//! | `heartbeat` | a single row, written to test whether the disk can be written | |
//!
//! A digest is unique in `secrets`, which retains the secrets of revoked keys. `last_uses` and
//! `uses` also contain keys of the configuration file.
//!
//! `requests` is the sum of all classes; `client`, `limited`, `refused` and `failed` are four of
//! them, and the rest is `ok`. `hours` holds the same by hours (see `hours.rs`). Counts that are
//! older than these columns count as `ok`.
//!
//! The requests of a day are kept with the last use until a request of a later day is recorded.
//! Recording a use therefore writes one row. With many keys, each row is in a different page, and
//! the number of pages determines the cost of a write.
//!
//! Times are in seconds and days are in days since the Unix epoch. Lists are JSON arrays of
//! strings, `[]` if empty. No key, code or cookie is stored, only their digests. The schema can be
//! ported to PostgreSQL: remove `WITHOUT ROWID`, use `bytea` for `BLOB` and an identity column for
//! `AUTOINCREMENT`, and give text columns `COLLATE "C"`, because pagination and startup rely on
//! byte order.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::OpenError;

/// The application id of a store, "Keyg" in ASCII.
pub(super) const APPLICATION: i64 = 0x4b65_7967;

/// The migrations, one per version, in order. A released migration never changes.
pub(super) const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3, VERSION_4];

const VERSION_1: &str = "
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    organization TEXT,
    apis TEXT NOT NULL,
    prefix TEXT NOT NULL,
    environment TEXT,
    scopes TEXT NOT NULL,
    allow_ips TEXT NOT NULL,
    allow_referrers TEXT NOT NULL,
    allow_endpoints TEXT NOT NULL,
    rate_limit TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    parent TEXT,
    expires_at BIGINT,
    paused BOOLEAN NOT NULL,
    revision BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_by_organization ON keys (organization, id);
CREATE INDEX keys_by_parent ON keys (parent, id);

CREATE TABLE secrets (
    key_id TEXT NOT NULL REFERENCES keys (id),
    position BIGINT NOT NULL,
    digest BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    ends_at BIGINT,
    PRIMARY KEY (key_id, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX secrets_by_digest ON secrets (digest);

CREATE TABLE revocations (
    id TEXT NOT NULL PRIMARY KEY,
    revoked_at BIGINT NOT NULL,
    revoked_by TEXT NOT NULL,
    reason TEXT
) WITHOUT ROWID;

CREATE TABLE last_uses (
    key_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, digest)
) WITHOUT ROWID;

CREATE TABLE uses (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
) WITHOUT ROWID;
CREATE INDEX uses_by_day ON uses (day, key_id);

CREATE TABLE organizations (
    name TEXT NOT NULL PRIMARY KEY,
    suspended_at BIGINT,
    key_cap BIGINT,
    revision BIGINT NOT NULL,
    live_keys BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE idempotency (
    token TEXT NOT NULL,
    request TEXT NOT NULL,
    body BLOB NOT NULL,
    key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (token, request)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    organization TEXT,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_organization ON audit (organization, sequence);
CREATE INDEX audit_by_subject ON audit (subject, sequence);

CREATE TABLE heartbeat (beats BIGINT NOT NULL);
INSERT INTO heartbeat VALUES (0);
";

const VERSION_2: &str = "
ALTER TABLE last_uses ADD COLUMN day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE last_uses ADD COLUMN requests BIGINT NOT NULL DEFAULT 0;
";

const VERSION_3: &str = "
CREATE TABLE revoked_secrets (
    digest BLOB NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL
) WITHOUT ROWID;
";

const VERSION_4: &str = "
CREATE TABLE portal_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    token TEXT NOT NULL,
    token_digest BLOB NOT NULL,
    permissions TEXT NOT NULL,
    apis TEXT,
    environments TEXT,
    scopes TEXT,
    max_key_lifetime BIGINT,
    path TEXT NOT NULL,
    return_url TEXT,
    locale TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    code_expires_at BIGINT NOT NULL,
    code BLOB,
    secret BLOB,
    opened_at BIGINT,
    last_seen BIGINT,
    network TEXT,
    agent TEXT,
    ended_at BIGINT
) WITHOUT ROWID;
CREATE UNIQUE INDEX portal_sessions_by_code ON portal_sessions (code);
CREATE UNIQUE INDEX portal_sessions_by_secret ON portal_sessions (secret);
CREATE INDEX portal_sessions_by_organization ON portal_sessions (organization, id);
CREATE INDEX portal_sessions_by_end ON portal_sessions (expires_at);

ALTER TABLE last_uses ADD COLUMN client BIGINT NOT NULL DEFAULT 0;
ALTER TABLE last_uses ADD COLUMN limited BIGINT NOT NULL DEFAULT 0;
ALTER TABLE last_uses ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE last_uses ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE last_uses ADD COLUMN highest_minute BIGINT NOT NULL DEFAULT 0;
ALTER TABLE last_uses ADD COLUMN hours BLOB;
ALTER TABLE uses ADD COLUMN client BIGINT NOT NULL DEFAULT 0;
ALTER TABLE uses ADD COLUMN limited BIGINT NOT NULL DEFAULT 0;
ALTER TABLE uses ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE uses ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE uses ADD COLUMN highest_minute BIGINT NOT NULL DEFAULT 0;
ALTER TABLE uses ADD COLUMN hours BLOB;
CREATE INDEX uses_with_hours ON uses (day) WHERE hours IS NOT NULL;
";

/// Checks that the file is a store or empty, and migrates it to the newest version.
///
/// # Errors
/// Returns [`OpenError::NotAStore`] for any other file, and [`OpenError::Newer`] for the file of a
/// newer program. Returns the error of SQLite if the file cannot be read or migrated.
pub(super) fn migrate(connection: &Connection, migrations: &[&str]) -> Result<(), OpenError> {
    let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let is_empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if application != APPLICATION && !(application == 0 && version == 0 && is_empty) {
        return Err(OpenError::NotAStore);
    }
    if version > known {
        return Err(OpenError::Newer { version, known });
    }
    for (version, migration) in
        (1..).zip(migrations).skip(usize::try_from(version).map_err(|_| OpenError::NotAStore)?)
    {
        // If the transaction is dropped without a commit, it is rolled back.
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}"
        ))?;
        transaction.commit()?;
    }
    Ok(())
}
