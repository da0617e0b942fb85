//! Approvals: keys with unprefixed scopes, or the desk's own token or session, which pass through.

use super::Example;
use crate::harness::{Key, Request};

const API: &str = "approvals";
const READ: &str = "/approvals/GetApprovalNotComplete";
const WRITE: [&str; 2] = ["/approvals/UpdateApprovalStatus", "/approvals/CreateApproval"];

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path).host("your-api-domain.com")
}

fn key(id: &str, scopes: &[&str]) -> Key {
    Key::new(id, "approvals-").scopes(scopes)
}

#[test]
fn read_and_write_open_their_endpoints_and_neither_implies_the_other() {
    let (read, write) = (key("key_read", &["read"]), key("key_write", &["write"]));
    let example = Example::start(API, &[&read, &write]);
    let by = |key: &Key, method, path| request(method, path).header("X-API-Key", &key.text);
    example.forwarded(&by(&read, "GET", READ));
    let answer = example.refused(&by(&write, "GET", READ), 403);
    assert_eq!(
        answer.header("www-authenticate"),
        Some("ApiKey realm=\"approvals\", error=\"insufficient_scope\", scope=\"read\"")
    );
    for path in WRITE {
        example.forwarded(&by(&write, "POST", path));
        let answer = example.refused(&by(&read, "POST", path), 403);
        assert_eq!(answer.json()["required_scope"], "write");
    }
}

#[test]
fn another_letter_case_of_a_path_is_no_way_around_a_scope() {
    let (read, write) = (key("key_read", &["read"]), key("key_write", &["write"]));
    let example = Example::start(API, &[&read, &write]);
    for path in
        ["/approvals/createapproval", "/APPROVALS/CREATEAPPROVAL", "/Approvals/cReAtEApproval"]
    {
        let answer = example.refused(&request("POST", path).header("X-API-Key", &read.text), 403);
        assert_eq!(answer.json()["required_scope"], "write", "{path}");
        let (seen, _) = example.forwarded(&request("POST", path).header("X-API-Key", &write.text));
        assert_eq!(seen.start, format!("POST {path} HTTP/1.1"), "the path is forwarded as it came");
    }
    example.refused(
        &request("POST", "/approvals/cancelapproval").header("X-API-Key", &write.text),
        403,
    );
}

#[test]
fn desk_token_and_session_pass_through_untouched_and_marked() {
    let example = Example::start(API, &[&key("key_read", &["read"])]);
    let by_token =
        request("GET", READ).header("DeskToken", "opaque token").header("Cookie", "theme=dark");
    let (seen, answer) = example.forwarded(&by_token);
    assert_eq!(seen.header("desktoken"), Some("opaque token"));
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
    assert_eq!(seen.header("x-keygate-auth"), Some("pass-through"));
    assert!(!seen.has("x-keygate-key-id") && !seen.has("x-keygate-scopes"));
    assert!(!answer.has("x-ratelimit-limit"));
    let by_session = request("POST", "/Approvals/createapproval")
        .header("Cookie", "theme=dark; sso_session=abc")
        .body(b"{}");
    let (seen, _) = example.forwarded(&by_session);
    assert_eq!(seen.header("cookie"), Some("theme=dark; sso_session=abc"));
    assert_eq!(seen.header("x-keygate-auth"), Some("pass-through"));
    assert_eq!(seen.body, b"{}");
}

#[test]
fn nobody_can_claim_to_be_a_key_by_passing_through() {
    let example = Example::start(API, &[&key("key_read", &["read"])]);
    let forged = request("GET", READ)
        .header("DeskToken", "t")
        .header("X-Keygate-Auth", "key")
        .header("X-Keygate-Key-Id", "key_read")
        .header("X_Keygate_Scopes", "write")
        .header("Connection", "X-Keygate-Auth");
    let (seen, _) = example.forwarded(&forged);
    assert_eq!(seen.all("x-keygate-auth"), ["pass-through"]);
    assert!(
        !seen.has("x-keygate-key-id")
            && !seen.has("x_keygate_scopes")
            && !seen.has("x-keygate-scopes")
    );
}

#[test]
fn pass_through_opens_the_documented_endpoints_only() {
    let example = Example::start(API, &[&key("key_read", &["read"])]);
    for (method, path) in
        [("GET", "/approvals/Other"), ("DELETE", READ), ("GET", "/"), ("POST", READ)]
    {
        let answer = example.refused(&request(method, path).header("DeskToken", "t"), 401);
        assert_eq!(answer.header("www-authenticate"), Some("ApiKey realm=\"approvals\""));
    }
    for nothing in [
        request("GET", READ),
        request("GET", READ).header("DeskToken", ""),
        request("GET", READ).header("Cookie", "sso_session="),
    ] {
        example.refused(&nothing, 401);
    }
}

#[test]
fn bad_key_never_falls_through_to_pass_through() {
    let (read, revoked) = (key("key_read", &["read"]), key("key_revoked", &["read"]));
    let example = Example::start(API, &[&read, &revoked]);
    let with = |key: &str| {
        request("GET", READ)
            .header("DeskToken", "t")
            .header("Cookie", "sso_session=abc")
            .header("X-API-Key", key)
    };
    assert_eq!(example.refused(&with("nonsense"), 401).json()["code"], "unknown_key");
    assert_eq!(example.revoke("key_revoked", &with(&revoked.text)).json()["code"], "revoked_key");
    let post = request("POST", WRITE[0]).header("DeskToken", "t").header("X-API-Key", &read.text);
    assert_eq!(example.refused(&post, 403).json()["code"], "insufficient_scope");
}

#[test]
fn pass_through_credentials_are_stripped_when_a_key_is_used() {
    let key = key("key_read", &["read"]);
    let example = Example::start(API, &[&key]);
    let both = request("GET", READ)
        .header("DeskToken", "t")
        .header("Cookie", "a=b; sso_session=abc; c=d")
        .header("X-API-Key", &key.text);
    let (seen, _) = example.forwarded(&both);
    assert!(!seen.has("desktoken") && !seen.has("x-api-key"));
    assert_eq!(seen.header("cookie"), Some("a=b; c=d"));
    assert_eq!(seen.header("x-keygate-auth"), Some("key"));
}
