//! The generic API: full access, two environments with an upstream each, and restrictions by
//! address, referrer and endpoint.

use super::{Example, fields};
use crate::harness::{Key, Request};

const API: &str = "generic";

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path).host("api.example.com")
}

fn envelope(message: &str) -> String {
    format!("{{\"success\":false,\"message\":\"{message}\"}}")
}

#[test]
fn key_without_scopes_has_full_access() {
    let key = Key::live("key_123");
    let example = Example::start(API, &[&key]);
    for (method, path) in
        [("GET", "/v1/users/usr_123"), ("POST", "/v1/users"), ("DELETE", "/v1/anything/at/all")]
    {
        let (seen, _) = example.forwarded(&request(method, path).bearer(&key));
        assert_eq!(seen.start, format!("{method} {path} HTTP/1.1"));
        assert_eq!(seen.header("x-keygate-key-id"), Some("key_123"));
    }
}

#[test]
fn live_and_test_keys_go_to_different_upstreams() {
    let (live, test) = (Key::live("key_live"), Key::test("key_test"));
    let example = Example::start(API, &[&live, &test]);
    assert_eq!(example.gateway.send(&request("GET", "/v1/users").bearer(&test)).status(), 200);
    assert_eq!(example.sandbox.last().header("x-keygate-environment"), Some("test"));
    example.upstream.assert_untouched();
    let (seen, _) = example.forwarded(&request("GET", "/v1/users").bearer(&live));
    assert_eq!(seen.header("x-keygate-environment"), Some("live"));
    assert_eq!(example.sandbox.requests().len(), 1, "a live request reached the sandbox");
}

#[test]
fn missing_wrong_and_revoked_keys_get_401_in_an_envelope() {
    let key = Key::live("key_123");
    let example = Example::start(API, &[&key]);
    let answer = example.refused(&request("GET", "/v1/users"), 401);
    let body = envelope("This endpoint needs an API key.");
    assert_eq!(answer.text(), body);
    assert_eq!(
        answer.fields(),
        fields(&[
            ("cache-control", "no-store"),
            ("content-length", &body.len().to_string()),
            ("content-type", "application/json"),
            ("www-authenticate", "Bearer realm=\"generic\""),
        ])
    );
    let answer =
        example.refused(&request("GET", "/v1/users").bearer(&Key::live("key_unknown")), 401);
    assert_eq!(
        answer.text(),
        envelope(
            "The API key is not known. Check that it was copied whole and is meant for this \
                environment."
        )
    );
    let basic = example
        .refused(&request("GET", "/v1/users").header("Authorization", "Basic dXNlcjpwYXNz"), 401);
    assert_eq!(basic.text(), body);
    let answer = example.revoke("key_123", &request("GET", "/v1/users").bearer(&key));
    assert_eq!(answer.text(), envelope("The API key has been revoked. Ask for a new one."));
}

#[test]
fn key_restricted_to_other_addresses_gets_403() {
    let elsewhere = Key::live("key_elsewhere").set("allow_ips = [\"203.0.113.0/24\"]");
    let here = Key::live("key_here").set("allow_ips = [\"203.0.113.0/24\", \"127.0.0.0/8\"]");
    let example = Example::start(API, &[&elsewhere, &here]);
    let answer = example.refused(&request("GET", "/v1/users").bearer(&elsewhere), 403);
    assert_eq!(answer.text(), envelope("The API key may not be used from this address."));
    assert!(!answer.has("www-authenticate"));
    let claimed =
        request("GET", "/v1/users").header("X-Forwarded-For", "203.0.113.5").bearer(&elsewhere);
    example.refused(&claimed, 403);
    example.forwarded(&request("GET", "/v1/users").bearer(&here));
}

#[test]
fn key_restricted_to_referrers_gets_403_from_elsewhere_and_without_one() {
    let key = Key::live("key_web").set("allow_referrers = [\"https://app.example.com/*\"]");
    let example = Example::start(API, &[&key]);
    let from = |referrer| request("GET", "/v1/users").header("Referer", referrer).bearer(&key);
    let (seen, _) = example.forwarded(&from("https://app.example.com/page?x=1"));
    assert_eq!(seen.header("referer"), Some("https://app.example.com/page?x=1"));
    for referrer in [
        "https://app.example.com.evil.example/",
        "http://app.example.com/",
        "https://evil.example/https://app.example.com/",
        "",
    ] {
        example.refused(&from(referrer), 403);
    }
    let answer = example.refused(&request("GET", "/v1/users").bearer(&key), 403);
    assert_eq!(
        answer.text(),
        envelope(
            "The API key may only be used from certain web pages, and the Referer header does not \
                name one."
        )
    );
}

#[test]
fn key_restricted_to_endpoints_gets_403_elsewhere() {
    let key = Key::live("key_narrow").set("allow_endpoints = [\"GET /v1/users/*\"]");
    let example = Example::start(API, &[&key]);
    example.forwarded(&request("GET", "/v1/users/usr_123").bearer(&key));
    for (method, path) in [
        ("GET", "/v1/users"),
        ("DELETE", "/v1/users/usr_123"),
        ("GET", "/v1/users/usr_123/cards"),
        ("GET", "/v1/Users/usr_123"),
    ] {
        let answer = example.refused(&request(method, path).bearer(&key), 403);
        assert_eq!(answer.text(), envelope("The API key is restricted to other endpoints."));
    }
}

#[test]
fn key_in_the_url_is_refused_with_a_hint_and_neither_forwarded_nor_logged() {
    let key = Key::live("key_123");
    let example = Example::start(API, &[&key]);
    let answer = example.refused(&request("GET", &format!("/v1/users?api_key={}", key.text)), 400);
    assert!(answer.text().contains("Send it in a header"), "{}", answer.text());
    example.forwarded(&request("GET", "/v1/users").bearer(&key));
    crate::harness::wait_for("both log lines", || {
        let logged = example.gateway.logged("path", "/v1/users");
        (logged.len() == 2).then_some(())
    });
    assert!(!example.gateway.output().contains(&key.text), "the key was logged");
}

#[test]
fn key_endpoints_answer_byte_for_byte_as_documented() {
    let key = Key::live("key_123");
    let example = Example::start(API, &[&key]);
    let listed = example.refused(&request("GET", "/v1/api-keys").bearer(&key), 200);
    let used = listed.json()["data"][0]["last_used"].as_str().expect("a last use").to_owned();
    let entry = format!(
        concat!(
            r#"{{"id":"key_123","name":"key_123 of a test","prefix":"{}","created_at":null,"#,
            r#""last_used":"{}"}}"#
        ),
        &key.text[..8],
        used
    );
    assert_eq!(listed.text(), format!(r#"{{"success":true,"data":[{entry}]}}"#));
    assert_eq!(
        listed.fields(),
        fields(&[
            ("cache-control", "no-store"),
            ("content-length", &listed.text().len().to_string()),
            ("content-type", "application/json")
        ])
    );
    let revoked = example.refused(&request("DELETE", "/v1/api-keys/key_123").bearer(&key), 200);
    assert_eq!(revoked.text(), r#"{"success":true,"message":"API key revoked successfully"}"#);
    let answer = example.refused(&request("GET", "/v1/users").bearer(&key), 401);
    assert_eq!(answer.text(), envelope("The API key has been revoked. Ask for a new one."));
}

#[test]
fn keys_of_the_file_are_listed_to_their_organization_in_the_environment_that_the_file_says() {
    let of_acme = |key: Key, environment: &str| {
        key.set("organization = \"org_acme\"").set(&format!("environment = \"{environment}\""))
    };
    let (caller, other, test) = (
        of_acme(Key::live("key_1"), "live"),
        of_acme(Key::live("key_2"), "live"),
        of_acme(Key::test("key_3"), "test"),
    );
    let example = Example::start(API, &[&caller, &other, &test]);
    let listed = |key: &Key| {
        let listed = example.refused(&request("GET", "/v1/api-keys").bearer(key), 200).json();
        listed["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (listed(&caller), listed(&test)),
        (vec!["key_1".into(), "key_2".into()], vec!["key_3".into()])
    );
    example.refused(&request("DELETE", "/v1/api-keys/key_2").bearer(&test), 404);
    example.refused(&request("DELETE", "/v1/api-keys/key_2").bearer(&caller), 200);
    example.refused(&request("GET", "/v1/users").bearer(&other), 401);
}

#[test]
fn keys_are_not_made_at_the_key_endpoints_and_a_test_key_does_not_touch_live_ones() {
    let (live, test) = (Key::live("key_live"), Key::test("key_test"));
    let example = Example::start(API, &[&live, &test]);
    let answer = example
        .refused(&request("POST", "/v1/api-keys").bearer(&live).body(br#"{"name":"x"}"#), 405);
    assert_eq!(
        (answer.header("allow"), answer.text()),
        (Some("GET, HEAD"), &*envelope("There is no such method here."))
    );
    let answer = example.refused(&request("DELETE", "/v1/api-keys/key_live").bearer(&test), 404);
    assert_eq!(answer.text(), envelope("There is nothing of this name."));
    let listed = example.refused(&request("GET", "/v1/api-keys").bearer(&test), 200).json();
    assert_eq!(
        (listed["data"].as_array().map(Vec::len), &listed["data"][0]["id"]),
        (Some(1), &"key_test".into())
    );
    example.forwarded(&request("GET", "/v1/users").bearer(&live));
}
