//! The tables, and how they came to be.
//!
//! | table | a row is | key |
//! |---|---|---|
//! | `keys` | a key, but for what the next four tables say | `id` |
//! | `secrets` | one secret of a key; `position` 0 is the newest | `key_id, position` |
//! | `revocations` | an id that is refused for good, also without a row in `keys` | `id` |
//! | `revoked_secrets` | a secret of a key of the file that was revoked | `digest` |
//! | `last_uses` | the last use of a secret, and its requests on that day | `key_id, digest` |
//! | `uses` | the requests of a key in a day, without those in `last_uses` | `key_id, day` |
//! | `organizations` | an organisation; `live_keys` counts keys that are not revoked | `name` |
//! | `idempotency` | a creation that may be repeated within a day | `token, request` |
//! | `audit` | an entry of the audit log | `sequence` |
//! | `heartbeat` | one row, written to find out whether writing works | |
//!
//! A digest is unique in `secrets`, where those of revoked keys of the store stay. Uses are of
//! keys of the store and of the file.
//!
//! The requests of a day stand beside the last use until there are some of a later day, so that
//! noting a use writes one row. With many keys each row is in another page, and pages are what
//! writing costs.
//!
//! Moments are seconds and days are days since the Unix epoch. Lists are JSON texts, `[]` where
//! they are empty. The key itself is nowhere. Everything is plain enough for PostgreSQL: there,
//! `WITHOUT ROWID` goes away, `BLOB` is `bytea`, `AUTOINCREMENT` is an identity column, and texts
//! need `COLLATE "C"`, because pages and the start rely on the order of bytes.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::OpenError;

/// "Keyg": marks a SQLite file as ours.
pub(super) const APPLICATION: i64 = 0x4b65_7967;

/// One for each version, in order; what was released never changes.
pub(super) const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3];

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

/// Makes sure that the file is ours, and brings it to the newest version.
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
        // Dropped without a commit, it is rolled back.
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}"
        ))?;
        transaction.commit()?;
    }
    Ok(())
}
