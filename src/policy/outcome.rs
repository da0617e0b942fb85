//! How the requests of a key ended, in five classes, by hour.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::refusal::Refusal;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeClass {
    /// The response has a status below 400, a protocol switch included.
    Ok,
    /// The upstream answered with a 4xx, or the client itself ended the request.
    Client,
    /// The limit was exceeded.
    Limited,
    /// The key may not do this, or is not accepted at all.
    Refused,
    /// The response has a 5xx, or there was none in time.
    Failed,
}

impl OutcomeClass {
    /// All classes, in the order of the counts.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Client, Self::Limited, Self::Refused, Self::Failed];

    /// Returns the class of a response with this status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            ..400 => Self::Ok,
            400..500 => Self::Client,
            500.. => Self::Failed,
        }
    }

    /// Returns the class of a request that was refused, or cut, for this reason.
    #[must_use]
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::RateLimited(_) => Self::Limited,
            Refusal::ClientAborted | Refusal::ClientTimeout | Refusal::BodyTooLarge => Self::Client,
            Refusal::UpstreamUnreachable
            | Refusal::UpstreamFailed
            | Refusal::UpstreamTimeout
            | Refusal::Overloaded
            | Refusal::KeyServiceUnavailable => Self::Failed,
            Refusal::MalformedTarget(_)
            | Refusal::MalformedHost
            | Refusal::MalformedForwardedFor
            | Refusal::MalformedFraming
            | Refusal::MalformedHead
            | Refusal::HeadTooLarge
            | Refusal::MethodNotAllowed
            | Refusal::UnknownHost
            | Refusal::Misdirected
            | Refusal::UnknownPath
            | Refusal::KeyInQuery
            | Refusal::AmbiguousCredential
            | Refusal::MalformedCredential
            | Refusal::RepeatedHeader
            | Refusal::MissingKey
            | Refusal::UnknownKey
            | Refusal::RevokedKey
            | Refusal::PausedKey
            | Refusal::SuspendedOrganization
            | Refusal::ExpiredKey
            | Refusal::KeyNotForApi
            | Refusal::AddressNotAllowed
            | Refusal::ReferrerNotAllowed
            | Refusal::EndpointNotAllowed
            | Refusal::InsufficientScope(_)
            | Refusal::NoScopeAllows => Self::Refused,
        }
    }
}

/// The requests of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourCounts {
    /// The hour in UTC, in hours since the Unix epoch.
    pub hour: u32,
    /// Requests by class, in the order of [`OutcomeClass::ALL`].
    pub counts: [u32; 5],
    /// The most requests that began within one minute of the hour, as far as they have ended.
    pub highest_minute: u32,
}

impl HourCounts {
    /// Adds the requests of the same hour.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.highest_minute = self.highest_minute.max(other.highest_minute);
    }
}

/// Some hours, usually one.
pub type Hours = SmallVec<[HourCounts; 1]>;

/// Adds the requests of an hour to those of several hours.
pub fn add_hour(hours: &mut Hours, more: &HourCounts) {
    match hours.iter_mut().find(|known| known.hour == more.hour) {
        Some(known) => known.add(more),
        None => hours.push(*more),
    }
}

/// The requests of a key that were not collected yet.
#[derive(Debug, Default)]
pub(super) struct Ended {
    hours: Hours,
    /// The last two minutes and their requests. A request is counted when it ends, and most end in
    /// the minute in which they began or in the next one.
    minutes: [(u32, u32); 2],
}

impl Ended {
    /// Counts a request that began at `unix`, in Unix seconds.
    pub(super) fn count(&mut self, class: OutcomeClass, unix: i64) {
        let minute = u32::try_from(unix / 60).unwrap_or(0);
        let in_minute = self.count_in_minute(minute);
        let hour = minute / 60;
        let known = self.hours.iter().position(|known| known.hour == hour);
        let known = known.unwrap_or_else(|| {
            self.hours.push(HourCounts { hour, ..HourCounts::default() });
            self.hours.len() - 1
        });
        let counts = &mut self.hours[known];
        counts.counts[class as usize] += 1;
        counts.highest_minute = counts.highest_minute.max(in_minute);
    }

    /// Counts a request that began in this minute. Returns how many began in it, or 0 if it is too
    /// long ago.
    fn count_in_minute(&mut self, minute: u32) -> u32 {
        let (known, count) = &mut self.minutes[minute as usize % 2];
        if *known < minute {
            (*known, *count) = (minute, 0);
        }
        if *known > minute {
            return 0;
        }
        *count += 1;
        *count
    }

    /// Takes the hours that have requests.
    pub(super) fn take(&mut self) -> Hours {
        std::mem::take(&mut self.hours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 500_000;

    fn ended(requests: &[(OutcomeClass, i64)]) -> Hours {
        let mut ended = Ended::default();
        for (class, second) in requests {
            ended.count(*class, i64::from(HOUR) * 3600 + second);
        }
        ended.take()
    }

    #[test]
    fn every_refusal_has_a_class() {
        let of = |class| {
            let refusals = Refusal::ALL.into_iter();
            refusals.filter(|refusal| OutcomeClass::of_refusal(*refusal) == class).count()
        };
        assert_eq!(OutcomeClass::ALL.map(of), [0, 3, 1, 26, 5]);
        for (status, class) in [
            (101, OutcomeClass::Ok),
            (200, OutcomeClass::Ok),
            (304, OutcomeClass::Ok),
            (404, OutcomeClass::Client),
            (499, OutcomeClass::Client),
            (500, OutcomeClass::Failed),
            (599, OutcomeClass::Failed),
        ] {
            assert_eq!(OutcomeClass::of_status(status), class, "{status}");
        }
    }

    #[test]
    fn requests_are_counted_by_hour_and_by_class() {
        use OutcomeClass::{Failed, Ok, Refused};
        let hours = ended(&[(Ok, 0), (Ok, 3599), (Refused, 3600), (Failed, 1), (Ok, -1)]);
        let find = |hour| hours.iter().find(|counts| counts.hour == hour).map(|c| c.counts);
        assert_eq!(hours.len(), 3);
        assert_eq!(find(HOUR), Some([2, 0, 0, 0, 1]));
        assert_eq!(find(HOUR + 1), Some([0, 0, 0, 1, 0]));
        assert_eq!(find(HOUR - 1), Some([1, 0, 0, 0, 0]));
    }

    #[test]
    fn highest_minute_counts_requests_that_end_in_the_next_one() {
        use OutcomeClass::Ok;
        let hours = ended(&[(Ok, 0), (Ok, 59), (Ok, 60), (Ok, 30), (Ok, 61), (Ok, 125)]);
        assert_eq!(hours[0].highest_minute, 3);
        // One that began long ago belongs to no minute that is still counted.
        assert_eq!(ended(&[(Ok, 180), (Ok, 0), (Ok, 60)])[0].highest_minute, 1);
    }

    #[test]
    fn highest_minute_goes_on_after_a_collection() {
        let mut ended = Ended::default();
        let unix = i64::from(HOUR) * 3600;
        ended.count(OutcomeClass::Ok, unix);
        assert_eq!(ended.take()[0].highest_minute, 1);
        ended.count(OutcomeClass::Ok, unix + 1);
        assert_eq!(ended.take()[0].highest_minute, 2);
        assert!(ended.take().is_empty());
    }
}
