//! Parses and formats times and days, which are seconds and days since the Unix epoch.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

const DAY: i64 = 86_400;
/// The end of the year 9999, the last that RFC 3339 can represent.
const LAST: i64 = 253_402_300_799;

/// Formats a time as RFC 3339 in UTC, to the second.
pub(in crate::control) fn format(unix: i64) -> String {
    Timestamp::from_second(unix.clamp(0, LAST))
        .map_or_else(|_| String::new(), |moment| moment.to_string())
}

/// Parses an RFC 3339 §5.6 `date-time`. Drops fractions of a second. Returns `None` for other text,
/// and for a time before 1970 or after [`LAST`].
pub(in crate::control) fn parse(text: &str) -> Option<i64> {
    // jiff accepts more than RFC 3339.
    let plain = text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZtz".contains(&byte));
    let seconds = plain.then(|| text.parse::<Timestamp>().ok()).flatten()?.as_second();
    (0..=LAST).contains(&seconds).then_some(seconds)
}

/// Returns the day that contains a time, in UTC.
pub(super) fn day_of(unix: i64) -> i64 {
    unix.div_euclid(DAY)
}

/// Formats a day as `2026-11-22`.
pub(super) fn format_day(day: i64) -> String {
    let mut moment = format(day.saturating_mul(DAY));
    moment.truncate("2026-11-22".len());
    moment
}

/// Parses a day such as `2026-11-22`. Returns `None` for other text.
pub(super) fn parse_day(text: &str) -> Option<i64> {
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date = plain.then(|| text.parse::<Date>().ok()).flatten()?;
    Some(day_of(Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()?.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_their_offset_and_shown_in_utc() {
        assert_eq!(
            parse("2027-03-31T23:59:59Z").map(format).as_deref(),
            Some("2027-03-31T23:59:59Z")
        );
        assert_eq!(
            parse("2027-03-31T23:59:59.75+02:00").map(format).as_deref(),
            Some("2027-03-31T21:59:59Z")
        );
        for wrong in [
            "",
            "2027-03-31",
            "2027-03-31T23:59:59",
            "2027-02-30T00:00:00Z",
            "2027-03-31T23:59:59Z[UTC]",
            "tomorrow",
            "1800000000",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_are_read_and_shown() {
        assert_eq!(parse_day("1970-01-02"), Some(1));
        assert_eq!(format_day(1), "1970-01-02");
        assert_eq!(format_day(day_of(parse("2026-11-22T23:59:59Z").unwrap())), "2026-11-22");
        for wrong in ["", "2026-11-31", "22.11.2026", "2026-11-22T00:00:00Z", "20261122"] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }
}
