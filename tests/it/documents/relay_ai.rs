//! Relay AI: `X-API-Key`, full access, and one 401 whatever the reason, byte for byte.

use super::{Example, fields};
use crate::harness::{Key, Request};

const API: &str = "relay-ai";
/// As the document shows it, without its line breaks.
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
    for (method, path) in [("GET", "/api/v1/datasets"), ("POST", "/api/v1/datasets"), ("DELETE", "/whatever/7")] {
        let (seen, _) = example.forwarded(&request(method, path).header("X-API-Key", &key.text));
        assert!(!seen.has("x-api-key"), "the key reached the upstream");
        assert_eq!(seen.header("x-keygate-key-id"), Some("key_ai"));
    }
    example.forwarded(&request("GET", "/api/v1/datasets").header("x-api-key", &format!("  {} ", key.text)));
}

#[test]
fn missing_wrong_revoked_and_expired_keys_get_the_same_401_byte_for_byte() {
    let (revoked, expired, good) = (key("key_revoked"), key("key_expired").set("expires_at = 2024-03-31T23:59:59Z"), key("key_good"));
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
        assert_eq!(example.refused(&request, 401).but_date_and_id(), missing.but_date_and_id(), "{what}");
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
    let line = crate::harness::wait_for("the log line", || example.gateway.logged("request_id", &id).pop());
    assert_eq!((&line["outcome"], &line["key"]), (&"expired_key".into(), &"key_expired".into()));
}

#[test]
fn key_that_expires_in_the_future_works() {
    let key = key("key_contractor").set("expires_at = 2099-12-31T23:59:59Z");
    let example = Example::start(API, &[&key]);
    example.forwarded(&with(&key.text));
}
