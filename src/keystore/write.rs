//! Writes to the store, each within a transaction that the caller opens.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::change::{Change, Prune};
use super::error::Conflict;
use super::read::{REPLAYABLE, organization, owner};
use super::record::{
    AuditEntry, Idempotency, Revocation, StoredKey, StoredOrganization, StoredSecret,
};
use super::rows::{listed, signed};
use super::{sessions, uses};
use crate::policy::Digest;

/// The reason why a transaction is rolled back.
#[derive(Debug)]
pub(super) enum Refused {
    Conflict(Conflict),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Conflict> for Refused {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

pub(super) fn change(
    connection: &Connection,
    change: &Change,
    entry: &AuditEntry,
) -> std::result::Result<(), Refused> {
    match change {
        Change::Create { key, cap, idempotency } => {
            create(connection, key, *cap, idempotency.as_ref(), entry.at)?
        }
        Change::Update { key, idempotency } => {
            if let Some(idempotency) = idempotency {
                remember(connection, idempotency, &key.id, entry.at)?;
            }
            update(connection, key)?
        }
        Change::Revoke { ids, secrets, revocation } => {
            revoke(connection, ids, secrets, revocation)?
        }
        Change::Organization(organization) => keep_organization(connection, organization)?,
        Change::CreateSession { session, code } => sessions::create(connection, session, code)?,
        Change::OpenSession { code, secret, opened } => {
            if !sessions::open(connection, code, secret, opened)? {
                return Err(Conflict::NotFound.into());
            }
        }
        Change::EndSessions(ids) => sessions::end(connection, ids, entry.at)?,
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (at, actor, action, subject, organization, detail) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![
        entry.at,
        entry.actor,
        entry.action,
        entry.subject,
        entry.organization,
        entry.detail
    ])?;
    Ok(())
}

fn create(
    connection: &Connection,
    key: &StoredKey,
    cap: Option<u32>,
    idempotency: Option<&Idempotency>,
    now: i64,
) -> std::result::Result<(), Refused> {
    let mut taken = connection.prepare_cached(
        "SELECT 1 FROM keys WHERE id = ?1 UNION ALL SELECT 1 FROM revocations WHERE id = ?1",
    )?;
    if taken.exists([&key.id])? {
        return Err(Conflict::IdTaken.into());
    }
    if let Some(idempotency) = idempotency {
        remember(connection, idempotency, &key.id, now)?;
    }
    if let Some(name) = &key.organization {
        let live = organization(connection, name)?.map_or(0, |(_, keys)| keys);
        if let Some(cap) = cap.filter(|cap| live >= u64::from(*cap)) {
            return Err(Conflict::CapReached(cap).into());
        }
        let mut count = connection.prepare_cached(
            "INSERT INTO organizations (name, revision, live_keys) VALUES (?1, 0, 1)
             ON CONFLICT (name) DO UPDATE SET live_keys = organizations.live_keys + 1",
        )?;
        count.execute([name])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO keys (id, name, organization, apis, prefix, environment, scopes, allow_ips, \
            allow_referrers, allow_endpoints,
             rate_limit, created_at, created_by, parent, expires_at, paused, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    insert.execute(params![
        key.id,
        key.name,
        key.organization,
        listed(&key.apis),
        key.prefix,
        key.environment,
        listed(&key.scopes),
        listed(&key.allow_ips),
        listed(&key.allow_referrers),
        listed(&key.allow_endpoints),
        key.rate_limit.as_ref().map(|limits| listed(limits)),
        key.created_at,
        key.created_by,
        key.parent,
        key.expires_at,
        key.paused,
        signed(key.revision),
    ])?;
    insert_secrets(connection, &key.id, &key.secrets)
}

/// Records the request that creates or rotates a key, so that repeating it does nothing more.
fn remember(
    connection: &Connection,
    idempotency: &Idempotency,
    key_id: &str,
    now: i64,
) -> std::result::Result<(), Refused> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO idempotency (token, request, body, key_id, created_at) VALUES (?1, ?2, ?3, \
            ?4, ?5)
         ON CONFLICT (token, request) DO UPDATE SET body = excluded.body, key_id = \
         excluded.key_id, created_at = excluded.created_at
         WHERE idempotency.created_at <= ?6",
    )?;
    let written = insert.execute(params![
        idempotency.token,
        idempotency.key,
        idempotency.body,
        key_id,
        now,
        now.saturating_sub(REPLAYABLE)
    ])?;
    if written == 0 { Err(Conflict::IdempotencyKeyUsed.into()) } else { Ok(()) }
}

fn insert_secrets(
    connection: &Connection,
    key_id: &str,
    secrets: &[StoredSecret],
) -> std::result::Result<(), Refused> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO secrets (key_id, position, digest, created_at, \
            ends_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (position, secret) in (0_i64..).zip(secrets) {
        if let Some(key_id) = owner(connection, &secret.digest)? {
            return Err(Conflict::DigestTaken { key_id }.into());
        }
        insert.execute(params![
            key_id,
            position,
            secret.digest,
            secret.created_at,
            secret.ends_at
        ])?;
    }
    Ok(())
}

fn update(connection: &Connection, key: &StoredKey) -> std::result::Result<(), Refused> {
    let mut stored = connection.prepare_cached(
        "SELECT keys.revision, revocations.id IS NOT NULL FROM keys LEFT JOIN revocations ON \
            revocations.id = keys.id WHERE keys.id = ?1",
    )?;
    let stored = stored
        .query_row([&key.id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))
        .optional()?;
    let (revision, is_revoked) = stored.ok_or(Conflict::NotFound)?;
    if is_revoked {
        return Err(Conflict::Revoked.into());
    }
    if signed(key.revision) != revision + 1 {
        return Err(Conflict::Stale.into());
    }
    let mut update = connection.prepare_cached(
        "UPDATE keys SET name = ?2, apis = ?3, prefix = ?4, environment = ?5, scopes = ?6, \
            allow_ips = ?7, allow_referrers = ?8,
             allow_endpoints = ?9, rate_limit = ?10, expires_at = ?11, paused = ?12, revision = ?13
         WHERE id = ?1",
    )?;
    update.execute(params![
        key.id,
        key.name,
        listed(&key.apis),
        key.prefix,
        key.environment,
        listed(&key.scopes),
        listed(&key.allow_ips),
        listed(&key.allow_referrers),
        listed(&key.allow_endpoints),
        key.rate_limit.as_ref().map(|limits| listed(limits)),
        key.expires_at,
        key.paused,
        signed(key.revision),
    ])?;
    connection.prepare_cached("DELETE FROM secrets WHERE key_id = ?1")?.execute([&key.id])?;
    insert_secrets(connection, &key.id, &key.secrets)?;
    uses::put_away_former_secrets(connection, &key.id)?;
    Ok(())
}

fn revoke(
    connection: &Connection,
    ids: &[String],
    secrets: &[(String, Digest)],
    revocation: &Revocation,
) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO revocations (id, revoked_at, revoked_by, reason) VALUES (?1, ?2, ?3, ?4) ON \
            CONFLICT (id) DO NOTHING",
    )?;
    let mut raise =
        connection.prepare_cached("UPDATE keys SET revision = revision + 1 WHERE id = ?1")?;
    let mut count = connection.prepare_cached(
        "UPDATE organizations SET live_keys = live_keys - 1 WHERE name = (SELECT \
            organization FROM keys WHERE id = ?1)",
    )?;
    for id in ids {
        if insert.execute(params![id, revocation.at, revocation.by, revocation.reason])? == 1 {
            raise.execute([id])?;
            count.execute([id])?;
        }
    }
    let mut keep = connection.prepare_cached(
        "INSERT INTO revoked_secrets (digest, key_id) VALUES (?1, ?2) ON CONFLICT (digest) DO \
            NOTHING",
    )?;
    for (id, digest) in secrets {
        keep.execute(params![digest, id])?;
    }
    Ok(())
}

fn keep_organization(
    connection: &Connection,
    new: &StoredOrganization,
) -> std::result::Result<(), Refused> {
    let revision = organization(connection, &new.name)?.map_or(0, |(stored, _)| stored.revision);
    if new.revision != revision + 1 {
        return Err(Conflict::Stale.into());
    }
    let mut keep = connection.prepare_cached(
        "INSERT INTO organizations (name, suspended_at, key_cap, revision, live_keys) VALUES (?1, \
            ?2, ?3, ?4, 0)
         ON CONFLICT (name) DO UPDATE SET suspended_at = excluded.suspended_at, key_cap = \
         excluded.key_cap, revision = excluded.revision",
    )?;
    keep.execute(params![new.name, new.suspended_at, new.key_cap, signed(new.revision)])?;
    Ok(())
}

/// Deletes at most `rows` rows of each table. Returns whether there may be more to delete. Audit
/// entries are deleted in sequence order, so that the log has no gaps unless the clock was set
/// back.
pub(super) fn prune(connection: &Connection, prune: Prune, rows: i64) -> Result<bool> {
    let delete = |sql: &str, before: i64| connection.prepare_cached(sql)?.execute([before, rows]);
    let entries = delete(
        "DELETE FROM audit WHERE at < ?1 AND sequence IN (SELECT sequence FROM audit ORDER BY \
            sequence LIMIT ?2)",
        prune.audit_before,
    )?;
    let days = delete(
        "DELETE FROM uses WHERE (key_id, day) IN (SELECT key_id, day FROM uses WHERE day < ?1 \
            ORDER BY day LIMIT ?2)",
        prune.uses_before_day,
    )?;
    let requests = delete(
        "DELETE FROM idempotency WHERE (token, request) IN
             (SELECT token, request FROM idempotency WHERE created_at < ?1 ORDER BY created_at \
             LIMIT ?2)",
        prune.idempotency_before,
    )?;
    let hours = uses::prune_hours(connection, prune.hours_before_day, rows)?;
    let sessions = sessions::prune(connection, prune.sessions_before, rows)?;
    Ok(entries + days + requests + hours + sessions > 0)
}

/// Writes the heartbeat row, whose value is unused.
pub(super) fn beat(connection: &Connection) -> Result<()> {
    connection.prepare_cached("UPDATE heartbeat SET beats = beats + 1")?.execute(()).map(drop)
}
