//! How sessions are made, opened, listed and ended.

use serde_json::{Value, json};

use super::desk::{Desk, HOST, code_of, open, text};
use crate::harness::{Request, hex_digest, wait_for};

#[test]
fn link_opens_its_session_once() {
    let desk = Desk::open();
    let (id, path) = desk.mint(json!({"path": "/keys/new"}));
    assert!(id.starts_with("ps_"));
    // Whatever only follows the link consumes nothing.
    for _ in 0..3 {
        let shown = desk.browse(&Request::get(&path));
        assert_eq!(shown.status(), 200, "{shown:?}");
        assert!(shown.header("set-cookie").is_none());
        let page = text(&shown);
        assert!(page.contains("org_acme") && page.contains("Support Lead"), "{page}");
    }
    let opened = desk.browse(&open(code_of(&path)));
    assert_eq!((opened.status(), opened.header("location")), (303, Some("/keys/new")));
    let cookie = opened.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-keygate=page_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    // Used, unknown and missing codes get the same page.
    let again = desk.browse(&open(code_of(&path)));
    let unknown = desk.browse(&open("open_unknown"));
    let followed = desk.browse(&Request::get(&path));
    assert_eq!([&again, &unknown, &followed].map(|answer| answer.status()), [410; 3]);
    assert_eq!(text(&again), text(&unknown));
    assert_eq!(text(&again), text(&followed));
}

#[test]
fn request_for_a_session_is_checked() {
    let desk = Desk::open();
    let faults = |more: Value| {
        let answer = desk.post("product", "/v1/portal/sessions", &Desk::wish(more));
        assert_eq!(answer.status(), 422, "{answer:?}");
        let errors = answer.json()["errors"].clone();
        let members = errors.as_array().expect("a list").iter();
        members.map(|one| one["member"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(faults(json!({"organization": ""})), ["organization"]);
    assert_eq!(
        faults(json!({"actor": {"id": "", "name": "a\u{202e}b"}})),
        ["actor.id", "actor.name"]
    );
    assert_eq!(faults(json!({"permissions": []})), ["permissions"]);
    assert_eq!(faults(json!({"apis": ["none"]})), ["apis[0]"]);
    assert_eq!(faults(json!({"environments": ["none"]})), ["environments[0]"]);
    assert_eq!(faults(json!({"scopes": ["none"]})), ["scopes[0]"]);
    assert_eq!(faults(json!({"max_key_lifetime": "1s"})), ["max_key_lifetime"]);
    assert_eq!(faults(json!({"expires_in": "25h"})), ["expires_in"]);
    assert_eq!(faults(json!({"locale": "e!"})), ["locale"]);
    for path in ["//evil.example", "https://evil.example", "keys", "/\\evil.example"] {
        assert_eq!(faults(json!({"path": path})), ["path"], "{path}");
    }
    for url in [
        "https://evil.example/",
        "https://desk.example.com.evil.example/",
        "https://desk.example.com@evil.example/",
        "http://desk.example.com/",
        "javascript:alert(1)",
        "//desk.example.com/",
        "/settings",
    ] {
        assert_eq!(faults(json!({"return_url": url})), ["return_url"], "{url}");
    }
}

#[test]
fn tokens_make_and_see_the_sessions_that_they_may() {
    let desk = Desk::open();
    let status = |token: &str, wish: Value| {
        desk.post(token, "/v1/portal/sessions", &Desk::wish(wish)).status()
    };
    assert_eq!(status("ops", json!({})), 201);
    assert_eq!(status("product", json!({"organization": "org_other"})), 201);
    assert_eq!(status("acme", json!({})), 201);
    assert_eq!(status("acme", json!({"organization": "org_other"})), 403);
    assert_eq!(status("viewer", json!({})), 403);
    let listed = |token: &str| {
        let answer = desk.ask(token, &Request::get("/v1/portal/sessions"));
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()["sessions"].as_array().expect("a list").len()
    };
    assert_eq!(["ops", "viewer", "product", "acme"].map(listed), [3, 3, 3, 2]);
    // A token for sessions opens nothing else.
    for path in ["/v1/keys", "/v1/organizations", "/v1/audit", "/v1/config"] {
        let answer = desk.ask("product", &Request::get(path));
        assert_eq!(
            (answer.status(), &answer.json()["code"]),
            (403, &json!("portal_token")),
            "{path}"
        );
    }
}

#[test]
fn session_ends_at_once_when_it_is_ended() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    assert_eq!(browser.get("/keys").status(), 200);
    let path = format!("/v1/portal/sessions/{}", browser.session);
    assert_eq!(desk.ask("product", &Request::new("DELETE", &path)).status(), 204);
    let ended = browser.get("/keys");
    assert_eq!(ended.status(), 401);
    let page = text(&ended);
    assert!(page.contains("href=\"https://desk.example.com/settings\""), "{page}");
    assert!(!page.contains("org_acme"), "nothing else is shown: {page}");

    let browsers = [desk.sign_in(json!({})), desk.sign_in(json!({}))];
    let other = desk.sign_in(json!({"organization": "org_other"}));
    let order = json!({"organization": "org_acme"});
    let ended = desk.post("product", "/v1/portal/sessions/revoke", &order);
    assert_eq!(ended.json()["ended"].as_array().map(Vec::len), Some(2), "{ended:?}");
    assert_eq!(browsers.map(|browser| browser.get("/keys").status()), [401, 401]);
    assert_eq!(other.get("/keys").status(), 200);
    assert_eq!(desk.post("product", "/v1/portal/sessions/revoke", &json!({})).status(), 422);
    assert_eq!(
        desk.post("acme", "/v1/portal/sessions/revoke", &json!({"actor": "user_123"})).json(),
        json!({"ended": []})
    );
    assert_eq!(other.get("/keys").status(), 200);
}

#[test]
fn session_ends_with_its_organization_and_with_its_token() {
    let desk = Desk::open();
    let suspended = desk.sign_in(json!({"organization": "org_other"}));
    let made = json!({"name": "a", "organization": "org_other"});
    assert_eq!(desk.post("ops", "/v1/keys", &made).status(), 201);
    let suspend = Request::new("POST", "/v1/organizations/org_other/suspend");
    assert_eq!(desk.ask("ops", &suspend).status(), 200);
    assert_eq!(suspended.get("/keys").status(), 401);
    let wish = Desk::wish(json!({"organization": "org_other"}));
    let refused = desk.post("product", "/v1/portal/sessions", &wish);
    assert_eq!(refused.json()["code"], "organization_closed");

    let browser = desk.sign_in(json!({}));
    assert_eq!(browser.get("/keys").status(), 200);
    // The same name with another digest is another token.
    let digest = hex_digest("token-of-product");
    let other = hex_digest("another token");
    desk.gateway.edit(|toml| *toml = toml.replace(&digest, &other));
    let has_ended = || (browser.get("/keys").status() == 401).then_some(());
    wait_for("the edit is in force", has_ended);
}

#[test]
fn person_can_leave() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let left = browser.send("/sign-out", &[]);
    assert_eq!(left.status(), 200, "{left:?}");
    let cookie = left.header("set-cookie").expect("the cookie is removed");
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(browser.get("/keys").status(), 401);
}

#[test]
fn audit_log_says_who_opened_and_who_ended_a_session() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    browser.send("/sign-out", &[]);
    let audit = desk.ask("ops", &Request::get("/v1/audit?organization=org_acme")).json();
    let entries: Vec<(&str, &str)> = audit["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["action"].as_str().expect("it"), entry["actor"].as_str().expect("it")))
        .collect();
    assert_eq!(
        entries,
        [
            ("portal_session.end", "portal:user_123"),
            ("portal_session.open", "portal:user_123"),
            ("portal_session.create", "token product"),
        ]
    );
    assert_eq!(audit["entries"][0]["detail"]["person"], "Support Lead");
    assert_eq!(audit["entries"][0]["detail"]["session"], json!(browser.session));
}

#[test]
fn pages_are_under_their_host_only() {
    let desk = Desk::open();
    let asked = |host: &str| desk.gateway.send(&Request::get("/keys").host(host));
    assert_eq!(asked(HOST).status(), 401);
    assert!(asked(HOST).has("content-security-policy"));
    assert_eq!(asked(&format!("{}:8443", HOST.to_uppercase())).status(), 401);
    // The API answers under every other host.
    assert!(!asked("api.example.com").has("content-security-policy"));
    let logged = || {
        let lines = desk.gateway.logged("path", "/keys");
        lines.iter().any(|line| line["status"] == 401).then_some(())
    };
    wait_for("the request is in the log", logged);
}
