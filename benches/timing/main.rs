//! Whether the time of a refusal tells how near a wrong key is to a real one: Welch's t-test between a key that is like no other and keys
//! that nearly are one.
//!
//! `cargo bench --bench timing`; `KEYGATE_TIMING_PAIRS` says how many pairs are measured of each kind. It fails where a |t| is beyond 4.5.
//!
//! By design there is nothing to measure. The whole key is hashed before anything is compared, whatever it is, and what is looked up is
//! its digest: how many of its bytes agree with those of a real one is as good as thrown by dice, and nobody can try for more of them
//! without having found a second text with that digest.

#[path = "../shared/decision.rs"]
#[expect(dead_code, reason = "an upstream's answer is of no interest here")]
mod decision;
#[path = "../shared/welch.rs"]
mod welch;
#[path = "../shared/wrong_keys.rs"]
mod wrong_keys;

use decision::*;
use http::Method;
use keygate::policy::*;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

const NOW: Now = Now { monotonic: 1_000 * SECOND, unix: 1_800_000_000 };
const BOUND: f64 = 4.5;
/// Decisions that are timed together, because one is over before the clock moves.
const AT_ONCE: u32 = 20;

fn main() -> ExitCode {
    let pairs = std::env::var("KEYGATE_TIMING_PAIRS").ok().and_then(|pairs| pairs.parse().ok()).unwrap_or(200_000);
    let snapshot = snapshot(definition(u32::MAX), 10_000);
    let real = key_text(5_000);
    let mut failed = false;
    for (what, key) in wrong_keys::wrong_keys(&real) {
        // The same length, because hashing takes as long as what is hashed.
        let far = format!("{}{}", &real[..8], "x".repeat(key.len() - 8));
        let far = Request::new(Method::GET, "/api/v1/tickets/42", &far);
        let near = Request::new(Method::GET, "/api/v1/tickets/42", &key);
        let mut measured = Vec::with_capacity(pairs);
        for turn in 0..pairs {
            // Neither is always the first.
            measured.push(if turn % 2 == 0 {
                let far = time(&snapshot, &far);
                (far, time(&snapshot, &near))
            } else {
                let near = time(&snapshot, &near);
                (time(&snapshot, &far), near)
            });
        }
        let (far, near, t) = welch::compare(&measured);
        println!("{what}: {:.1} ns against {:.1} ns of a key that is like no other, t = {t:.2}", near.mean(), far.mean());
        failed |= t.abs() > BOUND;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Nanoseconds that a refusal takes.
fn time(snapshot: &Snapshot, request: &Request) -> f64 {
    let fields = request.fields();
    let head = request.head(&fields);
    let begun = Instant::now();
    for _ in 0..AT_ONCE {
        assert!(black_box(authorise(black_box(&head), snapshot, NOW)).is_err());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(AT_ONCE)
}
