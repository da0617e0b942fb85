//! Reads from the store.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Result, Row, params_from_iter};

use super::query::{AuditQuery, Condition, KeyQuery};
use super::record::{AuditEntry, Revocation, StoredKey, StoredOrganization, StoredSecret};
use super::rows::{COLUMNS, bare_key, digest, list, revocation, secret, signed, unsigned};
use crate::policy::Digest;

/// How long an `Idempotency-Key` is remembered, in seconds.
pub(super) const REPLAYABLE: i64 = 24 * 60 * 60;
/// The most keys that one command examines. This takes a few milliseconds. Then waiting commands
/// have their turn.
const LOOKED_THROUGH: usize = 5000;

pub(super) fn key(connection: &Connection, id: &str) -> Result<Option<StoredKey>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id = ?1");
    let Some(mut key) = connection.prepare_cached(&sql)?.query_row([id], bare_key).optional()?
    else {
        return Ok(None);
    };
    complete(connection, &mut key)?;
    Ok(Some(key))
}

/// Adds secrets, last uses and revocation to the record.
fn complete(connection: &Connection, key: &mut StoredKey) -> Result<()> {
    let mut secrets = connection.prepare_cached(
        "SELECT secrets.digest, created_at, ends_at, used_at FROM secrets
         LEFT JOIN last_uses ON last_uses.key_id = secrets.key_id AND last_uses.digest = \
         secrets.digest
         WHERE secrets.key_id = ?1 ORDER BY position",
    )?;
    let secrets = secrets.query_map([&key.id], |row| {
        Ok(StoredSecret { last_used: row.get(3)?, ..secret(row, 0)? })
    })?;
    key.secrets = secrets.collect::<Result<_>>()?;
    let mut revoked = connection
        .prepare_cached("SELECT revoked_at, revoked_by, reason FROM revocations WHERE id = ?1")?;
    key.revocation = revoked.query_row([&key.id], |row| revocation(row, 0)).optional()?;
    Ok(())
}

pub(super) fn key_by_digest(connection: &Connection, digest: &Digest) -> Result<Option<StoredKey>> {
    holder(connection, digest)?.map_or(Ok(None), |id| key(connection, &id))
}

/// Returns the id of the key of the store that has this secret.
fn holder(connection: &Connection, digest: &Digest) -> Result<Option<String>> {
    let mut holder = connection.prepare_cached("SELECT key_id FROM secrets WHERE digest = ?1")?;
    holder.query_row([digest], |row| row.get(0)).optional()
}

/// Returns which of the ids belong to keys of the store.
pub(super) fn taken_ids(connection: &Connection, ids: Vec<String>) -> Result<Vec<String>> {
    let mut key = connection.prepare_cached("SELECT 1 FROM keys WHERE id = ?1")?;
    let mut taken = Vec::new();
    for id in ids {
        if key.exists([&id])? {
            taken.push(id);
        }
    }
    Ok(taken)
}

/// Returns which of the secrets belong to keys of the store, each with the id of its key.
pub(super) fn taken_secrets(
    connection: &Connection,
    digests: &[Digest],
) -> Result<Vec<(Digest, String)>> {
    let mut taken = Vec::new();
    for digest in digests {
        taken.extend(holder(connection, digest)?.map(|id| (*digest, id)));
    }
    Ok(taken)
}

/// Returns the id of the key that has this secret, or that had it in the configuration file when it
/// was revoked.
pub(super) fn owner(connection: &Connection, digest: &Digest) -> Result<Option<String>> {
    let mut owner = connection.prepare_cached(
        "SELECT key_id FROM secrets WHERE digest = ?1
         UNION ALL SELECT key_id FROM revoked_secrets WHERE digest = ?1",
    )?;
    owner.query_row([digest], |row| row.get(0)).optional()
}

/// Returns some of the keys, and the query for the rest. The query is `None` if the limit is
/// reached or if there are no more keys.
pub(super) fn keys(
    connection: &Connection,
    mut query: KeyQuery,
) -> Result<(Vec<StoredKey>, Option<KeyQuery>)> {
    let mut found = Vec::new();
    if query.limit == 0 {
        return Ok((found, None));
    }
    let columns: Vec<_> =
        COLUMNS.split(", ").map(|column| format!("keys.{}", column.trim())).collect();
    let mut sql = format!(
        "SELECT {}, revoked_at IS NOT NULL FROM keys LEFT JOIN revocations ON revocations.id = \
            keys.id WHERE keys.id > ?",
        columns.join(", ")
    );
    let mut values: Vec<String> = vec![query.after.clone().unwrap_or_default()];
    for (column, value) in [("organization", &query.organization), ("parent", &query.parent)] {
        if let Some(value) = value {
            sql.push_str(&format!(" AND keys.{column} = ?"));
            values.push(value.clone());
        }
    }
    sql.push_str(&format!(" ORDER BY keys.id LIMIT {LOOKED_THROUGH}"));
    let name = query.name.as_ref().map(|name| name.to_lowercase());

    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut looked_through = 0;
    let mut last = None;
    while let Some(row) = rows.next()? {
        looked_through += 1;
        let is_revoked: bool = row.get(17)?;
        if fits(row, &query, is_revoked, name.as_deref())? {
            let mut key = bare_key(row)?;
            complete(connection, &mut key)?;
            found.push(key);
            if found.len() == query.limit {
                return Ok((found, None));
            }
        }
        if looked_through == LOOKED_THROUGH {
            last = Some(row.get(0)?);
        }
    }
    query.limit -= found.len();
    Ok((found, last.map(|last| KeyQuery { after: Some(last), ..query })))
}

/// Returns whether a row matches the query. SQL does not evaluate this, because databases differ in
/// how they treat letter case and lists.
fn fits(row: &Row<'_>, query: &KeyQuery, is_revoked: bool, name: Option<&str>) -> Result<bool> {
    let text = |column| row.get_ref(column).map(|value| value.as_str().unwrap_or_default());
    let is_expired = row.get::<_, Option<i64>>(14)?.is_some_and(|at| at <= query.now);
    let condition = match row.get::<_, bool>(15)? {
        _ if is_revoked => Condition::Revoked,
        _ if is_expired => Condition::Expired,
        true => Condition::Paused,
        false => Condition::Active,
    };
    Ok(match query.condition {
        Some(wanted) => condition == wanted,
        None => !(query.without_revoked && is_revoked),
    } && query
        .environment
        .as_deref()
        .is_none_or(|wanted| text(5).is_ok_and(|found| found == wanted))
        && name.is_none_or(|part| text(1).is_ok_and(|found| found.to_lowercase().contains(part)))
        && match &query.api {
            Some(api) => list(row, 3)?.contains(api),
            None => true,
        })
}

pub(super) fn descendants(connection: &Connection, id: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE below (id) AS (
             SELECT id FROM keys WHERE parent = ?1 UNION SELECT keys.id FROM keys JOIN below ON \
             keys.parent = below.id
         ) SELECT id FROM below WHERE id <> ?1 ORDER BY id",
    )?;
    statement.query_map([id], |row| row.get(0))?.collect()
}

const ORGANIZATION: &str =
    "SELECT name, suspended_at, key_cap, revision, live_keys FROM organizations";

fn organization_row(row: &Row<'_>) -> Result<(StoredOrganization, u64)> {
    let revision = unsigned(row.get(3)?);
    let organization = StoredOrganization {
        name: row.get(0)?,
        suspended_at: row.get(1)?,
        key_cap: row.get(2)?,
        revision,
    };
    Ok((organization, unsigned(row.get(4)?)))
}

pub(super) fn organization(
    connection: &Connection,
    name: &str,
) -> Result<Option<(StoredOrganization, u64)>> {
    connection
        .prepare_cached(&format!("{ORGANIZATION} WHERE name = ?1"))?
        .query_row([name], organization_row)
        .optional()
}

pub(super) fn organizations(
    connection: &Connection,
    after: &str,
    limit: usize,
) -> Result<Vec<(StoredOrganization, u64)>> {
    let mut statement = connection
        .prepare_cached(&format!("{ORGANIZATION} WHERE name > ?1 ORDER BY name LIMIT ?2"))?;
    statement.query_map((after, signed(limit as u64)), organization_row)?.collect()
}

/// Returns the organisations that have settings.
pub(super) fn kept_organizations(connection: &Connection) -> Result<Vec<StoredOrganization>> {
    let mut statement =
        connection.prepare(&format!("{ORGANIZATION} WHERE revision > 0 ORDER BY name"))?;
    statement.query_map((), |row| Ok(organization_row(row)?.0))?.collect()
}

pub(super) fn audit(connection: &Connection, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
    let mut sql = "SELECT sequence, at, actor, action, subject, organization, detail FROM audit \
        WHERE sequence < ?"
        .to_owned();
    let before = query.before.map_or(i64::MAX, signed);
    let limit = signed(query.limit as u64);
    let mut values: Vec<&dyn ToSql> = vec![&before];
    for (column, value) in [("organization", &query.organization), ("subject", &query.subject)] {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(value);
        }
    }
    sql.push_str(" ORDER BY sequence DESC LIMIT ?");
    values.push(&limit);
    let mut statement = connection.prepare_cached(&sql)?;
    let entries = statement.query_map(params_from_iter(values), |row| {
        Ok(AuditEntry {
            sequence: unsigned(row.get(0)?),
            at: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            organization: row.get(5)?,
            detail: row.get(6)?,
        })
    })?;
    entries.collect()
}

pub(super) fn replay(
    connection: &Connection,
    token: &str,
    request: &str,
    now: i64,
) -> Result<Option<(Digest, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT body, key_id FROM idempotency WHERE token = ?1 AND \
            request = ?2 AND created_at > ?3",
    )?;
    statement
        .query_row((token, request, now - REPLAYABLE), |row| Ok((digest(row, 0)?, row.get(1)?)))
        .optional()
}

pub(super) fn last_used(
    connection: &Connection,
    ids: &[String],
) -> Result<Vec<(String, Digest, i64)>> {
    let mut statement =
        connection.prepare_cached("SELECT digest, used_at FROM last_uses WHERE key_id = ?1")?;
    let mut found = Vec::new();
    for id in ids {
        for row in
            statement.query_map([id], |row| Ok((id.clone(), digest(row, 0)?, row.get(1)?)))?
        {
            found.push(row?);
        }
    }
    Ok(found)
}

/// Returns the revocations of these ids.
pub(super) fn revocations(
    connection: &Connection,
    ids: &[String],
) -> Result<Vec<(String, Revocation)>> {
    let mut statement = connection
        .prepare_cached("SELECT revoked_at, revoked_by, reason FROM revocations WHERE id = ?1")?;
    let mut found = Vec::new();
    for id in ids {
        if let Some(revocation) = statement.query_row([id], |row| revocation(row, 0)).optional()? {
            found.push((id.clone(), revocation));
        }
    }
    Ok(found)
}
