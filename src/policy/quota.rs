//! Limits requests over a rolling window.
//!
//! No rolling window of the configured length admits more requests than the limit. A request is
//! refused only if the limit was used up within the window, to a precision of 1/60 of the window.
//!
//! Requests are counted in buckets of 1/60 of the window. A window can overlap 61 buckets, whose
//! sum is compared with the limit. A request expires when its whole bucket has left the window.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The number of buckets in a window. A request counts for the length of the window, plus at most
/// the length of a bucket.
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

/// The remaining requests in the window that has the fewest left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The limit of that window.
    pub limit: Limit,
    /// The number of further requests that it admits now.
    pub remaining: u32,
    /// Nanoseconds until `remaining` rises, or 0 if no request is counted.
    pub reset: u64,
}

/// The refusal of a request that exceeds a limit.
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
    /// The number of the first bucket, counted from the clock's zero. A bucket is a sixtieth of the
    /// length, rounded up.
    pub first: u64,
    /// The requests in each bucket from the first on, for at most 61 buckets.
    pub counts: Vec<u32>,
}

/// The counts of one key in one API, for one or more windows.
///
/// Each call passes the limits in force. A window of a new length starts with the counts of the
/// longest existing window, so that a reload of the configuration keeps all counts.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// The first window is inline, because nearly all keys have one limit. Following a pointer
    /// would cost more than counting does.
    windows: SmallVec<[Window; 1]>,
}

impl Quota {
    /// Counts a request in every window, or in none if a window is exhausted. Returns what remains,
    /// or `None` if there is no limit. `now`: monotonic nanoseconds.
    ///
    /// # Errors
    /// Returns [`Exhausted`] if a window is exhausted.
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

    /// Returns what remains, without counting a request. `now`: monotonic nanoseconds.
    pub(super) fn peek(&mut self, limits: &[Limit], now: u64) -> Option<Allowance> {
        self.follow(limits, now);
        self.tightest(limits, now)
    }

    /// Returns the counts at `now` (monotonic nanoseconds), or nothing if all windows are empty.
    /// Otherwise empty windows are included, so that the successor does not seed them from others.
    pub(super) fn counts(&mut self, now: u64) -> Vec<WindowCounts> {
        self.follow(&[], now);
        if self.windows.iter().all(|window| window.sum == 0) {
            return Vec::new();
        }
        self.windows.iter().map(Window::counts).collect()
    }

    /// Restores the counts of another process. Skips invalid counts and windows that already exist.
    pub(super) fn restore(&mut self, counts: &[WindowCounts]) {
        for window in counts.iter().filter_map(Window::restored) {
            if self.windows.iter().all(|known| known.length != window.length) {
                self.windows.push(window);
            }
        }
    }

    /// Returns the length of the longest window in nanoseconds.
    pub(super) fn memory(&self) -> u64 {
        self.windows.iter().map(|window| window.length).max().unwrap_or(0)
    }

    /// Advances every window to `now`. Adds the windows that `limits` needs.
    fn follow(&mut self, limits: &[Limit], now: u64) {
        for window in &mut self.windows {
            window.advance(now);
        }
        for limit in limits {
            if self.window(*limit).is_none() {
                // Drop windows that have neither a limit nor counts.
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
        // If two windows have the same number left, choose the one with the later reset.
        allowances.min_by_key(|allowance| (allowance.remaining, u64::MAX - allowance.reset))
    }
}

#[derive(Debug)]
struct Window {
    /// The length of the window in nanoseconds.
    length: u64,
    /// The length of a bucket in nanoseconds: a sixtieth of the window, rounded up. So 60 buckets
    /// are never shorter than the window.
    width: u64,
    /// The number of the current bucket, counted from the clock's zero.
    current: u64,
    /// When the current bucket ends, in monotonic nanoseconds. It spares most requests a division.
    ends: u64,
    /// The number of the oldest bucket that may have counts.
    oldest: u64,
    /// The sum of all buckets.
    sum: u64,
    buckets: [u32; RING],
}

impl Window {
    /// Returns a window with the counts of `known`, or an empty one. Places each request at the
    /// latest time in its old bucket, so that none expires too early.
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
        // Later calculations add up to this many buckets, and must not overflow.
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

    /// Drops the counts that have left the window. Does nothing if `now` is before the end of the
    /// current bucket.
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

    /// Returns the nanoseconds until more of `count` requests remain, or 0 if no request is
    /// counted. If the sum exceeds a lowered limit, several buckets may have to expire first.
    fn reset(&self, count: u32, now: u64) -> u64 {
        if (1..=u64::from(count)).contains(&self.sum) {
            // `advance` has skipped empty buckets, so the oldest one has counts. Reading them would
            // cost a cache miss.
            return self.forgotten_at(self.oldest).saturating_sub(now);
        }
        self.wait(u32::try_from(self.sum).map_or(count, |sum| sum.min(count)), now)
    }

    /// Returns the nanoseconds until the sum is less than `count`.
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

    /// Returns when the requests of a bucket expire, in monotonic nanoseconds: at the start of the
    /// bucket 61 positions later.
    fn forgotten_at(&self, number: u64) -> u64 {
        (number + PARTS + 1) * self.width
    }
}

fn index(number: u64) -> usize {
    (number % RING as u64) as usize
}
