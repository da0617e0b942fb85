//! The pages of the portal in Chromium and Firefox, by the programs in `tests/browser/`.
//! `make test` first runs `scripts/setup.sh`, which installs what they need.

use std::path::Path;
use std::process::{Command, Stdio};

/// The longest that all programs together may run, in seconds.
const LONGEST: &str = "600";

#[test]
fn pages_work_in_chromium_and_firefox() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = project.join("tests/browser");
    let packages = folder.join("node_modules");
    assert!(
        packages.exists(),
        "{} is missing: run `scripts/setup.sh` or `make test`",
        packages.display()
    );
    let output = Command::new("timeout")
        .args([LONGEST, "node", "--test", "--test-concurrency=2", "--test-reporter=spec"])
        // Node looks for the programs itself: the word for a folder of them changed between its
        // versions.
        .current_dir(folder)
        .env("KEYGATE_PROGRAM", env!("CARGO_BIN_EXE_keygate"))
        .stdin(Stdio::null())
        .output()
        .expect("Node starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains('✔'),
        "{}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
