//! The file descriptors are exhausted.

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Desk;
use crate::harness::{Client, Gateway, Setup, wait_for};

#[test]
fn clients_cannot_take_the_descriptors_that_edits_and_operators_need() {
    let desk = Desk::open(
        |setup| setup,
        |setup| Gateway::serve_in_by(setup.write(), &["prlimit", "--nofile=300:300"]),
    );
    let gateway = &desk.gateway;
    let warning = "the limit of open files (ulimit -n, LimitNOFILE) allows fewer connections than \
        `max_connections`";
    assert_eq!(gateway.events(warning).len(), 1, "the default is 10,000");
    let mut open = gateway.client();
    assert_eq!(Desk::status_over(&mut open, &desk.leaked), 200);
    let crowd: Vec<TcpStream> = (0..250)
        .map(|_| TcpStream::connect(gateway.address()).expect("the system accepts"))
        .collect();
    wait_for("most are sent away", || {
        let total = |name: &str| gateway.metric(name).expect("the metric");
        (total("keygate_connections_total") >= 251.0 && total("keygate_connections_open") < 60.0)
            .then_some(())
    });
    let (used, most) = (
        gateway.metric("process_open_fds").expect("the metric"),
        gateway.metric("process_max_fds"),
    );
    assert!(used < 150.0 && most == Some(300.0), "{used} of {most:?}");
    assert_eq!(Desk::status_over(&mut open, &desk.crm), 200, "whoever is connected is served");
    desk.revoke_by_file();
    wait_for("the revocation", || {
        (Desk::status_over(&mut open, &desk.leaked) == 401).then_some(())
    });
    assert_eq!(gateway.metric("keygate_accept_failures_total"), Some(0.0));
    drop(crowd);
    wait_for("there is room again", || {
        (gateway.client().try_send(&Desk::request(&desk.crm))?.status() == 200).then_some(())
    });
}

/// Writes the files with one worker, so that one connection to the upstream serves all clients.
fn one_worker(setup: Setup) -> Arc<TempDir> {
    let folder = setup.write();
    let file = folder.path().join("gateway.toml");
    let toml = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, toml.replace("workers = 2", "workers = 1")).expect("the file");
    folder
}

/// Sets the soft limit of a process's descriptors.
fn allow(gateway: &Gateway, descriptors: u32) {
    let pid = gateway.process().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={descriptors}:")])
        .status()
        .expect("prlimit runs");
    assert!(set.success());
}

/// Returns the CPU time that a process has used, in hundredths of a second.
fn processor_time(gateway: &Gateway) -> u64 {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", gateway.process())).expect("its state");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in brackets");
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[test]
fn gateway_without_a_free_descriptor_serves_on_and_goes_back_to_work_when_there_are_some() {
    let desk = Desk::open(|setup| setup, |setup| Gateway::serve_in(one_worker(setup)));
    let gateway = &desk.gateway;
    let mut open = gateway.client();
    assert_eq!(Desk::status_over(&mut open, &desk.leaked), 200);
    allow(gateway, 10);
    let mut waiting = Client::plain(gateway.address());
    wait_for("it is told", || gateway.events("cannot accept connections").pop());
    let (begun, used) = (Instant::now(), processor_time(gateway));
    // Measures the CPU time that is used during this second.
    std::thread::sleep(Duration::from_secs(1));
    let (used, share) =
        (processor_time(gateway) - used, 30 * begun.elapsed().as_millis() as u64 / 1000);
    assert!(used <= share, "{used} hundredths of a second: it spins");
    assert_eq!(Desk::status_over(&mut open, &desk.leaked), 200, "whoever is connected is served");
    desk.revoke_by_file();
    wait_for("the file cannot be read", || {
        gateway.events("the file is refused; what ran before goes on").pop()
    });
    allow(gateway, 1024);
    wait_for("the revocation, without another edit", || {
        (Desk::status_over(&mut open, &desk.leaked) == 401).then_some(())
    });
    assert_eq!(Desk::status_over(&mut waiting, &desk.crm), 200, "whoever waited is served");
    assert_eq!(
        gateway.events("the file is refused; what ran before goes on").len(),
        1,
        "said once"
    );
    assert_eq!(gateway.events("cannot accept connections").len(), 1, "said once");
    assert!(gateway.metric("keygate_accept_failures_total") > Some(0.0));
    assert_eq!(gateway.metric("keygate_config_file_differs"), Some(0.0));
}
