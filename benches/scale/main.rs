//! Measures on a real gateway what Keygate promises for a store with a million keys: how fast it
//! starts, how much memory a key takes, in force or revoked, how soon a change is in force, and
//! what the keys add to the cost of each request.
//!
//! `KEYGATE_SCALE_KEYS` sets another number of keys. The gateway runs one worker on core 0, the
//! load and the upstream run on the last core. Costs are the time on a core that the kernel
//! accounts to the gateway's threads, so they do not depend on other load of the machine. Durations
//! do.

mod changes;
mod client;
mod fill;
mod gateway;
mod load;
mod report;
#[path = "../shared/upstream.rs"]
mod upstream;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;

use self::gateway::Gateway;
use self::report::Report;

const FEW: usize = 1000;

fn main() -> ExitCode {
    let keys = std::env::var("KEYGATE_SCALE_KEYS")
        .ok()
        .map_or(1_000_000, |keys| keys.parse().expect("KEYGATE_SCALE_KEYS is a number"));
    assert!(keys >= FEW, "KEYGATE_SCALE_KEYS is at least {FEW}");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let kept = builder
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime")
        .block_on(run(keys));
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns whether all promises were kept.
async fn run(keys: usize) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the upstream");
    let upstream = listener.local_addr().expect("an address");
    tokio::spawn(upstream::upstream(listener));
    let begun = Instant::now();
    let [empty, few, many] = ["empty", "few", "many"].map(|name| folder.path().join(name));
    for (folder, keys) in [(&empty, 0), (&few, FEW), (&many, keys)] {
        std::fs::create_dir(folder).expect("a folder");
        gateway::write_certificate(folder);
        gateway::write_configuration(folder, upstream, &[]);
        fill::fill(&folder.join("keygate.db"), keys).await;
    }
    println!(
        "{keys} keys in a store of {} MiB, filled in {:.0} s",
        mebibytes(&many.join("keygate.db")),
        begun.elapsed().as_secs_f64()
    );

    let mut report = Report::default();
    let nothing = changes::starts(&mut report, &empty, &many, keys).await;
    {
        let (few, many) = (Gateway::start(&few), Gateway::start(&many));
        pin(
            std::process::id(),
            std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1),
        );
        pin(few.id(), 0);
        pin(many.id(), 0);
        changes::changes(&mut report, &many, upstream).await;
        load::latencies(&mut report, (&many, keys)).await;
        load::first_uses(&mut report, (&many, keys)).await;
        load::costs(&mut report, (&few, FEW), (&many, keys)).await;
        many.stop();
    }
    fill::revoke_one_in(100, &many.join("keygate.db"), keys);
    changes::start_with_revoked(&mut report, &many).await;
    fill::revoke_one_in(1, &many.join("keygate.db"), keys);
    changes::start_with_dead(&mut report, &many, keys, nothing).await;
    report.write(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("scale.json"), keys)
}

fn mebibytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len() >> 20)
}

/// Asks the operating system to run a process on one core. If it refuses, the figures are still
/// valid.
fn pin(process: u32, core: usize) {
    let pinned = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string(), &process.to_string()])
        .stdout(Stdio::null())
        .status();
    if !pinned.is_ok_and(|status| status.success()) {
        eprintln!("could not choose a core for process {process}");
    }
}
