//! Relay help desk: bearer keys of any form, six scopes and `*`, 401 / 403 / 429.

use super::{Example, fields, problem};
use crate::harness::{Key, Request};

const API: &str = "relay-help-desk";

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path).host("your-domain.com")
}

/// Returns a key without a prefix, because the document promises none.
fn key(id: &str, scopes: &[&str]) -> Key {
    Key::new(id, "").scopes(scopes)
}

#[test]
fn bearer_key_of_any_form_lists_tickets() {
    let key = key("key_crm", &["tickets:read"]);
    let example = Example::start(API, &[&key]);
    let (seen, answer) = example.forwarded(&request("GET", "/api/v1/tickets?limit=1").bearer(&key));
    assert_eq!(seen.start, "GET /api/v1/tickets?limit=1 HTTP/1.1");
    assert!(!seen.has("authorization"), "the key reached the upstream");
    assert_eq!(seen.header("x-keygate-key-id"), Some("key_crm"));
    assert_eq!(seen.header("x-keygate-scopes"), Some("tickets:read"));
    assert!(!seen.has("x-keygate-environment"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn every_scope_opens_its_own_endpoints_and_no_others() {
    let endpoints = [
        ("tickets:read", "GET", "/api/v1/tickets/7"),
        ("tickets:write", "POST", "/api/v1/tickets"),
        ("tickets:write", "PATCH", "/api/v1/tickets/7"),
        ("customers:read", "GET", "/api/v1/customers"),
        ("customers:write", "POST", "/api/v1/customers"),
        ("conversations:read", "GET", "/api/v1/conversations/7"),
        ("conversations:write", "POST", "/api/v1/conversations/7/replies"),
    ];
    let scopes = [
        "tickets:read",
        "tickets:write",
        "customers:read",
        "customers:write",
        "conversations:read",
        "conversations:write",
    ];
    let keys = scopes.map(|scope| key(&format!("key_{}", scope.replace(':', "_")), &[scope]));
    let example = Example::start(API, &keys.each_ref());
    for (scope, key) in scopes.iter().zip(&keys) {
        for (needed, method, path) in endpoints {
            let request = request(method, path).bearer(key);
            if needed == *scope {
                example.forwarded(&request);
                continue;
            }
            let answer = example.refused(&request, 403);
            assert_eq!(answer.json()["code"], "insufficient_scope");
            assert_eq!(answer.json()["required_scope"], needed);
            let challenge = format!(
                "Bearer realm=\"relay-help-desk\", error=\"insufficient_scope\", scope=\"{needed}\""
            );
            assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        }
    }
}

#[test]
fn star_is_full_access_and_no_scope_is_none() {
    let (all, none, some) =
        (key("key_all", &["*"]), key("key_none", &[]), key("key_some", &["tickets:write"]));
    let example = Example::start(API, &[&all, &none, &some]);
    for (method, path) in
        [("GET", "/api/v1/tickets"), ("DELETE", "/api/v1/tickets/7"), ("GET", "/anything")]
    {
        let (seen, _) = example.forwarded(&request(method, path).bearer(&all));
        assert_eq!(seen.header("x-keygate-scopes"), Some("*"));
        example.refused(&request(method, path).bearer(&none), 403);
        example.refused(&request(method, path).bearer(&some), 403);
    }
    let answer = example.refused(&request("DELETE", "/api/v1/tickets/7").bearer(&some), 403);
    assert_eq!(answer.json()["code"], "no_scope_allows");
    assert!(!answer.has("www-authenticate"));
}

#[test]
fn missing_and_invalid_keys_get_401_and_say_which() {
    let example = Example::start(API, &[&key("key_crm", &["tickets:read"])]);
    let answer = example.refused(&request("GET", "/api/v1/tickets"), 401);
    let body =
        problem("Unauthorized", 401, "This endpoint needs an API key.", "missing_key", &answer);
    assert_eq!(answer.text(), body);
    assert_eq!(
        answer.fields(),
        fields(&[
            ("cache-control", "no-store"),
            ("content-length", &body.len().to_string()),
            ("content-type", "application/problem+json"),
            ("www-authenticate", "Bearer realm=\"relay-help-desk\""),
        ])
    );
    let answer = example.refused(
        &request("GET", "/api/v1/tickets").header("Authorization", "Bearer YOUR_API_KEY"),
        401,
    );
    assert_eq!(answer.json()["code"], "unknown_key");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"relay-help-desk\", error=\"invalid_token\"")
    );
    assert_eq!(example.upstream.connections(), 0);
}

#[test]
fn extra_whitespace_around_a_key_is_forgiven_and_inside_it_is_not() {
    let key = key("key_crm", &["tickets:read"]);
    let example = Example::start(API, &[&key]);
    for value in [format!("Bearer   {}  ", key.text), format!("bearer  {}\t", key.text)] {
        example.forwarded(&request("GET", "/api/v1/tickets").header("Authorization", &value));
    }
    let (first, rest) = key.text.split_at(5);
    example.refused(
        &request("GET", "/api/v1/tickets")
            .header("Authorization", &format!("Bearer {first} {rest}")),
        401,
    );
}

#[test]
fn revoked_key_stops_working_immediately() {
    let key = key("key_leaked", &["tickets:read"]);
    let example = Example::start(API, &[&key]);
    let request = request("GET", "/api/v1/tickets").bearer(&key);
    example.forwarded(&request);
    let answer = example.revoke("key_leaked", &request);
    assert_eq!(answer.json()["code"], "revoked_key");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"relay-help-desk\", error=\"invalid_token\"")
    );
    example.refused(&request, 401);
}

#[test]
fn too_many_requests_get_429() {
    let key = key("key_crm", &["tickets:read"]).set("rate_limit = \"3/min\"");
    let example = Example::start(API, &[&key]);
    let request = request("GET", "/api/v1/tickets").bearer(&key);
    for _ in 0..3 {
        example.forwarded(&request);
    }
    let answer = example.refused(&request, 429);
    assert_eq!(answer.start, "HTTP/1.1 429 Too Many Requests");
    assert_eq!(answer.json()["code"], "rate_limited");
    assert!(
        answer
            .header("retry-after")
            .and_then(|seconds| seconds.parse::<u64>().ok())
            .is_some_and(|seconds| (1..=61).contains(&seconds))
    );
}
