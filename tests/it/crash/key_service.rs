//! A gateway with a store, for tests that make one request at a time.

use std::process::Command;

use serde_json::{Value, json};

use super::disk::Disk;
use crate::harness::{
    Client, Gateway, Key, Message, Request, Setup, Upstream, hex_digest, wait_for,
};

/// Returns a `gateway.toml` with a store and an admin token of the role `manage`.
pub(super) fn setup(upstream: &Upstream, operator: &Key) -> Setup {
    let digest = hex_digest(&operator.text);
    Gateway::in_front_of(upstream)
        .scope("tickets:read", &["GET /api/v1/tickets"])
        .more(&format!("[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{digest}\""))
        .more("[store]\npath = \"keygate.db\"")
}

/// A running gateway on a disk that may fail.
pub(super) struct KeyAdmin {
    pub(super) gateway: Gateway,
    pub(super) disk: Disk,
    operator: Key,
    _upstream: Upstream,
}

/// A key of the store.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) text: String,
}

impl KeyAdmin {
    pub(super) fn open() -> Self {
        Self::open_with(|setup| setup.more("[revoked]\nkeys = []"))
    }

    pub(super) fn open_with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (upstream, operator) = (Upstream::start(), Key::new("ops", "token_"));
        let disk = Disk::new(change(setup(&upstream, &operator)).write());
        Self { gateway: disk.serve(), disk, operator, _upstream: upstream }
    }

    /// Stops the gateway, changes its files, and starts it again on an ordinary disk.
    pub(super) fn restart_after(self, change: impl FnOnce(&Disk)) -> Self {
        assert!(self.gateway.stop().success());
        change(&self.disk);
        Self { gateway: self.disk.serve_safely(), ..self }
    }

    /// Kills the gateway, which loses what was not synced, and starts it again on an ordinary disk.
    pub(super) fn kill_and_restart(self) -> Self {
        let Self { gateway, disk, operator, _upstream } = self;
        drop(gateway);
        Self { gateway: disk.serve_safely(), disk, operator, _upstream }
    }

    pub(super) fn restart(self) -> Self {
        self.restart_after(|_| ())
    }

    pub(super) fn ask(&self, method: &str, target: &str, body: &Value) -> Message {
        let mut request = Request::new(method, target).host("localhost").bearer(&self.operator);
        if !body.is_null() {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string().as_bytes());
        }
        Client::plain(self.gateway.admin_address()).send(&request)
    }

    pub(super) fn try_to_create(&self, name: &str) -> Message {
        self.ask("POST", "/v1/keys", &json!({ "name": name, "scopes": ["tickets:read"] }))
    }

    #[track_caller]
    pub(super) fn create(&self, name: &str) -> Made {
        let answer = self.try_to_create(name);
        assert_eq!(answer.status(), 201, "{answer:?}");
        let (record, member) = (answer.json(), |record: &Value, name: &str| {
            record[name].as_str().expect("a text").to_owned()
        });
        Made { id: member(&record, "id"), text: member(&record, "key") }
    }

    pub(super) fn revoke(&self, key: &Made) -> Message {
        self.ask("POST", &format!("/v1/keys/{}/revoke", key.id), &json!({}))
    }

    /// Backs up the store to a file beside it, by the command that the README names.
    #[track_caller]
    pub(super) fn back_up(&self, name: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command
            .args(["backup", name, "--admin"])
            .arg(format!("http://{}", self.gateway.admin_address()));
        let output =
            command.env("KEYGATE_ADMIN_TOKEN", &self.operator.text).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }

    /// Returns the status of a request with this key.
    pub(super) fn status(&self, key: &Made) -> u16 {
        let request = Request::get("/api/v1/tickets")
            .header("Authorization", &format!("Bearer {}", key.text));
        self.gateway.send(&request).status()
    }

    /// Makes this key the only one in `[revoked]`, and waits until it is refused.
    #[track_caller]
    pub(super) fn revoke_in_file(&self, key: &Made) {
        self.gateway.edit(|toml| {
            let (before, _) = toml.split_once("[revoked]").expect("the section, which is the last");
            *toml = format!("{before}[revoked]\nkeys = [\"{}\"]\n", key.id);
        });
        wait_for("the edit is in force", || (self.status(key) == 401).then_some(()));
    }

    /// Waits until the store has recorded that this actor revoked the key.
    #[track_caller]
    pub(super) fn wait_for_lasting_revocation(&self, key: &Made, actor: &str) {
        wait_for("the store has been told", || {
            let log =
                self.ask("GET", &format!("/v1/audit?subject={}", key.id), &Value::Null).json();
            let entry = &log["entries"][0];
            (entry["action"] == "key.revoke" && entry["actor"] == actor).then_some(())
        });
    }

    /// Returns the value of a metric without labels.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let page = self.gateway.admin("/metrics").text().to_owned();
        let value =
            page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// Returns the names of the keys in the store.
    pub(super) fn names(&self) -> Vec<String> {
        let page = self.ask("GET", "/v1/keys?source=store", &Value::Null).json();
        page["keys"]
            .as_array()
            .expect("keys")
            .iter()
            .map(|key| key["name"].as_str().expect("a name").to_owned())
            .collect()
    }
}
