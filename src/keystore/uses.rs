//! Requests of keys by day and hour: how they are recorded and read.
//!
//! The day that goes on stands in `last_uses`, beside the last use of the secret, so that recording
//! a use writes one row. It moves to `uses` when a request of a later day is recorded.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::hours;
use super::query::UseNote;
use super::record::DayUse;
use super::rows::{signed, unsigned};
use crate::policy::{Digest, Hours, add_hour};

/// The columns that describe a day, in the order in which [`day_use`] reads them.
const COLUMNS: &str = "day, requests, client, limited, refused, failed, highest_minute, hours";

/// Reads [`COLUMNS`], beginning at column `from`.
fn day_use(row: &Row<'_>, from: usize) -> Result<DayUse> {
    let count = |column: usize| row.get(from + column).map(unsigned);
    let (requests, client) = (count(1)?, count(2)?);
    let (limited, refused, failed) = (count(3)?, count(4)?, count(5)?);
    let others = client.saturating_add(limited).saturating_add(refused).saturating_add(failed);
    let day: i64 = row.get(from)?;
    let blob: Option<Vec<u8>> = row.get(from + 7)?;
    Ok(DayUse {
        day,
        counts: [requests.saturating_sub(others), client, limited, refused, failed],
        highest_minute: row.get(from + 6)?,
        hours: blob.map(|blob| hours::read(day, &blob)).unwrap_or_default(),
    })
}

impl DayUse {
    /// Returns the requests of some hours of a day.
    fn of(day: i64, hours: Hours) -> Self {
        let mut counts = [0_u64; 5];
        for (sum, place) in counts.iter_mut().zip(0..) {
            let of_class = hours.iter().map(|hour: &_| u64::from(hour.counts[place]));
            *sum = of_class.sum();
        }
        let highest_minute = hours.iter().map(|hour| hour.highest_minute).max().unwrap_or(0);
        Self { day, counts, highest_minute, hours }
    }

    /// Adds the requests of the same day.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.highest_minute = self.highest_minute.max(other.highest_minute);
        other.hours.iter().for_each(|hour| add_hour(&mut self.hours, hour));
        self.hours.sort_unstable_by_key(|hour| hour.hour);
    }

    fn requests(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Records uses.
pub(super) fn note(connection: &Connection, notes: &[UseNote]) -> Result<()> {
    for note in notes {
        let new = DayUse::of(note.day, note.hours.clone());
        let kept = match note.secret {
            Some((digest, at)) => note_secret(connection, &note.key_id, &digest, at, &new)?,
            None => false,
        };
        if !kept && new.requests() > 0 {
            add_day(connection, &note.key_id, &new)?;
        }
    }
    Ok(())
}

/// Records the last use of a secret with the requests of that day. Returns `false` if only the last
/// use was recorded: the row is about a later day, because the clock was set back.
fn note_secret(
    connection: &Connection,
    key_id: &str,
    digest: &Digest,
    at: i64,
    new: &DayUse,
) -> Result<bool> {
    let sql = format!("SELECT used_at, {COLUMNS} FROM last_uses WHERE key_id = ?1 AND digest = ?2");
    let known = connection
        .prepare_cached(&sql)?
        .query_row(params![key_id, digest], |row| Ok((row.get::<_, i64>(0)?, day_use(row, 1)?)))
        .optional()?;
    let (used_at, mut day) = match known {
        Some((used_at, known)) => (at.max(used_at), known),
        None => (at, DayUse { day: new.day, ..DayUse::default() }),
    };
    let is_later = day.day > new.day;
    if day.day < new.day {
        if day.requests() > 0 {
            add_day(connection, key_id, &day)?;
        }
        day = new.clone();
    } else if !is_later {
        day.add(new);
    }
    let mut write = connection.prepare_cached(
        "INSERT INTO last_uses (key_id, digest, used_at, day, requests, client, limited, refused,
             failed, highest_minute, hours)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (key_id, digest) DO UPDATE SET used_at = excluded.used_at,
             day = excluded.day, requests = excluded.requests, client = excluded.client,
             limited = excluded.limited, refused = excluded.refused, failed = excluded.failed,
             highest_minute = excluded.highest_minute, hours = excluded.hours",
    )?;
    let [_, client, limited, refused, failed] = day.counts.map(signed);
    write.execute(params![
        key_id,
        digest,
        used_at,
        day.day,
        signed(day.requests()),
        client,
        limited,
        refused,
        failed,
        day.highest_minute,
        hours::write(day.day, &day.hours),
    ])?;
    Ok(!is_later)
}

/// Adds the requests of a day to `uses`.
fn add_day(connection: &Connection, key_id: &str, new: &DayUse) -> Result<()> {
    let sql = format!("SELECT {COLUMNS} FROM uses WHERE key_id = ?1 AND day = ?2");
    let known = connection
        .prepare_cached(&sql)?
        .query_row(params![key_id, new.day], |row| day_use(row, 0))
        .optional()?;
    let mut day = known.unwrap_or_else(|| DayUse { day: new.day, ..DayUse::default() });
    day.add(new);
    let mut write = connection.prepare_cached(
        "INSERT INTO uses (key_id, day, requests, client, limited, refused, failed,
             highest_minute, hours)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (key_id, day) DO UPDATE SET requests = excluded.requests,
             client = excluded.client, limited = excluded.limited, refused = excluded.refused,
             failed = excluded.failed, highest_minute = excluded.highest_minute,
             hours = excluded.hours",
    )?;
    let [_, client, limited, refused, failed] = day.counts.map(signed);
    write.execute(params![
        key_id,
        day.day,
        signed(day.requests()),
        client,
        limited,
        refused,
        failed,
        day.highest_minute,
        hours::write(day.day, &day.hours),
    ])?;
    Ok(())
}

/// Moves the days of secrets that a key no longer has to `uses`, and removes their last uses.
pub(super) fn put_away_former_secrets(connection: &Connection, key_id: &str) -> Result<()> {
    let sql = format!(
        "SELECT {COLUMNS} FROM last_uses WHERE key_id = ?1 AND requests > 0
             AND digest NOT IN (SELECT digest FROM secrets WHERE key_id = ?1)"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let days = statement.query_map([key_id], |row| day_use(row, 0))?;
    let days: Vec<DayUse> = days.collect::<Result<_>>()?;
    days.iter().try_for_each(|day| add_day(connection, key_id, day))?;
    let mut forget = connection.prepare_cached(
        "DELETE FROM last_uses WHERE key_id = ?1
             AND digest NOT IN (SELECT digest FROM secrets WHERE key_id = ?1)",
    )?;
    forget.execute([key_id]).map(drop)
}

/// Returns the days with requests of a key, in order.
pub(super) fn of_key(
    connection: &Connection,
    key_id: &str,
    from_day: i64,
    to_day: i64,
) -> Result<Vec<DayUse>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM uses WHERE key_id = ?1 AND day BETWEEN ?2 AND ?3
         UNION ALL SELECT {COLUMNS} FROM last_uses
             WHERE key_id = ?1 AND day BETWEEN ?2 AND ?3 AND requests > 0
         ORDER BY day"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((key_id, from_day, to_day), |row| day_use(row, 0))?;
    let mut days: Vec<DayUse> = Vec::new();
    for day in rows {
        let day = day?;
        match days.last_mut().filter(|last| last.day == day.day) {
            Some(last) => last.add(&day),
            None => days.push(day),
        }
    }
    Ok(days)
}

/// Returns the days with requests of each of these keys. Keys without requests are omitted.
pub(super) fn of_keys(
    connection: &Connection,
    ids: Vec<String>,
    from_day: i64,
    to_day: i64,
) -> Result<Vec<(String, Vec<DayUse>)>> {
    let mut found = Vec::new();
    for id in ids {
        let days = of_key(connection, &id, from_day, to_day)?;
        if !days.is_empty() {
            found.push((id, days));
        }
    }
    Ok(found)
}

/// Removes the hours of at most `rows` days before `before_day`. Returns of how many.
pub(super) fn prune_hours(connection: &Connection, before_day: i64, rows: i64) -> Result<usize> {
    let mut update = connection.prepare_cached(
        "UPDATE uses SET hours = NULL WHERE (key_id, day) IN (SELECT key_id, day FROM uses
             WHERE hours IS NOT NULL AND day < ?1 LIMIT ?2)",
    )?;
    update.execute([before_day, rows])
}
