//! The admin API through the real binary: keys that are created, rotated or revoked there take
//! effect on the data listener at once.

use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Key, Message, Request, Setup, Upstream, wait_for};

/// A gateway with a store, an operator's token, and a token that is restricted to one organisation.
struct KeyAdmin {
    gateway: Gateway,
    operator: Key,
    acme: Key,
    _upstream: Upstream,
}

impl KeyAdmin {
    fn open(change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start();
        let (operator, acme) = (Key::new("ops", "token_"), Key::new("acme", "token_"));
        let token = |name: &str, key: &Key, more: &str| {
            let digest = crate::harness::hex_digest(&key.text);
            format!(
                "[[admin.token]]\nname = \"{name}\"\nrole = \"manage\"\nsha256 = \"{digest}\"\n\
                    {more}"
            )
        };
        let setup = Gateway::in_front_of(&upstream)
            .scope("tickets:read", &["GET /api/v1/tickets"])
            .more(&token("ops", &operator, ""))
            .more(&token("acme", &acme, "organization = \"org_acme\"\n"))
            .more("[store]\npath = \"keygate.db\"\nkeys_per_organization = 3");
        Self { gateway: change(setup).start(), operator, acme, _upstream: upstream }
    }

    fn ask(&self, token: &Key, method: &str, path: &str, body: &Value) -> Message {
        self.ask_once(token, method, path, body, None)
    }

    fn ask_once(
        &self,
        token: &Key,
        method: &str,
        path: &str,
        body: &Value,
        idempotency: Option<&str>,
    ) -> Message {
        let mut request = Request::new(method, path).host("localhost").bearer(token);
        if let Some(key) = idempotency {
            request = request.header("Idempotency-Key", key);
        }
        if !body.is_null() {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string().as_bytes());
        }
        Client::plain(self.gateway.admin_address()).send(&request)
    }

    #[track_caller]
    fn make(&self, token: &Key, body: &Value) -> (String, String) {
        let answer = self.ask(token, "POST", "/v1/keys", body);
        assert_eq!(answer.status(), 201, "{}", answer.text());
        let member = |name: &str| answer.json()[name].as_str().expect("a text").to_owned();
        (member("id"), member("key"))
    }

    /// Returns the status of a request with this key on the data listener.
    fn status(&self, key: &str) -> u16 {
        let request = Request::get("/api/v1/tickets")
            .host("localhost")
            .header("Authorization", &format!("Bearer {key}"));
        self.gateway.send(&request).status()
    }
}

fn new_key(name: &str, organization: &str) -> Value {
    json!({ "name": name, "organization": organization, "scopes": ["tickets:read"] })
}

#[test]
fn store_that_was_not_there_is_made_and_the_log_says_so() {
    let admin = KeyAdmin::open(|setup| setup);
    assert_eq!(
        admin
            .gateway
            .events("there was no store here: a new one is made, with no keys in it")
            .len(),
        1
    );
}

#[test]
fn made_key_works_at_once_and_a_revoked_one_does_not() {
    let admin = KeyAdmin::open(|setup| setup);
    let (id, key) = admin.make(&admin.operator, &new_key("one", "org_acme"));
    assert_eq!(admin.status(&key), 200);
    let answer = admin.ask(
        &admin.operator,
        "POST",
        &format!("/v1/keys/{id}/revoke"),
        &json!({ "reason": "leaked" }),
    );
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(admin.status(&key), 401);
}

#[test]
fn token_of_an_organization_sees_and_touches_only_its_own_keys() {
    let admin = KeyAdmin::open(|setup| setup);
    let (own, _) = admin.make(&admin.acme, &json!({ "name": "own" }));
    let (foreign, foreign_key) = admin.make(&admin.operator, &new_key("foreign", "org_other"));
    let list = admin.ask(&admin.acme, "GET", "/v1/keys", &Value::Null).json();
    let ids: Vec<&str> = list["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|key| key["id"].as_str())
        .collect();
    assert_eq!(ids, [own.as_str()]);
    assert_eq!(list["keys"][0]["organization"], "org_acme");
    assert_eq!(
        admin.ask(&admin.acme, "GET", &format!("/v1/keys/{foreign}"), &Value::Null).status(),
        404
    );
    assert_eq!(
        admin
            .ask(&admin.acme, "POST", &format!("/v1/keys/{foreign}/revoke"), &Value::Null)
            .status(),
        404
    );
    assert_eq!(
        admin.ask(&admin.acme, "POST", "/v1/keys", &new_key("theirs", "org_other")).status(),
        403
    );
    assert_eq!(admin.status(&foreign_key), 200);
}

#[test]
fn organization_at_its_cap_makes_no_more_keys() {
    let admin = KeyAdmin::open(|setup| setup);
    for name in ["a", "b", "c"] {
        admin.make(&admin.acme, &json!({ "name": name }));
    }
    let answer = admin.ask(&admin.acme, "POST", "/v1/keys", &json!({ "name": "d" }));
    assert_eq!((answer.status(), &answer.json()["code"]), (409, &json!("key_cap_reached")));
    admin.make(&admin.operator, &new_key("d", "org_other"));
}

#[test]
fn rotated_key_works_under_both_secrets_until_the_grace_period_ends() {
    let admin = KeyAdmin::open(|setup| setup);
    let (id, old) = admin.make(&admin.acme, &json!({ "name": "one", "scopes": ["tickets:read"] }));
    assert_eq!(admin.status(&old), 200);
    let answer =
        admin.ask(&admin.acme, "POST", &format!("/v1/keys/{id}/rotate"), &json!({ "grace": "2s" }));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let new = answer.json()["key"].as_str().expect("the new secret").to_owned();
    assert_eq!((answer.json()["id"].as_str(), admin.status(&new)), (Some(&*id), 200));
    wait_for("the old secret ends", || (admin.status(&old) == 401).then_some(()));
    assert_eq!(admin.status(&new), 200);
}

#[test]
fn same_request_at_the_same_time_makes_one_key() {
    let admin = KeyAdmin::open(|setup| setup);
    let answers: Vec<Message> = thread::scope(|scope| {
        let make = || {
            admin.ask_once(
                &admin.operator,
                "POST",
                "/v1/keys",
                &new_key("one", "org_acme"),
                Some("request-1"),
            )
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|answer| answer.status() == 201), "{answers:?}");
    let shown = answers.iter().filter(|answer| answer.json().get("key").is_some()).count();
    let replayed = answers.iter().filter(|answer| answer.json()["key_shown"] == true).count();
    assert_eq!((shown, replayed), (1, 3));
    assert!(answers.iter().all(|answer| answer.json()["id"] == answers[0].json()["id"]));
    let other = admin.ask_once(
        &admin.operator,
        "POST",
        "/v1/keys",
        &new_key("two", "org_acme"),
        Some("request-1"),
    );
    assert_eq!((other.status(), &other.json()["code"]), (422, &json!("idempotency_key_reused")));
}

#[test]
fn key_of_the_store_that_the_file_once_revoked_stays_revoked() {
    let admin = KeyAdmin::open(|setup| setup.more("[revoked]\nkeys = []"));
    let (id, key) = admin.make(&admin.operator, &new_key("one", "org_acme"));
    assert_eq!(admin.status(&key), 200);
    admin.gateway.edit(|toml| {
        *toml = toml.replace("[revoked]\nkeys = []", &format!("[revoked]\nkeys = [\"{id}\"]"))
    });
    wait_for("the revocation is in force", || (admin.status(&key) == 401).then_some(()));
    wait_for("the store has been told", || {
        let log = admin
            .ask(&admin.operator, "GET", &format!("/v1/audit?subject={id}"), &Value::Null)
            .json();
        (log["entries"][0]["actor"] == "gateway.toml").then_some(())
    });
    admin.gateway.edit(|toml| {
        *toml = toml.replace(&format!("[revoked]\nkeys = [\"{id}\"]"), "[revoked]\nkeys = []")
    });
    wait_for("the second edit", || {
        let log = admin.gateway.admin("/metrics").text().to_owned();
        log.lines()
            .any(|line| line.starts_with("keygate_reloads_total") && line.ends_with(" 2"))
            .then_some(())
    });
    assert_eq!(admin.status(&key), 401);
}

/// Creates a key and revokes it. Returns its id and its text.
fn revoked(admin: &KeyAdmin) -> (String, String) {
    let (id, key) = admin.make(&admin.operator, &new_key("one", "org_acme"));
    let reason = json!({ "reason": "leaked" });
    let answer = admin.ask(&admin.operator, "POST", &format!("/v1/keys/{id}/revoke"), &reason);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    (id, key)
}

#[test]
fn file_cannot_bring_back_the_id_or_the_secret_of_a_revoked_key() {
    let admin = KeyAdmin::open(|setup| setup);
    let (id, key) = revoked(&admin);
    let block = |id: &str, text: &str| {
        let digest = crate::harness::hex_digest(text);
        format!("\n[[key]]\nid = \"{id}\"\nsha256 = \"{digest}\"\nscopes = [\"*\"]\n")
    };
    for (number, block) in [block(&id, "another"), block("key_new", &key)].iter().enumerate() {
        admin.gateway.edit(|toml| toml.push_str(block));
        wait_for("the edit is refused", || {
            let refused = admin.gateway.events("the file is refused; what ran before goes on");
            (refused.len() > number).then_some(())
        });
        assert_eq!(admin.status(&key), 401);
        admin.gateway.edit(|toml| *toml = toml.replace(block.as_str(), ""));
    }
    let good = Key::live("key_new");
    admin.gateway.edit(|toml| toml.push_str(&block("key_new", &good.text)));
    wait_for("a key that is nobody's", || (admin.status(&good.text) == 200).then_some(()));
}

#[test]
fn revoked_key_is_explained_by_its_id_and_by_the_request_that_was_refused() {
    let admin = KeyAdmin::open(|setup| setup);
    let (id, key) = revoked(&admin);
    let request = Request::get("/api/v1/tickets")
        .host("localhost")
        .header("Authorization", &format!("Bearer {key}"));
    let answer = admin.gateway.send(&request);
    let request_id = answer.header("x-request-id").expect("a request id").to_owned();
    for question in
        [json!({ "key": id, "path": "/api/v1/tickets" }), json!({ "request_id": request_id })]
    {
        let told = admin.ask(&admin.acme, "POST", "/v1/explain", &question);
        assert_eq!(told.status(), 200, "{}", told.text());
        let told = told.json();
        assert_eq!(told["refusal"], "revoked_key");
        let checks = told["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["verdict"] == "refused").expect("a refusal");
        let detail = check["detail"].as_str().expect("a text");
        assert!(detail.contains("by token ops: leaked"), "{detail}");
        assert_eq!(check["source"], "store");
    }
}
