//! An edit that drops a large share of the file's keys does not take effect until an operator
//! confirms it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Client, Gateway, Key, Request, Upstream, field, hex_digest, wait_for};

const TOKEN: &str = "token-of-a-guarded-gateway";
const REFUSED: &str = "the file is refused; what ran before goes on";

/// A gateway whose file has this many keys, at the end of the file.
struct Desk {
    _upstream: Upstream,
    gateway: Gateway,
    keys: Vec<Key>,
    /// The file before the keys.
    head: String,
}

impl Desk {
    fn open(count: usize, settings: &str) -> Self {
        let upstream = Upstream::start();
        let keys: Vec<Key> = (0..count)
            .map(|index| {
                Key::live(&format!("key_{index}"))
                    .scopes(&["*"])
                    .set(&format!("organization = \"org_{}\"", index % 4))
            })
            .collect();
        let token = format!(
            "\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n{settings}",
            hex_digest(TOKEN)
        );
        let setup = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).more(&token);
        let gateway = keys.iter().fold(setup, super::harness::Setup::key).start();
        let text = fs::read_to_string(gateway.file()).expect("the file");
        let head = text[..text.find("[[key]]").expect("there is a key")].to_owned();
        Self { _upstream: upstream, gateway, keys, head }
    }

    fn status(&self, index: usize) -> u16 {
        self.gateway.send(&Request::get("/api/v1/tickets").bearer(&self.keys[index])).status()
    }

    #[track_caller]
    fn wait_for_status(&self, index: usize, status: u16) {
        wait_for(&format!("status {status} for key_{index}"), || {
            (self.status(index) == status).then_some(())
        });
    }

    /// Saves a file with only the first `keys` keys, and with these lines at its end.
    fn save(&self, keys: usize, more: &str) {
        let blocks: String = self.keys[..keys].iter().map(Key::block).collect();
        self.gateway.edit(|toml| *toml = format!("{}{blocks}\n{more}", self.head));
    }

    /// Waits until `count` files have been refused.
    #[track_caller]
    fn wait_for_refusals(&self, count: usize) {
        wait_for("the refusal", || (self.gateway.events(REFUSED).len() >= count).then_some(()));
        assert_eq!(self.metric("keygate_config_file_differs"), 1.0);
    }

    fn metric(&self, series: &str) -> f64 {
        let page = self.gateway.admin("/metrics");
        let value = page
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not on the page"))
    }

    /// Sends `POST /v1/reload` with this body.
    fn reload(&self, body: &[u8]) -> (u16, Value) {
        let request = Request::new("POST", "/v1/reload")
            .host("127.0.0.1")
            .header("Authorization", &format!("Bearer {TOKEN}"));
        let request = if body.is_empty() {
            request
        } else {
            request.header("Content-Type", "application/json").body(body)
        };
        let answer = Client::plain(self.gateway.admin_address()).send(&request);
        (answer.status(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Runs `keygate reload` with these arguments.
    fn command(&self, arguments: &[&str]) -> Output {
        let url = format!("http://{}", self.gateway.admin_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(["reload", "--admin", &url]).args(arguments).env("KEYGATE_ADMIN_TOKEN", TOKEN);
        command.output().expect("keygate starts")
    }
}

/// Returns the values of `change` of all events with this message.
fn changes(gateway: &Gateway, message: &str) -> Vec<String> {
    gateway
        .events(message)
        .iter()
        .filter_map(|event| field(event, "change")?.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn edit_that_drops_most_keys_is_refused_with_what_it_would_change() {
    let desk = Desk::open(20, "");
    desk.save(5, "");
    desk.wait_for_refusals(1);
    assert_eq!((desk.status(0), desk.status(19)), (200, 200), "what ran before goes on");
    wait_for("the changes in the log", || {
        changes(&desk.gateway, "not in force").contains(&"- key key_19".to_owned()).then_some(())
    });
    let output = desk.gateway.output();
    assert!(
        output.contains("it would drop 15 of 20 keys") && output.contains("keygate reload --force"),
        "{output}"
    );

    let (status, answer) = desk.reload(b"");
    assert_eq!(status, 422);
    let errors = answer["errors"].to_string();
    for part in [
        "it would drop 15 of 20 keys",
        "(50%)",
        "keygate reload --force",
        "not in force: - key key_5",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert_eq!(desk.status(19), 200);
    // SIGHUP is no confirmation either.
    let before = desk.gateway.events(REFUSED).len();
    desk.gateway.signal("HUP");
    desk.wait_for_refusals(before + 1);
    assert_eq!(desk.status(19), 200);
}

#[test]
fn diff_of_a_refused_file_is_bounded() {
    let desk = Desk::open(120, "");
    desk.save(0, "");
    desk.wait_for_refusals(1);
    let (_, answer) = desk.reload(b"");
    let errors = answer["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 52, "the reason, fifty keys, and how many more there are");
    assert_eq!(errors[51]["message"], "not in force: and more keys: 70 removed");
}

#[test]
fn revocation_is_in_force_although_its_file_is_refused() {
    let desk = Desk::open(20, "");
    desk.save(4, "[revoked]\nkeys = [\"key_1\", \"key_19\"]\norganizations = [\"org_2\"]\n");
    desk.wait_for_refusals(1);
    // The file keeps key_1 and drops key_19, and the organization has keys of both kinds.
    for (index, status) in [(0, 200), (1, 401), (2, 401), (18, 401), (19, 401), (17, 200)] {
        assert_eq!(desk.status(index), status, "key_{index}");
    }
    let revoked = changes(&desk.gateway, "in force although the file is refused");
    assert_eq!(revoked, ["revoked key_1", "revoked key_19", "revoked organization org_2"]);
    assert_eq!(desk.metric("keygate_revocation_seconds_count"), 1.0);
}

#[test]
fn file_that_is_refused_revives_no_key() {
    let desk = Desk::open(20, "");
    desk.save(20, "[revoked]\nkeys = [\"key_0\"]\norganizations = [\"org_1\"]\n");
    desk.wait_for_status(0, 401);
    desk.wait_for_status(1, 401);
    // A truncated file: the last keys and the list after them are missing.
    desk.save(2, "");
    desk.wait_for_refusals(1);
    assert_eq!((desk.status(0), desk.status(1), desk.status(2)), (401, 401, 200));
    let (status, _) = desk.reload(b"{}");
    assert_eq!((status, desk.status(0)), (422, 401));
}

#[test]
fn file_that_was_in_force_before_is_in_force_again_when_it_is_restored() {
    let desk = Desk::open(20, "");
    let good = fs::read_to_string(desk.gateway.file()).expect("the file");
    desk.save(3, "");
    desk.wait_for_refusals(1);
    desk.gateway.edit(|toml| toml.clone_from(&good));
    wait_for("the file is what runs", || {
        (desk.metric("keygate_config_file_differs") == 0.0).then_some(())
    });
    assert_eq!(desk.status(19), 200);

    // The good file also takes effect after a refused file has revoked a key that the good one does
    // not revoke.
    desk.save(3, "[revoked]\nkeys = [\"key_7\"]\n");
    desk.wait_for_status(7, 401);
    desk.gateway.edit(|toml| toml.clone_from(&good));
    desk.wait_for_status(7, 200);
    wait_for("the file is what runs", || {
        (desk.metric("keygate_config_file_differs") == 0.0).then_some(())
    });
}

#[test]
fn forced_reload_drops_the_keys() {
    let desk = Desk::open(20, "");
    desk.save(5, "[revoked]\nkeys = [\"key_4\"]\n");
    desk.wait_for_refusals(1);
    for body in [&b"{\"force\": 1}"[..], b"{\"forse\": true}", b"[]", b"force"] {
        let (status, _) = desk.reload(body);
        assert!(matches!(status, 400 | 422), "{status}");
        assert_eq!(desk.status(19), 200);
    }
    assert_eq!(desk.reload(b"{\"force\": false}").0, 422);
    let (status, answer) = desk.reload(b"{\"force\": true}");
    assert_eq!(status, 200, "{answer}");
    let dropped = answer["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .filter(|change| change.as_str().is_some_and(|it| it.starts_with("- key")));
    assert_eq!(dropped.count(), 15);
    assert_eq!((desk.status(0), desk.status(4), desk.status(19)), (200, 401, 401));
    assert_eq!(desk.metric("keygate_config_file_differs"), 0.0);
}

#[test]
fn reload_command_shows_the_refusal_and_forces_only_when_told() {
    let desk = Desk::open(20, "");
    desk.save(5, "");
    desk.wait_for_refusals(1);
    let refused = desk.command(&[]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    for part in [
        "it would drop 15 of 20 keys",
        "keygate reload --force",
        "- key key_19",
        "goes on with what it had",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(desk.status(19), 200);
    let forced = desk.command(&["--force"]);
    assert_eq!(forced.status.code(), Some(0), "{forced:?}");
    assert!(String::from_utf8_lossy(&forced.stdout).contains("- key key_19"), "{forced:?}");
    assert_eq!((desk.status(0), desk.status(19)), (200, 401));
}

#[test]
fn fewer_than_ten_keys_may_go_without_being_asked_about() {
    let desk = Desk::open(9, "");
    desk.save(0, "");
    desk.wait_for_status(0, 401);
    desk.wait_for_status(8, 401);
    assert!(desk.gateway.events(REFUSED).is_empty());
}

#[test]
fn edit_cannot_drop_keys_and_lift_the_guard_at_once() {
    let desk = Desk::open(20, "\n[reload]\nmax_removed_keys = \"60%\"\n");
    desk.save(8, "");
    desk.wait_for_status(19, 401);
    assert!(desk.gateway.events(REFUSED).is_empty(), "12 of 20 are 60%");
    desk.save(20, "");
    desk.wait_for_status(19, 200);
    let lifted = desk.head.replace("60%", "100%");
    let all: String = desk.keys.iter().map(Key::block).collect();
    desk.gateway.edit(|toml| toml.clone_from(&lifted));
    desk.wait_for_refusals(1);
    assert_eq!(desk.status(19), 200);
    // Lifting the guard first, and dropping the keys in a second edit, counts as confirmation.
    desk.gateway.edit(|toml| *toml = format!("{lifted}{all}"));
    wait_for("the guard is lifted", || {
        changes(&desk.gateway, "configuration changed")
            .iter()
            .any(|it| it.contains("max_removed_keys"))
            .then_some(())
    });
    desk.gateway.edit(|toml| toml.clone_from(&lifted));
    desk.wait_for_status(19, 401);
}
