//! Compares the limiter with an exact log of the requests that it admitted.

mod accounts;

use proptest::prelude::*;

use super::super::account::Usage;
use super::*;

fn limit(count: u32, window: u64) -> Limit {
    Limit { count, window }
}

/// The exact time of each admitted request, in place of the limiter's buckets.
#[derive(Debug, Default)]
struct Log {
    admitted: Vec<u64>,
    /// The latest clock reading. A thread's reading may be older than one that was used before. The
    /// request is then judged at the later of the two.
    latest: u64,
}

impl Log {
    fn moment(&mut self, reading: u64) -> u64 {
        self.latest = self.latest.max(reading);
        self.latest
    }

    /// Returns the number of requests admitted less than `span` before `now`.
    fn within(&self, span: u64, now: u64) -> u64 {
        let recent = self.admitted.iter().filter(|admitted| now - **admitted < span);
        recent.count() as u64
    }

    /// Returns the largest number of requests in any rolling window. It suffices to check the
    /// windows that end at a request.
    fn fullest(&self, window: u64) -> u64 {
        self.admitted
            .iter()
            .enumerate()
            .map(|(at, end)| {
                Log { admitted: self.admitted[..=at].into(), latest: 0 }.within(window, *end)
            })
            .max()
            .unwrap_or(0)
    }

    /// Returns the nanoseconds until a limiter without buckets would admit the next request.
    fn exact_wait(&self, limit: Limit, now: u64) -> u64 {
        let nth_last =
            self.admitted.len().checked_sub(limit.count as usize).map(|at| self.admitted[at]);
        nth_last.map_or(0, |admitted| (admitted + limit.window).saturating_sub(now))
    }
}

/// Returns the longest time for which a request may count: the window, a sixtieth of it, and the
/// rounding of its buckets.
fn longest_memory(window: u64) -> u64 {
    window + window / 60 + 61
}

/// Generates steps between requests: bursts, edges of buckets and windows, any other times, and
/// clocks that lag slightly.
fn steps(windows: Vec<u64>) -> impl Strategy<Value = Vec<i64>> {
    let edge = prop::sample::select(windows.clone()).prop_flat_map(|window| {
        let bucket = window.div_ceil(60);
        prop::sample::select(vec![
            bucket,
            window,
            window + bucket,
            59 * bucket,
            60 * bucket,
            61 * bucket,
            62 * bucket,
            64 * bucket,
        ])
    });
    let longest = windows.into_iter().max().unwrap_or(SECOND);
    let step = prop_oneof![
        6 => Just(0_i64),
        3 => 0..2_i64,
        3 => (edge, -1..=1_i64).prop_map(|(edge, off)| edge as i64 + off),
        3 => 0..(longest / 30) as i64,
        1 => 0..(2 * longest) as i64,
        2 => -2_000_000..0_i64,
    ];
    prop::collection::vec(step, 1..250)
}

fn windows() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(SECOND),
        Just(10 * SECOND),
        Just(MINUTE),
        Just(7 * SECOND),
        Just(3600 * SECOND),
        Just(SECOND + 1),
        SECOND..100 * SECOND
    ]
}

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let one = (1..30_u32, windows()).prop_map(|(count, window)| limit(count, window));
    prop::collection::vec(one, 1..4).prop_map(|mut limits| {
        // A configuration has at most one limit for each length of window.
        limits.sort_by_key(|limit| limit.window);
        limits.dedup_by_key(|limit| limit.window);
        limits
    })
}

fn limits_and_steps() -> impl Strategy<Value = (Vec<Limit>, Vec<i64>)> {
    limits().prop_flat_map(|limits| {
        let windows = limits.iter().map(|limit| limit.window).collect();
        (Just(limits), steps(windows))
    })
}

/// Converts steps to clock readings. `start`: an offset, so that the first reading may be anywhere
/// in a bucket.
fn readings(start: u64, steps: &[i64]) -> Vec<u64> {
    let mut reading = 10_000 * 3600 * SECOND + start;
    let mut latest = reading;
    let lagging = steps.iter().map(|step| {
        if *step < 0 {
            return latest.saturating_add_signed(*step);
        }
        reading = latest.saturating_add_signed(*step);
        latest = reading;
        reading
    });
    lagging.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_rolling_window_ever_holds_more_than_the_limit_and_none_is_refused_before_it_is_used_up(
        (limits, steps) in limits_and_steps(), start in 0..2 * MINUTE,
    ) {
        let usage = Usage::default();
        let mut log = Log::default();
        for reading in readings(start, &steps) {
            let now = log.moment(reading);
            match usage.charge(&limits, reading) {
                Ok(_) => log.admitted.push(now),
                Err(_) => {
                    let used_up = limits.iter().any(|limit| {
                        log.within(longest_memory(limit.window), now) >= u64::from(limit.count)
                    });
                    prop_assert!(
                        used_up,
                        "refused at {now} although no limit of {limits:?} was \
                        used up: {log:?}"
                    );
                }
            }
        }
        for limit in &limits {
            prop_assert!(log.fullest(limit.window) <= u64::from(limit.count), "{limit}: {log:?}");
        }
    }

    #[test]
    fn remaining_is_exact_and_rises_after_reset_and_not_a_nanosecond_before(
        (limits, steps) in limits_and_steps(), start in 0..2 * MINUTE,
    ) {
        let usage = Usage::default();
        let mut log = Log::default();
        for reading in readings(start, &steps) {
            let now = log.moment(reading);
            let charged = usage.charge(&limits, reading);
            if charged.is_ok() {
                log.admitted.push(now);
            }
            let told = charged.map_or_else(
                |exhausted| exhausted.allowance,
                |allowance| allowance.expect("there are limits"),
            );
            // The buckets count all requests since the start of the sixtieth bucket before this
            // one.
            let left = limits.iter().map(|limit| {
                let bucket = limit.window.div_ceil(60);
                let kept_from = (now / bucket - 60) * bucket;
                let used =
                    log.admitted.iter().filter(|admitted| **admitted >= kept_from).count() as u64;
                u64::from(limit.count).saturating_sub(used)
            });
            prop_assert_eq!(Some(u64::from(told.remaining)), left.min());
        }
        let now = log.latest;
        let told = usage.peek(&limits, now).expect("there are limits");
        if told.reset > 0 {
            let before = usage.peek(&limits, now + told.reset - 1).expect("there are limits");
            prop_assert_eq!(before.remaining, told.remaining);
            let after = usage.peek(&limits, now + told.reset).expect("there are limits");
            prop_assert!(after.remaining > told.remaining, "{told:?} became {after:?}");
        } else {
            prop_assert_eq!(
                told.remaining,
                limits.iter().map(|limit| limit.count).min().unwrap_or(0)
            );
        }
    }

    #[test]
    fn retry_after_is_never_early_and_late_by_less_than_a_second_and_a_sixtieth(
        (limits, steps) in limits_and_steps(), start in 0..2 * MINUTE,
    ) {
        let usage = Usage::default();
        let mut log = Log::default();
        let mut last_refusal = None;
        for reading in readings(start, &steps) {
            let now = log.moment(reading);
            match usage.charge(&limits, now) {
                Ok(_) => {
                    log.admitted.push(now);
                    last_refusal = None;
                }
                Err(exhausted) => {
                    let seconds = exhausted.retry.div_ceil(SECOND).max(1);
                    let coarsest =
                        limits.iter().map(|limit| limit.window / 60 + 61).max().unwrap_or(0);
                    let exact =
                        limits.iter().map(|limit| log.exact_wait(*limit, now)).max().unwrap_or(0);
                    prop_assert!(seconds * SECOND >= exact);
                    prop_assert!(
                        seconds * SECOND <= exact + SECOND + coarsest,
                        "{seconds} s, exactly {exact} ns"
                    );
                    last_refusal = Some((now, exhausted.retry));
                }
            }
        }
        if let Some((refused_at, retry)) = last_refusal {
            let admitted_at = refused_at + retry;
            if admitted_at > log.latest {
                prop_assert!(
                    usage.charge(&limits, admitted_at - 1).is_err(),
                    "told to wait longer than needed"
                );
            }
            prop_assert!(
                usage.charge(&limits, admitted_at.max(log.latest)).is_ok(),
                "refused after the wait it was told"
            );
        }
    }

    #[test]
    fn several_windows_are_charged_all_or_none(
        (limits, steps) in limits_and_steps(), start in 0..2 * MINUTE,
    ) {
        let together = Usage::default();
        let apart: Vec<Usage> = limits.iter().map(|_| Usage::default()).collect();
        for reading in readings(start, &steps) {
            // If a refused request were counted in `together`, it would have less left than
            // `apart`, which counts admitted requests only.
            if together.charge(&limits, reading).is_ok() {
                for (usage, limit) in apart.iter().zip(&limits) {
                    prop_assert!(usage.charge(&[*limit], reading).is_ok());
                }
            }
            for (usage, limit) in apart.iter().zip(&limits) {
                let alone = usage.peek(&[*limit], reading).map(|allowance| allowance.remaining);
                prop_assert_eq!(
                    together.peek(&[*limit], reading).map(|allowance| allowance.remaining),
                    alone
                );
            }
        }
    }

    #[test]
    fn no_change_of_limits_lets_more_through_than_the_limits_then_in_force(
        changes in prop::collection::vec(
            (limits(), steps(vec![SECOND, 10 * SECOND, MINUTE])),
            1..5,
        ),
        start in 0..2 * MINUTE,
    ) {
        let usage = Usage::default();
        let mut log = Log::default();
        // The longest window always exists, so a new shorter one can take over all its counts.
        let longest = limit(1_000_000, 3600 * SECOND);
        let mut clock = start;
        for (mut limits, steps) in changes {
            limits.retain(|limit| limit.window != longest.window);
            limits.push(longest);
            for reading in readings(clock, &steps) {
                let now = log.moment(reading);
                if usage.charge(&limits, reading).is_ok() {
                    log.admitted.push(now);
                    for limit in &limits {
                        prop_assert!(
                            log.within(limit.window, now) <= u64::from(limit.count),
                            "{limit} after a change"
                        );
                    }
                }
            }
            clock = log.latest - 10_000 * 3600 * SECOND;
        }
    }
}

#[test]
fn lowered_limit_tells_the_moment_at_which_a_request_is_admitted_again() {
    let usage = Usage::default();
    let start = 1_000 * MINUTE;
    for second in 0..20 {
        usage.charge(&[limit(20, MINUTE)], start + second * SECOND).expect("within the limit");
    }
    let now = start + 20 * SECOND;
    let lowered = [limit(5, MINUTE)];
    let refused = usage.charge(&lowered, now).expect_err("20 are used of 5");
    assert_eq!((refused.allowance.remaining, refused.allowance.reset), (0, refused.retry));
    assert_eq!(
        usage.peek(&lowered, now + refused.retry - 1).map(|allowance| allowance.remaining),
        Some(0)
    );
    assert_eq!(
        usage.peek(&lowered, now + refused.retry).map(|allowance| allowance.remaining),
        Some(1)
    );
}

#[test]
fn raised_and_lowered_limits_keep_what_was_counted() {
    let usage = Usage::default();
    let start = 1_000 * MINUTE;
    for _ in 0..5 {
        usage.charge(&[limit(5, MINUTE)], start).expect("within the limit");
    }
    assert!(usage.charge(&[limit(5, MINUTE)], start).is_err());
    let raised =
        usage.charge(&[limit(7, MINUTE)], start).expect("two more").expect("there is a limit");
    assert_eq!(raised.remaining, 1);
    assert!(usage.charge(&[limit(6, MINUTE)], start).is_err());
    // New windows of other lengths take over these counts.
    assert!(usage.charge(&[limit(6, 2 * MINUTE)], start + SECOND).is_err());
    assert!(usage.charge(&[limit(6, 10 * SECOND)], start + SECOND).is_err());
}
