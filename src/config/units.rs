//! Values with units: durations, sizes and rate limits.

use std::time::Duration;

use crate::policy::Limit;

const DURATION_FORM: &str =
    "write a whole number with its unit: `\"250ms\"`, `\"10s\"`, `\"5min\"`, `\"1h\"` or `\"14d\"`";
const SIZE_FORM: &str =
    "write a whole number with its unit: `\"512B\"`, `\"32KiB\"`, `\"1MiB\"` or `\"1GiB\"`";
const LIMIT_FORM: &str = "write `N/s`, `N/min`, `N/hour`, `N/day` or with a longer window \
    `N/10s`, such as `\"100/min\"`";
const PERCENT_FORM: &str = "write a whole number from 1 to 100 with its sign: `\"50%\"`";
const NANOSECONDS: u64 = 1_000_000_000;
const LONGEST_WINDOW: u64 = 31 * 86_400;
/// The most rate-limit windows of a key.
pub const MAX_LIMITS: usize = 4;

/// Splits digits from the unit that follows them.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

/// Parses a duration: `250ms`, `10s`, `5min`, `1h`, `14d`.
///
/// # Errors
/// Returns a description of the format if the text does not have it.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = split_number(text).ok_or(DURATION_FORM)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DURATION_FORM),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(DURATION_FORM)
}

/// Formats a duration so that [`parse_duration`] can read it.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
    let (unit, size) = units
        .into_iter()
        .find(|(_, size)| milliseconds > 0 && milliseconds.is_multiple_of(*size))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", milliseconds / size)
}

/// Parses a percentage: `50%`.
///
/// # Errors
/// Returns a description of the format if the text does not have it.
pub(super) fn parse_percent(text: &str) -> Result<u8, &'static str> {
    let (number, "%") = split_number(text).ok_or(PERCENT_FORM)? else { return Err(PERCENT_FORM) };
    u8::try_from(number).ok().filter(|percent| (1..=100).contains(percent)).ok_or(PERCENT_FORM)
}

/// Parses a size: `512B`, `32KiB`, `1MiB`, `1GiB`.
///
/// # Errors
/// Returns a description of the format if the text does not have it.
pub(super) fn parse_size(text: &str) -> Result<usize, &'static str> {
    let (number, unit) = split_number(text).ok_or(SIZE_FORM)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(SIZE_FORM),
    };
    number.checked_mul(bytes).and_then(|bytes| usize::try_from(bytes).ok()).ok_or(SIZE_FORM)
}

/// Formats a size so that [`parse_size`] can read it.
pub(super) fn show_size(bytes: usize) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.into_iter().find(|(_, bits)| bytes > 0 && bytes.is_multiple_of(1 << bits));
    let (unit, bits) = whole.unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> bits)
}

/// Parses one limit, such as `100/min` or `5/10s`.
///
/// # Errors
/// Returns a description of the format if the text does not have it, or the range if a number is
/// out of range.
pub fn parse_limit(text: &str) -> Result<Limit, &'static str> {
    let (count, window) = text.split_once('/').ok_or(LIMIT_FORM)?;
    let (count, "") = split_number(count).ok_or(LIMIT_FORM)? else { return Err(LIMIT_FORM) };
    let has_number = window.starts_with(|first: char| first.is_ascii_digit());
    let (number, unit) =
        if has_number { split_number(window).ok_or(LIMIT_FORM)? } else { (1, window) };
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" | "hour" => 3600,
        "day" => 86_400,
        _ => return Err(LIMIT_FORM),
    };
    let count = u32::try_from(count)
        .ok()
        .filter(|count| (1..=1_000_000).contains(count))
        .ok_or("the count is from 1 to 1000000")?;
    let seconds =
        number.checked_mul(seconds).filter(|seconds| (1..=LONGEST_WINDOW).contains(seconds));
    Ok(Limit {
        count,
        window: seconds.ok_or("the window is from one second to 31 days")? * NANOSECONDS,
    })
}
