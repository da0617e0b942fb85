//! A saved edit of `gateway.toml`, or of a file that it names, takes effect, and an invalid one
//! changes nothing.

mod by_request;
mod certificates;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Client, Gateway, Key, Request, Upstream, field, hex_digest, wait_for};

const TOKEN: &str = "token-of-a-test";

/// A gateway with two keys, and a file that ends where `[revoked]` can be appended.
struct Desk {
    upstream: Upstream,
    gateway: Gateway,
    crm: Key,
    leaked: Key,
}

impl Desk {
    fn open() -> Self {
        let upstream = Upstream::start();
        let reader = |id| Key::live(id).scopes(&["tickets:read"]);
        let (crm, leaked) = (reader("key_crm"), reader("key_leaked"));
        let token = format!(
            "\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
            hex_digest(TOKEN)
        );
        let setup = Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /api/v1/tickets"]);
        let gateway = setup.key(&crm).key(&leaked).more(&token).start();
        Self { upstream, gateway, crm, leaked }
    }

    fn status(&self, key: &Key) -> u16 {
        self.gateway.send(&Request::get("/api/v1/tickets").bearer(key)).status()
    }

    #[track_caller]
    fn wait_for_status(&self, key: &Key, status: u16) {
        wait_for(&format!("status {status}"), || (self.status(key) == status).then_some(()));
    }

    fn text(&self) -> String {
        fs::read_to_string(self.gateway.file()).unwrap()
    }

    fn admin(&self, request: &Request) -> (u16, Value) {
        let answer =
            Client::plain(self.gateway.admin_address()).send(&request.clone().host("127.0.0.1"));
        (answer.status(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    fn reload(&self) -> (u16, Value) {
        self.admin(
            &Request::new("POST", "/v1/reload").header("Authorization", &format!("Bearer {TOKEN}")),
        )
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let page = Client::plain(self.gateway.admin_address())
            .send(&Request::get("/metrics").host("127.0.0.1"));
        page.text()
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    #[track_caller]
    fn wait_for_metric(&self, series: &str, value: f64) {
        wait_for(&format!("{series} is {value}"), || {
            (self.metric(series) == Some(value)).then_some(())
        });
    }

    #[track_caller]
    fn assert_leaked_is_refused_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            assert_eq!(self.status(&self.leaked), 401);
        }
    }
}

const REVOKED: &str = "\n[revoked]\nkeys = [\"key_leaked\"]\n";

#[test]
fn revoked_key_gets_401_once_an_editor_has_renamed_its_file_into_place() {
    let desk = Desk::open();
    assert_eq!((desk.status(&desk.crm), desk.status(&desk.leaked)), (200, 200));
    desk.gateway.edit(|toml| toml.push_str(REVOKED));
    desk.wait_for_status(&desk.leaked, 401);
    let asked = desk.upstream.requests().len();
    assert_eq!(desk.status(&desk.leaked), 401);
    assert_eq!(desk.upstream.requests().len(), asked, "the upstream is not asked");
    assert_eq!(desk.status(&desk.crm), 200);
    desk.wait_for_metric("keygate_revocation_seconds_count", 1.0);
    desk.wait_for_metric("keygate_reloads_total{result=\"success\"}", 1.0);
}

#[test]
fn revoked_key_gets_401_once_an_editor_has_written_in_place() {
    let desk = Desk::open();
    desk.gateway.edit_in_place(|toml| toml.push_str(REVOKED));
    desk.wait_for_status(&desk.leaked, 401);
}

#[test]
fn revoked_key_gets_401_on_a_connection_that_was_open_before() {
    let desk = Desk::open();
    let mut connection = desk.gateway.client();
    let request = Request::get("/api/v1/tickets").bearer(&desk.leaked);
    assert_eq!(connection.send(&request).status(), 200);
    desk.gateway.edit(|toml| toml.push_str(REVOKED));
    wait_for("401", || (connection.send(&request).status() == 401).then_some(()));
}

#[test]
fn edit_logs_what_it_changes_and_names_no_secret() {
    let desk = Desk::open();
    desk.gateway.edit(|toml| toml.push_str(REVOKED));
    let changes = wait_for("the change in the log", || {
        let changes = desk.gateway.events("configuration changed");
        (!changes.is_empty()).then_some(changes)
    });
    let names_it = |event: &Value| {
        field(event, "change")
            .and_then(Value::as_str)
            .is_some_and(|change| change.contains("key_leaked"))
    };
    assert!(changes.iter().any(names_it), "{changes:#?}");
    assert!(!desk.gateway.output().contains(&desk.leaked.text));
    assert!(!desk.gateway.output().contains(&hex_digest(&desk.leaked.text)));
}

#[test]
fn half_written_file_without_its_end_never_revives_a_key() {
    let desk = Desk::open();
    desk.gateway.edit(|toml| toml.push_str(REVOKED));
    desk.wait_for_status(&desk.leaked, 401);
    let added = Key::live("key_new").scopes(&["tickets:read"]);
    let toml = desk.text();
    let (before, revoked) = toml.split_at(toml.find("[revoked]").unwrap());
    // An editor that truncates the file and then writes slowly, so that for a while only the
    // revocations are missing.
    let mut file =
        fs::OpenOptions::new().write(true).truncate(true).open(desk.gateway.file()).unwrap();
    desk.assert_leaked_is_refused_for(Duration::from_millis(1500));
    file.write_all(before.as_bytes()).unwrap();
    file.write_all(added.block().as_bytes()).unwrap();
    file.sync_all().unwrap();
    desk.assert_leaked_is_refused_for(Duration::from_secs(4));
    assert_eq!(desk.status(&added), 401, "it is not finished");
    file.write_all(b"\n").unwrap();
    file.write_all(revoked.as_bytes()).unwrap();
    drop(file);
    desk.wait_for_status(&added, 200);
    assert_eq!(desk.status(&desk.leaked), 401);
}

#[test]
fn deleted_file_changes_nothing_but_the_gauge_until_it_returns() {
    let desk = Desk::open();
    let toml = desk.text();
    fs::remove_file(desk.gateway.file()).unwrap();
    desk.wait_for_metric("keygate_config_file_differs", 1.0);
    assert_eq!(desk.status(&desk.crm), 200);
    fs::write(desk.gateway.file(), &toml).unwrap();
    desk.wait_for_metric("keygate_config_file_differs", 0.0);
    fs::remove_file(desk.gateway.file()).unwrap();
    desk.wait_for_metric("keygate_config_file_differs", 1.0);
    fs::write(desk.gateway.file(), toml + REVOKED).unwrap();
    desk.wait_for_status(&desk.leaked, 401);
    desk.wait_for_metric("keygate_config_file_differs", 0.0);
}

#[test]
fn file_moved_away_and_another_moved_in_is_loaded() {
    let desk = Desk::open();
    let folder = desk.gateway.file().parent().unwrap().to_owned();
    fs::write(folder.join("prepared.toml"), desk.text() + REVOKED).unwrap();
    fs::rename(desk.gateway.file(), folder.join("gateway.toml~")).unwrap();
    fs::rename(folder.join("prepared.toml"), desk.gateway.file()).unwrap();
    desk.wait_for_status(&desk.leaked, 401);
    // Restores the old file.
    fs::rename(folder.join("gateway.toml~"), desk.gateway.file()).unwrap();
    desk.wait_for_status(&desk.leaked, 200);
}

#[test]
fn kubernetes_style_swap_of_a_link_is_loaded() {
    let desk = Desk::open();
    let folder = desk.gateway.file().parent().unwrap().to_owned();
    let version = |name: &str, toml: String| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("gateway.toml"), toml).unwrap();
    };
    let swap = |target: &str, link: &str| {
        symlink(target, folder.join("..tmp")).unwrap();
        fs::rename(folder.join("..tmp"), folder.join(link)).unwrap();
    };
    version("..v1", desk.text() + REVOKED);
    swap("..v1", "..data");
    swap("..data/gateway.toml", "gateway.toml");
    desk.wait_for_status(&desk.leaked, 401);
    version("..v2", desk.text().replace("\"key_leaked\"]", "\"key_crm\"]"));
    swap("..v2", "..data");
    desk.wait_for_status(&desk.crm, 401);
    assert_eq!(desk.status(&desk.leaked), 200);
    // Writes in place to the file that the links lead to.
    fs::write(
        folder.join("..v2/gateway.toml"),
        desk.text().replace("[\"key_crm\"]", "[\"key_crm\", \"key_leaked\"]"),
    )
    .unwrap();
    desk.wait_for_status(&desk.leaked, 401);
}

#[test]
fn bad_file_is_reported_and_what_runs_stays() {
    let desk = Desk::open();
    desk.gateway.edit(|toml| toml.push_str("\n[revoked]\nkyes = [\"key_leaked\"]\n"));
    desk.wait_for_metric("keygate_reloads_total{result=\"failure\"}", 1.0);
    assert_eq!(desk.metric("keygate_config_file_differs"), Some(1.0));
    let line = desk.text().lines().position(|line| line.starts_with("kyes")).unwrap() + 1;
    let error = wait_for("the error in the log", || {
        let output = desk.gateway.output();
        output.lines().find(|line| line.contains("kyes")).map(str::to_owned)
    });
    let error: Value = serde_json::from_str(&error).unwrap();
    assert!(
        field(&error, "file")
            .is_some_and(|file| file.as_str().is_some_and(|file| file.ends_with("gateway.toml"))),
        "{error}"
    );
    assert_eq!(field(&error, "line"), Some(&Value::from(line)));
    assert_eq!(field(&error, "column"), Some(&Value::from(1)));
    assert!(error.to_string().contains("did you mean `keys`"), "{error}");
    assert_eq!((desk.status(&desk.crm), desk.status(&desk.leaked)), (200, 200));
    desk.gateway.edit(|toml| *toml = toml.replace("kyes", "keys"));
    desk.wait_for_status(&desk.leaked, 401);
    desk.wait_for_metric("keygate_config_file_differs", 0.0);
    assert_eq!(desk.metric("keygate_reloads_total{result=\"failure\"}"), Some(1.0));
}

#[test]
fn hangup_signal_reads_the_files_that_gateway_toml_names_again() {
    let desk = Desk::open();
    let folder = desk.gateway.file().parent().unwrap().to_owned();
    fs::write(folder.join("desk.auth"), "Token first").unwrap();
    let header = "\n[api.upstream_headers]\nAuthorization = \"file:desk.auth\"\n";
    desk.gateway.edit(|toml| {
        let at = toml.find("\n[api.scopes").unwrap();
        toml.insert_str(at, header);
    });
    let sent = || {
        assert_eq!(desk.status(&desk.crm), 200);
        desk.upstream.last().header("authorization").map(str::to_owned)
    };
    wait_for("the header", || (sent().as_deref() == Some("Token first")).then_some(()));
    fs::write(folder.join("desk.auth"), "Token second").unwrap();
    assert_eq!(sent().as_deref(), Some("Token first"));
    desk.gateway.signal("HUP");
    wait_for("the new header", || (sent().as_deref() == Some("Token second")).then_some(()));
}

#[test]
fn counts_survive_an_edit() {
    let desk = Desk::open();
    let limited = Key::live("key_limited").scopes(&["tickets:read"]).set("rate_limit = \"3/hour\"");
    desk.gateway.edit(|toml| toml.push_str(&limited.block()));
    // Unknown keys are not counted, so the first 200 is the first of three.
    desk.wait_for_status(&limited, 200);
    assert_eq!(desk.status(&limited), 200);
    desk.gateway.edit(|toml| toml.push_str(REVOKED));
    desk.wait_for_status(&desk.leaked, 401);
    assert_eq!((desk.status(&limited), desk.status(&limited)), (200, 429));
}

#[test]
fn change_of_a_listener_needs_a_restart_and_says_so() {
    let desk = Desk::open();
    desk.gateway.edit(|toml| *toml = toml.replacen("workers = 2", "workers = 3", 1));
    wait_for("the warning", || (!desk.gateway.events("needs a restart").is_empty()).then_some(()));
    let (_, report) = desk.reload();
    assert!(report["needs_restart"].to_string().contains("server.workers"), "{report}");
    desk.gateway.edit(|toml| *toml = toml.replacen("workers = 3", "workers = 2", 1));
    wait_for("nothing left to restart for", || {
        (desk.reload().1["needs_restart"] == Value::Array(Vec::new())).then_some(())
    });
}
