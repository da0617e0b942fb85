//! Relay AI: `X-API-Key`, full access, and a 401 that is the same byte for byte whatever the
//! reason.

use super::{Example, fields};
use crate::harness::{Key, Message, Request, wait_for};

const API: &str = "relay-ai";
/// As in the document, without its line breaks.
const UNAUTHORIZED: &str = r#"{"detail":"Invalid or missing API key"}"#;

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path).host("api.relayai.dev")
}

fn with(key: &str) -> Request {
    request("GET", "/api/v1/datasets").header("X-API-Key", key)
}

fn key(id: &str) -> Key {
    Key::new(id, &format!("rl_{}_", "live"))
}

#[test]
fn key_has_full_access_to_all_resources() {
    let key = key("key_ai");
    let example = Example::start(API, &[&key]);
    for (method, path) in
        [("GET", "/api/v1/datasets"), ("POST", "/api/v1/datasets"), ("DELETE", "/whatever/7")]
    {
        let (seen, _) = example.forwarded(&request(method, path).header("X-API-Key", &key.text));
        assert!(!seen.has("x-api-key"), "the key reached the upstream");
        assert_eq!(seen.header("x-keygate-key-id"), Some("key_ai"));
    }
    example.forwarded(
        &request("GET", "/api/v1/datasets").header("x-api-key", &format!("  {} ", key.text)),
    );
}

#[test]
fn missing_wrong_revoked_and_expired_keys_get_the_same_401_byte_for_byte() {
    let (revoked, expired, good) = (
        key("key_revoked"),
        key("key_expired").set("expires_at = 2024-03-31T23:59:59Z"),
        key("key_good"),
    );
    let example = Example::start(API, &[&revoked, &expired, &good]);
    example.forwarded(&with(&revoked.text));
    let after_revoking = example.revoke("key_revoked", &with(&revoked.text));

    let missing = example.refused(&request("GET", "/api/v1/datasets"), 401);
    assert_eq!(missing.start, "HTTP/1.1 401 Unauthorized");
    assert_eq!(missing.text(), UNAUTHORIZED);
    assert_eq!(
        missing.fields(),
        fields(&[
            ("cache-control", "no-store"),
            ("content-length", "39"),
            ("content-type", "application/json"),
            ("www-authenticate", "ApiKey realm=\"relay-ai\""),
        ])
    );
    let unknown = key("key_unknown");
    let other_prefix = Key::live("key_other");
    for (what, request) in [
        ("unknown", with(&unknown.text)),
        ("of another form", with(&other_prefix.text)),
        ("not a key at all", with("x")),
        ("empty", with("")),
        ("expired", with(&expired.text)),
        ("revoked", with(&revoked.text)),
        ("broken by a space", with(&good.text.replacen('_', "_ ", 1))),
        ("in another place", request("GET", "/api/v1/datasets").bearer(&good)),
        ("sent twice", with(&good.text).header("X-API-Key", &good.text)),
    ] {
        assert_eq!(
            example.refused(&request, 401).but_date_and_id(),
            missing.but_date_and_id(),
            "{what}"
        );
    }
    assert_eq!(after_revoking.but_date_and_id(), missing.but_date_and_id());
    example.forwarded(&with(&good.text));
}

#[test]
fn log_tells_the_operator_what_the_caller_is_not_told() {
    let expired = key("key_expired").set("expires_at = 2024-03-31T23:59:59Z");
    let example = Example::start(API, &[&expired]);
    let answer = example.refused(&with(&expired.text), 401);
    let id = answer.header("x-request-id").expect("a request id").to_owned();
    let line = crate::harness::wait_for("the log line", || {
        example.gateway.logged("request_id", &id).pop()
    });
    assert_eq!((&line["outcome"], &line["key"]), (&"expired_key".into(), &"key_expired".into()));
}

#[test]
fn key_that_expires_in_the_future_works() {
    let key = key("key_contractor").set("expires_at = 2099-12-31T23:59:59Z");
    let example = Example::start(API, &[&key]);
    example.forwarded(&with(&key.text));
}

fn keys(method: &str, path: &str, key: &str) -> Request {
    request(method, &format!("/api/v1/auth/api-keys{path}")).header("X-API-Key", key)
}

/// Returns the text of a member of the JSON body.
fn member(answer: &Message, name: &str) -> String {
    answer.json()[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name}: {}", answer.text()))
        .to_owned()
}

#[test]
// Longer than 60 lines: each endpoint of the document once, in its order.
fn key_endpoints_answer_byte_for_byte_as_documented() {
    let maker = key("key_maker");
    let example = Example::start(API, &[&maker]);
    let body = br#"{"name": "Production Server", "expires_at": "2099-12-31T23:59:59Z"}"#;
    let created = example.refused(
        &keys("POST", "", &maker.text).header("Content-Type", "application/json").body(body),
        201,
    );
    let (id, new, made_at) =
        (member(&created, "id"), member(&created, "key"), member(&created, "created_at"));
    assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(), 4);
    assert!(new.starts_with(&maker.text[..8]) && new.len() == 8 + 36, "{} characters", new.len());
    let head = format!(r#"{{"id":"{id}","name":"Production Server","key_prefix":"{}","#, &new[..8]);
    let tail = format!(
        r#""scopes":[],"created_at":"{made_at}","expires_at":"{}","last_used_at":"#,
        "2099-12-31T23:59:59Z"
    );
    assert_eq!(created.text(), format!(r#"{head}"key":"{new}",{tail}null}}"#));
    assert_eq!(
        created.fields(),
        fields(&[
            ("cache-control", "no-store"),
            ("content-length", &created.text().len().to_string()),
            ("content-type", "application/json")
        ])
    );
    example.forwarded(&with(&new));

    let listed = example.refused(&keys("GET", "", &maker.text), 200);
    let used = |index: usize| {
        listed.json()[index]["last_used_at"].as_str().expect("a last use").to_owned()
    };
    let by_hand = format!(
        concat!(
            r#"{{"id":"key_maker","name":"key_maker of a test","key_prefix":"{}","scopes":[],"#,
            r#""created_at":null,"expires_at":null,"last_used_at":"{}"}}"#
        ),
        &new[..8],
        used(0)
    );
    assert_eq!(listed.text(), format!(r#"[{by_hand},{head}{tail}"{}"}}]"#, used(1)));

    let revoked = example.refused(&keys("DELETE", &format!("/{id}"), &maker.text), 204);
    assert_eq!((revoked.text(), revoked.has("content-type")), ("", false));
    assert_eq!(example.refused(&with(&new), 401).text(), UNAUTHORIZED);
    let changes = wait_for("both changes among the events", || {
        let events = example.gateway.events("changed by request");
        (events.len() == 2).then_some(events)
    });
    for (event, action) in changes.iter().zip(["key.create", "key.revoke"]) {
        let line = event.to_string();
        assert!(
            line.contains(action) && line.contains(&id) && line.contains("key key_maker"),
            "{line}"
        );
    }
    let again = example.refused(&keys("DELETE", &format!("/{id}"), &maker.text), 404);
    assert_eq!(again.text(), r#"{"detail":"There is nothing of this name."}"#);
    assert_eq!(
        example
            .refused(&keys("GET", "", &maker.text), 200)
            .json()
            .as_array()
            .expect("a list")
            .len(),
        1
    );
}

#[test]
fn key_endpoints_refuse_strangers_bad_bodies_and_other_methods() {
    let maker = key("key_maker").set("expires_at = 2099-12-31T23:59:59Z");
    let example = Example::start(API, &[&maker]);
    assert_eq!(example.refused(&request("GET", "/api/v1/auth/api-keys"), 401).text(), UNAUTHORIZED);
    for body in [
        "",
        "{}",
        r#"["x"]"#,
        r#" ["x","2099-12-31T23:59:59Z",[]]"#,
        r#"{"name":"x","role":"admin"}"#,
        r#"{"name":"x","expires_at":null}"#,
        r#"{"name":"x","expires_at":"2024-03-31T23:59:59Z"}"#,
    ] {
        let answer = example.refused(&keys("POST", "", &maker.text).body(body.as_bytes()), 422);
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
    assert_eq!(
        example.refused(&keys("PUT", "", &maker.text), 405).header("allow"),
        Some("GET, HEAD, POST")
    );
    assert_eq!(
        example.refused(&keys("GET", "/key_maker", &maker.text), 405).header("allow"),
        Some("DELETE")
    );
}
