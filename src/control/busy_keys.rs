//! Selects the keys that have a series of their own in the metrics: the busiest ones, so that a
//! million keys do not make a million series. The requests of all other keys are counted together.
//!
//! Requests are counted as they are collected, so a scrape reads only the named keys, however many
//! others there are. No series ever decreases. The series of a key starts when the key is named.
//! When the key loses its series, its count is added to the others.

use std::collections::{HashMap, HashSet};

/// Limit of keys with a series of their own.
const NAMED: usize = 50;

/// Counts requests by key.
#[derive(Debug, Default)]
pub(super) struct BusyKeys {
    named: HashMap<Box<str>, Named>,
    /// A lower bound of the totals of all named keys.
    least: u64,
    /// Keys that lost their series since the last scrape. They get none before the next scrape,
    /// because the series would decrease. If all series have been replaced, other keys wait for the
    /// next scrape, too.
    lost: HashSet<Box<str>>,
    /// The number of requests of all keys.
    all: u64,
}

#[derive(Debug, Clone, Copy)]
struct Named {
    /// The number of requests since the key was named.
    requests: u64,
    /// The number of requests since the process started.
    total: u64,
}

/// The series of one scrape.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyRequests {
    /// Sorted by key id.
    pub(super) named: Vec<(Box<str>, u64)>,
    pub(super) other: u64,
}

impl BusyKeys {
    /// Counts new requests of a key. `total` is its number of requests since the process started.
    pub(super) fn count(&mut self, key: &str, requests: u64, total: u64) {
        self.all += requests;
        if let Some(named) = self.named.get_mut(key) {
            *named = Named { requests: named.requests + requests, total };
        } else if requests > 0 && !self.lost.contains(key) && self.makes_room_for(total) {
            self.least = self.least.min(total);
            self.named.insert(key.into(), Named { requests, total });
        }
    }

    /// Returns whether a key with this total can be named. If all names are taken, removes the
    /// least busy named key, provided that it is much less busy.
    fn makes_room_for(&mut self, total: u64) -> bool {
        // Two keys that are about equally busy must not keep replacing each other.
        let is_busier = |least: u64| total > least + least / 4;
        if self.named.len() < NAMED {
            return true;
        }
        if self.lost.len() >= NAMED || !is_busier(self.least) {
            return false;
        }
        let idlest = self.named.iter().map(|(key, named)| (named.total, key)).min();
        let Some((least, idlest)) = idlest.map(|(least, key)| (least, key.clone())) else {
            return false;
        };
        self.least = least;
        let is_busier = is_busier(least);
        if is_busier {
            self.named.remove(&idlest);
            self.lost.insert(idlest);
        }
        is_busier
    }

    /// Removes the series of a key that no longer exists. Its requests stay in the sum.
    pub(super) fn forget(&mut self, key: &str) {
        if let Some((key, _)) = self.named.remove_entry(key) {
            self.lost.insert(key);
        }
    }

    /// Returns all series. Keys that lost their series may get one again from now on.
    pub(super) fn scrape(&mut self) -> KeyRequests {
        self.lost.clear();
        let mut named: Vec<_> =
            self.named.iter().map(|(key, named)| (key.clone(), named.requests)).collect();
        named.sort_unstable();
        let shown: u64 = named.iter().map(|(_, requests)| requests).sum();
        KeyRequests { named, other: self.all - shown }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The counter under test, and the expected total of each key.
    #[derive(Default)]
    struct Counted {
        keys: BusyKeys,
        totals: Vec<u64>,
    }

    fn key(number: usize) -> Box<str> {
        format!("key_{number}").into()
    }

    impl Counted {
        fn count(&mut self, number: usize, requests: u64) {
            self.totals.resize(self.totals.len().max(number + 1), 0);
            self.totals[number] += requests;
            self.keys.count(&key(number), requests, self.totals[number]);
        }

        fn of(totals: impl IntoIterator<Item = u64>) -> Self {
            let mut counted = Self::default();
            totals
                .into_iter()
                .enumerate()
                .for_each(|(number, requests)| counted.count(number, requests));
            counted
        }
    }

    #[test]
    fn few_keys_are_all_named_and_counted_whole() {
        let mut counted = Counted::of([3, 0, 0]);
        assert_eq!(counted.keys.scrape(), KeyRequests { named: vec![(key(0), 3)], other: 0 });
        counted.count(1, 5);
        assert_eq!(
            counted.keys.scrape(),
            KeyRequests { named: vec![(key(0), 3), (key(1), 5)], other: 0 }
        );
    }

    #[test]
    fn unused_keys_have_no_series() {
        assert_eq!(Counted::of([0; 100]).keys.scrape(), KeyRequests::default());
    }

    #[test]
    fn busiest_keys_get_the_names() {
        let told = Counted::of(1..=60).keys.scrape();
        assert_eq!(told.named.len(), NAMED);
        assert_eq!(told.other, (1..=10).sum::<u64>());
    }

    #[test]
    fn retired_key_falls_to_the_others_and_a_promoted_one_counts_on_from_there() {
        let mut totals = vec![100; 50];
        totals.push(10);
        let mut counted = Counted::of(totals);
        counted.keys.scrape();
        counted.count(50, 190);
        let told = counted.keys.scrape();
        assert!(told.named.contains(&(key(50), 190)), "10 were told among the others");
        assert_eq!(told.other, 10 + 100);
        assert_eq!(
            told.named.iter().map(|(_, count)| count).sum::<u64>() + told.other,
            counted.totals.iter().sum::<u64>()
        );
    }

    #[test]
    fn keys_that_are_equally_busy_keep_their_names() {
        let mut counted = Counted::of([100; 51]);
        let before: Vec<_> = counted.keys.scrape().named.into_iter().map(|(key, _)| key).collect();
        (0..51).for_each(|number| counted.count(number, number as u64 % 20));
        let after: Vec<_> = counted.keys.scrape().named.into_iter().map(|(key, _)| key).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn names_change_hands_again_after_a_scrape() {
        let mut counted = Counted::of([1; 50]);
        (50..200).for_each(|number| counted.count(number, 10 * number as u64));
        counted.keys.scrape();
        counted.count(300, 1_000_000);
        assert!(counted.keys.scrape().named.contains(&(key(300), 1_000_000)));
    }

    #[test]
    fn forgotten_key_stays_in_the_sum() {
        let mut keys = Counted::of([5, 7]).keys;
        keys.forget("key_0");
        assert_eq!(keys.scrape(), KeyRequests { named: vec![(key(1), 7)], other: 5 });
        // A new key has the forgotten id.
        keys.count("key_0", 2, 2);
        assert_eq!(keys.scrape(), KeyRequests { named: vec![(key(0), 2), (key(1), 7)], other: 5 });
    }

    proptest! {
        /// Checks any two scrapes in a row: no series of a named key decreases, unless the key was
        /// forgotten. `other` does not decrease. The sum of all series is the number of all
        /// requests.
        #[test]
        fn no_series_goes_backwards(
            steps in proptest::collection::vec((0usize..70, 1u64..1000, 0u8..40), 1..400),
        ) {
            let mut counted = Counted::default();
            let (mut forgotten, mut before) = (0, KeyRequests::default());
            for (number, requests, action) in steps {
                counted.count(number, requests);
                if action == 0 {
                    counted.keys.forget(&key(number));
                    forgotten += std::mem::take(&mut counted.totals[number]);
                }
                if action > 4 {
                    continue;
                }
                let now = counted.keys.scrape();
                prop_assert!(now.named.len() <= NAMED);
                prop_assert!(now.other >= before.other);
                for (key, count) in &now.named {
                    let earlier = before.named.iter().find(|(name, _)| name == key);
                    prop_assert!(earlier.is_none_or(|(_, earlier)| count >= earlier));
                }
                let named: u64 = now.named.iter().map(|(_, count)| count).sum();
                let counted = counted.totals.iter().sum::<u64>() + forgotten;
                prop_assert_eq!(named + now.other, counted);
                before = now;
            }
        }
    }
}
