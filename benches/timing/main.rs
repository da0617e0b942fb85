//! Tests whether the duration of a refusal reveals how near a wrong key is to a real one: Welch's
//! t-test between keys that resemble no other and keys that resemble a real one. Each key is one
//! observation.
//!
//! Run with `cargo bench --bench timing`. `KEYGATE_TIMING_ROUNDS` sets how often each key is
//! measured. It fails if a |t| exceeds 4.5.
//!
//! By design there is nothing to measure. The whole key is hashed before anything is compared, and
//! the look-up uses its digest. How many bytes of that agree with those of a real digest is random.
//! Nobody can make all of them agree without a second text with the same digest.

#[path = "../shared/decision.rs"]
#[expect(dead_code, reason = "an upstream's answer is of no interest here")]
mod decision;
#[path = "../shared/welch.rs"]
mod welch;
#[path = "../shared/wrong_keys.rs"]
mod wrong_keys;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use http::Method;
use keygate::policy::*;

use self::decision::*;

const NOW: Now = Now { monotonic: 1_000 * SECOND, unix: 1_800_000_000 };
const BOUND: f64 = 4.5;
/// Decisions that are timed together, because a single one is shorter than the clock's resolution.
const AT_ONCE: u32 = 20;

/// Keys of each kind.
const KEYS: usize = 201;

fn main() -> ExitCode {
    let rounds = std::env::var("KEYGATE_TIMING_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1000);
    let snapshot = snapshot(definition(u32::MAX), 10_000);
    let real = key_text(5_000);
    let request = |key: &String| Request::new(Method::GET, "/api/v1/tickets/42", key);
    let mut failed = false;
    for (what, near) in wrong_keys::wrong_keys(&real, KEYS) {
        let length = near[0].len();
        let far: Vec<Request> = (0..KEYS)
            .map(|number| {
                request(&wrong_keys::unlike(&format!("{real:0<length$}")[..length], number))
            })
            .collect();
        let near: Vec<Request> = near.iter().map(request).collect();
        let mut times = (vec![Vec::new(); KEYS], vec![Vec::new(); KEYS]);
        for turn in 0..rounds * KEYS {
            let key = turn % KEYS;
            // Alternates which one comes first.
            if turn % 2 == 0 {
                times.0[key].push(time(&snapshot, &far[key]));
                times.1[key].push(time(&snapshot, &near[key]));
            } else {
                times.1[key].push(time(&snapshot, &near[key]));
                times.0[key].push(time(&snapshot, &far[key]));
            }
        }
        let (far, near, t) = welch::compare(times.0, times.1);
        println!(
            "{what}: {:.1} ns against {:.1} ns of keys that are like no other, t = {t:.2}",
            near.mean(),
            far.mean()
        );
        failed |= t.abs() > BOUND;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Returns the duration of a refusal in nanoseconds.
fn time(snapshot: &Snapshot, request: &Request) -> f64 {
    let fields = request.fields();
    let head = request.head(&fields);
    let begun = Instant::now();
    for _ in 0..AT_ONCE {
        assert!(black_box(authorise(black_box(&head), snapshot, NOW)).is_err());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(AT_ONCE)
}
