//! The README's instructions and promises hold for a new user.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Gateway, Key, Request, Upstream, hex_digest, wait_for};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("the README")
}

/// Returns the fenced code blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or("").to_owned())
        .collect()
}

/// Runs commands that a reader pastes, with the program in `PATH`.
fn paste(folder: &Path, commands: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_keygate")).parent().expect("its folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
    let output = Command::new("sh")
        .args(["-euc", commands])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn newcomer_who_follows_the_readme_gets_a_protected_api_and_can_revoke_its_key() {
    let text = readme();
    let (_, guide) = text.split_once("## Protect your own API").expect("the guide");
    let [install, certificate, new_key, run, call] =
        blocks(guide, "sh").try_into().expect("five blocks of commands");
    let [toml, revoke, portal] =
        blocks(guide, "toml").try_into().expect("three blocks for the file");
    assert_eq!(
        install.trim(),
        "cargo install --path . --locked",
        "the program under test stands in for this"
    );

    let upstream = Upstream::start();
    let owned = tempfile::tempdir().expect("a folder");
    let folder = &owned.path().to_owned();
    paste(folder, &certificate);
    let toml = toml
        .replace("http://127.0.0.1:3000", &upstream.url())
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9190", "127.0.0.1:0");
    std::fs::write(folder.join("gateway.toml"), toml).expect("gateway.toml");

    let shown = String::from_utf8(paste(folder, &new_key).stdout).expect("text");
    let key = shown
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("sk_"))
        .expect("the key on a line of its own")
        .to_owned();
    let block = &shown[shown.find("[[key]]").expect("the block to paste")..];
    let id = block.split('"').nth(1).expect("its id").to_owned();
    let file = folder.join("gateway.toml");
    let portal = portal.replace("…", &hex_digest("token-of-the-product"));
    let with_key = std::fs::read_to_string(&file).expect("gateway.toml")
        + "\n[store]\npath = \"keygate.db\"\n"
        + &portal
        + "\n"
        + block;
    std::fs::write(&file, &with_key).expect("gateway.toml");

    let (check, serve) = run.trim().split_once('\n').expect("two commands");
    paste(folder, check);
    assert_eq!(serve, "keygate serve");
    let gateway = Gateway::serve_in(owned);
    let port = gateway.address().port();
    let call =
        call.replace("YOUR_API_KEY", &key).replace("localhost:8443", &format!("localhost:{port}"));
    let call = call.replace("curl ", "curl -sS -i --noproxy '*' ");
    let status = || {
        String::from_utf8_lossy(&paste(folder, &call).stdout).split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(status().as_deref(), Some("200"));
    assert_eq!(upstream.last().start, "GET /api/v1/tickets HTTP/1.1");

    std::fs::write(&file, with_key + &revoke.replace("key_…", &id)).expect("gateway.toml");
    wait_for("the key is refused", || (status().as_deref() == Some("401")).then_some(()));
}

#[test]
fn keys_are_managed_by_the_commands_that_the_readme_shows() {
    let text = readme();
    let (_, section) = text.split_once("### Keys from the command line").expect("the section");
    let commands =
        blocks(section, "bash").remove(0).replace("keys revoke key_…", "keys revoke key_… --yes");
    let (first, rest) = commands.split_once("keygate explain").expect("a part that needs the id");

    let upstream = Upstream::start();
    let token = "token-of-the-readme";
    let admin = format!(
        "[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
        hex_digest(token)
    );
    let setup = Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /api/v1/tickets"]);
    let gateway = setup.more(&admin).more("[store]\npath = \"keygate.db\"").start();
    let url = gateway.admin_address();
    let typed = |commands: &str| {
        let typed = format!(
            "export KEYGATE_ADMIN_TOKEN={token}; keygate() {{ command keygate \"$@\" --admin \
                http://{url}; }}\n{commands}\necho \"key: $KEY\""
        );
        String::from_utf8(paste(gateway.file().parent().expect("its folder"), &typed).stdout)
            .expect("text")
    };
    let status = |shown: &str| {
        let (_, key) = shown.trim_end().rsplit_once("key: ").expect("the key");
        gateway
            .send(
                &Request::get("/api/v1/tickets").header("Authorization", &format!("Bearer {key}")),
            )
            .status()
    };
    let shown = typed(first);
    assert_eq!(status(&shown), 200);
    let id = shown
        .lines()
        .find_map(|line| line.split_whitespace().next().filter(|word| word.starts_with("key_")))
        .expect("its id");
    let shown = typed(&format!("keygate explain{}", rest.replace("key_…", id)));
    assert!(shown.contains("\nallowed\n") && shown.contains(&format!("revoked {id}")), "{shown}");
    assert_eq!(status(&shown), 401);
}

#[test]
fn table_of_refusals_is_complete_and_true() {
    let text = readme();
    for refusal in keygate::policy::Refusal::ALL {
        let row = format!(
            "| `{}` | {} | {} |",
            refusal.code(),
            refusal.status(true).as_u16(),
            refusal.grpc_status()
        );
        assert_eq!(text.matches(&row).count(), 1, "{row}");
    }
    let rows =
        text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3);
    assert_eq!(rows.count(), keygate::policy::Refusal::ALL.len(), "no row is about anything else");
}

#[test]
fn shown_refusal_is_what_the_gateway_answers() {
    let text = readme();
    let shown = blocks(&text, "text").remove(0);
    let (head, body) = shown.split_once("\n\n").expect("a head and a body");
    let body: String = body.lines().map(str::trim).collect::<Vec<_>>().join("");

    let upstream = Upstream::start();
    let key = Key::live("key_reader").scopes(&["tickets:read"]);
    let setup = Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /api/v1/tickets"]);
    let setup =
        setup.scope("tickets:write", &["POST /api/v1/tickets"]).key(&key).tls(&["localhost"]);
    let gateway = setup.api("rate_limit = \"100/min\"").start();
    let answer = gateway.send(&Request::new("POST", "/api/v1/tickets").bearer(&key));
    let mut expected: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    expected["request_id"] = answer.json()["request_id"].clone();
    assert_eq!(answer.json(), expected);
    let names = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let mut names: Vec<String> =
            lines.filter_map(|line| Some(line.split_once(": ")?.0.to_ascii_lowercase())).collect();
        names.sort();
        names
    };
    assert!(answer.has("x-request-id"));
    let own: Vec<String> =
        answer.fields().into_iter().map(|(name, _)| format!("{name}: ")).collect();
    let answered = names(
        &mut own.iter().map(String::as_str).filter(|line| !line.starts_with("content-length")),
    );
    let shown = head.lines().skip(1).filter(|line| !line.starts_with("x-request-id"));
    assert_eq!(answered, names(&mut { shown }));
}
