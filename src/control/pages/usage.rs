//! How much keys are used: the figures of a key's page, and `GET /use`.

use super::answer::{self, Page};
use super::arrival::network;
use super::facts::{last_use, moment};
use super::form::Query;
use super::signed::Signed;
use super::view::{
    Choice, HighestMinute, KeyUsage, KeyUseRow, Outcomes, Pages, Period, Place, RefusalRow,
    UsageRow, UsageTable, UsePage,
};
use crate::config::parse_limit;
use crate::control::keys::{
    self, DayUseView, HourUseView, KeyUse, KeyView, Permission, UseBy, UseCounts, UseSpan,
    format_time,
};

const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// How many days and hours the page of a key shows.
pub(super) const DAYS: usize = 30;
const HOURS: usize = 48;
/// How many keys `GET /use` lists.
const MOST_KEYS: usize = 100;
/// The spans to choose from, in days.
const SPANS: [usize; 4] = [1, 7, 30, 90];
const MINUTE: u64 = 60_000_000_000;

/// Returns the use of a key, or `None` if the person may not see it or there is no store.
pub(super) async fn of_key(signed: &Signed, key: &KeyView) -> keys::Result<Option<KeyUsage>> {
    let now = signed.state.now();
    if !signed.actor.may(Permission::ReadUsage) {
        return Ok(None);
    }
    let (actor, id) = (signed.actor.clone(), key.id.clone());
    let from = Some(day_text(now - DAY * 29));
    let span = UseSpan { by: UseBy::Hour, from, to: None };
    let read = signed.state.read(move |keys| async move { keys.key_use(&actor, &id, span).await });
    let KeyUse { days, hours, .. } = read.await?;
    Ok(Some(KeyUsage {
        last_use: last_use(key, now),
        highest_minute: highest(signed, key, &days),
        hours: by_hour(&hours.unwrap_or_default(), HOURS, now),
        days: by_day(&days, DAYS, now),
    }))
}

/// Returns the requests with a key that were refused lately, or `None` if the person may not see
/// them.
pub(super) fn refusals(signed: &Signed, key: &KeyView) -> Option<Vec<RefusalRow>> {
    let now = signed.state.now();
    let rows = signed.state.refused_with_key(&key.id).into_iter().map(|request| RefusalRow {
        at: moment(&format_time(request.at), now),
        method: request.method().to_owned(),
        path: request.path().to_owned(),
        status: request.refusal.status(true).as_u16(),
        code: request.refusal.code().to_owned(),
        network: Some(network(request.address)),
        explain: None,
    });
    signed.actor.may(Permission::ReadUsage).then(|| rows.collect())
}

/// Returns the minute with the most requests, beside the limit if that is one a minute.
fn highest(signed: &Signed, key: &KeyView, days: &[DayUseView]) -> Option<HighestMinute> {
    let day = days.iter().max_by_key(|day| day.highest_minute)?;
    let config = signed.state.config();
    let apis = super::facts::apis_of(&config, &key.apis);
    let a_minute = |text: &String| {
        parse_limit(text)
            .ok()
            .filter(|limit| limit.window == MINUTE)
            .map(|limit| limit.count.into())
    };
    let limit = match &key.rate_limit {
        Some(own) => own.iter().find_map(a_minute),
        None => {
            let usual = apis.into_iter().flat_map(|api| api.rate_limit.iter());
            usual.map(ToString::to_string).find_map(|text| a_minute(&text))
        }
    };
    let when = moment(&day.day, signed.state.now());
    Some(HighestMinute { requests: day.highest_minute.into(), limit, when })
}

/// `GET /use`: the use of all keys.
pub(super) async fn show(signed: Signed, Query(query): Query) -> Page {
    let (actor, now) = (signed.actor.clone(), signed.state.now());
    let asked = query.text("days").parse().ok();
    let count = asked.filter(|days| SPANS.contains(days)).unwrap_or(DAYS);
    let first = i64::try_from(count).unwrap_or(1) - 1;
    let by = if count == 1 { UseBy::Hour } else { UseBy::Day };
    let span = UseSpan { by, from: Some(day_text(now - DAY * first)), to: None };
    let name = signed.session.organization.clone();
    let read = signed
        .state
        .read(move |keys| async move { keys.organization_use(&actor, &name, span).await });
    let used = match read.await {
        Ok(used) => used,
        Err(error) => return signed.failed(&error),
    };
    let texts = signed.texts();
    let labels =
        [&texts.period_day, &texts.period_week, &texts.period_month, &texts.period_quarter];
    let table = match used.hours {
        Some(hours) => by_hour(&hours, 24, now),
        None => by_day(&used.days, count, now),
    };
    let rows = used.keys.into_iter().take(MOST_KEYS);
    let rows =
        rows.map(|key| KeyUseRow { id: key.id, name: key.name, counts: outcomes(key.counts) });
    answer::ok(&UsePage {
        frame: signed.frame(Place::Use, &texts.use_title),
        periods: SPANS
            .iter()
            .zip(labels)
            .map(|(days, label)| Choice::of(&days.to_string(), label, *days == count))
            .collect(),
        organizations: Vec::new(),
        table: Some(table),
        keys: rows.collect(),
        pages: Pages::default(),
    })
}

fn outcomes(counts: UseCounts) -> Outcomes {
    let UseCounts { ok, client, limited, refused, failed, .. } = counts;
    Outcomes { ok, client, limited, refused, failed }
}

/// Returns a row for each of the last `count` days.
fn by_day(days: &[DayUseView], count: usize, now: i64) -> UsageTable {
    let row = |back: i64| {
        let day = day_text(now - DAY * back);
        let used = days.iter().find(|known| known.day == day);
        let counts = used.map(|used| outcomes(used.counts)).unwrap_or_default();
        UsageRow { label: day, counts }
    };
    UsageTable { period: Period::Day, rows: back_from(count).map(row).collect() }
}

/// Returns a row for each of the last `count` hours.
fn by_hour(hours: &[HourUseView], count: usize, now: i64) -> UsageTable {
    let row = |back: i64| {
        let began = (now - HOUR * back).div_euclid(HOUR) * HOUR;
        let hour = format_time(began);
        let used = hours.iter().find(|known| known.hour == hour);
        let counts = used.map(|used| outcomes(used.counts)).unwrap_or_default();
        // Such as `11-28 14:00`.
        let label = hour.get(5..16).unwrap_or(&hour).replace('T', " ");
        UsageRow { label, counts }
    };
    UsageTable { period: Period::Hour, rows: back_from(count).map(row).collect() }
}

/// Returns how far back each of the last `count` parts is, the oldest first.
fn back_from(count: usize) -> impl Iterator<Item = i64> {
    let count = i64::try_from(count).unwrap_or(0);
    (0..count).rev()
}

fn day_text(unix: i64) -> String {
    let mut text = format_time(unix);
    text.truncate("2026-11-28".len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_305_600 + 12 * HOUR;

    #[test]
    fn days_and_hours_without_requests_have_a_row_too() {
        let counts = UseCounts { requests: 3, ok: 2, failed: 1, ..UseCounts::default() };
        let days = [DayUseView { day: "2026-11-21".to_owned(), counts, highest_minute: 2 }];
        let table = by_day(&days, 3, NOON);
        let labels: Vec<&str> = table.rows.iter().map(|row| &*row.label).collect();
        assert_eq!(labels, ["2026-11-20", "2026-11-21", "2026-11-22"]);
        let sums: Vec<u64> = table.rows.iter().map(|row| row.counts.total()).collect();
        assert_eq!(sums, [0, 3, 0]);

        let hour = "2026-11-22T11:00:00Z".to_owned();
        let hours = [HourUseView { hour, counts, highest_minute: 2 }];
        let table = by_hour(&hours, 2, NOON + 59);
        let labels: Vec<&str> = table.rows.iter().map(|row| &*row.label).collect();
        assert_eq!(labels, ["11-22 11:00", "11-22 12:00"]);
        assert_eq!(table.rows[0].counts.failed, 1);
    }
}
