//! Limits how often `/v1/proof` is answered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many proofs may be requested at once.
const BURST: u32 = 32;
/// The time after which one more may be requested.
const INTERVAL: Duration = Duration::from_millis(1000 / BURST as u64);

/// The rate limit for proofs, shared by all clients. A proof needs no token, so strangers could
/// otherwise cause any amount of computation.
#[derive(Debug, Default)]
pub(in crate::control) struct ProofRate(Mutex<Bucket>);

impl ProofRate {
    /// Returns whether a proof may be given, and counts it. `now` is in monotonic nanoseconds.
    pub(super) fn admits(&self, now: u64) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(Duration::from_nanos(now))
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
    fn take(&mut self, now: Duration) -> bool {
        let full_at = self.full_at.max(now) + INTERVAL;
        let admitted = full_at - now <= INTERVAL * BURST;
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

    #[test]
    fn burst_is_admitted_and_then_one_each_interval() {
        let mut bucket = Bucket::default();
        let start = Duration::from_secs(1_000);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), BURST as usize);
        assert!(!bucket.take(start + INTERVAL / 2));
        assert!(bucket.take(start + INTERVAL));
        assert!(!bucket.take(start + INTERVAL));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), BURST as usize);
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
                if bucket.take(now) {
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
