//! Requests: what they cost, and how long they take while keys are changed.

use crate::changes::milliseconds;
use crate::client::{Client, tickets};
use crate::fill::{mix, secret};
use crate::gateway::Gateway;
use crate::report::{Report, median, quantile};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

const CONNECTIONS: u64 = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1500);
/// After which the uses of a round have been written down.
const WRITTEN_DOWN: Duration = Duration::from_secs(4);
/// Requests a second of the measurement of latency, which leave the gateway's core mostly idle.
const RATE: u64 = 500;
const CHANGES: u64 = 100;
const WINDOW: u64 = 5;

/// How often which key is used.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// The nth most frequent one is used 1/n as often as the most frequent one, by and large.
    Zipf,
    /// Each as often as any other.
    Uniform,
}

impl Draw {
    /// A key's number, from a random one.
    fn key(self, keys: usize, random: u64) -> usize {
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = match self {
            Self::Zipf => (keys as f64 + 1.0).powf(share) - 1.0,
            Self::Uniform => share * keys as f64,
        };
        // Frequent keys are no neighbours.
        (rank as usize).min(keys - 1) * 7_368_787 % keys
    }
}

/// A gateway, and how many keys its store has.
pub(crate) type Filled<'g> = (&'g Gateway, usize);

/// What a request costs with few keys and with many, in interleaved rounds.
pub(crate) async fn costs(report: &mut Report, few: Filled<'_>, many: Filled<'_>) {
    for (draw, name, promise) in [(Draw::Zipf, "Zipf", 5.0), (Draw::Uniform, "uniform", 10.0)] {
        let (mut spent, mut more) = ([const { Vec::new() }; 4], [const { Vec::new() }; 2]);
        for round in 0..=ROUNDS {
            let before = [few, many].map(|(gateway, _)| gateway.cpu());
            let mut answers = [0; 2];
            for (index, (gateway, keys)) in [few, many].into_iter().enumerate() {
                answers[index] = saturate(gateway, draw, keys, round as u64).await;
            }
            sleep(WRITTEN_DOWN).await;
            let after = [few, many].map(|(gateway, _)| gateway.cpu());
            let micros =
                |index: usize, of: fn((u64, u64)) -> u64| (of(after[index]) - of(before[index])) as f64 / 1000.0 / answers[index] as f64;
            // The first round warms up.
            if round > 0 {
                let figures = [micros(0, |cpu| cpu.1), micros(1, |cpu| cpu.1), micros(0, |cpu| cpu.0), micros(1, |cpu| cpu.0)];
                spent.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
                more[0].push((figures[1] / figures[0] - 1.0) * 100.0);
                more[1].push((figures[3] / figures[2] - 1.0) * 100.0);
            }
        }
        report.promised(format!("CPU per request, {name}: more than with {} keys (median)", few.1), median(&mut more[0]), "%", promise);
        report.noted(format!("  least of {ROUNDS} rounds"), quantile(&mut more[0], 0.0), "%");
        report.noted(format!("  most of {ROUNDS} rounds"), quantile(&mut more[0], 1.0), "%");
        report.noted("  workers alone, without what is written to the store", median(&mut more[1]), "%");
        let [few_all, many_all, few_workers, many_workers] = spent.each_mut().map(|figures| median(figures));
        report.noted(format!("  with {} keys", few.1), few_all, "us");
        report.noted(format!("  with {} keys", many.1), many_all, "us");
        report.noted(format!("  workers alone with {} keys", few.1), few_workers, "us");
        report.noted(format!("  workers alone with {} keys", many.1), many_workers, "us");
    }
}

/// Sends as much as is answered for one round; returns how many were.
async fn saturate(gateway: &Gateway, draw: Draw, keys: usize, round: u64) -> u64 {
    let answers = Rc::new(Cell::new(0));
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (mut client, answers) = (Client::data(gateway).await, answers.clone());
        clients.spawn_local(async move {
            let started = Instant::now();
            for request in 0.. {
                if started.elapsed() >= ROUND {
                    return;
                }
                let key = draw.key(keys, mix(round << 48 | number << 32 | request));
                let (status, _) = client.exchange(&tickets(&secret(key))).await;
                assert_eq!(status, 200);
                answers.set(answers.get() + 1);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a client");
    }
    answers.get()
}

/// How long requests take, with and without a hundred changes a second, in turn.
pub(crate) async fn latencies(report: &mut Report, (gateway, keys): Filled<'_>) {
    let (mut before, mut during, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for window in 0..6 {
        if window % 2 == 0 {
            before.extend(steady(gateway, keys, window).await);
        } else {
            let (latencies, changes) = tokio::join!(steady(gateway, keys, window), keep_changing(gateway));
            during.extend(latencies);
            changed.extend(changes);
        }
    }
    let [quiet, busy] = [&mut before, &mut during].map(|latencies| quantile(latencies, 0.99));
    report.noted(format!("latency at {RATE} requests/s, p50"), median(&mut before), "ms");
    report.noted("  p99", quiet, "ms");
    report.noted(format!("  p50 during {CHANGES} changes/s"), median(&mut during), "ms");
    report.noted("  p99 during them", busy, "ms");
    report.promised("  p99, more than before", busy - quiet, "ms", 10.0);
    report.noted("  changes made per second", changed.len() as f64 / (3 * WINDOW) as f64, "/s");
    report.noted("  a change, until it is acknowledged: p99", quantile(&mut changed, 0.99), "ms");
}

/// Sends requests at fixed moments, whether or not earlier ones have been answered; returns milliseconds from those moments on.
async fn steady(gateway: &Gateway, keys: usize, window: u64) -> Vec<f64> {
    let mut clients = JoinSet::new();
    let connected = connect(gateway).await;
    let start = Instant::now() + Duration::from_millis(50);
    for (number, mut client) in (0..).zip(connected) {
        clients.spawn_local(async move {
            let mut latencies = Vec::new();
            for request in (number..RATE * WINDOW).step_by(CONNECTIONS as usize) {
                let due = start + Duration::from_secs(request) / RATE as u32;
                sleep_until(due.into()).await;
                let key = Draw::Zipf.key(keys, mix(window << 32 | request));
                let (status, _) = client.exchange(&tickets(&secret(key))).await;
                assert_eq!(status, 200);
                latencies.push(milliseconds(due));
            }
            latencies
        });
    }
    clients.join_all().await.concat()
}

async fn connect(gateway: &Gateway) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::data(gateway).await);
    }
    clients
}

/// Creates and revokes keys at fixed moments; returns how many milliseconds each change took.
async fn keep_changing(gateway: &Gateway) -> Vec<f64> {
    const CLIENTS: u64 = 8;
    let mut clients = JoinSet::new();
    let start = Instant::now() + Duration::from_millis(50);
    for number in 0..CLIENTS {
        let mut client = Client::admin(gateway).await;
        clients.spawn_local(async move {
            let (mut took, mut made) = (Vec::new(), None);
            for change in (number..CHANGES * WINDOW).step_by(CLIENTS as usize) {
                let due = start + Duration::from_secs(change) / CHANGES as u32;
                if due.elapsed() > Duration::from_secs(WINDOW) {
                    break;
                }
                sleep_until(due.into()).await;
                let sent = Instant::now();
                match made.take() {
                    None => made = Some(client.create("Short-lived").await.0),
                    Some(id) => client.revoke(&id).await,
                }
                took.push(milliseconds(sent));
            }
            took
        });
    }
    clients.join_all().await.concat()
}
