//! The limiter against an exact log of what it admitted.

mod accounts;

use proptest::prelude::*;

use super::super::account::Usage;
use super::*;

fn limit(count: u32, window: u64) -> Limit {
    Limit { count, window }
}

/// Every admitted request with its exact moment: what the limiter's buckets stand for.
#[derive(Debug, Default)]
struct Log {
    admitted: Vec<u64>,
    /// The latest clock reading. A thread's reading may lag behind one that was used before it; the
    /// moment a request is judged at is then the later of the two.
    latest: u64,
}

impl Log {
    fn moment(&mut self, reading: u64) -> u64 {
        self.latest = self.latest.max(reading);
        self.latest
    }

    /// Requests admitted less than `span` before `now`.
    fn within(&self, span: u64, now: u64) -> u64 {
        let recent = self.admitted.iter().filter(|admitted| now - **admitted < span);
        recent.count() as u64
    }

    /// The most that any rolling window holds. A fullest window can be moved until it ends at a
    /// request.
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

    /// Nanoseconds until a limiter without buckets would admit the next request.
    fn exact_wait(&self, limit: Limit, now: u64) -> u64 {
        let nth_last =
            self.admitted.len().checked_sub(limit.count as usize).map(|at| self.admitted[at]);
        nth_last.map_or(0, |admitted| (admitted + limit.window).saturating_sub(now))
    }
}

/// What a request may be held against its key at most: the window and a sixtieth, and the rounding
/// of 60 buckets.
fn longest_memory(window: u64) -> u64 {
    window + window / 60 + 61
}

/// Steps between requests: bursts, edges of buckets and windows, anything; and clocks that lag a
/// little.
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
        // As in a configuration: one limit for each length of window.
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

/// A sequence of clock readings from the steps between them, starting anywhere in a bucket.
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
            // What the buckets stand for: everything from the start of the sixtieth bucket before
            // this one.
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
            // A window charged for a refused request would show less than one that was only charged
            // for admitted ones.
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
        // The longest window is always there, so all that any shorter one must know is known.
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
    // Another window over the same time knows them too.
    assert!(usage.charge(&[limit(6, 2 * MINUTE)], start + SECOND).is_err());
    assert!(usage.charge(&[limit(6, 10 * SECOND)], start + SECOND).is_err());
}
