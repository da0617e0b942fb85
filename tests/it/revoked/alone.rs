//! An error elsewhere in the file does not delay a revocation.

use std::fs;
use std::io::Write as _;

use serde_json::{Value, json};

use super::{Desk, REFUSED};
use crate::harness::{Key, Setup, field, wait_for};

const LEAKED: &str = "\n[revoked]\nkeys = [\"key_leaked\"]\n";

/// Returns a field of the event about the latest refused file, or an empty text.
fn told(desk: &Desk, name: &str) -> String {
    let events = desk.gateway.events(REFUSED);
    let found = events.last().and_then(|event| field(event, name));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn mistake_elsewhere_does_not_hold_a_revocation_back() {
    let mistakes = [
        "\n[lgo]\n".to_owned(),
        "\n[log]\nrequests = maybe\n".to_owned(),
        "\n[log]\nformat = \"\n".to_owned(),
        "\n[[key]]\nid = \"key_half\"\n".to_owned(),
    ];
    for mistake in mistakes {
        let desk = Desk::open(|setup| setup);
        let good = desk.file_text();
        desk.gateway.edit(|toml| toml.push_str(&format!("{LEAKED}{mistake}")));
        desk.wait_for_status(&desk.leaked.text, 401);
        assert_eq!(desk.status_of(&desk.crm.text), 200);
        wait_for("the event", || told(&desk, "revocations").contains("key_leaked").then_some(()));
        assert!(told(&desk, "revocations").starts_with("in force: "), "{mistake}");
        assert!(!told(&desk, "lines").is_empty(), "{mistake}");
        let errors = desk.reload()["errors"].to_string();
        assert!(errors.contains("gateway.toml:"), "{errors}");
        desk.gateway.signal("HUP");

        // With another error and another key, the earlier revocation remains in force.
        desk.gateway.edit(|toml| *toml = toml.replace("key_leaked\"]", "key_crm\"]"));
        desk.wait_for_status(&desk.crm.text, 401);
        assert_eq!(desk.status_of(&desk.leaked.text), 401, "{mistake}");

        // A valid file that does not name the key ends its revocation.
        desk.gateway.edit(|toml| toml.clone_from(&good));
        desk.wait_for_status(&desk.leaked.text, 200);
        wait_for("the log says so", || {
            let changes = desk.changes("configuration changed");
            changes.contains(&"no longer revoked key_leaked".to_owned()).then_some(())
        });
    }
}

#[test]
fn reload_of_a_file_with_mistakes_tells_what_is_in_force_and_what_is_not() {
    let desk = Desk::open(|setup| setup);
    desk.gateway.edit(|toml| {
        toml.push_str(&format!("\n[revoked]\nkeys = [\"{}\"]\n\n[lgo]\n", desk.leaked.text));
    });
    let answer = desk.ask("POST", "/v1/reload", &Value::Null);
    assert_eq!(answer.status(), 422);
    assert_eq!(desk.status_of(&desk.leaked.text), 401, "it is in force when the answer is there");
    desk.assert_unseen(&desk.leaked.text);
    assert_eq!(desk.config()["revoked_keys"], json!(["key_leaked"]));
    let errors = answer.json()["errors"].to_string();
    // The file watch may have been faster.
    let in_the_log = desk.changes("in force although the file is refused");
    assert_eq!(in_the_log, ["revoked key_leaked"], "{errors}");

    desk.gateway.edit(|toml| *toml = toml.replace("keys = [\"", "keys = [\"key_crm\", [\""));
    wait_for("the event", || {
        told(&desk, "revocations").starts_with("not in force: ").then_some(())
    });
    let errors = desk.reload()["errors"].to_string();
    assert!(errors.contains("not in force: "), "{errors}");
    assert_eq!(desk.status_of(&desk.crm.text), 200);
    assert_eq!(desk.status_of(&desk.leaked.text), 401, "what was in force stays so");
    desk.assert_unseen(&desk.leaked.text);
}

#[test]
fn revocations_that_cannot_be_read_alone_are_said_not_to_be_in_force() {
    let sections = [
        "\n[lgo]\n[revoked]\nkeys = [\"key_crm\"]\n\n[revoked]\nkeys = [\"key_leaked\"]\n",
        "\n[lgo]\n[revoked]\nkeys = [\"key_leaked\"\n",
        "\n[lgo]\n[ revoked ]\nkeys = [\"key_leaked\"]\n",
        "\n[lgo]\n[revoked]\nkyes = [\"key_leaked\"]\nkeys = [\"key_leaked\"]\n",
        "\n[lgo]\ndescription = \"\"\"\n[revoked]\nkeys = [\"key_leaked\"]\n[x]\"\"\"\n",
    ];
    for section in sections {
        let desk = Desk::open(|setup| setup);
        desk.gateway.edit(|toml| toml.push_str(section));
        wait_for("the refusal", || (!desk.gateway.events(REFUSED).is_empty()).then_some(()));
        let revocations = told(&desk, "revocations");
        assert!(revocations.starts_with("not in force: "), "{revocations} of {section}");
        assert_eq!(
            (desk.status_of(&desk.crm.text), desk.status_of(&desk.leaked.text)),
            (200, 200),
            "{section}"
        );
    }
}

#[test]
fn store_is_not_told_of_a_revocation_by_a_file_with_mistakes_until_a_good_one_names_it() {
    let desk = Desk::with_store();
    let good = desk.file_text();
    let (id, text) = desk.make();
    desk.gateway.edit(|toml| toml.push_str(&format!("\n[revoked]\nkeys = [\"{text}\"]\n[lgo]\n")));
    desk.wait_for_status(&text, 401);
    desk.assert_unseen(&text);
    desk.gateway.edit(|toml| toml.clone_from(&good));
    desk.wait_for_status(&text, 200);
    let audit = desk.ask("GET", &format!("/v1/audit?subject={id}"), &Value::Null).text().to_owned();
    assert!(!audit.contains("key.revoke"), "{audit}");

    desk.gateway.edit(|toml| toml.push_str(&format!("\n[revoked]\nkeys = [\"{text}\"]\n[lgo]\n")));
    desk.wait_for_status(&text, 401);
    desk.gateway.edit(|toml| *toml = toml.replace("[lgo]", ""));
    desk.wait_for_store(&id);
    desk.gateway.edit(|toml| toml.clone_from(&good));
    wait_for("the last file", || {
        (desk.gateway.metric("keygate_config_file_differs") == Some(0.0)).then_some(())
    });
    assert_eq!(desk.status_of(&text), 401, "the store knows");
}

#[test]
fn store_is_told_of_a_revocation_by_a_file_that_the_guard_holds_back() {
    let more = |setup: Setup| {
        let setup = setup.more("\n[store]\npath = \"keygate.db\"");
        (0..20).fold(setup, |setup, number| {
            setup.key(&Key::live(&format!("key_more_{number}")).scopes(&["tickets:read"]))
        })
    };
    let desk = Desk::open(more);
    let good = desk.file_text();
    let (id, text) = desk.make();
    desk.gateway.edit(|toml| {
        while let Some(at) = toml.find("key_more_") {
            let start = toml[..at].rfind("[[key]]").expect("its table");
            let end = toml[at..].find("\n[").map_or(toml.len(), |next| at + next);
            toml.replace_range(start..end, "");
        }
        toml.push_str(&format!("\n[revoked]\nkeys = [\"{text}\"]\n"));
    });
    desk.wait_for_status(&text, 401);
    assert_eq!(desk.gateway.events(REFUSED).len(), 1);
    desk.wait_for_store(&id);
    desk.gateway.edit(|toml| toml.clone_from(&good));
    wait_for("the last file", || {
        (desk.gateway.metric("keygate_config_file_differs") == Some(0.0)).then_some(())
    });
    assert_eq!(desk.status_of(&text), 401, "the store knows");
}

#[test]
fn file_that_is_being_written_is_not_read_for_its_revocations() {
    let desk = Desk::open(|setup| setup);
    let good = desk.file_text();
    let mut file = fs::OpenOptions::new().append(true).open(desk.gateway.file()).expect("a file");
    file.write_all(LEAKED.as_bytes()).expect("written");
    file.write_all(b"\n[lg").expect("written");
    file.sync_all().expect("written");
    let answer = desk.ask("POST", "/v1/reload", &Value::Null);
    assert_eq!(answer.status(), 422, "{}", answer.text());
    assert!(answer.text().contains("not in force: "), "{}", answer.text());
    assert_eq!(desk.status_of(&desk.leaked.text), 200, "the writer has yet to finish");
    file.write_all(b"o]\n").expect("written");
    drop(file);
    desk.wait_for_status(&desk.leaked.text, 401);
    desk.gateway.edit(|toml| toml.clone_from(&good));
    desk.wait_for_status(&desk.leaked.text, 200);
}
