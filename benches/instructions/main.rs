//! Repeats one part of the decision a given number of times, so that callgrind can count its
//! instructions.
//!
//! Usage: `instructions PART CALLS`. Two runs that differ only in CALLS have the same start, so
//! their difference is the cost of the calls. `count.py` makes these runs.

#[path = "../shared/decision.rs"]
mod decision;

use std::hint::black_box;
use std::process::ExitCode;

use http::{Method, Version};
use keygate::policy::*;

use self::decision::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
const NOW: Now = Now { monotonic: 1_000 * SECOND, unix: 1_800_000_000 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [part, calls] = &arguments[..] else { return usage() };
    let Ok(calls) = calls.parse() else { return usage() };
    if run(part, calls).is_some() { ExitCode::SUCCESS } else { usage() }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: instructions \
            digest|authorise|authorise_unknown_key|charge|prepare_request|prepare_response|refuse \
            CALLS"
    );
    ExitCode::FAILURE
}

/// Repeats one part this often. Returns `None` if there is no such part, or if a decision is not
/// the expected one.
fn run(part: &str, calls: u64) -> Option<()> {
    let snapshot = snapshot(definition(u32::MAX), 100);
    let key = &key_text(50)[..];
    let known = Request::new(Method::GET, "/api/v1/tickets/42", key);
    let unknown = Request::new(Method::GET, "/api/v1/tickets/42", &key_text(u64::MAX));
    let (fields, unknown_fields) = (known.fields(), unknown.fields());
    let (head, unknown_head) = (known.head(&fields), unknown.head(&unknown_fields));
    let admission = authorise(&head, &snapshot, NOW).and_then(|permit| charge(permit, NOW)).ok()?;
    let refused = authorise(&unknown_head, &snapshot, NOW).err()?;
    let answer = upstream_answer();
    let mut out: Vec<u8> = Vec::with_capacity(4096);
    for call in 0..calls {
        out.clear();
        match part {
            "digest" => drop(black_box(Digest::of(black_box(key).as_bytes()))),
            "authorise" => drop(black_box(authorise(black_box(&head), &snapshot, NOW).ok()?)),
            "authorise_unknown_key" => {
                let _ = black_box(authorise(black_box(&unknown_head), &snapshot, NOW).err()?);
            }
            // A charge consumes its permit, so each call makes one. `count.py` subtracts that cost.
            "charge" => {
                let now = Now { monotonic: NOW.monotonic + call * 10_000, ..NOW };
                let permit = authorise(black_box(&head), &snapshot, now).ok()?;
                black_box(charge(permit, now).ok()?.allowance());
            }
            "prepare_request" => prepare_request(
                black_box(&head),
                Version::HTTP_11,
                &admission,
                &[],
                ID,
                None,
                &mut out,
            ),
            "prepare_response" => {
                prepare_response(black_box(&answer), &admission, ID, NOW, &[], &mut out)
            }
            "refuse" => drop(black_box(refuse(black_box(&refused), ID, false, NOW, &mut out))),
            _ => return None,
        }
        black_box(&out);
    }
    Some(())
}
