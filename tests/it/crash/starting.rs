//! What prevents a start, and what a reload refuses.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rusqlite::Connection;
use serde_json::json;

use super::disk::Disk;
use super::key_service::{KeyAdmin, Made, setup};
use crate::harness::{Key, Upstream, field, hex_digest, wait_for};

/// Asserts that the gateway refuses to start. Returns what it prints.
#[track_caller]
fn refused_start(disk: &Disk) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    let output = command
        .args(["serve", "--config"])
        .arg(disk.folder().join("gateway.toml"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn write(disk: &Disk, content: &[u8], mode: u32) {
    std::fs::write(disk.store(), content).expect("a file");
    std::fs::set_permissions(disk.store(), Permissions::from_mode(mode)).expect("its mode");
}

#[test]
fn store_that_cannot_be_opened_stops_the_start_and_says_why() {
    let disk = Disk::new(setup(&Upstream::start(), &Key::new("ops", "token_")).write());
    let store = disk.store().display().to_string();
    let assert_said = |why: &str| {
        let said = refused_start(&disk);
        assert!(said.contains(&store) && said.contains(why), "no `{why}` in: {said}");
    };
    write(&disk, b"", 0o644);
    assert_said("run `chmod 600` on it first");
    write(&disk, &b"Notes of a meeting.\n".repeat(100), 0o600);
    assert_said("it is not a store of Keygate");
    write(&disk, b"", 0o600);
    let gateway = disk.serve_safely();
    assert_said("it is open in another process");
    assert!(gateway.stop().success());
    Connection::open(disk.store())
        .expect("a database")
        .execute_batch("PRAGMA user_version = 1000")
        .expect("a version");
    assert_said("a newer Keygate has written it (version 1000");
    std::fs::remove_file(disk.store()).expect("it is gone");
    std::fs::create_dir(disk.store()).expect("a folder in its place");
    std::fs::set_permissions(disk.store(), Permissions::from_mode(0o700)).expect("its mode");
    assert_said("the store");
}

#[test]
fn store_in_a_folder_that_is_not_there_stops_the_start_and_says_why() {
    let disk = Disk::new(setup(&Upstream::start(), &Key::new("ops", "token_")).write());
    let file = disk.folder().join("gateway.toml");
    let toml = std::fs::read_to_string(&file).expect("gateway.toml");
    std::fs::write(&file, toml.replace("keygate.db", "nowhere/keygate.db")).expect("gateway.toml");
    let said = refused_start(&disk);
    assert!(
        said.contains("nowhere/keygate.db") && said.contains("No such file or directory"),
        "{said}"
    );
}

/// Returns a `[[key]]` block, and the line number of this setting if the block is appended to
/// `toml`.
fn block_behind(toml: &str, id: &str, sha256: &str, setting: &str) -> (String, usize) {
    let block = format!("\n[[key]]\nid = \"{id}\"\nname = \"By hand\"\nsha256 = \"{sha256}\"\n");
    let inside = block.lines().position(|line| line.starts_with(setting)).expect("the setting");
    (block, toml.lines().count() + inside + 1)
}

/// Imports a key into the store, with this id and this text.
fn import(admin: &KeyAdmin, id: &str, text: &str) -> Made {
    let body =
        json!({ "id": id, "name": id, "sha256": hex_digest(text), "scopes": ["tickets:read"] });
    let answer = admin.ask("POST", "/v1/keys/import", &body);
    assert_eq!(answer.status(), 201, "{answer:?}");
    Made { id: id.to_owned(), text: text.to_owned() }
}

#[test]
fn key_of_the_file_that_clashes_with_one_of_the_store_is_an_error_that_names_both() {
    let admin = KeyAdmin::open();
    let key = import(&admin, "key_store", &Key::live("a secret").text);
    let original = std::fs::read_to_string(admin.gateway.file()).expect("gateway.toml");
    let other = hex_digest(&Key::live("another secret").text);
    let cases = [
        ("key_store", other, "id", "a key in the store has the id `key_store` too"),
        (
            "key_hand",
            hex_digest(&key.text),
            "sha256",
            "the secret of key `key_hand` is that of key `key_store` in the store",
        ),
    ];
    for (id, sha256, setting, message) in &cases {
        let (block, line) = block_behind(&original, id, sha256, setting);
        let revoking = original.replace("keys = []", "keys = [\"key_store\"]");
        admin.gateway.edit(|toml| *toml = revoking + &block);
        let event = wait_for("the edit is refused", || admin.gateway.events(message).pop());
        assert_eq!(field(&event, "line"), Some(&json!(line)), "{event}");
        assert_eq!(
            (admin.status(&key), admin.metric("keygate_config_file_differs")),
            (401, 1),
            "what ran goes on, but for what the file revokes"
        );
    }
    admin.gateway.edit(|toml| *toml = original.clone());
    wait_for("the file is what runs again", || {
        (admin.metric("keygate_config_file_differs") == 0).then_some(())
    });
    assert_eq!(admin.status(&key), 200, "the store has not been told");
    let disk = &admin.disk;
    assert!(admin.gateway.stop().success());
    for (id, sha256, setting, message) in &cases {
        let (block, line) = block_behind(&original, id, sha256, setting);
        std::fs::write(disk.folder().join("gateway.toml"), original.clone() + &block)
            .expect("gateway.toml");
        let said = refused_start(disk);
        assert!(
            said.contains(message) && said.contains(&format!("gateway.toml:{line}:")),
            "no line {line} in: {said}"
        );
    }
}
