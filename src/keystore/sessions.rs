//! Portal sessions: their record, and how they are read and written.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use super::rows::{list, listed, signed};
use crate::policy::Digest;

/// A person's session at the pages. Times are in seconds since the Unix epoch. A list that is
/// `None` does not limit the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalSession {
    /// The public id.
    pub id: String,
    /// The organisation whose keys the session manages.
    pub organization: String,
    /// The product's id of the person.
    pub actor_id: String,
    /// The person's name.
    pub actor_name: String,
    /// The name of the admin token that created the session.
    pub token: String,
    /// The digest of that token. With another digest under its name, the session ends.
    pub token_digest: Digest,
    /// The names of the permissions.
    pub permissions: Vec<String>,
    /// The APIs that the session is limited to.
    pub apis: Option<Vec<String>>,
    /// The environments that the session is limited to.
    pub environments: Option<Vec<String>>,
    /// The scopes that a key made in the session may have at most.
    pub scopes: Option<Vec<String>>,
    /// How long a key made in the session may last, in seconds.
    pub max_key_lifetime: Option<i64>,
    /// The page that the session begins with.
    pub path: String,
    /// The page of the product that leads back.
    pub return_url: Option<String>,
    /// The language of the pages (BCP 47).
    pub locale: String,
    /// When the session was created.
    pub created_at: i64,
    /// When the session ends.
    pub expires_at: i64,
    /// Until when the session can be opened.
    pub code_expires_at: i64,
    /// When and by whom the session was opened. `None`: not yet.
    pub opened: Option<OpenedSession>,
    /// When the session was ended. `None`: it was not.
    pub ended_at: Option<i64>,
}

/// What is known of an opened session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession {
    /// When the session was opened.
    pub at: i64,
    /// When a page was last asked for, to the minute.
    pub last_seen: i64,
    /// The network of the person's address.
    pub network: String,
    /// The first product of the browser's `User-Agent`.
    pub agent: String,
}

/// Selects sessions, ordered by id. A criterion that is `None` matches every session.
#[derive(Debug, Clone, Default)]
pub struct SessionQuery {
    /// The organisation of the sessions.
    pub organization: Option<String>,
    /// The product's id of the person.
    pub actor_id: Option<String>,
    /// The id after which the page begins. `None`: the first page.
    pub after: Option<String>,
    /// The current time, in seconds since the Unix epoch. Sessions that have ended are omitted.
    pub now: i64,
    /// The most sessions to return.
    pub limit: usize,
}

const COLUMNS: &str = "id, organization, actor_id, actor_name, token, token_digest, permissions, \
    apis, environments, scopes, max_key_lifetime, path, return_url, locale, created_at, \
    expires_at, code_expires_at, opened_at, last_seen, network, agent, ended_at";

fn session(row: &Row<'_>) -> Result<PortalSession> {
    let opened = match row.get(17)? {
        Some(at) => Some(OpenedSession {
            at,
            last_seen: row.get(18)?,
            network: row.get(19)?,
            agent: row.get(20)?,
        }),
        None => None,
    };
    Ok(PortalSession {
        id: row.get(0)?,
        organization: row.get(1)?,
        actor_id: row.get(2)?,
        actor_name: row.get(3)?,
        token: row.get(4)?,
        token_digest: row.get(5)?,
        permissions: list(row, 6)?,
        apis: optional_list(row, 7)?,
        environments: optional_list(row, 8)?,
        scopes: optional_list(row, 9)?,
        max_key_lifetime: row.get(10)?,
        path: row.get(11)?,
        return_url: row.get(12)?,
        locale: row.get(13)?,
        created_at: row.get(14)?,
        expires_at: row.get(15)?,
        code_expires_at: row.get(16)?,
        opened,
        ended_at: row.get(21)?,
    })
}

fn optional_list(row: &Row<'_>, column: usize) -> Result<Option<Vec<String>>> {
    if row.get_ref(column)? == ValueRef::Null { Ok(None) } else { list(row, column).map(Some) }
}

/// Returns the session with this value in a unique column.
pub(super) fn one(
    connection: &Connection,
    column: &str,
    value: impl rusqlite::ToSql,
) -> Result<Option<PortalSession>> {
    let sql = format!("SELECT {COLUMNS} FROM portal_sessions WHERE {column} = ?1");
    connection.prepare_cached(&sql)?.query_row([value], session).optional()
}

pub(super) fn many(connection: &Connection, query: &SessionQuery) -> Result<Vec<PortalSession>> {
    let mut sql = format!(
        "SELECT {COLUMNS} FROM portal_sessions WHERE expires_at > ? AND id > ? AND \
        ended_at IS NULL"
    );
    let after = query.after.clone().unwrap_or_default();
    let limit = signed(query.limit as u64);
    let mut values: Vec<&dyn rusqlite::ToSql> = vec![&query.now, &after];
    for (column, value) in [("organization", &query.organization), ("actor_id", &query.actor_id)] {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(value);
        }
    }
    sql.push_str(" ORDER BY id LIMIT ?");
    values.push(&limit);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), session)?.collect()
}

/// Writes a new session, which whoever has the code can open.
pub(super) fn create(connection: &Connection, new: &PortalSession, code: &Digest) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO portal_sessions (id, organization, actor_id, actor_name, token, token_digest,
             permissions, apis, environments, scopes, max_key_lifetime, path, return_url, locale,
             created_at, expires_at, code_expires_at, code)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    let optional = |list: &Option<Vec<String>>| list.as_deref().map(listed);
    insert.execute(params![
        new.id,
        new.organization,
        new.actor_id,
        new.actor_name,
        new.token,
        new.token_digest,
        listed(&new.permissions),
        optional(&new.apis),
        optional(&new.environments),
        optional(&new.scopes),
        new.max_key_lifetime,
        new.path,
        new.return_url,
        new.locale,
        new.created_at,
        new.expires_at,
        new.code_expires_at,
        code,
    ])?;
    Ok(())
}

/// Exchanges a code for the secret of the session's cookie. The code is used up. Returns `false` if
/// no session waits for it.
pub(super) fn open(
    connection: &Connection,
    code: &Digest,
    secret: &Digest,
    opened: &OpenedSession,
) -> Result<bool> {
    let mut update = connection.prepare_cached(
        "UPDATE portal_sessions SET code = NULL, secret = ?2, opened_at = ?3, last_seen = ?3,
             network = ?4, agent = ?5
         WHERE code = ?1 AND code_expires_at > ?3 AND ended_at IS NULL",
    )?;
    let rows = update.execute(params![code, secret, opened.at, opened.network, opened.agent])?;
    Ok(rows == 1)
}

/// Ends these sessions. Their rows stay for a while, so that an open page can lead back.
pub(super) fn end(connection: &Connection, ids: &[String], at: i64) -> Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE portal_sessions SET ended_at = ?2, code = NULL WHERE id = ?1 AND ended_at IS NULL",
    )?;
    ids.iter().try_for_each(|id| update.execute(params![id, at]).map(drop))
}

/// Notes that a page of a session was asked for.
pub(super) fn note_seen(connection: &Connection, id: &str, seen: &OpenedSession) -> Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE portal_sessions SET last_seen = ?2, network = ?3, agent = ?4 WHERE id = ?1",
    )?;
    update.execute(params![id, seen.last_seen, seen.network, seen.agent]).map(drop)
}

/// Deletes at most `rows` sessions that ended before `before`, or were never opened in time.
/// Returns how many.
pub(super) fn prune(connection: &Connection, before: i64, rows: i64) -> Result<usize> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM portal_sessions WHERE id IN (SELECT id FROM portal_sessions
             WHERE expires_at < ?1 OR (code IS NOT NULL AND code_expires_at < ?1) LIMIT ?2)",
    )?;
    delete.execute([before, rows])
}
