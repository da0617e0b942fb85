//! Measures the cost of requests, and their latency while keys are changed.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::changes::milliseconds;
use crate::client::{Client, tickets};
use crate::fill::{mix, secret};
use crate::gateway::Gateway;
use crate::report::{Report, median, quantile};

const CONNECTIONS: u64 = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1500);
/// Time after which the key usage of a round has been stored.
const WRITTEN_DOWN: Duration = Duration::from_secs(4);
/// Requests per second of the measurement of latency. They leave the gateway's core mostly idle.
const RATE: u64 = 500;
const CHANGES: u64 = 100;
const WINDOW: u64 = 5;

/// The distribution of requests over the keys.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// The key of rank n is used about 1/n as often as the most frequent one.
    Zipf,
    /// All keys are used equally often.
    Uniform,
}

impl Draw {
    /// Returns the number of a key, derived from a random number.
    fn key(self, keys: usize, random: u64) -> usize {
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = match self {
            Self::Zipf => (keys as f64 + 1.0).powf(share) - 1.0,
            Self::Uniform => share * keys as f64,
        };
        // Spreads the frequent keys over all numbers.
        (rank as usize).min(keys - 1) * 7_368_787 % keys
    }
}

/// A gateway, and the number of keys in its store.
pub(crate) type Filled<'g> = (&'g Gateway, usize);

/// Measures the cost of a request with few keys and with many that have all been used before, in
/// interleaved rounds.
pub(crate) async fn costs(report: &mut Report, few: Filled<'_>, many: Filled<'_>) {
    for (draw, name, promise) in [(Draw::Zipf, "Zipf", 5.0), (Draw::Uniform, "uniform", 10.0)] {
        let (mut spent, mut more) = ([const { Vec::new() }; 4], [const { Vec::new() }; 2]);
        for round in 0..=ROUNDS {
            let (to_few, to_many) = (connect(few.0).await, connect(many.0).await);
            let before = [few, many].map(|(gateway, _)| gateway.cpu());
            let mut answers = [0; 2];
            for (index, (clients, keys)) in
                [(to_few, few.1), (to_many, many.1)].into_iter().enumerate()
            {
                answers[index] = round_of(clients, draw, keys, round as u64).await;
            }
            sleep(WRITTEN_DOWN).await;
            let after = [few, many].map(|(gateway, _)| gateway.cpu());
            let micros = |index: usize, of: fn((u64, u64)) -> u64| {
                (of(after[index]) - of(before[index])) as f64 / 1000.0 / answers[index] as f64
            };
            // The first round is a warm-up.
            if round > 0 {
                let figures = [
                    micros(0, |cpu| cpu.1),
                    micros(1, |cpu| cpu.1),
                    micros(0, |cpu| cpu.0),
                    micros(1, |cpu| cpu.0),
                ];
                spent.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
                more[0].push((figures[1] / figures[0] - 1.0) * 100.0);
                more[1].push((figures[3] / figures[2] - 1.0) * 100.0);
            }
        }
        report.promised(
            format!("CPU per request, {name}: more than with {} keys (median)", few.1),
            median(&mut more[0]),
            "%",
            promise,
        );
        report.noted(format!("  least of {ROUNDS} rounds"), quantile(&mut more[0], 0.0), "%");
        report.noted(format!("  most of {ROUNDS} rounds"), quantile(&mut more[0], 1.0), "%");
        report.noted(
            "  workers alone, without what is written to the store",
            median(&mut more[1]),
            "%",
        );
        let [few_all, many_all, few_workers, many_workers] =
            spent.each_mut().map(|figures| median(figures));
        report.noted(format!("  with {} keys", few.1), few_all, "us");
        report.noted(format!("  with {} keys", many.1), many_all, "us");
        report.noted(format!("  workers alone with {} keys", few.1), few_workers, "us");
        report.noted(format!("  workers alone with {} keys", many.1), many_workers, "us");
    }
}

/// Uses each key once, which measures the cost of first uses: the usage state of a key is created,
/// and its usage is new to the store.
pub(crate) async fn first_uses(report: &mut Report, (gateway, keys): Filled<'_>) {
    let clients = connect(gateway).await;
    let (before, memory) = (gateway.cpu(), gateway.memory().1);
    let answers = saturate(clients, move |client, request| {
        let key = (request * CONNECTIONS + client) as usize;
        (key < keys).then_some(key)
    });
    let answers = answers.await as f64;
    sleep(WRITTEN_DOWN).await;
    let after = gateway.cpu();
    report.noted(
        "CPU of the first use of a key",
        (after.1 - before.1) as f64 / 1000.0 / answers,
        "us",
    );
    report.noted("  workers alone", (after.0 - before.0) as f64 / 1000.0 / answers, "us");
    report.noted(
        "  memory that a key takes from then on, besides",
        gateway.memory().1.saturating_sub(memory) as f64 / answers,
        "B",
    );
}

/// Sends requests for one round, as fast as they are answered. Returns the number of responses.
async fn round_of(clients: Vec<Client>, draw: Draw, keys: usize, round: u64) -> u64 {
    let started = Instant::now();
    let key = move |client, request| draw.key(keys, mix(round << 48 | client << 32 | request));
    saturate(clients, move |client, request| {
        (started.elapsed() < ROUND).then(|| key(client, request))
    })
    .await
}

/// Sends one request after the other on each connection. `key` returns the key for a connection and
/// a request by their numbers, or `None` to end. Returns the number of responses.
async fn saturate(
    connected: Vec<Client>,
    key: impl Fn(u64, u64) -> Option<usize> + Copy + 'static,
) -> u64 {
    let mut clients = JoinSet::new();
    for (number, mut client) in (0..).zip(connected) {
        clients.spawn_local(async move {
            let mut answers = 0;
            while let Some(key) = key(number, answers) {
                let (status, _) = client.exchange(&tickets(&secret(key))).await;
                assert_eq!(status, 200);
                answers += 1;
            }
            answers
        });
    }
    clients.join_all().await.into_iter().sum()
}

/// Measures the latency of requests, alternately with and without 100 changes per second.
pub(crate) async fn latencies(report: &mut Report, (gateway, keys): Filled<'_>) {
    let (mut before, mut during, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for window in 0..6 {
        if window % 2 == 0 {
            before.extend(steady(gateway, keys, window).await);
        } else {
            let (latencies, changes) =
                tokio::join!(steady(gateway, keys, window), keep_changing(gateway));
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

/// Sends requests at fixed times, which do not depend on earlier responses. A request waits while
/// its connection is busy. Returns the latencies from the fixed times, in milliseconds.
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

/// Creates and revokes keys at fixed times. Returns the duration of each change in milliseconds.
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
