//! The admin API: who may call it, how it handles invalid input, and the endpoints that concern the
//! whole gateway.

use serde_json::json;

use super::{KeyAdmin, code, id, ids, patch, post};
use crate::harness::{Client, Gateway, Request, Upstream, field, hex_digest, wait_for};

#[test]
fn reading_token_changes_nothing() {
    let admin = KeyAdmin::open();
    let created = admin.create("CRM");
    let key = format!("/v1/keys/{}", id(&created));
    for request in [
        post("/v1/keys", &json!({"name": "CRM"})),
        post("/v1/keys/import", &json!({})),
        patch(&key, &json!({})),
        Request::new("POST", &format!("{key}/pause")),
        Request::new("POST", &format!("{key}/resume")),
        Request::new("POST", &format!("{key}/rotate")),
        Request::new("POST", &format!("{key}/revoke")),
        patch("/v1/organizations/org_acme", &json!({})),
        Request::new("POST", "/v1/organizations/org_acme/suspend"),
        Request::new("POST", "/v1/organizations/org_acme/resume"),
        Request::new("POST", "/v1/reload"),
        post("/v1/backup", &json!({"file": "copy.db"})),
    ] {
        assert_eq!(
            code(&admin.ask("viewer", &request)),
            (403, "read_only_token".into()),
            "{request:?}"
        );
        assert_eq!(code(&admin.send(&request)), (401, "missing_token".into()), "{request:?}");
    }
    let reads = [
        "/v1/keys",
        &key,
        &format!("{key}/use"),
        "/v1/organizations",
        "/v1/organizations/org_acme",
        "/v1/audit",
        "/v1/config",
    ];
    for target in reads {
        assert_eq!(admin.ask("viewer", &Request::get(target)).status(), 200, "{target}");
        let stranger = admin.ask("nobody", &Request::get(target));
        assert_eq!(code(&stranger), (401, "unknown_token".into()), "{target}");
        assert!(stranger.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    assert_eq!(admin.get(&key)["revision"], 1);
}

#[test]
// Longer than 60 lines: each call of the API once.
fn narrowed_token_sees_and_touches_its_own_organization_only() {
    let admin = KeyAdmin::open();
    let own = admin.create("CRM");
    let foreign = admin
        .ask("ops", &post("/v1/keys", &json!({"name": "Other", "organization": "org_other"})))
        .json();
    for token in ["acme", "acme-viewer"] {
        assert_eq!(ids(&admin.ask(token, &Request::get("/v1/keys")).json()), [id(&own)]);
        let audit = admin.ask(token, &Request::get("/v1/audit")).json();
        let entries = audit["entries"].as_array().unwrap();
        assert!(
            !entries.is_empty() && entries.iter().all(|entry| entry["organization"] == "org_acme"),
            "{audit}"
        );
        let organizations = admin.ask(token, &Request::get("/v1/organizations")).json();
        assert_eq!(
            organizations["organizations"].as_array().map(Vec::len),
            Some(1),
            "{organizations}"
        );
        for target in [
            format!("/v1/keys/{}", id(&foreign)),
            "/v1/keys/key_file".into(),
            format!("/v1/keys/{}/use", id(&foreign)),
        ] {
            assert_eq!(
                code(&admin.ask(token, &Request::get(&target))),
                (404, "not_found".into()),
                "{target}"
            );
        }
        let other = admin.ask(token, &Request::get("/v1/organizations/org_other"));
        assert!([403, 404].contains(&other.status()), "{other:?}");
        assert_eq!(
            code(&admin.ask(token, &Request::get("/v1/config"))),
            (403, "organization_token".into())
        );
    }
    for action in ["pause", "resume", "rotate", "revoke"] {
        let target = format!("/v1/keys/{}/{action}", id(&foreign));
        assert_eq!(
            code(&admin.ask("acme", &Request::new("POST", &target))),
            (404, "not_found".into()),
            "{target}"
        );
    }
    for request in [
        Request::new("POST", "/v1/reload"),
        post("/v1/backup", &json!({"file": "copy.db"})),
        // An organization's token cannot undo what the operator has decided about the organization.
        Request::new("POST", "/v1/organizations/org_acme/suspend"),
        Request::new("POST", "/v1/organizations/org_acme/resume"),
        patch("/v1/organizations/org_acme", &json!({"key_cap": 1_000_000})),
    ] {
        assert_eq!(
            code(&admin.ask("acme", &request)),
            (403, "organization_token".into()),
            "{request:?}"
        );
    }
    let made = admin.ask("acme", &post("/v1/keys", &json!({"name": "Own"})));
    assert_eq!(
        (made.status(), &made.json()["organization"]),
        (201, &json!("org_acme")),
        "{made:?}"
    );
    let strange = admin
        .ask("acme", &post("/v1/keys", &json!({"name": "Strange", "organization": "org_other"})));
    assert!([403, 422].contains(&strange.status()), "{strange:?}");
    assert_eq!(
        admin.ask("acme", &Request::new("POST", &format!("/v1/keys/{}/revoke", id(&own)))).status(),
        200
    );
    assert_eq!(admin.get(&format!("/v1/keys/{}", id(&foreign)))["status"], "active");
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let admin = KeyAdmin::open();
    let raw = |body: &[u8]| {
        Request::new("POST", "/v1/keys").header("Content-Type", "application/json").body(body)
    };
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    for (request, status, expected) in [
        (raw(b"{\"name\": "), 400, "malformed_json"),
        (raw(b"{\"name\": \"CRM\"} and more"), 400, "malformed_json"),
        (raw(b"{\"name\": \"\xff\"}"), 400, "malformed_json"),
        (raw(b""), 400, "malformed_json"),
        (raw(large.as_bytes()), 413, "body_too_large"),
        (Request::new("POST", "/v1/keys").body(b"{\"name\": \"CRM\"}"), 415, "not_json"),
        (
            Request::new("POST", "/v1/keys").header("Content-Type", "text/plain").body(b"{}"),
            415,
            "not_json",
        ),
        (Request::get("/v1/keys/%FF"), 400, "invalid_path"),
        (Request::get("/v1/keys/key_unknown"), 404, "not_found"),
        (Request::get("/v1/elsewhere"), 404, "not_found"),
        (Request::new("POST", "/v1/keys/key_file/pause?force=1"), 400, "invalid_query"),
        (patch("/v1/keys/key_file", &json!({"name": "Renamed"})), 409, "key_of_the_file"),
    ] {
        assert_eq!(code(&admin.ask("ops", &request)), (status, expected.into()), "{request:?}");
    }
    for (body, member) in [
        ("[\"CRM\"]", ""),
        ("\"CRM\"", ""),
        ("{}", "name"),
        ("{\"name\": 5}", "name"),
        ("{\"name\": \"CRM\", \"colour\": \"red\"}", "colour"),
        ("{\"name\": \"CRM\", \"name\": \"ERP\"}", "name"),
        ("{\"name\": \"CRM\", \"scopes\": [\"tickets:read\", 7]}", "scopes[1]"),
        ("{\"name\": \"CRM\", \"scopes\": [\"tickets:raed\"]}", "scopes[0]"),
        ("{\"name\": \"CRM\", \"apis\": [\"dest\"]}", "apis[0]"),
        ("{\"name\": \"CRM\", \"allow_ips\": [\"127.0.0.1/99\"]}", "allow_ips[0]"),
        ("{\"name\": \"CRM\", \"expires_at\": \"2001-01-01T00:00:00Z\"}", "expires_at"),
    ] {
        let answer = admin.ask("ops", &raw(body.as_bytes()));
        assert_eq!(answer.status(), 422, "{body}: {answer:?}");
        let errors = &answer.json()["errors"];
        assert_eq!(errors[0]["member"], member, "{body}: {errors}");
        assert!(errors[0]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
}

#[test]
fn other_methods_get_405_with_those_that_there_are() {
    let admin = KeyAdmin::open();
    for (target, allow) in [
        ("/v1/keys", "GET, HEAD, POST"),
        ("/v1/keys/import", "POST"),
        ("/v1/keys/key_file", "GET, HEAD, PATCH"),
        ("/v1/keys/key_file/revoke", "POST"),
        ("/v1/audit", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ] {
        for method in ["DELETE", "PUT", "OPTIONS", "TRACE", "BREW"] {
            let answer = admin.ask("ops", &Request::new(method, target));
            assert_eq!(
                (code(&answer), answer.header("allow")),
                ((405, "method_not_allowed".into()), Some(allow)),
                "{method} {target}"
            );
        }
    }
    let head = admin.ask("ops", &Request::new("HEAD", "/v1/keys"));
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[test]
fn configuration_is_shown_without_secrets() {
    let admin = KeyAdmin::open();
    let config = admin.get("/v1/config");
    assert_eq!(config["apis"][0]["name"], "desk");
    assert_eq!(config["apis"][0]["upstream_headers"], json!(["x-desk-password"]));
    assert_eq!(
        config["admin"]["tokens"][2],
        json!({"name": "acme", "role": "manage", "organization": "org_acme"})
    );
    let text = config.to_string();
    for secret in
        ["not-to-be-shown", &hex_digest("token-of-ops"), &hex_digest(&admin.file_key.text)]
    {
        assert!(!text.contains(secret), "{secret}");
    }
    admin.gateway.edit(|toml| toml.push_str("\n[revoked]\nkeys = [\"key_gone\"]\n"));
    let answer = admin.post("/v1/reload");
    assert_eq!(answer["needs_restart"], json!([]));
    assert!(answer["warnings"].to_string().contains("finds no key"), "{answer}");
    assert_eq!(admin.get("/v1/config")["revoked_keys"], json!([]), "there is no such key");
}

#[test]
fn backup_is_written_beside_the_store_under_a_plain_name_only() {
    let admin = KeyAdmin::open();
    admin.create("CRM");
    let backup = |file: &str| post("/v1/backup", &json!({"file": file}));
    for name in
        ["../copy.db", "/tmp/copy.db", "copy", ".db", "keygate.db-wal", "a/b.db", ".hidden.db", ""]
    {
        assert_eq!(
            code(&admin.ask("ops", &backup(name))),
            (422, "invalid_request".into()),
            "{name}"
        );
    }
    let answer = admin.ask("ops", &backup("copy.db"));
    assert_eq!(answer.status(), 201, "{answer:?}");
    let copy = admin.gateway.file().with_file_name("copy.db");
    assert_eq!(answer.json()["path"].as_str(), copy.to_str());
    assert!(std::fs::read(&copy).unwrap().starts_with(b"SQLite format 3\0"));
    assert_eq!(code(&admin.ask("ops", &backup("copy.db"))), (409, "file_exists".into()));
    assert_eq!(code(&admin.ask("ops", &backup("keygate.db"))), (409, "file_exists".into()));
}

#[test]
fn changes_are_in_the_audit_log_and_in_the_events_with_the_tokens_name() {
    let admin = KeyAdmin::open();
    let created = admin.create("CRM");
    admin.post(&format!("/v1/keys/{}/revoke", id(&created)));
    let log = admin.get(&format!("/v1/audit?subject={}", id(&created)));
    let entries = log["entries"].as_array().unwrap();
    let actions: Vec<_> = entries
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["actor"].as_str().unwrap()))
        .collect();
    assert_eq!(actions, [("key.revoke", "token ops"), ("key.create", "token ops")]);
    let page = admin.get("/v1/audit?limit=1");
    let rest = admin
        .get(&format!("/v1/audit?limit=1&before={}", page["next"].as_str().expect("another page")));
    assert!(rest["entries"][0]["sequence"].as_u64() < page["entries"][0]["sequence"].as_u64());
    let events = wait_for("both changes in the log", || {
        let events = admin.gateway.events("changed by request");
        (events.len() >= 2).then_some(events)
    });
    let said: Vec<_> = events
        .iter()
        .map(|event| (field(event, "by").unwrap(), field(event, "action").unwrap()))
        .collect();
    assert_eq!(
        said,
        [(&json!("token ops"), &json!("key.create")), (&json!("token ops"), &json!("key.revoke"))]
    );
}

#[test]
fn without_a_store_keys_of_the_file_are_listed_and_nothing_can_be_made() {
    let admin = KeyAdmin::open_with("");
    assert_eq!(ids(&admin.get("/v1/keys")), ["key_file"]);
    assert_eq!(admin.get("/v1/keys/key_file")["source"], "file");
    for request in [
        post("/v1/keys", &json!({"name": "CRM"})),
        Request::new("POST", "/v1/keys/key_file/revoke"),
        post("/v1/backup", &json!({"file": "copy.db"})),
        Request::new("POST", "/v1/organizations/org_acme/suspend"),
    ] {
        assert_eq!(code(&admin.ask("ops", &request)), (409, "no_store".into()), "{request:?}");
    }
}

#[test]
fn without_an_admin_token_only_figures_and_health_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).start();
    for target in ["/v1/keys", "/v1/organizations", "/v1/audit", "/v1/config", "/openapi.json"] {
        assert_eq!(code(&gateway.admin(target)), (404, "no_admin_token".into()), "{target}");
    }
    assert_eq!(gateway.admin("/metrics").status(), 200);
}

#[test]
fn document_is_served_to_everybody_who_is_no_foreign_web_page() {
    let admin = KeyAdmin::open();
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"))
        .expect("docs/openapi.json");
    let served = admin.send(&Request::get("/openapi.json"));
    assert_eq!((served.status(), served.text()), (200, kept.as_str()));
    assert!(served.json()["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let rebound = Client::plain(admin.gateway.admin_address())
        .send(&Request::get("/openapi.json").host("evil.example"));
    assert_eq!(code(&rebound), (403, "host_not_allowed".into()));
    let foreign =
        admin.ask("ops", &Request::get("/v1/keys").header("Origin", "http://evil.example"));
    assert_eq!(code(&foreign), (403, "origin_not_allowed".into()));
}
