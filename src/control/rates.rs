//! Rate limits of the control plane: token buckets, one for all or one for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many buckets are kept before those that are full again are removed.
const MOST_BUCKETS: usize = 10_000;

/// A rate: so many at once, and one more after each interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// How many are admitted at once.
    pub(super) burst: u32,
    /// The time after which one more is admitted.
    pub(super) interval: Duration,
}

impl Rate {
    /// Returns a rate of so many per minute.
    pub(super) const fn per_minute(count: u32) -> Self {
        Self { burst: count, interval: Duration::from_millis(60_000 / count as u64) }
    }
}

/// Rate limits of the same rate, one for each key.
#[derive(Debug)]
pub(super) struct Rates<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// Creates the limits. Nothing has been admitted yet.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Returns whether one more is admitted for this key, and counts it if so. `now` is in
    /// monotonic nanoseconds.
    pub(super) fn admits(&self, key: K, now: u64) -> bool {
        let now = Duration::from_nanos(now);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.full_at > now);
            // Strangers must not fill the memory, and whoever comes now must not wait for them.
            if buckets.len() >= MOST_BUCKETS {
                buckets.clear();
            }
        }
        buckets.entry(key).or_default().take(self.rate, now)
    }
}

/// A token bucket.
#[derive(Debug, Default)]
struct Bucket {
    /// When the bucket is full again.
    full_at: Duration,
}

impl Bucket {
    /// Takes one token. Returns whether there was one.
    fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let full_at = self.full_at.max(now) + rate.interval;
        let admitted = full_at - now <= rate.interval * rate.burst;
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 32, interval: INTERVAL };
    const INTERVAL: Duration = Duration::from_millis(31);
    const BURST: u32 = RATE.burst;

    #[test]
    fn burst_is_admitted_and_then_one_each_interval() {
        let mut bucket = Bucket::default();
        let start = Duration::from_secs(1_000);
        assert_eq!((0..100).filter(|_| bucket.take(RATE, start)).count(), BURST as usize);
        assert!(!bucket.take(RATE, start + INTERVAL / 2));
        assert!(bucket.take(RATE, start + INTERVAL));
        assert!(!bucket.take(RATE, start + INTERVAL));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| bucket.take(RATE, later)).count(), BURST as usize);
    }

    #[test]
    fn keys_have_limits_of_their_own() {
        let rates = Rates::new(Rate::per_minute(2));
        assert!(rates.admits("a", 0) && rates.admits("a", 0) && !rates.admits("a", 0));
        assert!(rates.admits("b", 0));
        assert!(!rates.admits("a", 29_000_000_000) && rates.admits("a", 30_000_000_000));
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let rates = Rates::new(Rate::per_minute(1));
        (0..3 * MOST_BUCKETS).for_each(|key| assert!(rates.admits(key, 0)));
        assert!(rates.buckets.lock().is_ok_and(|buckets| buckets.len() <= MOST_BUCKETS));
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_a_burst_and_one_each_interval(
            steps in vec(0u64..200_000_000, 1..300),
        ) {
            let mut bucket = Bucket::default();
            let mut now = Duration::ZERO;
            let mut admitted = Vec::new();
            for step in steps {
                now += Duration::from_nanos(step);
                if bucket.take(RATE, now) {
                    admitted.push(now);
                }
            }
            for (at, first) in admitted.iter().enumerate() {
                for (count, last) in admitted[at..].iter().enumerate() {
                    let most = BURST as u128 + (*last - *first).as_nanos() / INTERVAL.as_nanos();
                    prop_assert!((count as u128) < most);
                }
            }
        }
    }
}
