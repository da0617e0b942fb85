//! Rate limits over a rolling window.
//!
//! The promise has two parts. No rolling window of the stated length admits more requests than the
//! limit. No request is refused unless the limit was used up within the window, to a precision of
//! 1/60 of it.
//!
//! Requests are counted in buckets of 1/60 of the window, and the 61 buckets that the window can
//! overlap are summed. A request expires only when its entire bucket has left the window.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The number of buckets in a window. A request may count for up to this fraction of the window too
/// long, but never too short.
const PARTS: u64 = 60;
/// The number of buckets in the ring: the current one and the [`PARTS`] before it, rounded up to a
/// power of two.
const RING: usize = 64;

/// At most `count` requests in any rolling `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    /// The number of requests, at least 1.
    pub count: u32,
    /// The length of the window in nanoseconds, at least one second.
    pub window: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.window / 1_000_000_000;
        match seconds {
            1 => write!(out, "{}/s", self.count),
            60 => write!(out, "{}/min", self.count),
            3600 => write!(out, "{}/hour", self.count),
            86_400 => write!(out, "{}/day", self.count),
            _ => write!(out, "{}/{seconds}s", self.count),
        }
    }
}

/// What remains after a request, in the window with the least remaining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The limit of that window.
    pub limit: Limit,
    /// How many more requests it admits now.
    pub remaining: u32,
    /// Nanoseconds until `remaining` next rises; 0 if no request counts.
    pub reset: u64,
}

/// A request that exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhausted {
    /// The exhausted window.
    pub allowance: Allowance,
    /// Nanoseconds until every window would admit a request.
    pub retry: u64,
}

/// The exported counts of a window, for a successor process with the same clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCounts {
    /// The length of the window in nanoseconds.
    pub length: u64,
    /// The number of the first bucket since the clock's zero. A bucket is a sixtieth of the length,
    /// rounded up.
    pub first: u64,
    /// The requests in that bucket and the following ones, at most 61 buckets.
    pub counts: Vec<u32>,
}

/// The counts of one key in one API, for one or more windows.
///
/// It adapts to the limits that each call passes. A window of a new length starts from the counts
/// of the longest existing window, so that a reload of the configuration forgets nothing.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Nearly all keys have one limit. Its window is stored inline: following another pointer would
    /// cost a request more than counting does.
    windows: SmallVec<[Window; 1]>,
}

impl Quota {
    /// Counts one request in every window if no window is exhausted, and in no window otherwise.
    /// `now`: monotonic nanoseconds.
    pub(super) fn charge(
        &mut self,
        limits: &[Limit],
        now: u64,
    ) -> Result<Option<Allowance>, Exhausted> {
        self.follow(limits, now);
        let is_used_up = |limit: &Limit| {
            self.window(*limit).is_some_and(|window| window.sum >= u64::from(limit.count))
        };
        if limits.iter().any(is_used_up)
            && let Some(allowance) = self.tightest(limits, now)
        {
            let waits = limits.iter().filter_map(|limit| {
                self.window(*limit).map(|window| window.wait(limit.count, now))
            });
            return Err(Exhausted { allowance, retry: waits.max().unwrap_or(0) });
        }
        for window in &mut self.windows {
            window.count(1);
        }
        Ok(self.tightest(limits, now))
    }

    /// Returns what [`Self::charge`] would find, without counting. `now`: monotonic nanoseconds.
    pub(super) fn peek(&mut self, limits: &[Limit], now: u64) -> Option<Allowance> {
        self.follow(limits, now);
        self.tightest(limits, now)
    }

    /// Returns the counts at `now` (monotonic nanoseconds). An empty window is included if another
    /// one is not empty, because the successor would otherwise seed it from that one.
    pub(super) fn counts(&mut self, now: u64) -> Vec<WindowCounts> {
        self.follow(&[], now);
        if self.windows.iter().all(|window| window.sum == 0) {
            return Vec::new();
        }
        self.windows.iter().map(Window::counts).collect()
    }

    /// Restores the counts of another process. Skips inconsistent counts, and windows that exist
    /// already.
    pub(super) fn restore(&mut self, counts: &[WindowCounts]) {
        for window in counts.iter().filter_map(Window::restored) {
            if self.windows.iter().all(|known| known.length != window.length) {
                self.windows.push(window);
            }
        }
    }

    /// Returns how long the counts matter, in nanoseconds.
    pub(super) fn memory(&self) -> u64 {
        self.windows.iter().map(|window| window.length).max().unwrap_or(0)
    }

    /// Advances every window to `now`, and adds windows so that each limit has one.
    fn follow(&mut self, limits: &[Limit], now: u64) {
        for window in &mut self.windows {
            window.advance(now);
        }
        for limit in limits {
            if self.window(*limit).is_none() {
                // A window without a limit is kept only while it has counts.
                self.windows.retain(|window| {
                    window.sum > 0 || limits.iter().any(|limit| limit.window == window.length)
                });
                let longest = self.windows.iter().max_by_key(|window| window.length);
                let window = Window::seeded(limit.window, now, longest);
                self.windows.push(window);
            }
        }
    }

    fn window(&self, limit: Limit) -> Option<&Window> {
        self.windows.iter().find(|window| window.length == limit.window)
    }

    fn tightest(&self, limits: &[Limit], now: u64) -> Option<Allowance> {
        let allowances = limits.iter().filter_map(|limit| {
            let window = self.window(*limit)?;
            let remaining = u64::from(limit.count).saturating_sub(window.sum);
            Some(Allowance {
                limit: *limit,
                remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                reset: window.reset(limit.count, now),
            })
        });
        // Of two equally tight windows, the one that stays tight for longer.
        allowances.min_by_key(|allowance| (allowance.remaining, u64::MAX - allowance.reset))
    }
}

#[derive(Debug)]
struct Window {
    /// The length of the window in nanoseconds.
    length: u64,
    /// The length of a bucket in nanoseconds: a sixtieth of the window, rounded up so that 60
    /// buckets are never shorter than the window.
    width: u64,
    /// The number of the current bucket since the clock's zero.
    current: u64,
    /// When the current bucket ends. Nothing changes before, so most requests need no division.
    ends: u64,
    /// The number of the oldest bucket that may have a count.
    oldest: u64,
    /// The sum of all buckets.
    sum: u64,
    buckets: [u32; RING],
}

impl Window {
    /// Returns an empty window, or one with the counts of `known`. Each of its requests is placed
    /// at the latest time that its bucket covers, so that none expires too early.
    fn seeded(length: u64, now: u64, known: Option<&Self>) -> Self {
        let width = length.div_ceil(PARTS).max(1);
        let current = now / width;
        let mut window = Self {
            length,
            width,
            current,
            ends: (current + 1) * width,
            oldest: current,
            sum: 0,
            buckets: [0; RING],
        };
        let Some(known) = known else { return window };
        for number in known.oldest..=known.current {
            let latest = ((number + 1) * known.width - 1).min(now) / width;
            let requests = known.buckets[index(number)];
            if requests > 0 && latest + PARTS >= current {
                let bucket = &mut window.buckets[index(latest)];
                *bucket = bucket.saturating_add(requests);
                window.sum += u64::from(requests);
                window.oldest = window.oldest.min(latest);
            }
        }
        window
    }

    fn counts(&self) -> WindowCounts {
        let counts =
            (self.oldest..=self.current).map(|number| self.buckets[index(number)]).collect();
        WindowCounts { length: self.length, first: self.oldest, counts }
    }

    fn restored(known: &WindowCounts) -> Option<Self> {
        let width = known.length.div_ceil(PARTS).max(1);
        let buckets = u64::try_from(known.counts.len())
            .ok()
            .filter(|buckets| (1..=PARTS + 1).contains(buckets))?;
        let current = known.first.checked_add(buckets - 1)?;
        // The latest time in any later calculation must not overflow.
        current.checked_add(PARTS + 2)?.checked_mul(width)?;
        let (length, ends) = (known.length, (current + 1) * width);
        let mut window =
            Self { length, width, current, ends, oldest: known.first, sum: 0, buckets: [0; RING] };
        for (number, count) in (known.first..).zip(&known.counts) {
            window.buckets[index(number)] = *count;
            window.sum += u64::from(*count);
        }
        Some(window)
    }

    /// Drops the counts that have left the window. A `now` before the latest one changes nothing.
    fn advance(&mut self, now: u64) {
        if now < self.ends {
            return;
        }
        let number = now / self.width;
        self.ends = (number + 1) * self.width;
        let first_kept = number.saturating_sub(PARTS);
        if self.oldest < first_kept {
            for expired in self.oldest..first_kept.min(self.current + 1) {
                let bucket = &mut self.buckets[index(expired)];
                self.sum -= u64::from(*bucket);
                *bucket = 0;
            }
            self.oldest = first_kept;
        }
        self.current = number;
        while self.oldest < self.current && self.buckets[index(self.oldest)] == 0 {
            self.oldest += 1;
        }
    }

    fn count(&mut self, requests: u32) {
        let bucket = &mut self.buckets[index(self.current)];
        *bucket = bucket.saturating_add(requests);
        self.sum += u64::from(requests);
    }

    /// Returns the nanoseconds until more of `count` remains than now; 0 if no request counts. If a
    /// lowered limit is exceeded, that takes until after the oldest request has expired.
    fn reset(&self, count: u32, now: u64) -> u64 {
        if (1..=u64::from(count)).contains(&self.sum) {
            // The oldest bucket is not empty. Its count does not matter here, and reading it would
            // cost a cache miss.
            return self.forgotten_at(self.oldest).saturating_sub(now);
        }
        self.wait(u32::try_from(self.sum).map_or(count, |sum| sum.min(count)), now)
    }

    /// Returns the nanoseconds until fewer than `count` requests are counted.
    fn wait(&self, count: u32, now: u64) -> u64 {
        let mut left = self.sum;
        for number in self.oldest..=self.current {
            if left < u64::from(count) {
                break;
            }
            left -= u64::from(self.buckets[index(number)]);
            if left < u64::from(count) {
                return self.forgotten_at(number).saturating_sub(now);
            }
        }
        0
    }

    /// Returns when the requests of a bucket expire: when the bucket 61 positions later becomes the
    /// current one.
    fn forgotten_at(&self, number: u64) -> u64 {
        (number + PARTS + 1) * self.width
    }
}

fn index(number: u64) -> usize {
    (number % RING as u64) as usize
}
