//! The files that are shipped with the program.

use std::path::Path;
use std::process::Command;

fn unit() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/keygate.service")
}

#[test]
fn systemd_unit_is_exposed_to_2_0_at_most() {
    let mut command = Command::new("systemd-analyze");
    let output =
        command.args(["security", "--offline=true", "--threshold=20"]).arg(unit()).output();
    let output = output.expect("systemd-analyze, which `make setup` installs");
    let said = String::from_utf8_lossy(&output.stdout);
    let level = said
        .split("Overall exposure level for keygate.service: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let level: f64 = level.expect("a level").parse().expect("a number");
    assert!(output.status.success() && level <= 2.0, "{said}");
}

#[test]
fn systemd_unit_gives_one_capability_one_folder_to_write_and_the_time_that_a_stop_takes() {
    let unit = std::fs::read_to_string(unit()).expect("the unit");
    let has = |line: &str| assert!(unit.lines().any(|other| other == line), "{line}");
    has("AmbientCapabilities=CAP_NET_BIND_SERVICE");
    has("CapabilityBoundingSet=CAP_NET_BIND_SERVICE");
    has("StateDirectory=keygate");
    has("ProtectSystem=strict");
    // After an upgrade the new process notifies systemd itself, and systemd must accept that.
    has("Type=notify");
    has("NotifyAccess=all");
    assert!(!unit.contains("ReadWritePaths"));
}
