//! The admin API over HTTP: keys and organizations.

mod rules;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Key, Message, Request, Upstream, hex_digest};

/// A gateway with a store, a key in its file, and four admin tokens, whose names say what they may
/// do.
struct KeyAdmin {
    gateway: Gateway,
    upstream: Upstream,
    file_key: Key,
}

fn token(name: &str, role: &str, more: &str) -> String {
    let digest = hex_digest(&format!("token-of-{name}"));
    format!(
        "\n[[admin.token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n{more}\n"
    )
}

impl KeyAdmin {
    fn open() -> Self {
        Self::open_with("\n[store]\npath = \"keygate.db\"\n")
    }

    fn open_with(store: &str) -> Self {
        let upstream = Upstream::start();
        let file_key =
            Key::live("key_file").scopes(&["tickets:read"]).set("organization = \"org_file\"");
        let setup = Gateway::in_front_of(&upstream)
            .scope("tickets:read", &["GET /api/v1/tickets"])
            .key(&file_key);
        let setup = setup.table("[api.upstream_headers]\nX-Desk-Password = \"not-to-be-shown\"");
        let tokens = token("ops", "manage", "") + &token("viewer", "read", "");
        let narrow = token("acme", "manage", "organization = \"org_acme\"")
            + &token("acme-viewer", "read", "organization = \"org_acme\"");
        let gateway = setup.more(store).more(&tokens).more(&narrow).start();
        Self { gateway, upstream, file_key }
    }

    /// Sends a request with the token of this name.
    #[track_caller]
    fn ask(&self, token: &str, request: &Request) -> Message {
        self.send(&request.clone().header("Authorization", &format!("Bearer token-of-{token}")))
    }

    #[track_caller]
    fn send(&self, request: &Request) -> Message {
        let answer =
            Client::plain(self.gateway.admin_address()).send(&request.clone().host("127.0.0.1"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        if answer.status() >= 400 && !answer.body.is_empty() {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{answer:?}"
            );
            let problem = answer.json();
            assert_eq!(
                (&problem["status"], &problem["type"]),
                (&json!(answer.status()), &json!("about:blank"))
            );
            assert!(
                ["title", "detail", "code"]
                    .iter()
                    .all(|member| problem[member].as_str().is_some_and(|text| !text.is_empty()))
            );
        }
        answer
    }

    #[track_caller]
    fn get(&self, target: &str) -> Value {
        let answer = self.ask("ops", &Request::get(target));
        assert_eq!(answer.status(), 200, "{target}: {answer:?}");
        answer.json()
    }

    #[track_caller]
    fn post(&self, target: &str) -> Value {
        let answer = self.ask("ops", &Request::new("POST", target));
        assert_eq!(answer.status(), 200, "{target}: {answer:?}");
        answer.json()
    }

    /// Creates a key of `org_acme` that may read tickets.
    #[track_caller]
    fn create(&self, name: &str) -> Value {
        let answer = self.ask(
            "ops",
            &post(
                "/v1/keys",
                &json!({"name": name, "organization": "org_acme", "scopes": ["tickets:read"]}),
            ),
        );
        assert_eq!(answer.status(), 201, "{answer:?}");
        answer.json()
    }

    /// Returns the status of a request with this key to the API.
    fn tickets(&self, key: &str) -> u16 {
        self.gateway
            .send(
                &Request::get("/api/v1/tickets").header("Authorization", &format!("Bearer {key}")),
            )
            .status()
    }
}

fn with_json(method: &str, target: &str, body: &Value) -> Request {
    Request::new(method, target)
        .header("Content-Type", "application/json")
        .body(body.to_string().as_bytes())
}

fn post(target: &str, body: &Value) -> Request {
    with_json("POST", target, body)
}

fn patch(target: &str, body: &Value) -> Request {
    with_json("PATCH", target, body)
}

fn code(answer: &Message) -> (u16, String) {
    (answer.status(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn id(key: &Value) -> &str {
    key["id"].as_str().expect("an id")
}

fn ids(page: &Value) -> Vec<&str> {
    page["keys"].as_array().expect("keys").iter().map(id).collect()
}

#[test]
fn created_key_works_at_once_and_is_shown_once() {
    let admin = KeyAdmin::open();
    let answer = admin.ask(
        "ops",
        &post(
            "/v1/keys",
            &json!({"name": "CRM", "organization": "org_acme", "scopes": ["tickets:read"]}),
        ),
    );
    assert_eq!(answer.status(), 201, "{answer:?}");
    let created = answer.json();
    let location = format!("/v1/keys/{}", id(&created));
    assert_eq!(
        (answer.header("location"), answer.header("etag")),
        (Some(location.as_str()), Some("\"1\""))
    );
    let key = created["key"].as_str().expect("the key");
    assert!(
        key.starts_with(&format!("sk_{}_", "live"))
            && key.starts_with(created["prefix"].as_str().unwrap())
    );
    assert_eq!(admin.tickets(key), 200);
    let shown = admin.ask("viewer", &Request::get(&location));
    assert_eq!((shown.status(), shown.header("etag")), (200, Some("\"1\"")));
    let shown = shown.json();
    assert_eq!(
        (&shown["status"], &shown["source"], &shown["created_by"]),
        (&json!("active"), &json!("store"), &json!("token ops"))
    );
    assert!(shown.get("key").is_none());
    assert!(!admin.gateway.output().contains(key), "the key is not logged");
    admin.upstream.last();
}

#[test]
fn repeated_creation_makes_one_key_and_does_not_show_it_again() {
    let admin = KeyAdmin::open();
    let request = |name: &str| {
        post("/v1/keys", &json!({"name": name})).header("Idempotency-Key", "order-4711")
    };
    let first = admin.ask("ops", &request("CRM"));
    let again = admin.ask("ops", &request("CRM"));
    assert_eq!((first.status(), again.status()), (201, 201), "{again:?}");
    let (first, again) = (first.json(), again.json());
    assert_eq!(first["id"], again["id"]);
    assert_eq!((again.get("key"), &again["key_shown"]), (None, &json!(true)));
    assert!(first["key"].is_string() && first.get("key_shown").is_none());
    assert_eq!(code(&admin.ask("ops", &request("ERP"))), (422, "idempotency_key_reused".into()));
    assert_eq!(ids(&admin.get("/v1/keys?source=store")).len(), 1);
    let odd = post("/v1/keys", &json!({"name": "CRM"})).header("Idempotency-Key", "with space");
    assert_eq!(code(&admin.ask("ops", &odd)), (400, "invalid_idempotency_key".into()));
}

#[test]
fn update_needs_the_current_etag_where_one_is_sent() {
    let admin = KeyAdmin::open();
    let created = admin.create("CRM");
    let target = format!("/v1/keys/{}", id(&created));
    let rename = |name: &str| patch(&target, &json!({"name": name}));
    let changed = admin.ask("ops", &rename("ERP").header("If-Match", "\"1\""));
    assert_eq!((changed.status(), changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(changed.json()["name"], "ERP");
    assert_eq!(
        code(&admin.ask("ops", &rename("Shop").header("If-Match", "\"1\""))),
        (412, "stale".into())
    );
    assert_eq!(
        code(&admin.ask("ops", &rename("Shop").header("If-Match", "1"))),
        (400, "invalid_if_match".into())
    );
    assert_eq!(admin.ask("ops", &rename("Shop").header("If-Match", "*")).status(), 200);
    assert_eq!(admin.ask("ops", &rename("Desk")).status(), 200);
    let limited = admin
        .ask(
            "ops",
            &patch(
                &target,
                &json!({"rate_limit": ["1/hour"], "expires_at": "2099-01-01T00:00:00Z"}),
            ),
        )
        .json();
    assert_eq!(
        (&limited["rate_limit"], &limited["expires_at"]),
        (&json!(["1/hour"]), &json!("2099-01-01T00:00:00Z"))
    );
    let freed =
        admin.ask("ops", &patch(&target, &json!({"rate_limit": null, "expires_at": null}))).json();
    assert_eq!(
        (&freed["rate_limit"], &freed["expires_at"], &freed["name"]),
        (&Value::Null, &Value::Null, &json!("Desk"))
    );
    for member in ["name", "scopes", "allow_ips", "allow_referrers", "allow_endpoints"] {
        let nothing = admin.ask("ops", &patch(&target, &json!({member: null})));
        assert_eq!(
            (code(&nothing).0, &nothing.json()["errors"][0]["member"]),
            (422, &json!(member)),
            "null takes nothing away there"
        );
    }
}

#[test]
fn paused_rotated_and_revoked_keys_stop_when_they_should() {
    let admin = KeyAdmin::open();
    let created = admin.create("CRM");
    let (target, key) = (format!("/v1/keys/{}", id(&created)), created["key"].as_str().unwrap());
    assert_eq!(admin.post(&format!("{target}/pause"))["status"], "paused");
    assert_eq!(admin.tickets(key), 401);
    assert_eq!(admin.post(&format!("{target}/resume"))["status"], "active");
    assert_eq!(admin.tickets(key), 200);

    let rotated =
        admin.ask("ops", &post(&format!("{target}/rotate"), &json!({"grace": "1h"}))).json();
    let newer = rotated["key"].as_str().expect("the new key");
    assert_eq!(
        (rotated["id"].as_str(), rotated["secrets"].as_array().map(Vec::len)),
        (Some(id(&created)), Some(2))
    );
    assert_eq!((admin.tickets(key), admin.tickets(newer)), (200, 200));
    let last = admin.ask("ops", &post(&format!("{target}/rotate"), &json!({"grace": "0s"}))).json();
    let last = last["key"].as_str().expect("the new key");
    assert_eq!((admin.tickets(newer), admin.tickets(last)), (401, 200));

    let revoked =
        admin.ask("ops", &post(&format!("{target}/revoke"), &json!({"reason": "leaked"})));
    assert_eq!((revoked.status(), revoked.json()), (200, json!({"revoked": [id(&created)]})));
    assert_eq!(admin.tickets(last), 401);
    let record = admin.get(&target);
    assert_eq!(
        (&record["status"], &record["revoked_because"], &record["revoked_by"]),
        (&json!("revoked"), &json!("leaked"), &json!("token ops"))
    );
    assert_eq!(
        code(&admin.ask("ops", &Request::new("POST", &format!("{target}/resume")))),
        (409, "key_revoked".into())
    );
}

#[test]
fn imported_key_of_any_format_works() {
    let admin = KeyAdmin::open();
    let text = format!("sk_{}_of-an-older-gateway", "live");
    let body = json!({
        "id": "key_old",
        "sha256": hex_digest(&text),
        "name": "Old",
        "scopes": ["tickets:read"],
    });
    let answer = admin.ask("ops", &post("/v1/keys/import", &body));
    assert_eq!(
        (answer.status(), answer.header("location")),
        (201, Some("/v1/keys/key_old")),
        "{answer:?}"
    );
    assert_eq!(admin.tickets(&text), 200);
    assert_eq!(admin.ask("ops", &post("/v1/keys/import", &body)).status(), 409);
    let taken =
        json!({"id": "key_other", "sha256": hex_digest(&admin.file_key.text), "name": "Other"});
    assert_eq!(
        code(&admin.ask("ops", &post("/v1/keys/import", &taken))),
        (409, "key_taken".into())
    );
}

#[test]
fn list_is_filtered_and_paged() {
    let admin = KeyAdmin::open();
    let made: Vec<Value> = (0..5).map(|number| admin.create(&format!("Client {number}"))).collect();
    admin.ask("ops", &post("/v1/keys", &json!({"name": "Other", "organization": "org_other"})));
    let all = admin.get("/v1/keys");
    assert_eq!((ids(&all).len(), ids(&all)[0]), (7, "key_file"));
    let mut found = Vec::new();
    let mut target = "/v1/keys?organization=org_acme&limit=2".to_owned();
    loop {
        let page = admin.get(&target);
        assert!(ids(&page).len() <= 2);
        found.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/v1/keys?organization=org_acme&limit=2&after={next}");
    }
    let mut expected: Vec<String> = made.iter().map(|key| id(key).to_owned()).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(ids(&admin.get("/v1/keys?name=CLIENT%203")), [id(&made[3])]);
    assert_eq!(ids(&admin.get("/v1/keys?source=file&api=desk&status=active")), ["key_file"]);
    assert_eq!(ids(&admin.get("/v1/keys?environment=test")), Vec::<&str>::new());
    for query in
        ["limit=0", "limit=1001", "limit=many", "status=lost", "colour=red", "limit=1&limit=2"]
    {
        assert_eq!(
            code(&admin.ask("ops", &Request::get(&format!("/v1/keys?{query}")))),
            (400, "invalid_query".into()),
            "{query}"
        );
    }
}

#[test]
fn organizations_are_suspended_resumed_and_capped() {
    let admin = KeyAdmin::open();
    let created = admin.create("CRM");
    let key = created["key"].as_str().unwrap();
    assert_eq!(admin.post("/v1/organizations/org_acme/suspend")["name"], "org_acme");
    assert_eq!(admin.tickets(key), 401);
    assert_eq!(admin.get(&format!("/v1/keys/{}", id(&created)))["status"], "suspended");
    assert_eq!(admin.post("/v1/organizations/org_acme/resume")["suspended_at"], Value::Null);
    assert_eq!(admin.tickets(key), 200);
    let current = admin.ask("ops", &Request::get("/v1/organizations/org_acme"));
    let etag = current.header("etag").expect("an ETag").to_owned();
    let cap = |value: Value| patch("/v1/organizations/org_acme", &json!({"key_cap": value}));
    let capped = admin.ask("ops", &cap(json!(1)).header("If-Match", &etag));
    assert_eq!((capped.status(), &capped.json()["key_cap"]), (200, &json!(1)), "{capped:?}");
    assert_eq!(admin.ask("ops", &cap(json!(2)).header("If-Match", &etag)).status(), 412);
    let one_more = post("/v1/keys", &json!({"name": "ERP", "organization": "org_acme"}));
    assert_eq!(code(&admin.ask("ops", &one_more)), (409, "key_cap_reached".into()));
    assert_eq!(admin.ask("ops", &cap(Value::Null)).status(), 200);
    assert_eq!(admin.ask("ops", &one_more).status(), 201);
    let names = admin.get("/v1/organizations");
    assert!(
        names["organizations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|organization| organization["name"] == "org_acme"),
        "{names}"
    );
}
