//! `[revoked]` in an emergency: the operator may paste an id, a digest or the leaked key itself,
//! and the rest of the file may be wrong.

mod alone;

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Client, Gateway, Key, Message, Request, Setup, Upstream, field, hex_digest, wait_for,
};

const REFUSED: &str = "the file is refused; what ran before goes on";

/// A gateway with two keys in its file, and an operator's token.
struct Desk {
    gateway: Gateway,
    crm: Key,
    leaked: Key,
    operator: Key,
    _upstream: Upstream,
}

impl Desk {
    fn open(change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start();
        let operator = Key::new("ops", "token_");
        let reader = |id| Key::live(id).scopes(&["tickets:read"]);
        let (crm, leaked) = (reader("key_crm"), reader("key_leaked"));
        let token = format!(
            "\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
            hex_digest(&operator.text)
        );
        let setup = Gateway::in_front_of(&upstream)
            .scope("tickets:read", &["GET /api/v1/tickets"])
            .key(&crm)
            .key(&leaked)
            .more(&token);
        Self { gateway: change(setup).start(), crm, leaked, operator, _upstream: upstream }
    }

    fn with_store() -> Self {
        Self::open(|setup| setup.more("\n[store]\npath = \"keygate.db\""))
    }

    /// Saves the file with this list as its last section.
    fn revoke(&self, values: &[&str]) {
        self.gateway.edit(|toml| {
            let end = toml.find("\n[revoked]").unwrap_or(toml.len());
            toml.replace_range(end.., &format!("\n[revoked]\nkeys = {values:?}\n"));
        });
    }

    fn status_of(&self, text: &str) -> u16 {
        let request = Request::get("/api/v1/tickets")
            .host("localhost")
            .header("Authorization", &format!("Bearer {text}"));
        self.gateway.send(&request).status()
    }

    #[track_caller]
    fn wait_for_status(&self, text: &str, status: u16) {
        wait_for(&format!("status {status}"), || (self.status_of(text) == status).then_some(()));
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Message {
        let mut request = Request::new(method, path).host("localhost").bearer(&self.operator);
        if !body.is_null() {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string().as_bytes());
        }
        Client::plain(self.gateway.admin_address()).send(&request)
    }

    /// Reloads the file. Returns the response.
    fn reload(&self) -> Value {
        self.ask("POST", "/v1/reload", &Value::Null).json()
    }

    fn config(&self) -> Value {
        self.ask("GET", "/v1/config", &Value::Null).json()
    }

    /// Creates a key in the store. Returns its id and its text.
    fn make(&self) -> (String, String) {
        let body = json!({"name": "one", "scopes": ["tickets:read"]});
        let answer = self.ask("POST", "/v1/keys", &body);
        assert_eq!(answer.status(), 201, "{}", answer.text());
        let member = |name: &str| answer.json()[name].as_str().expect("a text").to_owned();
        (member("id"), member("key"))
    }

    /// Waits until the store has recorded that the file revoked this key.
    fn wait_for_store(&self, id: &str) {
        wait_for("the store has been told", || {
            let log = self.ask("GET", &format!("/v1/audit?subject={id}"), &Value::Null).json();
            (log["entries"][0]["actor"] == "gateway.toml").then_some(())
        });
    }

    fn file_text(&self) -> String {
        std::fs::read_to_string(self.gateway.file()).expect("the file")
    }

    /// Returns the position of a text in the file, as messages show it.
    fn place_of(&self, text: &str) -> String {
        let file = self.file_text();
        let (line, found) = file
            .lines()
            .enumerate()
            .find_map(|(line, text_of)| text_of.find(text).map(|column| (line, column)))
            .expect("the text stands in the file");
        format!("gateway.toml:{}:{}:", line + 1, found)
    }

    /// Runs `keygate check` on the file. Returns its output.
    fn check(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_keygate"))
            .arg("check")
            .arg(self.gateway.file())
            .output()
            .expect("keygate starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    }

    fn explain(&self, id: &str) -> Value {
        let question = json!({"key": id, "path": "/api/v1/tickets"});
        self.ask("POST", "/v1/explain", &question).json()
    }

    /// Returns the values of `change` of all events with this message.
    fn changes(&self, message: &str) -> Vec<String> {
        let change =
            |event: &Value| field(event, "change").and_then(Value::as_str).map(str::to_owned);
        self.gateway.events(message).iter().filter_map(change).collect()
    }

    /// Asserts that this text appears in no output.
    #[track_caller]
    fn assert_unseen(&self, secret: &str) {
        let audit = self.ask("GET", "/v1/audit", &Value::Null);
        let seen = [
            ("the log", self.gateway.output()),
            ("check", self.check()),
            ("/v1/config", self.config().to_string()),
            ("/v1/audit", audit.text().to_owned()),
            ("explain", self.explain("key_leaked").to_string()),
            ("reload", self.reload().to_string()),
        ];
        for (place, text) in seen {
            assert!(!text.contains(secret), "{place} repeats it: {text}");
        }
    }
}

#[test]
fn leaked_key_pasted_into_revoked_is_refused_at_once_and_shown_as_its_id() {
    for desk in [Desk::open(|setup| setup), Desk::with_store()] {
        let secret = desk.leaked.text.clone();
        desk.revoke(&[&secret]);
        desk.wait_for_status(&secret, 401);
        assert_eq!(desk.status_of(&desk.crm.text), 200);
        wait_for("the change in the log", || {
            (desk.changes("configuration changed") == ["revoked key_leaked"]).then_some(())
        });
        assert_eq!(desk.config()["revoked_keys"], json!(["key_leaked"]));
        let place = desk.place_of(&secret);
        for said in [
            desk.gateway.output(),
            desk.check(),
            desk.config()["warnings"].to_string(),
            desk.reload()["warnings"].to_string(),
        ] {
            assert!(said.contains("now holds a secret"), "{said}");
            assert!(said.contains("key_leaked"), "{said}");
        }
        assert!(desk.check().contains(&place), "{} is not in {}", place, desk.check());
        let explanation = desk.explain("key_leaked");
        assert_eq!(explanation["refusal"], "revoked_key", "{explanation:#}");
        desk.assert_unseen(&secret);
        desk.assert_unseen(&hex_digest(&secret));
    }
}

#[test]
fn digest_in_revoked_revokes_the_whole_key_with_both_of_its_secrets() {
    let (old, new) = (Key::live("old"), Key::live("new"));
    let block = format!(
        "\n[[key]]\nid = \"key_two\"\nscopes = [\"tickets:read\"]\nsha256 = [\"{}\", \"{}\"]\n",
        hex_digest(&new.text),
        hex_digest(&old.text)
    );
    let desk = Desk::open(|setup| setup.more(&block));
    assert_eq!((desk.status_of(&old.text), desk.status_of(&new.text)), (200, 200));
    for value in [hex_digest(&old.text), hex_digest(&old.text).to_uppercase(), old.text.clone()] {
        desk.revoke(&[&value]);
        desk.wait_for_status(&old.text, 401);
        assert_eq!(desk.status_of(&new.text), 401, "the key as a whole");
        assert_eq!(desk.config()["revoked_keys"], json!(["key_two"]));
        desk.revoke(&[]);
        desk.wait_for_status(&old.text, 200);
    }
}

#[test]
fn value_that_finds_nothing_is_a_warning_by_its_place_and_never_a_revocation() {
    for desk in [Desk::open(|setup| setup), Desk::with_store()] {
        // An unknown key, and a typing error.
        let stranger = Key::live("stranger").text;
        for value in [&*stranger, "key_laeked"] {
            desk.revoke(&[value, "key_crm"]);
            desk.wait_for_status(&desk.crm.text, 401);
            let place = desk.place_of(value);
            for said in
                [desk.check(), desk.config()["warnings"].to_string(), desk.reload().to_string()]
            {
                assert!(said.contains(&place) && said.contains("finds no key"), "{said}");
                assert!(!said.contains(value), "{said}");
            }
            assert_eq!(desk.config()["revoked_keys"], json!(["key_crm"]));
            assert!(!desk.gateway.output().contains(value), "{}", desk.gateway.output());
            let warned = desk.gateway.output().lines().any(|line| line.contains("finds no key"));
            assert!(warned, "{}", desk.gateway.output());
            desk.revoke(&[]);
            desk.wait_for_status(&desk.crm.text, 200);
        }
        assert!(desk.changes("configuration changed").iter().all(|it| it.contains("key_crm")));
    }
}

#[test]
fn key_of_the_store_that_is_pasted_itself_stays_revoked_when_the_file_forgets_it() {
    let desk = Desk::with_store();
    let made: Vec<(String, String)> = (0..2).map(|_| desk.make()).collect();
    let values = [made[0].1.clone(), hex_digest(&made[1].1)];
    for ((id, text), value) in made.iter().zip(&values) {
        assert_eq!(desk.status_of(text), 200);
        desk.revoke(&[value]);
        desk.wait_for_status(text, 401);
        desk.wait_for_store(id);
        assert_eq!(desk.config()["revoked_keys"], json!([id]));
    }
    desk.revoke(&["key_crm"]);
    desk.wait_for_status(&desk.crm.text, 401);
    for (id, text) in &made {
        assert_eq!(desk.status_of(text), 401);
        let view = desk.ask("GET", &format!("/v1/keys/{id}"), &Value::Null).json();
        assert_eq!(
            (&view["status"], &view["revoked_by"]),
            (&json!("revoked"), &json!("gateway.toml"))
        );
        desk.assert_unseen(text);
    }
}

#[test]
fn key_that_is_named_after_it_was_revoked_by_request_is_found() {
    let desk = Desk::with_store();
    let (id, text) = desk.make();
    let answer = desk.ask("POST", &format!("/v1/keys/{id}/revoke"), &Value::Null);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    for value in [id.clone(), hex_digest(&text), text.clone()] {
        desk.revoke(&[&value, "key_crm"]);
        desk.wait_for_status(&desk.crm.text, 401);
        let config = desk.config();
        let mut found = [id.clone(), "key_crm".to_owned()];
        found.sort();
        assert_eq!(config["revoked_keys"], json!(found));
        let warnings = config["warnings"].to_string();
        assert!(!warnings.contains("finds no key"), "{warnings}");
        assert_eq!(warnings.contains("now holds a secret"), value == text, "{warnings}");
        desk.assert_unseen(&text);
        desk.revoke(&[]);
        desk.wait_for_status(&desk.crm.text, 200);
        assert_eq!(desk.status_of(&text), 401);
    }
}

#[test]
fn pasted_key_that_comes_later_is_refused_from_the_start() {
    let desk = Desk::with_store();
    let (imported, added) = (Key::live("imported"), Key::live("key_added").scopes(&["*"]));
    desk.revoke(&[&imported.text, &hex_digest(&added.text), "key_crm"]);
    desk.wait_for_status(&desk.crm.text, 401);
    let body = json!({
        "id": "key_imported", "name": "late", "scopes": ["tickets:read"],
        "sha256": hex_digest(&imported.text),
    });
    let answer = desk.ask("POST", "/v1/keys/import", &body);
    assert_eq!((answer.status(), &answer.json()["status"]), (201, &json!("revoked")), "{answer:?}");
    assert_eq!(desk.status_of(&imported.text), 401);
    desk.wait_for_store("key_imported");
    desk.gateway.edit(|toml| toml.push_str(&added.block()));
    wait_for("the new key", || {
        desk.changes("configuration changed")
            .iter()
            .any(|it| it.starts_with("+ key key_added"))
            .then_some(())
    });
    assert_eq!(desk.status_of(&added.text), 401);
    assert_eq!(desk.config()["revoked_keys"], json!(["key_added", "key_crm", "key_imported"]));
    desk.revoke(&[]);
    desk.wait_for_status(&desk.crm.text, 200);
    assert_eq!(desk.status_of(&imported.text), 401, "the store knows");
}

#[test]
fn key_pasted_among_the_revoked_organizations_is_not_repeated() {
    for desk in [Desk::open(|setup| setup), Desk::with_store()] {
        let secret = desk.leaked.text.clone();
        desk.gateway.edit(|toml| {
            toml.push_str(&format!(
                "\n[revoked]\nkeys = [\"key_crm\"]\norganizations = [\"{secret}\"]\n"
            ));
        });
        desk.wait_for_status(&desk.crm.text, 401);
        let warnings = desk.config()["warnings"].to_string();
        assert!(warnings.contains(&desk.place_of(&secret)), "{warnings}");
        assert_eq!(desk.config()["revoked_organizations"], json!([]));
        desk.assert_unseen(&secret);
    }
}
