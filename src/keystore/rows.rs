//! Converts rows of the tables to records.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Result, Row};

use super::record::{Revocation, StoredKey, StoredSecret};
use crate::policy::Digest;

/// The columns of `keys`, in the order in which [`bare_key`] reads them.
pub(super) const COLUMNS: &str = "id, name, organization, apis, prefix, environment, scopes, \
    allow_ips, allow_referrers, \
     allow_endpoints, rate_limit, created_at, created_by, parent, expires_at, paused, revision";

/// Reads [`COLUMNS`]. The record has no secrets and no revocation.
pub(super) fn bare_key(row: &Row<'_>) -> Result<StoredKey> {
    let text = |column| row.get::<_, Option<String>>(column);
    Ok(StoredKey {
        id: row.get(0)?,
        name: row.get(1)?,
        organization: text(2)?,
        apis: list(row, 3)?,
        prefix: row.get(4)?,
        environment: text(5)?,
        scopes: list(row, 6)?,
        allow_ips: list(row, 7)?,
        allow_referrers: list(row, 8)?,
        allow_endpoints: list(row, 9)?,
        rate_limit: if row.get_ref(10)? == ValueRef::Null { None } else { Some(list(row, 10)?) },
        created_at: row.get(11)?,
        created_by: row.get(12)?,
        parent: text(13)?,
        expires_at: row.get(14)?,
        paused: row.get(15)?,
        revision: unsigned(row.get(16)?),
        secrets: Vec::new(),
        revocation: None,
    })
}

/// Reads `digest, created_at, ends_at`, beginning at column `from`.
pub(super) fn secret(row: &Row<'_>, from: usize) -> Result<StoredSecret> {
    Ok(StoredSecret {
        digest: digest(row, from)?,
        created_at: row.get(from + 1)?,
        ends_at: row.get(from + 2)?,
        last_used: None,
    })
}

/// Reads `revoked_at, revoked_by, reason`, beginning at column `from`.
pub(super) fn revocation(row: &Row<'_>, from: usize) -> Result<Revocation> {
    Ok(Revocation { at: row.get(from)?, by: row.get(from + 1)?, reason: row.get(from + 2)? })
}

pub(super) fn digest(row: &Row<'_>, column: usize) -> Result<Digest> {
    row.get(column)
}

pub(super) fn list(row: &Row<'_>, column: usize) -> Result<Vec<String>> {
    let text = row.get_ref(column)?.as_str().map_err(|error| broken(column, error))?;
    // A million keys have five million lists. The usual ones therefore need no JSON parser: an
    // empty list, or one string without escapes.
    let only = text
        .strip_prefix("[\"")
        .and_then(|text| text.strip_suffix("\"]"))
        .filter(|text| !text.contains(['"', '\\']));
    match only {
        Some(only) => Ok(vec![only.to_owned()]),
        None if text == "[]" => Ok(Vec::new()),
        None => serde_json::from_str(text).map_err(|error| broken(column, error)),
    }
}

/// Returns a list as it is stored.
pub(super) fn listed(texts: &[String]) -> String {
    if texts.is_empty() {
        "[]".to_owned()
    } else {
        serde_json::Value::from(texts.to_vec()).to_string()
    }
}

fn broken(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// Converts a count, which is never negative. SQL has no unsigned integers.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl ToSql for Digest {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(self.as_bytes().as_slice().into())
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        let digest = bytes.try_into().map_err(|_| FromSqlError::InvalidBlobSize {
            expected_size: 32,
            blob_size: bytes.len(),
        })?;
        Ok(Self::from_bytes(digest))
    }
}
