//! Micro benchmarks of the decision, the limiter and the key look-up.
//!
//! Run with `cargo bench --bench micro`. The look-up uses uniformly random keys, so its figure
//! includes the processor's cache misses. They grow with the table, although the number of steps
//! does not.

#[path = "shared/decision.rs"]
mod decision;

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{Method, Version};
use keygate::policy::*;
use keygate::stats::{ApiStats, LATENCY_BOUNDS, WorkerStats, seconds_of};
use metrics::{counter, histogram, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

use self::decision::*;

/// A small random number generator (SplitMix64), so that the benchmark measures the look-up and not
/// the generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

fn decide(bench: &mut Criterion) {
    let definition = definition(u32::MAX);
    let snapshot = snapshot(definition, 10_000);
    let mut group = bench.benchmark_group("decide");
    let cases = [
        ("allowed", Request::new(Method::GET, "/api/v1/tickets/42", &key_text(5_000)), None),
        (
            "401",
            Request::new(Method::GET, "/api/v1/tickets/42", &key_text(u64::MAX)),
            Some(Refusal::UnknownKey),
        ),
        (
            "403",
            Request::new(Method::POST, "/api/v1/tickets", &key_text(5_000)),
            Some(Refusal::InsufficientScope(1)),
        ),
    ];
    for (name, request, expected) in cases {
        let mut monotonic = 1_000 * SECOND;
        let mut judge = || {
            monotonic += 10_000;
            let now = Now { monotonic, unix: 1_800_000_000 };
            let outcome = authorise(&request.head(&request.fields()), &snapshot, now)
                .and_then(|permit| charge(permit, now));
            outcome.map(|admission| admission.allowance()).map_err(|refused| refused.refusal)
        };
        assert_eq!(judge().err(), expected, "{name}");
        group.bench_function(name, |bencher| bencher.iter(&mut judge));
    }
    group.finish();
}

/// Measures the charge of one request alone: in one window, in three, and when the limit is used
/// up. `decide` measures it together with the decision.
fn limiter(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("charge");
    let windows = |count| {
        [(count, SECOND), (count, 60 * SECOND), (count, 3600 * SECOND)]
            .map(|(count, window)| Limit { count, window })
    };
    for (name, limits) in [
        ("one window", &windows(u32::MAX)[1..2]),
        ("three windows", &windows(u32::MAX)[..]),
        ("used up", &windows(1)[2..]),
    ] {
        let mut definition = definition(1);
        definition.rate_limit = limits.into();
        let snapshot = snapshot(definition, 1);
        let request = Request::new(Method::GET, "/api/v1/tickets/42", &key_text(0));
        let mut monotonic = 10_000 * SECOND;
        group.bench_function(name, |bencher| {
            let permit = || {
                let now = Now { monotonic, unix: 1_800_000_000 };
                monotonic += 10_000;
                authorise(&request.head(&request.fields()), &snapshot, now)
                    .map(|permit| (permit, now))
            };
            // Only the charge is timed.
            bencher.iter_batched(
                permit,
                |permit| {
                    permit
                        .and_then(|(permit, now)| charge(permit, now))
                        .map(|admission| admission.allowance())
                        .map_err(|refused| refused.refusal)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn look_up(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("look-up");
    for size in [1_000, 100_000, 1_000_000] {
        let keyring = keyring(size);
        let mut random = Random(size);
        // Digests are computed beforehand, because the cost of SHA-256 does not depend on the
        // table's size.
        let asked: Vec<Digest> =
            (0..1 << 20).map(|_| Digest::of(key_text(random.below(size)).as_bytes())).collect();
        assert!(asked.iter().all(|digest| keyring.find(digest).is_some()));
        let mut at = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                at = (at + 1) % asked.len();
                black_box(keyring.find(&asked[at])).is_some()
            });
        });
    }
    group.finish();
}

/// Measures the rewriting of header fields, for an admitted request and for a refused one.
fn rewrite(bench: &mut Criterion) {
    const ID: &str = "0123456789abcdef0123456789abcdef";
    let snapshot = snapshot(definition(u32::MAX), 10_000);
    let mut group = bench.benchmark_group("rewrite");
    let now = Now { monotonic: 1_000 * SECOND, unix: 1_800_000_000 };
    let request = Request::new(Method::GET, "/api/v1/tickets/42", &key_text(5_000));
    let unknown = Request::new(Method::GET, "/api/v1/tickets/42", &key_text(u64::MAX));
    let (fields, unknown_fields) = (request.fields(), unknown.fields());
    let answer = upstream_answer();
    let mut out: Vec<u8> = Vec::with_capacity(4096);
    if let Ok(admission) =
        authorise(&request.head(&fields), &snapshot, now).and_then(|permit| charge(permit, now))
    {
        group
            .bench_function("fields", |bencher| bencher.iter(|| black_box(request.fields()).len()));
        group.bench_function("prepare_request", |bencher| {
            bencher.iter(|| {
                out.clear();
                prepare_request(
                    &request.head(&fields),
                    Version::HTTP_11,
                    &admission,
                    &[],
                    ID,
                    None,
                    &mut out,
                );
                out.len()
            });
        });
        group.bench_function("prepare_response", |bencher| {
            bencher.iter(|| {
                out.clear();
                prepare_response(&answer, &admission, ID, now, &[], &mut out);
                out.len()
            });
        });
    }
    if let Err(refused) = authorise(&unknown.head(&unknown_fields), &snapshot, now) {
        group.bench_function("refuse", |bencher| {
            bencher.iter(|| {
                out.clear();
                refuse(&refused, ID, false, now, &mut out)
            });
        });
    }
    group.finish();
}

/// Measures everything that the decision costs a request. It uses many keys in turn, so that memory
/// accesses dominate.
fn whole(bench: &mut Criterion) {
    let snapshot = snapshot(definition(u32::MAX), 10_000);
    let requests: Vec<Request> = (0..10_000)
        .map(|number| Request::new(Method::GET, "/api/v1/tickets/42", &key_text(number)))
        .collect();
    let (mut at, mut monotonic, mut out) = (0, 1_000 * SECOND, Vec::with_capacity(4096));
    bench.bench_function("whole", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % requests.len();
            monotonic += 10_000;
            let (request, now) = (&requests[at], Now { monotonic, unix: 1_800_000_000 });
            let fields = request.fields();
            let head = request.head(&fields);
            let admission =
                authorise(&head, &snapshot, now).and_then(|permit| charge(permit, now)).ok()?;
            out.clear();
            black_box(admission.note_use(now));
            prepare_request(
                &head,
                Version::HTTP_11,
                &admission,
                &[],
                "0123456789abcdef",
                None,
                &mut out,
            );
            prepare_response(&Fields::new(), &admission, "0123456789abcdef", now, &[], &mut out);
            Some(out.len())
        });
    });
}

/// Shows why workers have counters of their own: measures one increment by each of two threads.
fn count(bench: &mut Criterion) {
    /// Returns the duration of so many calls in the slower of two threads.
    fn by_two<C: FnMut() + Send>(calls: u64, counters: [C; 2]) -> Duration {
        let begin = Barrier::new(counters.len());
        thread::scope(|scope| {
            let threads = counters.map(|mut count| {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    let started = Instant::now();
                    (0..calls).for_each(|_| count());
                    started.elapsed()
                })
            });
            threads.map(|thread| thread.join().expect("no panic")).into_iter().max().expect("two")
        })
    }
    let mut group = bench.benchmark_group("count");
    let cells = [WorkerStats::new(0), WorkerStats::new(0)];
    group.bench_function("cells", |bencher| {
        bencher.iter_custom(|calls| {
            by_two(calls, cells.each_ref().map(|cell| move || black_box(cell).connections.add(1)))
        });
    });
    let recorder = PrometheusBuilder::new()
        .set_buckets(&LATENCY_BOUNDS.map(seconds_of))
        .expect("there are bounds")
        .build_recorder();
    let (counter, histogram) =
        with_local_recorder(&recorder, || (counter!("requests"), histogram!("seconds")));
    let counters = [&counter, &counter];
    group.bench_function("shared handle", |bencher| {
        bencher.iter_custom(|calls| by_two(calls, counters.map(|counter| || counter.increment(1))));
    });
    let apis = [ApiStats::new(0), ApiStats::new(0)];
    group.bench_function("cells of a histogram", |bencher| {
        bencher.iter_custom(|calls| {
            by_two(calls, apis.each_ref().map(|api| move || black_box(api).duration.record(1234)))
        });
    });
    let histograms = [&histogram, &histogram];
    group.bench_function("shared handle of a histogram", |bencher| {
        bencher.iter_custom(|calls| {
            let took = by_two(calls, histograms.map(|shared| || shared.record(0.001_234)));
            // Observations are buffered until this call.
            recorder.handle().run_upkeep();
            took
        });
    });
    group.finish();
}

criterion_group!(benches, count, decide, limiter, rewrite, whole, look_up);
criterion_main!(benches);
