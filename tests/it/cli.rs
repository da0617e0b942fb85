//! The commands as a user types them.

mod demo;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::harness::Gateway;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"

[[api]]
name = "desk"
upstream = "http://127.0.0.1:3000"
environments = { live = "sk_live_", test = "sk_test_" }

[api.scopes."tickets:read"]
allows = ["GET /api/v1/tickets"]

[[api]]
name = "notes"
base_path = "/notes"
upstream = "http://127.0.0.1:3001"
environments = { any = "nt_" }
empty_scopes = "all"
"#;

/// Runs a command in a folder, with empty standard input.
fn keygate(folder: &Path, arguments: &[&str]) -> Output {
    keygate_reading(folder, arguments, b"")
}

pub(super) fn keygate_reading(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(arguments).current_dir(folder).env_remove("KEYGATE_ADMIN_TOKEN");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("keygate starts");
    // A command that refuses at once does not read its input, so the write may fail.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("its output")
}

pub(super) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

pub(super) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

#[track_caller]
pub(super) fn assert_code(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {}\nstderr: {}",
        stdout(output),
        stderr(output)
    );
}

fn folder_with(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), config).expect("gateway.toml is written");
    folder
}

#[test]
fn a_new_keys_block_is_valid_in_the_file_it_was_made_for() {
    let folder = folder_with(CONFIG);
    let more = [
        &["--api", "desk", "--scope", "tickets:read", "--organization", "org_\"acme\""][..],
        &[
            "--api",
            "desk",
            "--environment",
            "test",
            "--id",
            "key_mine",
            "--name",
            "It's \"quoted\" \\ n\u{e4}mlich",
        ],
        &["--prefix", "nt_"],
    ];
    for arguments in more {
        let output = keygate(folder.path(), &[&["keys", "new", "--json"], arguments].concat());
        assert_code(&output, 0);
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let (key, block) = (made["key"].as_str().unwrap(), made["toml"].as_str().unwrap());
        assert!(!block.contains(key), "the block has the key itself");
        let hashed =
            keygate_reading(folder.path(), &["keys", "hash"], format!("{key}\n").as_bytes());
        assert_eq!(stdout(&hashed).trim_end(), made["sha256"].as_str().unwrap());
        let file = folder.path().join("gateway.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{before}\n{block}\n")).unwrap();
        assert_code(&keygate(folder.path(), &["check"]), 0);
    }
}

#[test]
fn a_new_key_is_shown_with_its_block_for_people() {
    let folder = folder_with(CONFIG);
    let output = keygate(folder.path(), &["keys", "new", "--api", "desk"]);
    assert_code(&output, 0);
    let text = stdout(&output);
    let keys: Vec<&str> = text
        .split_whitespace()
        .filter(|word| word.len() == 44 && word.starts_with("sk_live_"))
        .collect();
    assert_eq!(keys.len(), 1, "{text}");
    for part in [
        "[[key]]",
        "apis = [\"desk\"]",
        "scopes = []  # so it may do nothing yet; to choose from: tickets:read",
        "gateway.toml",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn a_new_key_needs_no_file() {
    let folder = tempfile::tempdir().unwrap();
    assert_code(&keygate(folder.path(), &["keys", "new"]), 0);
    let output = keygate(folder.path(), &["keys", "new", "--prefix", "my_", "--json"]);
    assert!(stdout(&output).contains("\"key\":\"my_"), "{}", stdout(&output));
    assert_code(&keygate(folder.path(), &["keys", "new", "--config", "absent.toml"]), 1);
}

#[test]
fn a_new_key_that_the_file_would_refuse_is_not_made() {
    let folder = folder_with(CONFIG);
    let wrong = [
        (&["--api", "desk", "--scope", "ticket:read"][..], "tickets:read"),
        (&[], "--api"),
        (&["--api", "nodes"], "notes"),
        (&["--api", "desk", "--environment", "live2"], "live, test"),
        (&["--api", "desk", "--prefix", "nt_"], "sk_live_"),
        (&["--api", "desk", "--id", "two words"], "id"),
    ];
    for (arguments, hint) in wrong {
        let output = keygate(folder.path(), &[&["keys", "new"], arguments].concat());
        assert_code(&output, 1);
        assert!(
            stdout(&output).is_empty() && stderr(&output).contains(hint),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn nobody_reading_the_output_is_no_panic() {
    let script = r#"set -o pipefail; "$0" keys new | head -c 0; exit "${PIPESTATUS[0]}""#;
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_keygate")])
        .output()
        .expect("bash");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_digest_of_a_key_from_the_standard_input_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683\n";
    for input in ["key", "key\n"] {
        let output = keygate_reading(folder.path(), &["keys", "hash"], input.as_bytes());
        assert_code(&output, 0);
        assert_eq!(stdout(&output), digest);
    }
    for input in ["", "two\nlines\n", "two words", " key"] {
        assert_code(&keygate_reading(folder.path(), &["keys", "hash"], input.as_bytes()), 1);
    }
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["hush-hush"][..],
        &["--key", "hush-hush"],
        &["--key=hush-hush"],
        &["-hush-hush"],
        &["--", "hush-hush"],
    ] {
        let output = keygate(folder.path(), &[&["keys", "hash"], arguments].concat());
        assert_code(&output, 2);
        assert!(stdout(&output).is_empty());
        assert!(
            !stderr(&output).contains("hush") && stderr(&output).contains("command line"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn check_tells_every_mistake_with_its_place() {
    let config = CONFIG
        .replace("empty_scopes", "empty_scope")
        .replace("allows = [\"GET ", "allows = [\"GTE  ");
    let folder = folder_with(&config);
    let output = keygate(folder.path(), &["check"]);
    assert_code(&output, 1);
    let place_of = |part: &str| {
        let line = config.lines().position(|line| line.contains(part)).unwrap() + 1;
        format!("gateway.toml:{line}:")
    };
    for part in ["empty_scope ", "GTE"] {
        assert!(stderr(&output).contains(&place_of(part)), "{part}: {}", stderr(&output));
    }
    assert!(stderr(&output).contains("did you mean `empty_scopes`?"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
}

#[test]
fn check_says_what_a_good_file_has() {
    let folder = folder_with(CONFIG);
    let output = keygate(folder.path(), &["check", "gateway.toml"]);
    assert_code(&output, 0);
    for part in ["gateway.toml is fine", "desk: any host", "notes", "1 scope, 0 keys"] {
        assert!(stdout(&output).contains(part), "{part}: {}", stdout(&output));
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_and_no_usage_mistake() {
    let folder = tempfile::tempdir().unwrap();
    assert_code(&keygate(folder.path(), &["check"]), 1);
    let served = keygate(folder.path(), &["serve"]);
    assert_code(&served, 1);
    assert!(
        stderr(&served).starts_with("gateway.toml: error: cannot be read"),
        "{}",
        stderr(&served)
    );
    assert_code(&keygate(folder.path(), &["chekc"]), 2);
}

#[test]
fn reload_without_a_token_says_how_to_get_one() {
    let folder = folder_with(CONFIG);
    let output = keygate(folder.path(), &["reload"]);
    assert_code(&output, 1);
    for part in ["KEYGATE_ADMIN_TOKEN", "[[admin.token]]", "kill -HUP"] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
}

#[test]
fn reload_tells_the_gateways_changes_and_its_mistakes() {
    let token = "a-token-for-this-test";
    let folder = tempfile::tempdir().unwrap();
    let digest = stdout(&keygate_reading(folder.path(), &["keys", "hash"], token.as_bytes()))
        .trim_end()
        .to_owned();
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"";
    let toml = format!(
        "{CONFIG}\n{admin}\n\n[[admin.token]]\nname = \"ops\"\nsha256 = \"{digest}\"\n\
            role = \"manage\"\n"
    );
    let gateway = Gateway::serve(&toml, None);
    std::fs::write(folder.path().join("token"), format!("{token}\n")).unwrap();
    let url = format!("http://{}", gateway.admin_address());
    let reload = || keygate(folder.path(), &["reload", "--admin", &url, "--token-file", "token"]);

    let unchanged = reload();
    assert_code(&unchanged, 0);
    assert_eq!(stdout(&unchanged), "the file is what runs already\n");

    std::fs::write(gateway.file(), toml.replace("empty_scopes", "empty_scope")).unwrap();
    let refused = reload();
    assert_code(&refused, 1);
    assert!(
        stderr(&refused).contains("did you mean `empty_scopes`?")
            && stderr(&refused).contains("goes on"),
        "{}",
        stderr(&refused)
    );

    std::fs::write(folder.path().join("token"), "another-token").unwrap();
    let stranger = reload();
    assert_code(&stranger, 1);
    assert!(
        stderr(&stranger).contains("[[admin.token]]")
            && !stderr(&stranger).contains("another-token"),
        "{}",
        stderr(&stranger)
    );
}

#[test]
fn the_example_is_fine() {
    let output = keygate(Path::new(env!("CARGO_MANIFEST_DIR")), &["check", "gateway.toml.example"]);
    assert_code(&output, 0);
}
