//! Sends requests at times that are fixed beforehand and do not depend on earlier responses. A
//! request waits while its connection is busy. Latency counts from the fixed time.
//!
//! The intervals are exponentially distributed with a mean rate of `rate=` per second, as with many
//! independent callers.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::Options;
use crate::client::{Target, head, read_answer};

// Longer than 60 lines: the set-up and the loop share all that is measured.
pub fn run(runtime: tokio::runtime::Runtime, options: &Options) {
    let (target, keys, path) =
        (Target::new(options), options.keys(), options.text("path").to_owned());
    let (rate, milliseconds) =
        (options.number("rate") as f64, options.number("milliseconds") as u64);
    // By default the kernel may wake a sleeping thread 50 µs late.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");

    let mut queues = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..options.number("connections") {
        let (queue, receiver) = mpsc::unbounded_channel::<(Instant, String)>();
        queues.push(queue);
        receivers.push(receiver);
    }
    let (ready, all_ready) = std::sync::mpsc::channel();
    let clients = std::thread::spawn(move || {
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async move {
            let mut clients = Vec::new();
            for mut receiver in receivers {
                let mut stream = target.connect().await.expect("a connection");
                clients.push(tokio::task::spawn_local(async move {
                    let (mut latencies, mut buffer) = (Vec::new(), Vec::with_capacity(4096));
                    while let Some((scheduled, request)) = receiver.recv().await {
                        stream.write_all(request.as_bytes()).await.expect("a request");
                        let (status, ..) =
                            read_answer(&mut stream, &mut buffer).await.expect("an answer");
                        assert_eq!(status, 200);
                        latencies.push((scheduled, scheduled.elapsed()));
                    }
                    latencies
                }));
            }
            ready.send(()).expect("somebody waits");
            let mut all = Vec::new();
            for client in clients {
                all.extend(client.await.expect("a client"));
            }
            all
        }))
    });

    all_ready.recv().expect("connections");
    let start = Instant::now() + Duration::from_millis(20);
    let (mut at, mut random) = (Duration::ZERO, 0x9e37_79b9_7f4a_7c15_u64);
    let mut sent = 0;
    while at < Duration::from_millis(milliseconds) {
        let scheduled = start + at;
        std::thread::sleep(scheduled.saturating_duration_since(Instant::now()));
        let request = head("GET", &path, &keys[sent % keys.len()], "");
        queues[sent % queues.len()].send((scheduled, request)).expect("a client");
        sent += 1;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let uniform = ((random >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        at += Duration::from_secs_f64(-uniform.ln() / rate);
    }
    drop(queues);
    let mut latencies = clients.join().expect("the clients");
    if options.is_set("series") {
        write_series(options.text("series"), start, &mut latencies);
    }
    latencies.sort_by_key(|(_, latency)| *latency);
    let at = |share: f64| {
        latencies[((latencies.len() - 1) as f64 * share) as usize].1.as_nanos() as f64 / 1000.0
    };
    println!(
        "{{\"answers\": {}, \"p50\": {:.1}, \"p99\": {:.1}, \"p999\": \
        {:.1}}}",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// Writes one line for each request: the time when it was due, in microseconds since the Unix
/// epoch, and its latency in microseconds.
fn write_series(path: &str, start: Instant, latencies: &mut [(Instant, Duration)]) {
    let epoch =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock")
            - start.elapsed();
    latencies.sort();
    let lines: String = latencies
        .iter()
        .map(|(due, latency)| {
            format!("{} {}\n", (epoch + due.duration_since(start)).as_micros(), latency.as_micros())
        })
        .collect();
    std::fs::write(path, lines).expect("the series");
}
