//! Points in time, as pages show them.

/// A point in time. The markup is UTC; a script may show it in the reader's own zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Moment {
    /// RFC 3339 in UTC, such as `2026-11-26T14:03:22Z`.
    pub(in crate::control::pages) at: String,
    /// The same for people, such as `26 Nov 2026, 14:03 UTC`.
    pub(in crate::control::pages) text: String,
    /// How far away it is, such as `3 minutes ago`, where that is shown first.
    pub(in crate::control::pages) relative: Option<String>,
}

impl Moment {
    /// Makes one of RFC 3339 in UTC. Text in another form is shown as it is.
    pub(in crate::control::pages) fn new(at: &str) -> Self {
        Self {
            at: at.to_owned(),
            text: for_people(at).unwrap_or_else(|| at.to_owned()),
            relative: None,
        }
    }

    /// The same with the distance from now: `seconds` is now minus the moment, so what is to come
    /// is negative.
    pub(in crate::control::pages) fn with_distance(at: &str, seconds: i64) -> Self {
        Self { relative: Some(relative(seconds)), ..Self::new(at) }
    }

    /// Its day alone, such as `26 Nov 2026`.
    pub(in crate::control::pages) fn day(&self) -> &str {
        self.text.split_once(',').map_or(self.text.as_str(), |(day, _)| day)
    }

    /// What is shown first: the distance where it is known.
    pub(in crate::control::pages) fn shown(&self) -> &str {
        self.relative.as_deref().unwrap_or(&self.text)
    }
}

/// `2026-11-26T14:03:22Z` → `26 Nov 2026, 14:03 UTC`.
fn for_people(at: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = (at.get(..4)?, at.get(5..7)?, at.get(8..10)?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day: u8 = day.parse().ok()?;
    match at.get(11..16) {
        Some(time) => Some(format!("{day} {month} {year}, {time} UTC")),
        None => Some(format!("{day} {month} {year}")),
    }
}

/// Says how long ago something was, or how soon it will be, in the largest unit that fits.
pub(in crate::control::pages) fn relative(seconds: i64) -> String {
    let distance = seconds.unsigned_abs();
    let (number, unit) = match distance {
        0..60 if seconds >= 0 => return "just now".to_owned(),
        0..60 => return "in less than a minute".to_owned(),
        60..3_600 => (distance / 60, "minute"),
        3_600..86_400 => (distance / 3_600, "hour"),
        86_400..5_184_000 => (distance / 86_400, "day"),
        5_184_000..63_072_000 => (distance / 2_628_000, "month"),
        _ => (distance / 31_536_000, "year"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if seconds >= 0 {
        format!("{number} {unit}{plural} ago")
    } else {
        format!("in {number} {unit}{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc() {
        assert_eq!(Moment::new("2026-11-06T14:03:22Z").text, "6 Nov 2026, 14:03 UTC");
        assert_eq!(Moment::new("2026-11-26").text, "26 Nov 2026");
        assert_eq!(Moment::new("2026-11-06T14:03:22Z").day(), "6 Nov 2026");
        assert_eq!(Moment::new("2026-11-26").day(), "26 Nov 2026");
        assert_eq!(Moment::new("not a time").text, "not a time");
    }

    #[test]
    fn distances_take_the_largest_unit_that_fits() {
        assert_eq!(relative(12), "just now");
        assert_eq!(relative(60), "1 minute ago");
        assert_eq!(relative(3 * 60), "3 minutes ago");
        assert_eq!(relative(-14 * 86_400), "in 14 days");
        assert_eq!(relative(-30), "in less than a minute");
        assert_eq!(relative(400 * 86_400), "13 months ago");
        assert_eq!(relative(3 * 31_536_000), "3 years ago");
    }
}
