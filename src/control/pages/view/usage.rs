//! Figures of use: how requests ended, by hour and by day.

use super::{Chart, LastUse, Moment, Texts, chart};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum Outcome {
    /// Answered with a status below 400.
    Ok,
    /// The API answered 4xx, or the client gave up.
    Client,
    /// Over the key's limit.
    Limited,
    /// Refused before it reached the API.
    Refused,
    /// Answered 5xx, or not at all.
    Failed,
}

impl Outcome {
    /// All of them, from the bottom of a bar to its top.
    pub(in crate::control::pages) const ALL: [Outcome; 5] =
        [Outcome::Ok, Outcome::Client, Outcome::Limited, Outcome::Refused, Outcome::Failed];

    /// What pages call it.
    pub(in crate::control::pages) fn label<'t>(&self, texts: &'t Texts) -> &'t str {
        match self {
            Outcome::Ok => &texts.outcome_ok,
            Outcome::Client => &texts.outcome_client,
            Outcome::Limited => &texts.outcome_limited,
            Outcome::Refused => &texts.outcome_refused,
            Outcome::Failed => &texts.outcome_failed,
        }
    }
}

/// Requests by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct Outcomes {
    /// See [`Outcome::Ok`]; the others likewise.
    pub(in crate::control::pages) ok: u64,
    /// See [`Outcome::Client`].
    pub(in crate::control::pages) client: u64,
    /// See [`Outcome::Limited`].
    pub(in crate::control::pages) limited: u64,
    /// See [`Outcome::Refused`].
    pub(in crate::control::pages) refused: u64,
    /// See [`Outcome::Failed`].
    pub(in crate::control::pages) failed: u64,
}

impl Outcomes {
    /// In the order of [`Outcome::ALL`].
    pub(in crate::control::pages) fn counts(&self) -> [u64; 5] {
        [self.ok, self.client, self.limited, self.refused, self.failed]
    }

    /// All requests.
    pub(in crate::control::pages) fn total(&self) -> u64 {
        self.counts().iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each outcome with its requests.
    pub(in crate::control::pages) fn legend<'t>(&self, texts: &'t Texts) -> Vec<LegendItem<'t>> {
        let counts = self.counts().into_iter().map(grouped);
        let items = Outcome::ALL.iter().zip(counts).enumerate();
        items
            .map(|(index, (outcome, count))| LegendItem {
                index,
                label: outcome.label(texts),
                count,
            })
            .collect()
    }

    /// The sum of both.
    fn plus(self, other: Self) -> Self {
        Self {
            ok: self.ok.saturating_add(other.ok),
            client: self.client.saturating_add(other.client),
            limited: self.limited.saturating_add(other.limited),
            refused: self.refused.saturating_add(other.refused),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

/// How long one row of a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum Period {
    /// An hour of UTC.
    Hour,
    /// A day of UTC.
    Day,
}

/// The requests of an hour or a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct UsageRow {
    /// When it began, such as `14:00` or `26 Nov`.
    pub(in crate::control::pages) label: String,
    /// The requests in it.
    pub(in crate::control::pages) counts: Outcomes,
}

/// Requests by hour or by day, the oldest first, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct UsageTable {
    /// How long a row is.
    pub(in crate::control::pages) period: Period,
    /// One an hour or a day.
    pub(in crate::control::pages) rows: Vec<UsageRow>,
}

impl UsageTable {
    /// What the table shows.
    pub(in crate::control::pages) fn caption<'t>(&self, texts: &'t Texts) -> &'t str {
        match self.period {
            Period::Hour => &texts.usage_by_hour,
            Period::Day => &texts.usage_by_day,
        }
    }

    /// What its first column is called.
    pub(in crate::control::pages) fn unit<'t>(&self, texts: &'t Texts) -> &'t str {
        match self.period {
            Period::Hour => &texts.column_hour,
            Period::Day => &texts.column_day,
        }
    }

    /// The requests of all rows.
    pub(in crate::control::pages) fn sum(&self) -> Outcomes {
        self.rows.iter().fold(Outcomes::default(), |sum, row| sum.plus(row.counts))
    }

    /// The same as stacked bars.
    pub(in crate::control::pages) fn chart(&self) -> Chart {
        let columns: Vec<[u64; 5]> = self.rows.iter().map(|row| row.counts.counts()).collect();
        chart::stacked(&columns)
    }

    /// The number at the top of the chart, such as `2,000`.
    pub(in crate::control::pages) fn top(&self) -> String {
        grouped(self.chart().top)
    }

    /// All requests, such as `1,204 requests`.
    pub(in crate::control::pages) fn total(&self, texts: &Texts) -> String {
        requests(self.sum().total(), texts)
    }

    /// Each outcome with its requests in all rows.
    pub(in crate::control::pages) fn legend<'t>(&self, texts: &'t Texts) -> Vec<LegendItem<'t>> {
        self.sum().legend(texts)
    }

    /// The label of the first bar and that of the last.
    pub(in crate::control::pages) fn ends(&self) -> (&str, &str) {
        let first = self.rows.first().map_or("", |row| row.label.as_str());
        (first, self.rows.last().map_or("", |row| row.label.as_str()))
    }
}

/// What a colour of a chart means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct LegendItem<'t> {
    /// Its place in [`Outcome::ALL`].
    pub(in crate::control::pages) index: usize,
    /// What it is called.
    pub(in crate::control::pages) label: &'t str,
    /// Its requests.
    pub(in crate::control::pages) count: String,
}

/// A number with its noun.
pub(in crate::control::pages) fn requests(number: u64, texts: &Texts) -> String {
    let noun = if number == 1 { &texts.request_counted } else { &texts.requests_counted };
    format!("{} {noun}", grouped(number))
}

/// A number with a comma before each group of three digits.
pub(in crate::control::pages) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The minute with the most requests of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct HighestMinute {
    /// Requests in it.
    pub(in crate::control::pages) requests: u64,
    /// Requests that a minute may have, where the limit is one a minute.
    pub(in crate::control::pages) limit: Option<u64>,
    /// Which day, or which minute where that is known.
    pub(in crate::control::pages) when: Moment,
}

/// The use of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct KeyUsage {
    /// When it was last used.
    pub(in crate::control::pages) last_use: LastUse,
    /// The last 24 to 48 hours, or empty.
    pub(in crate::control::pages) hours: UsageTable,
    /// The last 30 days, or empty.
    pub(in crate::control::pages) days: UsageTable,
    /// Of the days shown.
    pub(in crate::control::pages) highest_minute: Option<HighestMinute>,
}

impl HighestMinute {
    /// Such as `87 of 100 requests`.
    pub(in crate::control::pages) fn said(&self, texts: &Texts) -> String {
        match self.limit {
            Some(limit) => {
                format!("{} {} {}", grouped(self.requests), texts.of_limit, requests(limit, texts))
            }
            None => requests(self.requests, texts),
        }
    }

    /// How much of the limit was used, in whole percent.
    pub(in crate::control::pages) fn percent(&self) -> Option<u64> {
        let limit = self.limit.filter(|limit| *limit > 0)?;
        Some(self.requests.saturating_mul(100) / limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(ok: u64, refused: u64) -> Outcomes {
        Outcomes { ok, refused, ..Outcomes::default() }
    }

    #[test]
    fn a_total_is_the_sum_of_all_outcomes() {
        let counts = Outcomes { ok: 1, client: 2, limited: 3, refused: 4, failed: 5 };
        assert_eq!(counts.total(), 15);
        assert_eq!(outcomes(u64::MAX, 1).total(), u64::MAX);
    }

    #[test]
    fn the_sum_of_a_table_is_that_of_its_rows() {
        let row = |ok, refused| UsageRow { label: "1 Nov".into(), counts: outcomes(ok, refused) };
        let table = UsageTable { period: Period::Day, rows: vec![row(2, 1), row(3, 0)] };
        assert_eq!(table.sum(), outcomes(5, 1));
    }

    #[test]
    fn large_numbers_are_grouped() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_highest_minute_is_compared_with_the_limit() {
        let when = Moment::new("2026-11-26");
        let minute = |limit| HighestMinute { requests: 87, limit, when: when.clone() };
        assert_eq!(minute(Some(100)).percent(), Some(87));
        assert_eq!(minute(Some(0)).percent(), None);
        assert_eq!(minute(None).percent(), None);
    }
}
