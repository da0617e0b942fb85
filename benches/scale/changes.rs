//! Measures how long a start, a creation and a revocation take.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::client::Client;
use crate::fill::secret;
use crate::gateway::{Gateway, write_configuration};
use crate::report::{Report, median, quantile};

const CREATIONS: usize = 200;
const REVOCATIONS: usize = 100;
const EDITS: usize = 20;
/// Time after which a gateway has finished the work of its start.
const SETTLED: Duration = Duration::from_secs(3);

/// Starts a gateway. Returns it, and the seconds until its first response, which must have the
/// status `answered`.
pub(crate) async fn start(folder: &Path, answered: u16) -> (Gateway, f64) {
    let gateway = Gateway::start(folder);
    let mut client = Client::data(&gateway).await;
    assert_eq!(client.tickets(&secret(1)).await, answered);
    let elapsed = gateway.started.elapsed().as_secs_f64();
    (gateway, elapsed)
}

/// Measures starts with an empty store and with a full one. Returns the memory of the first gateway
/// as [`Gateway::memory`] does.
pub(crate) async fn starts(
    report: &mut Report,
    empty: &Path,
    full: &Path,
    keys: usize,
) -> (u64, u64) {
    let (gateway, _) = start(empty, 401).await;
    sleep(SETTLED).await;
    let before = gateway.memory();
    drop(gateway);
    let (mut elapsed, mut cpu, mut waited, mut memory) =
        (Vec::new(), Vec::new(), Vec::new(), (0, 0));
    for _ in 0..3 {
        let (gateway, seconds) = start(full, 200).await;
        let loading = gateway.loading();
        elapsed.push(seconds);
        cpu.push(loading.0);
        waited.push(loading.1);
        sleep(SETTLED).await;
        memory = gateway.memory();
        gateway.stop();
    }
    report.promised(
        "start, from exec to the first answer (median of 3)",
        median(&mut elapsed),
        "s",
        5.0,
    );
    report.noted("  of that on a core", median(&mut cpu), "s");
    report.noted("  of that waiting for a core that other processes had", median(&mut waited), "s");
    let per_key = |full: u64, empty: u64| full.saturating_sub(empty) as f64 / keys as f64;
    report.promised(
        "memory of an idle key, beyond a gateway with an empty store (VmRSS)",
        per_key(memory.1, before.1),
        "B",
        300.0,
    );
    report.noted("  of that anonymous", per_key(memory.0, before.0), "B");
    before
}

/// Measures a start with a store of which one key in a hundred is revoked.
pub(crate) async fn start_with_revoked(report: &mut Report, folder: &Path) {
    let (gateway, elapsed) = start(folder, 200).await;
    assert_eq!(Client::data(&gateway).await.tickets(&secret(0)).await, 401, "key 0 is revoked");
    report.promised("start while one key in a hundred is revoked", elapsed, "s", 5.0);
}

/// Measures a start with a store of which every key is revoked. `empty` is the memory of a gateway
/// without keys.
pub(crate) async fn start_with_dead(
    report: &mut Report,
    folder: &Path,
    keys: usize,
    empty: (u64, u64),
) {
    let (gateway, elapsed) = start(folder, 401).await;
    report.promised("start while all keys are revoked", elapsed, "s", 5.0);
    sleep(SETTLED).await;
    let memory = gateway.memory();
    let per_key = |full: u64, empty: u64| full.saturating_sub(empty) as f64 / keys as f64;
    report.promised(
        "memory of a dead key, beyond a gateway with an empty store (VmRSS)",
        per_key(memory.1, empty.1),
        "B",
        40.0,
    );
    report.noted("  of that anonymous", per_key(memory.0, empty.0), "B");
}

/// Measures creations, revocations through the admin API, and revocations by an edit of the file.
pub(crate) async fn changes(report: &mut Report, gateway: &Gateway, upstream: SocketAddr) {
    let (mut admin, mut data) = (Client::admin(gateway).await, Client::data(gateway).await);
    let (mut created, mut acknowledged) = (Vec::new(), Vec::new());
    for number in 0..CREATIONS {
        let sent = Instant::now();
        created.push(admin.create(&format!("Created {number}")).await);
        acknowledged.push(milliseconds(sent));
    }
    report.promised(
        "creation, until it is acknowledged: median",
        median(&mut acknowledged),
        "ms",
        50.0,
    );
    report.noted("  p99", quantile(&mut acknowledged, 0.99), "ms");

    let (mut in_force, mut acknowledged) = (Vec::new(), Vec::new());
    for (id, secret) in &created[..REVOCATIONS] {
        assert_eq!(data.tickets(secret).await, 200);
        let sent = Instant::now();
        let revoked = async {
            admin.revoke(id).await;
            milliseconds(sent)
        };
        let (refused, revoked) =
            tokio::join!(first_refusal(gateway, &mut data, secret, sent), revoked);
        in_force.push(refused);
        acknowledged.push(revoked);
    }
    report.promised(
        "revocation by the admin API, until a caller is refused: median",
        median(&mut in_force),
        "ms",
        10.0,
    );
    report.noted("  p99", quantile(&mut in_force, 0.99), "ms");
    report.noted("  until it is acknowledged, so durable: median", median(&mut acknowledged), "ms");

    let (mut in_force, mut revoked) = (Vec::new(), Vec::new());
    for (id, secret) in created[REVOCATIONS..].iter().take(EDITS) {
        assert_eq!(data.tickets(secret).await, 200);
        revoked.push(id.clone());
        let saved = Instant::now();
        write_configuration(&gateway.folder, upstream, &revoked);
        in_force.push(first_refusal(gateway, &mut data, secret, saved).await);
    }
    report.promised(
        "revocation by an edit of gateway.toml, until a caller is refused: median",
        median(&mut in_force),
        "ms",
        10.0,
    );
    report.noted("  most", quantile(&mut in_force, 1.0), "ms");
}

/// Sends requests until the status is 401. Returns the milliseconds since `since`.
async fn first_refusal(gateway: &Gateway, data: &mut Client, secret: &str, since: Instant) -> f64 {
    while !data.is_refused(gateway, secret).await {
        assert!(since.elapsed() < Duration::from_secs(10), "a revoked key still works");
    }
    milliseconds(since)
}

/// Returns the milliseconds since `since`.
pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
