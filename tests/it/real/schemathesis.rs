//! Tests the admin API against its OpenAPI description with Schemathesis, which knows only the
//! description.

use std::process::Command;

use super::super::harness::{Gateway, Key, Upstream, hex_digest};
use super::programs::{file, tool};

/// The longest that all phases may run, in seconds. A run takes about a minute.
const DEADLINE: &str = "240";

#[test]
fn schemathesis_finds_nothing_in_any_phase() {
    let upstream = Upstream::start();
    let key = Key::live("key_file").scopes(&["tickets:read"]).set("organization = \"org_file\"");
    let token = "token-of-schemathesis";
    let settings = format!(
        "\n[store]\npath = \"keygate.db\"\nkeys_per_organization = 100000\n\n[[admin.token]]\n\
            name = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
        hex_digest(token)
    );
    let setup = Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /api/v1/tickets/**"]);
    let gateway = setup.key(&key).more(&settings).start();
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("timeout")
        .arg(DEADLINE)
        .arg(tool("python/bin/schemathesis"))
        .arg("--config-file")
        .arg(file("tests/real/schemathesis.toml"))
        .args([
            "run",
            &format!("http://{}/openapi.json", gateway.admin_address()),
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ])
        // Which process serves is not part of the description, and the harness must know which one
        // does.
        .args(["--exclude-path", "/v1/upgrade"])
        .args([
            "--checks",
            "all",
            "--no-color",
            "--header",
            &format!("Authorization: Bearer {token}"),
        ])
        .current_dir(folder.path())
        .output()
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        let line = said.lines().find(|line| line.contains("✅") && line.contains(phase));
        assert!(line.is_some(), "the phase {phase} has run: {said}");
    }
    assert!(gateway.events("a task panicked").is_empty());
}
