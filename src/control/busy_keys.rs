//! Which keys have a series of their own in the metrics: the busiest ones, so that a million keys do not
//! make a million series. The requests of the others are counted together.
//!
//! No series ever goes backwards. A named one counts from where its key was last counted among the others,
//! and the others are whatever the named ones leave of the sum over all keys: when a key loses its name,
//! its count falls to them.

use std::collections::HashMap;

/// Keys named at once.
const NAMED: usize = 50;
/// Keys without a name whose counts are remembered, to know what of them has been told already.
const REMEMBERED: usize = 10_000;

/// Remembers what was told at the last scrape.
#[derive(Debug, Default)]
pub(super) struct BusyKeys {
    named: HashMap<Box<str>, Named>,
    /// By key without a name that has been used: its total at the last scrape. Nothing: too many.
    unnamed: Option<HashMap<Box<str>, u64>>,
    scraped: bool,
    /// Requests of keys that are no longer known.
    forgotten: u64,
    other: u64,
}

#[derive(Debug, Clone, Copy)]
struct Named {
    /// What of its total was counted among the others.
    base: u64,
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
    /// Counts the requests of keys that will not be among the totals any more.
    pub(super) fn note_forgotten(&mut self, requests: u64) {
        self.forgotten += requests;
    }

    /// The series, from key ids and totals; a key may stand several times, with a part of its total each.
    pub(super) fn scrape(&mut self, parts: impl Iterator<Item = (Box<str>, u64)>) -> KeyRequests {
        let mut totals: HashMap<Box<str>, u64> = HashMap::new();
        for (key, requests) in parts.filter(|(_, requests)| *requests > 0) {
            *totals.entry(key).or_default() += requests;
        }
        let all = self.forgotten + totals.values().sum::<u64>();
        // A total that shrank is that of another key with the same id; the first one's was forgotten.
        self.named.retain(|key, named| totals.get(key).is_some_and(|total| *total >= named.total));
        for (key, named) in &mut self.named {
            named.total = totals.remove(key).unwrap_or(named.total);
        }
        self.promote(&mut totals);
        let shown: u64 = self.named.values().map(|named| named.total - named.base).sum();
        self.other = self.other.max(all.saturating_sub(shown));
        self.unnamed = (totals.len() <= REMEMBERED).then_some(totals);
        self.scraped = true;
        let mut named: Vec<_> = self.named.iter().map(|(key, named)| (key.clone(), named.total - named.base)).collect();
        named.sort_unstable();
        KeyRequests { named, other: self.other }
    }

    /// Gives names to the busiest of `unnamed`, and takes them from those that are much less busy.
    fn promote(&mut self, unnamed: &mut HashMap<Box<str>, u64>) {
        let mut busiest: Vec<(u64, Box<str>)> = unnamed.iter().map(|(key, total)| (*total, key.clone())).collect();
        if busiest.len() > NAMED {
            busiest.select_nth_unstable_by(NAMED, |left, right| right.cmp(left));
            busiest.truncate(NAMED);
        }
        busiest.sort_unstable_by(|left, right| right.cmp(left));
        for (total, key) in busiest {
            if self.named.len() >= NAMED {
                let idlest = self.named.iter().map(|(key, named)| (named.total, key.clone())).min();
                // Two keys that are about as busy must not take each other's name at every scrape.
                let Some((least, idlest)) = idlest.filter(|(least, _)| total > least + least / 4) else { return };
                self.named.remove(&idlest);
                unnamed.insert(idlest, least);
            }
            let told = match &self.unnamed {
                Some(known) => known.get(&key).copied().unwrap_or(0),
                None if self.scraped => total,
                None => 0,
            };
            unnamed.remove(&key);
            // The same id with less than before is a new key, of which nothing has been told.
            let base = if told <= total { told } else { 0 };
            self.named.insert(key, Named { base, total });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(number: usize) -> Box<str> {
        format!("key_{number}").into()
    }

    fn scrape(keys: &mut BusyKeys, totals: &[u64]) -> KeyRequests {
        keys.scrape(totals.iter().enumerate().map(|(number, total)| (key(number), *total)))
    }

    #[test]
    fn few_keys_are_all_named_and_counted_whole() {
        let mut keys = BusyKeys::default();
        assert_eq!(scrape(&mut keys, &[3, 0, 0]), KeyRequests { named: vec![(key(0), 3)], other: 0 });
        assert_eq!(scrape(&mut keys, &[3, 5, 0]), KeyRequests { named: vec![(key(0), 3), (key(1), 5)], other: 0 });
    }

    #[test]
    fn unused_keys_have_no_series() {
        assert_eq!(scrape(&mut BusyKeys::default(), &[0; 100]), KeyRequests::default());
    }

    #[test]
    fn parts_of_one_key_are_added_up() {
        let parts = [(key(1), 2), (key(1), 3)];
        assert_eq!(BusyKeys::default().scrape(parts.into_iter()).named, [(key(1), 5)]);
    }

    #[test]
    fn busiest_keys_get_the_names() {
        let totals: Vec<u64> = (1..=60).collect();
        let told = scrape(&mut BusyKeys::default(), &totals);
        assert_eq!(told.named.len(), NAMED);
        assert_eq!(told.other, (1..=10).sum::<u64>());
    }

    #[test]
    fn retired_key_falls_to_the_others_and_a_promoted_one_counts_on_from_there() {
        let mut keys = BusyKeys::default();
        let mut totals = vec![100; 50];
        totals.push(10);
        scrape(&mut keys, &totals);
        totals[50] = 200;
        let told = scrape(&mut keys, &totals);
        assert!(told.named.contains(&(key(50), 190)), "10 were told among the others");
        assert_eq!(told.other, 10 + 100);
        assert_eq!(told.named.iter().map(|(_, count)| count).sum::<u64>() + told.other, totals.iter().sum::<u64>());
    }

    #[test]
    fn keys_that_are_equally_busy_keep_their_names() {
        let mut keys = BusyKeys::default();
        let mut totals = vec![100; 51];
        let before: Vec<_> = scrape(&mut keys, &totals).named.into_iter().map(|(key, _)| key).collect();
        totals.iter_mut().enumerate().for_each(|(number, total)| *total += number as u64 % 20);
        let after: Vec<_> = scrape(&mut keys, &totals).named.into_iter().map(|(key, _)| key).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn forgotten_key_stays_in_the_sum() {
        let mut keys = BusyKeys::default();
        scrape(&mut keys, &[5, 7]);
        keys.note_forgotten(5);
        assert_eq!(scrape(&mut keys, &[0, 7]), KeyRequests { named: vec![(key(1), 7)], other: 5 });
        // Another key comes under the id that was forgotten.
        assert_eq!(scrape(&mut keys, &[2, 7]), KeyRequests { named: vec![(key(0), 2), (key(1), 7)], other: 5 });
    }

    proptest! {
        /// Between any two scrapes: no named series that is in both goes backwards, nor does `other`, and
        /// all series together are all requests.
        #[test]
        fn no_series_goes_backwards(steps in proptest::collection::vec((0usize..70, 1u64..1000, 0u8..12), 1..400)) {
            let mut keys = BusyKeys::default();
            let mut totals = vec![0u64; 70];
            let (mut forgotten, mut before) = (0, KeyRequests::default());
            for (number, requests, action) in steps {
                totals[number] += requests;
                if action == 0 {
                    keys.note_forgotten(totals[number]);
                    forgotten += std::mem::take(&mut totals[number]);
                }
                if action > 8 {
                    continue;
                }
                let now = scrape(&mut keys, &totals);
                prop_assert!(now.named.len() <= NAMED);
                prop_assert!(now.other >= before.other);
                for (key, count) in &now.named {
                    let earlier = before.named.iter().find(|(name, _)| name == key);
                    // A key that was forgotten and came back is another one.
                    let same = totals[key[4..].parse::<usize>().unwrap()] >= earlier.map_or(0, |(_, count)| *count);
                    prop_assert!(!same || earlier.is_none_or(|(_, earlier)| count >= earlier));
                }
                prop_assert_eq!(now.named.iter().map(|(_, count)| count).sum::<u64>() + now.other, totals.iter().sum::<u64>() + forgotten);
                before = now;
            }
        }
    }
}
