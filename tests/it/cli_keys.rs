//! Keys managed from the command line: the real commands against a real gateway with a real store.

mod explain;
mod list;
mod names;
mod refusals;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cli::{assert_code, stderr, stdout};
use crate::harness::{Gateway, Key, Request, Upstream, hex_digest};

const TOKEN: &str = "token-of-the-operators";
const NARROW: &str = "token-of-another-organization";

/// A gateway with a key in its file and, by default, a store.
struct Desk {
    gateway: Gateway,
    _upstream: Upstream,
}

/// A command and its standard input.
struct Typed {
    command: Command,
    input: Vec<u8>,
}

impl Typed {
    fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env("KEYGATE_ADMIN_TOKEN", TOKEN).env_remove("COLUMNS");
        Self { command, input: Vec::new() }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn input(mut self, input: &str) -> Self {
        self.input = input.into();
        self
    }

    fn run(mut self) -> Output {
        let command =
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        // A command that refuses at once does not read its input, so the write may fail.
        let _ = child.stdin.take().expect("a pipe").write_all(&self.input);
        child.wait_with_output().expect("its output")
    }
}

impl Desk {
    fn open() -> Self {
        Self::open_with("\n[store]\npath = \"keygate.db\"\n")
    }

    fn open_with(more: &str) -> Self {
        let upstream = Upstream::start();
        let token = |name: &str, text: &str, more: &str| {
            format!(
                "\n[[admin.token]]\nname = \"{name}\"\nrole = \"manage\"\nsha256 = \"{}\"\n\
                    {more}\n",
                hex_digest(text)
            )
        };
        let setup = Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /api/v1/tickets"]);
        let setup = setup
            .scope("tickets:write", &["POST /api/v1/tickets"])
            .key(&Key::live("key_file").scopes(&["tickets:read"]));
        let tokens =
            token("ops", TOKEN, "") + &token("narrow", NARROW, "organization = \"org_other\"");
        Self { gateway: setup.more(&tokens).more(more).start(), _upstream: upstream }
    }

    fn url(&self) -> String {
        format!("http://{}", self.gateway.admin_address())
    }

    fn typed(&self, arguments: &[&str]) -> Typed {
        Typed::new(env!("CARGO_BIN_EXE_keygate"), &[arguments, &["--admin", &self.url()]].concat())
    }

    /// Runs a command, asserts that it succeeds, and returns its standard output.
    #[track_caller]
    fn keygate(&self, arguments: &[&str]) -> String {
        let output = self.typed(arguments).run();
        assert_code(&output, 0);
        stdout(&output).to_owned()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.keygate(&[arguments, &["--json"]].concat())).expect("JSON")
    }

    /// Creates a key that may read tickets. Returns the key and its id.
    #[track_caller]
    fn create(&self, name: &str, more: &[&str]) -> (String, String) {
        let made = self
            .json(&[&["keys", "create", "--name", name, "--scope", "tickets:read"], more].concat());
        (
            made["key"].as_str().expect("the key").to_owned(),
            made["id"].as_str().expect("its id").to_owned(),
        )
    }

    /// Returns the status of a request with this key to the API.
    fn tickets(&self, key: &str) -> u16 {
        self.gateway
            .send(
                &Request::get("/api/v1/tickets").header("Authorization", &format!("Bearer {key}")),
            )
            .status()
    }

    /// Runs a command in a terminal, where `answer` is typed. Its two output streams are combined.
    fn at_a_terminal(&self, arguments: &str, answer: &str) -> Output {
        let line = format!("{} {arguments} --admin {}", env!("CARGO_BIN_EXE_keygate"), self.url());
        Typed::new("script", &["--quiet", "--return", "--command", &line, "/dev/null"])
            .input(&format!("{answer}\n"))
            .run()
    }
}

#[test]
fn created_key_stands_alone_on_stdout_and_opens_the_api_at_once() {
    let desk = Desk::open();
    let output = desk
        .typed(&[
            "keys",
            "create",
            "--name",
            "CRM",
            "--organization",
            "org_acme",
            "--scope",
            "tickets:read",
        ])
        .run();
    assert_code(&output, 0);
    let key = stdout(&output).strip_suffix('\n').expect("one line");
    assert!(
        key.starts_with(&format!("sk_{}_", "live"))
            && key.bytes().all(|byte| byte.is_ascii_graphic()),
        "{}",
        key.len()
    );
    assert_eq!(desk.tickets(key), 200);
    let told = stderr(&output);
    assert!(!told.contains(&key[8..]) && !told.contains(TOKEN), "{told}");
    for part in ["made key_", "CRM", "this once"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!desk.gateway.output().contains(key), "the gateway does not log it");
}

#[test]
// Longer than 60 lines: each option once.
fn key_gets_what_the_command_line_says() {
    let desk = Desk::open();
    let lists = [
        "--scope",
        "tickets:read",
        "--scope",
        "tickets:write",
        "--allow-ip",
        "127.0.0.0/8",
        "--allow-ip",
        "::1",
    ];
    let more = [
        "--allow-endpoint",
        "GET /api/v1/**",
        "--allow-referrer",
        "https://app.example.com/*",
        "--rate-limit",
        "5/min",
    ];
    let rest = [
        "--api",
        "desk",
        "--environment",
        "test",
        "--expires",
        "30d",
        "--organization",
        "org_acme",
    ];
    let made =
        desk.json(&[&["keys", "create", "--name", "All of it"], &lists[..], &more, &rest].concat());
    let id = made["id"].as_str().expect("an id");
    let record = desk.json(&["keys", "show", id]);
    assert!(record.get("key").is_none());
    let texts = |member: &str| -> Vec<String> {
        serde_json::from_value(record[member].clone()).expect("a list of texts")
    };
    assert_eq!(texts("scopes"), ["tickets:read", "tickets:write"]);
    assert_eq!(texts("allow_ips").len(), 2);
    assert_eq!(
        (texts("allow_endpoints"), texts("rate_limit")),
        (vec!["GET /api/v1/**".to_owned()], vec!["5/min".to_owned()])
    );
    assert_eq!(texts("allow_referrers").len(), 1);
    assert_eq!(
        (&record["environment"], &record["organization"]),
        (&Value::from("test"), &Value::from("org_acme"))
    );
    let expires: jiff::Timestamp =
        record["expires_at"].as_str().expect("an end").parse().expect("a moment");
    let days = (expires.as_second() - jiff::Timestamp::now().as_second()) as f64 / 86_400.0;
    assert!((29.9..=30.0).contains(&days), "{days}");

    let shown = desk.keygate(&["keys", "show", id]);
    for part in [
        "All of it",
        "tickets:read, tickets:write",
        "5/min",
        "active",
        "token ops",
        "last used     never",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let changed = desk.json(&[
        "keys",
        "update",
        id,
        "--name",
        "Less",
        "--scope",
        "tickets:read",
        "--clear",
        "expires",
        "--clear",
        "rate-limit",
    ]);
    assert_eq!(
        (&changed["name"], &changed["expires_at"], &changed["rate_limit"]),
        (&Value::from("Less"), &Value::Null, &Value::Null)
    );
    assert_eq!(changed["allow_ips"], record["allow_ips"], "what is not named stays");
    for wrong in [
        &["keys", "update", id][..],
        &["keys", "update", id, "--scope", "tickets:read", "--clear", "scopes"],
    ] {
        assert_code(&desk.typed(wrong).run(), 2);
    }
}

#[test]
fn rotated_key_works_with_both_secrets_until_it_is_revoked() {
    let desk = Desk::open();
    let (old, id) = desk.create("CRM", &[]);
    let output = desk.typed(&["keys", "rotate", &id, "--grace", "1h"]).run();
    assert_code(&output, 0);
    let new = stdout(&output).trim_end();
    assert!(new != old && !stderr(&output).contains(&new[8..]), "{}", stderr(&output));
    assert_eq!((desk.tickets(&old), desk.tickets(new)), (200, 200));
    assert_eq!(desk.keygate(&["keys", "show", &id]).matches("\nsecret").count(), 2);
    assert_eq!(desk.json(&["keys", "pause", &id])["status"], "paused");
    assert_eq!(desk.tickets(new), 401);
    assert!(desk.keygate(&["keys", "resume", &id]).contains("active"));
    assert_eq!(desk.tickets(new), 200);
    assert_eq!(
        desk.keygate(&["keys", "revoke", &id, "--yes", "--reason", "it leaked"]),
        format!("revoked {id}\n")
    );
    assert_eq!((desk.tickets(&old), desk.tickets(new)), (401, 401));
    let shown = desk.keygate(&["keys", "show", &id]);
    assert!(shown.contains("it leaked") && shown.contains("revoked"), "{shown}");
    let again = desk.typed(&["keys", "resume", &id]).run();
    assert_code(&again, 1);
    assert!(stderr(&again).contains("for good"), "{}", stderr(&again));
}

#[test]
fn revoking_asks_at_a_terminal_and_is_refused_where_there_is_none() {
    let desk = Desk::open();
    let (key, id) = desk.create("CRM Integration", &["--organization", "org_acme"]);
    let refused = desk.typed(&["keys", "revoke", &id]).input("y\n").run();
    assert_code(&refused, 2);
    assert!(stderr(&refused).contains("--yes"), "{}", stderr(&refused));
    assert_eq!(desk.tickets(&key), 200);

    for answer in ["n", "", "yesterday"] {
        let declined = desk.at_a_terminal(&format!("keys revoke {id}"), answer);
        assert_code(&declined, 1);
        for part in
            [&*id, "CRM Integration", "org_acme", "last used", "[y/N]", "nothing is revoked"]
        {
            assert!(stdout(&declined).contains(part), "{part}: {}", stdout(&declined));
        }
        assert_eq!(desk.tickets(&key), 200);
    }
    let confirmed = desk.at_a_terminal(&format!("keys revoke {id}"), "y");
    assert_code(&confirmed, 0);
    assert!(stdout(&confirmed).contains(&format!("revoked {id}")), "{}", stdout(&confirmed));
    assert_eq!(desk.tickets(&key), 401);
}

#[test]
fn imported_key_is_hashed_here_and_opens_the_api() {
    let desk = Desk::open();
    let key = format!("sk_{}_of-an-older-gateway", "live");
    let import = ["keys", "import", "--name", "Old", "--id", "key_old", "--scope", "tickets:read"];
    let output =
        desk.typed(&[&import[..], &["--from-stdin"]].concat()).input(&format!("{key}\n")).run();
    assert_code(&output, 0);
    assert!(
        !stdout(&output).contains(&key)
            && !stderr(&output).contains(&key)
            && stdout(&output).contains("key_old")
    );
    assert_eq!(desk.tickets(&key), 200);
    let other = format!("sk_{}_of-another-gateway", "live");
    let record = desk.json(&[
        "keys",
        "import",
        "--name",
        "Other",
        "--scope",
        "tickets:read",
        "--sha256",
        &hex_digest(&other),
    ]);
    assert!(record["id"].as_str().is_some_and(|id| id.starts_with("key_")), "{record}");
    assert_eq!(desk.tickets(&other), 200);
    let mistaken = desk.typed(&["keys", "import", "--name", "Mistaken", "--sha256", &key]).run();
    assert_code(&mistaken, 2);
    assert!(!stderr(&mistaken).contains(&key), "a key in the wrong place is not repeated");
    assert_code(&desk.typed(&["keys", "import", "--name", "Neither"]).run(), 2);
}

#[test]
fn organizations_use_audit_and_backup_are_at_hand() {
    let desk = Desk::open();
    let (key, id) = desk.create("CRM", &["--organization", "org acme/1"]);
    assert_eq!(desk.tickets(&key), 200);
    assert!(desk.keygate(&["organizations", "suspend", "org acme/1"]).contains("suspended since"));
    assert_eq!(desk.tickets(&key), 401);
    assert_eq!(desk.json(&["organizations", "resume", "org acme/1"])["suspended_at"], Value::Null);
    assert_eq!(desk.json(&["organizations", "cap", "org acme/1", "7"])["key_cap"], 7);
    assert!(desk.keygate(&["organizations", "show", "org acme/1"]).contains("1 of 7"));
    assert!(desk.keygate(&["organizations", "list"]).contains("org acme/1  1     7    active"));
    assert_ne!(desk.json(&["organizations", "cap", "org acme/1", "default"])["key_cap"], 7);
    assert_code(&desk.typed(&["organizations", "cap", "org acme/1", "many"]).run(), 2);

    assert_eq!(desk.json(&["keys", "use", &id])["id"], Value::from(id.as_str()));
    assert_code(
        &desk.typed(&["keys", "use", &id, "--from", "2026-01-01", "--to", "2026-01-02"]).run(),
        0,
    );
    let audit = desk.keygate(&["audit", "--organization", "org acme/1"]);
    for part in ["key.create", "token ops", &id] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
    assert!(
        desk.json(&["audit", "--all"])["entries"]
            .as_array()
            .is_some_and(|entries| entries.len() >= 4)
    );

    let path = desk.keygate(&["backup", "copy.db"]);
    assert!(Path::new(path.trim_end()).is_file(), "{path}");
    let again = desk.typed(&["backup", "copy.db"]).run();
    assert_code(&again, 1);
    assert!(stderr(&again).contains("error: "), "{}", stderr(&again));
}
