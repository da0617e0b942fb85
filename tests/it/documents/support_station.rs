//! Support Station: live and test keys of an organisation, four scopes, and 100 requests a minute
//! with rate-limit headers.

use super::Example;
use crate::harness::{Key, Request};

const API: &str = "support-station";

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path).host("api.supportstation.io")
}

#[test]
fn keys_of_both_worlds_work_and_the_upstream_learns_which_and_whose() {
    let live = Key::live("key_live").scopes(&["tickets:read"]).set("organization = \"org_acme\"");
    let test = Key::test("key_test").scopes(&["tickets:read"]).set("organization = \"org_acme\"");
    let example = Example::start(API, &[&live, &test]);
    for (key, environment) in [(&live, "live"), (&test, "test")] {
        let (seen, _) = example.forwarded(&request("GET", "/api/v1/tickets").bearer(key));
        assert_eq!(seen.header("x-keygate-environment"), Some(environment));
        assert_eq!(seen.header("x-keygate-organization"), Some("org_acme"));
        assert_eq!(seen.header("x-keygate-auth"), Some("key"));
        assert!(!seen.has("authorization"));
    }
}

#[test]
fn key_with_another_prefix_is_unknown_even_if_its_digest_is_listed() {
    let odd = Key::new("key_odd", "pk_").scopes(&["tickets:read"]);
    let good = Key::live("key_live").scopes(&["tickets:read"]);
    let example = Example::start(API, &[&good, &odd]);
    let answer = example.refused(&request("GET", "/api/v1/tickets").bearer(&odd), 401);
    assert_eq!(answer.json()["code"], "unknown_key");
    assert_eq!(example.upstream.connections(), 0);
}

#[test]
fn scopes_open_what_the_document_says_and_write_does_not_imply_read() {
    let endpoints = [
        ("tickets:read", "GET", "/api/v1/tickets"),
        ("tickets:read", "GET", "/api/v1/tickets/7"),
        ("tickets:read", "HEAD", "/api/v1/tickets"),
        ("tickets:write", "POST", "/api/v1/tickets"),
        ("tickets:write", "PATCH", "/api/v1/tickets/7"),
        ("tickets:write", "POST", "/api/v1/tickets/7/messages"),
        ("customers:read", "GET", "/api/v1/customers/7"),
        ("customers:write", "POST", "/api/v1/customers"),
        ("customers:write", "PATCH", "/api/v1/customers/7"),
        ("customers:write", "DELETE", "/api/v1/customers/7"),
    ];
    let scopes = ["tickets:read", "tickets:write", "customers:read", "customers:write"];
    let keys =
        scopes.map(|scope| Key::live(&format!("key_{}", scope.replace(':', "_"))).scopes(&[scope]));
    let example = Example::start(API, &keys.each_ref());
    for (scope, key) in scopes.iter().zip(&keys) {
        for (needed, method, path) in endpoints {
            let answer = example.gateway.send(&request(method, path).bearer(key));
            assert_eq!(
                answer.status(),
                if needed == *scope { 200 } else { 403 },
                "{scope}: {method} {path}"
            );
            if answer.status() == 403 && method != "HEAD" {
                assert_eq!(answer.json()["required_scope"], needed);
            }
        }
    }
}

#[test]
fn every_answer_to_a_valid_key_carries_the_limit_and_what_remains() {
    let key = Key::live("key_live").scopes(&["tickets:read"]);
    let example = Example::start(API, &[&key]);
    for used in 1..=3_u32 {
        let (_, answer) = example.forwarded(&request("GET", "/api/v1/tickets").bearer(&key));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("100"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some((100 - used).to_string().as_str()));
        let reset: u64 = answer
            .header("x-ratelimit-reset")
            .and_then(|reset| reset.parse().ok())
            .expect("a reset");
        assert!((1..=61).contains(&reset), "{reset}");
    }
    let answer = example.refused(&request("POST", "/api/v1/tickets").bearer(&key), 403);
    assert_eq!(answer.header("x-ratelimit-limit"), Some("100"));
    assert_eq!(
        answer.header("x-ratelimit-remaining"),
        Some("97"),
        "a refused request spends nothing"
    );
    let answer = example.refused(&request("GET", "/api/v1/tickets"), 401);
    assert!(!answer.has("x-ratelimit-limit"), "without a valid key there is no limit to tell");
}

#[test]
fn the_101st_request_in_a_minute_gets_429_and_is_told_when_to_come_back() {
    let (key, other) = (
        Key::live("key_live").scopes(&["tickets:read"]),
        Key::live("key_other").scopes(&["tickets:read"]),
    );
    let example = Example::start(API, &[&key, &other]);
    let mut client = example.gateway.client();
    for left in (0..100).rev() {
        let answer = client.send(&request("GET", "/api/v1/tickets").bearer(&key));
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left.to_string().as_str()));
    }
    let answer = client.send(&request("GET", "/api/v1/tickets").bearer(&key));
    assert_eq!(answer.start, "HTTP/1.1 429 Too Many Requests");
    assert_eq!(answer.header("x-ratelimit-limit"), Some("100"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let wait: u64 = answer
        .header("retry-after")
        .and_then(|wait| wait.parse().ok())
        .expect("Retry-After in seconds");
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(answer.json()["code"], "rate_limited");
    assert_eq!(example.upstream.requests().len(), 100);
    let answer = client.send(&request("GET", "/api/v1/tickets").bearer(&other));
    assert_eq!(
        (answer.status(), answer.header("x-ratelimit-remaining")),
        (200, Some("99")),
        "the limit is per key"
    );
}

#[test]
fn no_scope_opens_nothing() {
    let key = Key::live("key_live");
    let example = Example::start(API, &[&key]);
    let answer = example.refused(&request("GET", "/api/v1/tickets").bearer(&key), 403);
    assert_eq!(answer.json()["required_scope"], "tickets:read");
}

#[test]
fn old_and_new_key_both_work_while_rotating() {
    let (old, new) = (
        Key::live("key_old").scopes(&["tickets:read"]),
        Key::live("key_new").scopes(&["tickets:read"]),
    );
    let example = Example::start(API, &[&old, &new]);
    let by = |key| request("GET", "/api/v1/tickets").bearer(key);
    example.forwarded(&by(&old));
    example.forwarded(&by(&new));
    example.revoke("key_old", &by(&old));
    example.forwarded(&by(&new));
}
