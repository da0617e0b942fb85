//! The expiry of served certificates: a metric, and warnings in the log before and after.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use super::tls::{ListenerTls, Served};

/// How long before its expiry a certificate is reported, in seconds. A short-lived certificate is
/// reported a fifth of its lifetime before, if that is less.
const BEFORE: i64 = 14 * 86_400;
const SHARE: i64 = 5;

/// The validity of one served certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry {
    /// `data` or `admin`.
    pub(super) listener: &'static str,
    pub(super) file: String,
    /// Start and end of the validity, in Unix seconds.
    pub(super) validity: Range<i64>,
}

/// What to report about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    EndsSoon,
    Ended,
}

impl Notice {
    /// Returns what to report at `now`, in Unix seconds.
    fn of(validity: &Range<i64>, now: i64) -> Option<Self> {
        let life = validity.end.saturating_sub(validity.start);
        if now >= validity.end {
            Some(Self::Ended)
        } else {
            (validity.end - now <= BEFORE.min(life / SHARE)).then_some(Self::EndsSoon)
        }
    }

    /// Returns the delay before the same report is repeated.
    fn again(self) -> Duration {
        match self {
            Self::EndsSoon => Duration::from_secs(86_400),
            Self::Ended => Duration::from_secs(3600),
        }
    }
}

/// What has been reported, and when on a monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Reported(HashMap<(&'static str, String), (Notice, Duration)>);

impl Reported {
    /// Reports the certificates of both listeners that are due. Returns the expiry of each.
    pub(super) fn look(
        &mut self,
        data: Option<&ListenerTls>,
        admin: Option<&ListenerTls>,
        unix: i64,
        monotonic: Duration,
    ) -> Vec<Expiry> {
        let found: Vec<Expiry> = expiries("data", data).chain(expiries("admin", admin)).collect();
        for (Expiry { listener, file, validity }, notice) in self.news(&found, unix, monotonic) {
            let expires_at =
                Timestamp::from_second(validity.end).unwrap_or(Timestamp::MAX).to_string();
            match notice {
                Notice::EndsSoon => {
                    tracing::warn!(listener, file, expires_at, "a certificate expires soon")
                }
                Notice::Ended => tracing::error!(
                    listener,
                    file,
                    expires_at,
                    "a certificate has expired: clients refuse it"
                ),
            }
        }
        found
    }

    /// Returns what to report now.
    fn news<'e>(
        &mut self,
        expiries: &'e [Expiry],
        unix: i64,
        monotonic: Duration,
    ) -> Vec<(&'e Expiry, Notice)> {
        let mut news = Vec::new();
        let before = std::mem::take(&mut self.0);
        for expiry in expiries {
            let Some(notice) = Notice::of(&expiry.validity, unix) else { continue };
            let name = (expiry.listener, expiry.file.clone());
            let reported = before.get(&name).filter(|(reported, at)| {
                *reported == notice && monotonic.saturating_sub(*at) < notice.again()
            });
            if reported.is_none() {
                news.push((expiry, notice));
            }
            self.0.insert(name, reported.copied().unwrap_or((notice, monotonic)));
        }
        news
    }
}

fn expiries<'t>(
    listener: &'static str,
    tls: Option<&'t ListenerTls>,
) -> impl Iterator<Item = Expiry> + 't {
    let expiry = move |served: &Served| Expiry {
        listener,
        file: served.file(),
        validity: served.certificate.validity.clone(),
    };
    tls.into_iter().flat_map(ListenerTls::served).map(expiry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn reported_on(days: impl IntoIterator<Item = i64>, life: i64) -> Vec<(i64, Notice)> {
        let mut reported = Reported::default();
        let expiry =
            [Expiry { listener: "data", file: "cert.pem".to_owned(), validity: 0..life * DAY }];
        let mut all = Vec::new();
        for day in days {
            let monotonic = Duration::from_secs(u64::try_from(day * DAY).expect("a day"));
            all.extend(
                reported
                    .news(&expiry, day * DAY, monotonic)
                    .into_iter()
                    .map(|(_, notice)| (day, notice)),
            );
            assert!(
                reported
                    .news(&expiry, day * DAY + 10, monotonic + Duration::from_secs(10))
                    .is_empty(),
                "not twice"
            );
        }
        all
    }

    #[test]
    fn end_is_reported_two_weeks_before_and_each_day_from_then_on() {
        use Notice::{Ended, EndsSoon};
        assert_eq!(
            reported_on([0, 75, 76, 77, 89, 90], 90),
            [(76, EndsSoon), (77, EndsSoon), (89, EndsSoon), (90, Ended)]
        );
        assert_eq!(
            reported_on(0..=6, 6),
            [(5, EndsSoon), (6, Ended)],
            "one that lives six days is renewed late"
        );
    }

    #[test]
    fn ended_one_is_reported_every_hour_and_a_renewed_one_no_more() {
        let mut reported = Reported::default();
        let mut expiry =
            [Expiry { listener: "data", file: "cert.pem".to_owned(), validity: 0..DAY }];
        let mut hours = 0;
        for minute in 0..180 {
            hours += reported
                .news(
                    &expiry,
                    2 * DAY + 60 * minute,
                    Duration::from_secs(60 * minute.unsigned_abs()),
                )
                .len();
        }
        assert_eq!(hours, 3);
        expiry[0].validity = 2 * DAY..90 * DAY;
        assert!(reported.news(&expiry, 3 * DAY, Duration::from_secs(86_400)).is_empty());
    }
}
