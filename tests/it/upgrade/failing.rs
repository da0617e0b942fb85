//! An upgrade that fails: the old process continues with its store, its counts and its addresses.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{STORE, ask, get, make, token};
use crate::harness::{Gateway, Key, Upstream, field, hex_digest, send_signal, wait_for};

/// A gateway with a key in its store, and a limited key in its file, with one request of its limit
/// left.
struct Desk {
    gateway: Gateway,
    stored: String,
    limited: Key,
    _upstream: Upstream,
}

impl Desk {
    fn open() -> Self {
        let upstream = Upstream::start();
        let limited = Key::live("key_limited").scopes(&["*"]).set("rate_limit = \"3/hour\"");
        let gateway =
            Gateway::in_front_of(&upstream).key(&limited).more(&token()).more(STORE).start();
        let (_, stored) = make(&gateway);
        assert_eq!(gateway.send(&get(&limited.text)).status(), 200);
        assert_eq!(gateway.send(&get(&limited.text)).status(), 200);
        Self { gateway, stored, limited, _upstream: upstream }
    }

    /// Replaces the program by a script.
    fn replace_program(&self, script: &str) {
        let beside = self.gateway.program().with_extension("new");
        std::fs::write(&beside, script.replace("PROGRAM", env!("CARGO_BIN_EXE_keygate"))).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(beside, self.gateway.program()).unwrap();
    }

    /// Asserts that the upgrade is refused for this reason and that nothing has changed.
    #[track_caller]
    fn assert_refused(&self, why: &str) {
        let before = self.gateway.process();
        let answer = ask(&self.gateway, "POST", "/v1/upgrade", &Value::Null);
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str()),
            (409, Some("upgrade_failed")),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains(why), "no `{why}` in {}", answer.text());
        assert_eq!(self.gateway.process(), before);
        self.assert_serves();
    }

    #[track_caller]
    fn assert_serves(&self) {
        assert_eq!(self.gateway.send(&get(&self.stored)).status(), 200);
        let (_, new) = make(&self.gateway);
        assert_eq!(self.gateway.send(&get(&new)).status(), 200);
        assert_eq!(self.gateway.admin("/readyz").status(), 200);
    }

    #[track_caller]
    fn assert_counts_are_kept(&self) {
        let statuses = [0; 2].map(|_| self.gateway.send(&get(&self.limited.text)).status());
        assert_eq!(statuses, [200, 429]);
    }
}

#[test]
fn program_that_is_none_or_ends_at_once_changes_nothing() {
    let desk = Desk::open();
    desk.replace_program("#!/bin/sh\nexit 3\n");
    desk.assert_refused("ended before it had taken over");
    desk.replace_program("this is no program");
    desk.assert_refused("the program cannot be started");
    std::fs::remove_file(desk.gateway.program()).unwrap();
    desk.assert_refused("the program cannot be started");
    // Once the program is valid again, it takes over.
    desk.replace_program("#!/bin/sh\nexec PROGRAM \"$@\"\n");
    desk.gateway.upgrade();
    desk.assert_serves();
    desk.assert_counts_are_kept();
}

#[test]
fn mistake_in_the_file_is_told_and_what_runs_goes_on() {
    let desk = Desk::open();
    desk.gateway.edit(|toml| toml.push_str("\n[revoked]\nkyes = []\n"));
    desk.assert_refused("did you mean `keys`");
    desk.assert_counts_are_kept();
}

#[test]
fn address_that_is_taken_is_told_and_what_runs_goes_on() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let desk = Desk::open();
    desk.gateway.edit(|toml| {
        *toml = toml.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{address}\""), 1)
    });
    desk.assert_refused("cannot listen on");
    desk.assert_counts_are_kept();
}

#[test]
fn store_that_the_new_process_cannot_open_is_opened_again_by_the_old_one() {
    let desk = Desk::open();
    let folder = desk.gateway.file().parent().unwrap().to_owned();
    std::fs::write(folder.join("other.db"), "Notes of a meeting. ".repeat(100)).unwrap();
    std::fs::set_permissions(folder.join("other.db"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    desk.gateway.edit(|toml| *toml = toml.replace("keygate.db", "other.db"));
    wait_for("the edit is read", || {
        (!desk.gateway.events("needs a restart").is_empty()).then_some(())
    });
    desk.assert_refused("not a store of Keygate");
    desk.assert_counts_are_kept();
}

#[test]
fn new_process_that_is_killed_at_any_moment_changes_nothing_or_has_taken_over() {
    let desk = Desk::open();
    let mut refused = 0;
    for milliseconds in (0..400).step_by(20) {
        let before = desk.gateway.process();
        let started = desk.gateway.events("upgrade: the program has been started").len();
        send_signal("USR2", before);
        let process = wait_for("the new process", || {
            let event = desk
                .gateway
                .events("upgrade: the program has been started")
                .into_iter()
                .nth(started)?;
            field(&event, "process")?.as_u64()
        });
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        if desk.gateway.process() != before {
            break;
        }
        send_signal("KILL", u32::try_from(process).unwrap());
        let failures = "the upgrade failed; what ran before goes on";
        wait_for("the failure, or a success that came first", || {
            (desk.gateway.events(failures).len() > refused || desk.gateway.process() != before)
                .then_some(())
        });
        if desk.gateway.process() != before {
            // The process was killed after it had taken over, like any gateway that is killed.
            return;
        }
        refused += 1;
        desk.assert_serves();
    }
    assert!(refused > 0);
    desk.assert_serves();
    desk.assert_counts_are_kept();
}

#[test]
fn second_upgrade_at_the_same_time_is_refused_with_a_reason() {
    let desk = Desk::open();
    desk.replace_program("#!/bin/sh\nsleep 1\nexec PROGRAM \"$@\"\n");
    desk.gateway.signal("USR2");
    wait_for("the first", || {
        (!desk.gateway.events("upgrade: the program has been started").is_empty()).then_some(())
    });
    let answer = ask(&desk.gateway, "POST", "/v1/upgrade", &Value::Null);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (409, Some("no_upgrade")));
    assert!(answer.text().contains("another upgrade is under way"), "{}", answer.text());
    wait_for("the first has taken over", || {
        (desk.gateway.events("ready").len() == 2).then_some(())
    });
    desk.assert_serves();
}

#[test]
fn upgrade_by_request_needs_a_token_that_may_manage() {
    let upstream = Upstream::start();
    let token = format!(
        "\n[[admin.token]]\nname = \"eye\"\nrole = \"read\"\nsha256 = \"{}\"\n",
        hex_digest(super::TOKEN)
    );
    let gateway = Gateway::in_front_of(&upstream).more(&token).start();
    assert_eq!(ask(&gateway, "POST", "/v1/upgrade", &Value::Null).status(), 403);
    assert_eq!(gateway.events("ready").len(), 1);
}
