//! Why a request is refused: every check, and the line or record that it rests on.

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Key, Message, Request, Upstream, hex_digest, wait_for};

fn ask(gateway: &Gateway, token: &str, question: &Value) -> Message {
    let request = Request::new("POST", "/v1/explain")
        .host("127.0.0.1")
        .header("Authorization", &format!("Bearer {token}"));
    let request =
        request.header("Content-Type", "application/json").body(question.to_string().as_bytes());
    Client::plain(gateway.admin_address()).send(&request)
}

fn explained(gateway: &Gateway, question: &Value) -> Value {
    let answer = ask(gateway, "ops-token", question);
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json()
}

/// Starts a gateway with one API that has a limit of two requests, a store, and a key that is
/// restricted by scope, organisation, address and referrer.
fn desk(upstream: &Upstream) -> (Gateway, Key) {
    let key = Key::live("key_crm").scopes(&["tickets:read"]).set("organization = \"org_acme\"");
    let key = key
        .set("allow_ips = [\"203.0.113.0/24\", \"127.0.0.1\"]")
        .set("allow_referrers = [\"https://app.example.com/*\"]");
    let tokens = [
        ("ops", "ops-token", ""),
        ("acme", "acme-token", "organization = \"org_acme\""),
        ("other", "other-token", "organization = \"org_b\""),
    ];
    let tokens: String = tokens
        .iter()
        .map(|(name, token, more)| {
            format!(
                "[[admin.token]]\nname = \"{name}\"\nrole = \"manage\"\nsha256 = \"{}\"\n{more}\n",
                hex_digest(token)
            )
        })
        .collect();
    let setup = Gateway::in_front_of(upstream)
        .api("hosts = [\"desk.example\"]\nrate_limit = \"2/hour\"\npublic = [\"GET /status\"]");
    let setup = setup
        .scope("tickets:read", &["GET /api/v1/tickets"])
        .scope("tickets:write", &["POST /api/v1/tickets"]);
    (setup.key(&key).more("\n[store]\npath = \"keygate.db\"\n").more(&tokens).start(), key)
}

fn verdict<'a>(explanation: &'a Value, check: &str) -> (&'a str, &'a Value) {
    let checks = explanation["checks"].as_array().expect("checks");
    let found = checks
        .iter()
        .find(|found| found["check"] == check)
        .unwrap_or_else(|| panic!("{check} in {explanation:#}"));
    (found["verdict"].as_str().expect("a verdict"), found)
}

/// Returns the number of the line that contains this text.
fn line_of(gateway: &Gateway, text: &str) -> Value {
    let file = std::fs::read_to_string(gateway.file()).expect("the file");
    json!(file.lines().position(|line| line.contains(text)).expect("the text") + 1)
}

#[test]
fn every_check_is_told_in_order_with_its_line_and_no_quota_is_spent() {
    let upstream = Upstream::start();
    let (gateway, key) = desk(&upstream);
    let question = json!({
        "key": "key_crm",
        "path": "/api/v1/tickets",
        "address": "203.0.113.9",
        "referrer": "https://app.example.com/a",
    });
    for _ in 0..5 {
        let explanation = explained(&gateway, &question);
        assert_eq!(
            (&explanation["allowed"], &explanation["refusal"]),
            (&json!(true), &Value::Null),
            "{explanation:#}"
        );
        assert_eq!(verdict(&explanation, "address").1["line"], line_of(&gateway, "allow_ips"));
        assert_eq!(
            verdict(&explanation, "referrer").1["line"],
            line_of(&gateway, "allow_referrers")
        );
        assert_eq!(
            verdict(&explanation, "scope").1["line"],
            line_of(&gateway, "[api.scopes.\"tickets:read\"]")
        );
        assert_eq!(verdict(&explanation, "limit").1["line"], line_of(&gateway, "rate_limit"));
        assert_eq!(verdict(&explanation, "endpoint").0, "not_applicable");
        assert_eq!(verdict(&explanation, "credential").0, "not_applicable");
    }
    let names: Vec<_> = explained(&gateway, &question)["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|check| check["check"].clone())
        .collect();
    assert_eq!((names.len(), &names[0], &names[17]), (18, &json!("request"), &json!("limit")));
    upstream.assert_untouched();
    // The explanations have not used up any of the two requests.
    let call = Request::get("/api/v1/tickets")
        .host("desk.example")
        .bearer(&key)
        .header("Referer", "https://app.example.com/a");
    assert_eq!(gateway.send(&call).header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(gateway.send(&call).status(), 200);
    let explanation = explained(&gateway, &question);
    assert_eq!(
        (&explanation["refusal"], verdict(&explanation, "limit").0),
        (&json!("rate_limited"), "refused")
    );
}

#[test]
// Longer than 60 lines: one table of cases.
fn first_check_that_refuses_is_named_and_those_behind_it_are_not_reached() {
    let upstream = Upstream::start();
    let (gateway, _) = desk(&upstream);
    let app = "https://app.example.com/";
    let cases = [
        (
            json!({"key": "key_crm", "path": "/api/v1//tickets"}),
            "malformed_target",
            "request",
            None,
        ),
        (
            json!({"key": "key_crm", "path": "/api/v1/tickets", "host": "other.example"}),
            "unknown_host",
            "api",
            None,
        ),
        (json!({"path": "/api/v1/tickets"}), "missing_key", "credential", None),
        (
            json!({"key": "key_crm", "path": "/api/v1/tickets", "address": "198.51.100.1"}),
            "address_not_allowed",
            "address",
            Some("allow_ips"),
        ),
        (
            json!({"key": "key_crm", "path": "/api/v1/tickets"}),
            "referrer_not_allowed",
            "referrer",
            Some("allow_referrers"),
        ),
        (
            json!({"key": "key_crm", "method": "POST", "path": "/api/v1/tickets", "referrer": app}),
            "insufficient_scope",
            "scope",
            Some("[api.scopes.\"tickets:write\"]"),
        ),
        (
            json!({"key": "key_crm", "path": "/api/v1/invoices", "referrer": app}),
            "no_scope_allows",
            "scope",
            None,
        ),
    ];
    for (question, refusal, check, line) in cases {
        let explanation = explained(&gateway, &question);
        assert_eq!(explanation["refusal"], refusal, "{explanation:#}");
        let (outcome, found) = verdict(&explanation, check);
        assert_eq!(outcome, "refused");
        if let Some(text) = line {
            assert_eq!(
                (&found["line"], &found["source"]),
                (&line_of(&gateway, text), &json!("gateway.toml")),
                "{explanation:#}"
            );
        }
        let checks = explanation["checks"].as_array().expect("checks");
        let at = checks.iter().position(|found| found["check"] == check).expect("the check");
        assert!(
            checks[..at].iter().all(
                |before| before["verdict"] == "passed" || before["verdict"] == "not_applicable"
            )
        );
        assert!(checks[at + 1..].iter().all(|behind| behind["verdict"] == "not_reached"));
    }
    assert_eq!(explained(&gateway, &json!({"path": "/status"}))["allowed"], true);
    upstream.assert_untouched();
}

#[test]
fn unsaved_edit_is_tried_without_being_put_in_force() {
    let upstream = Upstream::start();
    let (gateway, key) = desk(&upstream);
    let edited = std::fs::read_to_string(gateway.file()).expect("the file")
        + "\n[revoked]\nkeys = [\"key_crm\"]\n";
    let question = json!({
        "key": "key_crm",
        "path": "/api/v1/tickets",
        "referrer": "https://app.example.com/",
        "config": edited,
    });
    let explanation = explained(&gateway, &question);
    assert_eq!(explanation["refusal"], "revoked_key");
    assert_eq!(verdict(&explanation, "not_revoked").1["line"], json!(edited.lines().count()));
    let call = Request::get("/api/v1/tickets")
        .host("desk.example")
        .bearer(&key)
        .header("Referer", "https://app.example.com/");
    assert_eq!(gateway.send(&call).status(), 200, "it is in force");

    let answer =
        ask(&gateway, "ops-token", &json!({"path": "/", "config": "[server]\nlisten = 5\n"}));
    assert_eq!(answer.status(), 422);
    assert!(
        answer.json()["errors"].as_array().is_some_and(|errors| errors.len() > 1),
        "every mistake is told"
    );
}

#[test]
fn refused_request_is_explained_by_its_id_and_only_to_those_who_may_see_its_key() {
    let upstream = Upstream::start();
    let (gateway, key) = desk(&upstream);
    let call = Request::new("POST", "/api/v1/tickets")
        .host("desk.example")
        .bearer(&key)
        .header("Referer", "https://app.example.com/x?secret=1");
    let refused = gateway.send(&call);
    assert_eq!(refused.status(), 403);
    let id = refused.header("x-request-id").expect("an id").to_owned();
    let explanation = explained(&gateway, &json!({"request_id": id}));
    assert_eq!(explanation["refusal"], "insufficient_scope");
    assert!(explanation["refused_at"].is_string());
    assert_eq!(verdict(&explanation, "referrer").0, "passed");
    assert_eq!(
        verdict(&explanation, "scope").1["line"],
        line_of(&gateway, "[api.scopes.\"tickets:write\"]")
    );
    assert_eq!(verdict(&explanation, "limit").0, "not_reached");
    assert!(
        !explanation.to_string().contains("secret=1")
            && !explanation.to_string().contains(&key.text)
    );
    assert_eq!(
        ask(&gateway, "acme-token", &json!({"request_id": id})).status(),
        200,
        "its own key"
    );
    assert_eq!(ask(&gateway, "other-token", &json!({"request_id": id})).status(), 404);
    assert_eq!(ask(&gateway, "other-token", &json!({"key": "key_crm", "path": "/"})).status(), 404);
    assert_eq!(ask(&gateway, "ops-token", &json!({"request_id": "nobody"})).status(), 404);

    let unknown = gateway.send(
        &Request::get("/api/v1/tickets").host("desk.example").bearer(&Key::live("key_nobody")),
    );
    let id = unknown.header("x-request-id").expect("an id").to_owned();
    let explanation = explained(&gateway, &json!({"request_id": id}));
    assert_eq!(
        (&explanation["refusal"], verdict(&explanation, "known_key").0),
        (&json!("unknown_key"), "refused")
    );
}

#[test]
fn changed_file_is_not_quoted() {
    let upstream = Upstream::start();
    let (gateway, _) = desk(&upstream);
    gateway.edit(|toml| toml.push_str("\nnonsense = true\n"));
    wait_for("the edit is refused", || {
        (!gateway.events("the file is refused; what ran before goes on").is_empty()).then_some(())
    });
    let explanation = explained(&gateway, &json!({"key": "key_crm", "path": "/api/v1/tickets"}));
    assert_eq!(explanation["refusal"], "referrer_not_allowed");
    assert_eq!(verdict(&explanation, "referrer").1["line"], Value::Null);
    assert!(explanation["notes"].to_string().contains("not the one that runs"), "{explanation:#}");
}

#[test]
fn preflight_is_said_to_be_answered_by_the_gateway_itself() {
    let upstream = Upstream::start();
    let token = format!(
        "[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
        hex_digest("ops-token")
    );
    let notes = |gateway: &Gateway| {
        explained(gateway, &json!({"method": "OPTIONS", "path": "/x"}))["notes"].to_string()
    };
    let with =
        Gateway::in_front_of(&upstream).table("[api.cors]\norigins = [\"*\"]").more(&token).start();
    assert!(notes(&with).contains("[api.cors]"));
    assert!(!notes(&Gateway::in_front_of(&upstream).more(&token).start()).contains("[api.cors]"));
}
