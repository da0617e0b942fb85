//! Keys managed from the command line: the real commands against a real gateway with a real store.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cli::{assert_code, stderr, stdout};
use crate::harness::{Gateway, Key, Message, Request, Upstream, hex_digest};

const TOKEN: &str = "token-of-the-operators";
const NARROW: &str = "token-of-another-organization";

/// A gateway with a store and a key of the file.
struct Desk {
    gateway: Gateway,
    _upstream: Upstream,
}

/// A command, and what it is told.
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
        // A command that refuses at once does not read it.
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

    /// Runs a command that is to succeed, and returns its standard output.
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

    /// Makes a key that may read tickets; the key, and its id.
    #[track_caller]
    fn create(&self, name: &str, more: &[&str]) -> (String, String) {
        let made = self
            .json(&[&["keys", "create", "--name", name, "--scope", "tickets:read"], more].concat());
        (
            made["key"].as_str().expect("the key").to_owned(),
            made["id"].as_str().expect("its id").to_owned(),
        )
    }

    /// The status that a caller with this key gets.
    fn tickets(&self, key: &str) -> u16 {
        self.gateway
            .send(
                &Request::get("/api/v1/tickets").header("Authorization", &format!("Bearer {key}")),
            )
            .status()
    }

    /// Runs a command at a terminal, where `answer` is typed; both outputs in one.
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
fn names_show_what_is_invisible_in_them_and_new_ones_cannot_turn_a_line_around() {
    let desk = Desk::open();
    for (what, name) in [
        ("an override", "a\u{202e}b"),
        ("an isolate without an end", "a\u{2067}b"),
        ("an isolate that ends twice", "a\u{2067}b\u{2069}\u{2069}"),
        ("a line separator", "a\u{2028}b"),
        ("a paragraph separator", "a\u{2029}b"),
        ("a space without width", "a\u{200b}b"),
        ("a byte order mark", "a\u{feff}b"),
    ] {
        for option in
            [["--name", name, "--organization", "acme"], ["--name", "a", "--organization", name]]
        {
            let arguments = [&["keys", "create", "--scope", "tickets:read"], &option[..]].concat();
            let output = desk.typed(&arguments).run();
            assert_code(&output, 1);
            let told = stderr(&output);
            assert!(told.contains("cannot be seen"), "{what}: {told}");
        }
    }
    // Persian and Hindi words need joiners, Hebrew is written from the right, and what an isolate
    // turns around ends with it.
    for name in [
        "\u{646}\u{645}\u{6cc}\u{200c}\u{62e}",
        "\u{915}\u{94d}\u{200d}\u{937}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "a\u{2067}b\u{2069}",
    ] {
        let (_, id) = desk.create(name, &[]);
        assert_eq!(desk.json(&["keys", "show", &id])["name"], name);
        let joiners = ['\u{200c}', '\u{200d}', '\u{2067}', '\u{2069}'];
        for shown in [desk.keygate(&["keys", "show", &id]), desk.keygate(&["keys", "list"])] {
            assert!(!shown.contains(joiners), "{shown:?}");
            let letters = |character: &char| !joiners.contains(character);
            assert!(name.chars().filter(letters).all(|letter| shown.contains(letter)), "{shown:?}");
        }
    }
}

#[test]
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
fn list_fits_the_terminal_and_follows_pages() {
    let desk = Desk::open();
    for number in 0..3 {
        desk.create(
            &format!("Client {number} with a name that goes on and on and on"),
            &["--organization", "organization_of_the_acme_company"],
        );
    }
    let names: Vec<String> = desk.keygate(&["keys", "list"]).lines().map(str::to_owned).collect();
    assert_eq!(names.len(), 5, "a head, a key of the file, three of the store: {names:?}");
    assert!(names[0].starts_with("ID") && names[1].starts_with("key_file"), "{names:?}");
    assert!(
        names[2].contains("goes on and on and on"),
        "whoever reads a pipe gets all of it: {names:?}"
    );
    for columns in [40, 60, 80, 100] {
        let output = desk.typed(&["keys", "list"]).env("COLUMNS", &columns.to_string()).run();
        assert_code(&output, 0);
        let widest = stdout(&output).lines().map(|line| line.chars().count()).max();
        assert!(
            widest.is_some_and(|widest| widest <= columns) && stdout(&output).contains('…'),
            "{columns}: {}",
            stdout(&output)
        );
    }
    let page = desk.typed(&["keys", "list", "--limit", "2"]).run();
    assert_eq!(stdout(&page).lines().count(), 3);
    let after = stderr(&page)
        .split('`')
        .nth(1)
        .and_then(|hint| hint.strip_prefix("--after "))
        .expect("where to go on")
        .to_owned();
    assert_eq!(desk.keygate(&["keys", "list", "--after", &after]).lines().count(), 3);
    let all = desk.json(&["keys", "list", "--all"]);
    assert_eq!((all["keys"].as_array().map(Vec::len), &all["next"]), (Some(4), &Value::Null));
    assert_eq!(desk.json(&["keys", "list", "--source", "file"])["keys"][0]["id"], "key_file");
    assert_eq!(
        desk.json(&["keys", "list", "--status", "revoked"])["keys"].as_array().map(Vec::len),
        Some(0)
    );
    assert_eq!(desk.keygate(&["keys", "list", "--name", "client 1"]).lines().count(), 2);
    assert_code(&desk.typed(&["keys", "list", "--status", "lost"]).run(), 2);
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

#[test]
fn explanation_shows_each_check_and_its_line_and_ends_with_the_verdict() {
    let desk = Desk::open();
    let (key, id) = desk.create("CRM", &[]);
    let allowed = desk.typed(&["explain", "--key", &id, "GET", "/api/v1/tickets"]).run();
    assert_code(&allowed, 0);
    assert!(
        stdout(&allowed).ends_with("\nallowed\n") && !stdout(&allowed).contains('✗'),
        "{}",
        stdout(&allowed)
    );
    let refused = desk
        .typed(&["explain", "--key", &id, "POST", "/api/v1/tickets", "--ip", "203.0.113.7"])
        .run();
    assert_code(&refused, 1);
    let shown = stdout(&refused);
    assert!(
        shown.contains("\n✗ ") && shown.contains("(gateway.toml:") && shown.contains("(store)"),
        "{shown}"
    );
    assert!(
        shown.ends_with("\nrefused with 403 insufficient_scope\n") && stderr(&refused).is_empty(),
        "{shown}{}",
        stderr(&refused)
    );

    // An edit that is not saved.
    let edit = std::fs::read_to_string(desk.gateway.file())
        .expect("the file")
        .replace("POST /api/v1/tickets", "POST /elsewhere");
    let edited = desk.gateway.file().with_file_name("edited.toml");
    std::fs::write(&edited, &edit).expect("the edit");
    let path = edited.to_str().expect("a path");
    let tried =
        desk.typed(&["explain", "--key", &id, "POST", "/api/v1/tickets", "--config", path]).run();
    assert_code(&tried, 1);
    assert!(stdout(&tried).ends_with("no_scope_allows\n"), "{}", stdout(&tried));
    std::fs::write(&edited, edit.replace("upstream =", "upstraem =")).expect("the edit");
    let mistaken =
        desk.typed(&["explain", "--key", &id, "GET", "/api/v1/tickets", "--config", path]).run();
    assert_code(&mistaken, 1);
    assert!(stderr(&mistaken).contains("did you mean `upstream`?"), "{}", stderr(&mistaken));

    let request =
        Request::new("POST", "/api/v1/tickets").header("Authorization", &format!("Bearer {key}"));
    let answer = desk.gateway.send(&request.header("X-Request-Id", "refused-for-the-command-line"));
    assert_eq!(answer.status(), 403);
    let past =
        desk.typed(&["explain", "--request-id", "refused-for-the-command-line", "--json"]).run();
    assert_code(&past, 1);
    assert_eq!(
        serde_json::from_str::<Value>(stdout(&past)).expect("JSON")["refusal"],
        "insufficient_scope"
    );
    let unknown = desk.typed(&["explain", "--request-id", "never-seen"]).run();
    assert_code(&unknown, 1);
    assert!(stderr(&unknown).contains("no request with this id"), "{}", stderr(&unknown));
    assert_code(&desk.typed(&["explain", "--key", &id]).run(), 2);
}

#[test]
fn refusals_are_told_with_every_mistake_and_what_to_do() {
    let desk = Desk::open();
    let wrong = desk
        .typed(&[
            "keys",
            "create",
            "--name",
            "CRM",
            "--scope",
            "tickets:raed",
            "--allow-ip",
            "somewhere",
        ])
        .run();
    assert_code(&wrong, 1);
    assert!(stdout(&wrong).is_empty());
    for part in ["\n  scopes[0]: ", "\n  allow_ips[0]: "] {
        assert!(stderr(&wrong).contains(part), "{part}: {}", stderr(&wrong));
    }
    let told = |output: &Output, parts: &[&str]| {
        assert_code(output, 1);
        for part in parts {
            assert!(stderr(output).contains(part), "{part}: {}", stderr(output));
        }
    };
    told(&desk.typed(&["keys", "show", "key_none"]).run(), &["hint: ", "keygate keys list"]);
    told(&desk.typed(&["keys", "pause", "key_file"]).run(), &["gateway.toml"]);
    let stranger =
        desk.typed(&["keys", "list"]).env("KEYGATE_ADMIN_TOKEN", "token-of-a-stranger").run();
    told(&stranger, &["not known", "[[admin.token]]"]);
    assert!(!stderr(&stranger).contains("token-of-a-stranger"));
    told(
        &desk.typed(&["reload"]).env("KEYGATE_ADMIN_TOKEN", NARROW).run(),
        &["one organization", "without `organization`"],
    );

    let storeless = Desk::open_with("");
    told(
        &storeless.typed(&["keys", "create", "--name", "CRM"]).run(),
        &["[store]", "keygate keys new"],
    );
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that nobody listens at");
    let url = format!("http://{free}");
    let nobody =
        Typed::new(env!("CARGO_BIN_EXE_keygate"), &["keys", "list", "--admin", &url]).run();
    told(&nobody, &["does not answer", "is it running"]);
}

#[test]
fn creation_is_repeated_after_a_broken_connection_and_asks_for_the_same_key() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let made = r#"{"id":"key_1","name":"CRM","organization":null,"apis":["desk"],"prefix":"sk_",
        "environment":null,"scopes":[],"allow_ips":[],"allow_referrers":[],"allow_endpoints":[],
        "rate_limit":null,"status":"active","source":"store","created_at":null,"created_by":null,
        "parent":null,"expires_at":null,"revoked_at":null,"revoked_by":null,
        "revoked_because":null,"last_used_at":null,"secrets":[],"revision":1,"key_shown":true}"#;
    let gateway = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for answered in [false, true] {
            let (mut stream, _) = listener.accept().expect("a connection");
            let request =
                Message::read(&mut BufReader::new(stream.try_clone().expect("a handle")), |_| true)
                    .expect("a request")
                    .expect("one");
            if answered {
                let head =
                    format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", made.len());
                stream.write_all(format!("{head}{made}").as_bytes()).expect("it is read");
            }
            seen.push((request.header("idempotency-key").map(str::to_owned), request.body.clone()));
        }
        seen
    });
    let output = Typed::new(
        env!("CARGO_BIN_EXE_keygate"),
        &["keys", "create", "--name", "CRM", "--expires", "1h", "--admin", &url],
    )
    .run();
    let seen = gateway.join().expect("two requests");
    assert!(seen[0].0.as_ref().is_some_and(|key| key.len() >= 32));
    assert_eq!(seen[0], seen[1]);
    // The gateway does not show a key twice, so all that is left is another one.
    assert_code(&output, 1);
    assert!(
        stdout(&output).is_empty() && stderr(&output).contains("keygate keys rotate key_1"),
        "{}",
        stderr(&output)
    );
}
