//! Reads `expires_at`.

use jiff::civil;
use jiff::tz::Offset;
use toml::de::DeValue;
use toml::value::{Datetime, Offset as TomlOffset};

use crate::config::document::type_name;
use crate::config::report::Report;

/// Reads a date and time with offset as seconds since the Unix epoch.
pub(super) fn instant(report: &Report<'_>, at: usize, value: &DeValue<'_>) -> Option<i64> {
    let form = "write it without quotes, with its offset from UTC: `2027-03-31T23:59:59Z`";
    let DeValue::Datetime(moment) = value else {
        report.error_with_hint(
            at,
            format!("`expires_at` must be a date with a time, not {}", type_name(value)),
            form,
        );
        return None;
    };
    if moment.offset.is_none() {
        report.error_with_hint(
            at,
            "`expires_at` has no offset, so it means another moment in every place",
            form,
        );
        return None;
    }
    let seconds = unix_seconds(*moment);
    if seconds.is_none() {
        report.error_with_hint(
            at,
            "`expires_at` is no real date",
            "the last one is 9999-12-30; leave it out for a key that does not expire",
        );
    }
    seconds
}

fn unix_seconds(moment: Datetime) -> Option<i64> {
    let (date, time) = (moment.date?, moment.time?);
    let date = civil::Date::new(
        i16::try_from(date.year).ok()?,
        i8::try_from(date.month).ok()?,
        i8::try_from(date.day).ok()?,
    )
    .ok()?;
    // A leap second counts as the second before it.
    let second = time.second.unwrap_or(0).min(59);
    let time = civil::Time::new(
        i8::try_from(time.hour).ok()?,
        i8::try_from(time.minute).ok()?,
        i8::try_from(second).ok()?,
        0,
    )
    .ok()?;
    let minutes = match moment.offset? {
        TomlOffset::Z => 0,
        TomlOffset::Custom { minutes } => i32::from(minutes),
    };
    Some(
        Offset::from_seconds(minutes * 60)
            .ok()?
            .to_timestamp(date.to_datetime(time))
            .ok()?
            .as_second(),
    )
}
