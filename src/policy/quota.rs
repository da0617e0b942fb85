//! Rate limits over a rolling window.
//!
//! The promise: in no rolling window of the stated length are more requests admitted than the
//! limit, and none is refused unless the limit was used up within the window, to a precision of
//! 1/60 of it. It is kept by counting into buckets of 1/60 of the window and summing the 61 that
//! the window can touch: a request is forgotten only when its whole bucket has left the window.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// How many parts a window is counted in. A request is held against its key for at most this
/// fraction of the window too long, and never too short.
const PARTS: u64 = 60;
/// Buckets in a ring: the current one and the [`PARTS`] before it, rounded up to a power of two.
const RING: usize = 64;

/// At most `count` requests in any rolling `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    /// At least 1.
    pub count: u32,
    /// Length of the window in nanoseconds, at least one second.
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

/// What is left after a request, of the window with the least left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The limit that the figures are of.
    pub limit: Limit,
    /// How many more requests it admits now.
    pub remaining: u32,
    /// Nanoseconds until `remaining` next rises; 0 where nothing is used.
    pub reset: u64,
}

/// A request over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhausted {
    /// The window that is used up.
    pub allowance: Allowance,
    /// Nanoseconds until a request would be admitted by every window.
    pub retry: u64,
}

/// What a window remembers, for a process that counts on by the same clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCounts {
    /// Length of the window in nanoseconds.
    pub length: u64,
    /// Number of the first bucket of a sixtieth of the length (rounded up), since the clock's zero.
    pub first: u64,
    /// Requests in that bucket and those behind it, 61 at most.
    pub counts: Vec<u32>,
}

/// The counts of one key in one API, for one or several windows.
///
/// It follows whatever limits it is given: a window of a length not seen before starts from what
/// the longest known window remembers, so that a reload never forgets.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Nearly all keys have one limit. Its window is in place: following another pointer would cost
    /// a request more than counting does.
    windows: SmallVec<[Window; 1]>,
}

impl Quota {
    /// Counts one request in every window if all of them have room, else in none.
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

    /// What [`Self::charge`] would find, without counting.
    pub(super) fn peek(&mut self, limits: &[Limit], now: u64) -> Option<Allowance> {
        self.follow(limits, now);
        self.tightest(limits, now)
    }

    /// What is remembered at `now`. An empty window is told of too where another is not: else it
    /// would be seeded from that.
    pub(super) fn counts(&mut self, now: u64) -> Vec<WindowCounts> {
        self.follow(&[], now);
        if self.windows.iter().all(|window| window.sum == 0) {
            return Vec::new();
        }
        self.windows.iter().map(Window::counts).collect()
    }

    /// Remembers what another process did. What makes no sense is left out, and so is a window that
    /// is known.
    pub(super) fn restore(&mut self, counts: &[WindowCounts]) {
        for window in counts.iter().filter_map(Window::restored) {
            if self.windows.iter().all(|known| known.length != window.length) {
                self.windows.push(window);
            }
        }
    }

    /// How long its counts matter, in nanoseconds.
    pub(super) fn memory(&self) -> u64 {
        self.windows.iter().map(|window| window.length).max().unwrap_or(0)
    }

    /// Brings every window to `now` and sees to it that each limit has one.
    fn follow(&mut self, limits: &[Limit], now: u64) {
        for window in &mut self.windows {
            window.advance(now);
        }
        for limit in limits {
            if self.window(*limit).is_none() {
                // A window that no limit asks for is kept only while it still remembers something.
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
        // Of two that are equally tight, the one that stays so longer.
        allowances.min_by_key(|allowance| (allowance.remaining, u64::MAX - allowance.reset))
    }
}

#[derive(Debug)]
struct Window {
    /// Nanoseconds.
    length: u64,
    /// Nanoseconds of one bucket: a sixtieth of the length, rounded up so that 60 never fall short
    /// of it.
    width: u64,
    /// Number of the current bucket since the clock's zero.
    current: u64,
    /// When the current bucket ends: nothing changes before, so most requests do not divide.
    ends: u64,
    /// Number of the oldest bucket that may hold something.
    oldest: u64,
    /// All that is in the buckets.
    sum: u64,
    buckets: [u32; RING],
}

impl Window {
    /// An empty window, or one that remembers what `known` does. Each known request is put at the
    /// latest moment that its bucket stands for, so that it is never forgotten too early.
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
        // The latest moment that is ever reckoned with.
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

    /// Forgets what has left the window. A `now` before the latest one seen changes nothing.
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

    /// Nanoseconds until more of `count` is left than now; 0 where nothing is used. Where a lowered
    /// limit is more than used up, that takes longer than until the oldest request is forgotten.
    fn reset(&self, count: u32, now: u64) -> u64 {
        if (1..=u64::from(count)).contains(&self.sum) {
            // The oldest bucket holds something, whatever that is; looking would cost a cache miss.
            return self.forgotten_at(self.oldest).saturating_sub(now);
        }
        self.wait(u32::try_from(self.sum).map_or(count, |sum| sum.min(count)), now)
    }

    /// Nanoseconds until fewer than `count` requests are remembered.
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

    /// When the requests of a bucket stop counting: when the bucket 61 places on becomes the
    /// current one.
    fn forgotten_at(&self, number: u64) -> u64 {
        (number + PARTS + 1) * self.width
    }
}

fn index(number: u64) -> usize {
    (number % RING as u64) as usize
}
