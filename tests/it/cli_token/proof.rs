//! `POST /v1/proof`: the gateway proves that it knows the digest of a token.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::json;
use sha2::Digest as _;

use super::{TOKEN, gateway, tokens};
use crate::harness::{Client, Gateway, Key, Message, Request, Upstream, hex_digest};

const LABEL: &[u8] = b"keygate admin token proof v1\0";

fn request(challenge: &str) -> Request {
    Request::new("POST", "/v1/proof")
        .host("127.0.0.1")
        .header("Content-Type", "application/json")
        .body(json!({ "challenge": challenge }).to_string().as_bytes())
}

/// Returns the gateway's response to a challenge. A valid one has 64 hexadecimal digits.
pub(super) fn ask(gateway: &Gateway, challenge: &str) -> Message {
    Client::plain(gateway.admin_address()).send(&request(challenge))
}

fn proofs(answer: &Message) -> Vec<String> {
    assert_eq!(answer.status(), 200, "{answer:?}");
    serde_json::from_value(answer.json()["proofs"].clone()).expect("a list of texts")
}

/// Returns the proof that a peer which knows the digest of `token` sends for this challenge.
pub(crate) fn proof_of(token: &str, challenge: &str) -> String {
    let bytes = |at: usize| u8::from_str_radix(&challenge[at..at + 2], 16).expect("a digit");
    let challenge: Vec<u8> = (0..64).step_by(2).map(bytes).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &sha2::Sha256::digest(token));
    let tag = hmac::sign(&key, &[LABEL, &challenge].concat());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn proof_is_one_mac_for_each_token_among_as_many_others_as_hide_their_count() {
    let upstream = Upstream::start();
    for others in [0, 3, 31, 32] {
        let setup = Gateway::in_front_of(&upstream).more(&tokens(others));
        let gateway = setup.start();
        let (first, second) = ("0f".repeat(32), "f0".repeat(32));
        let answers = [&first, &first, &second].map(|challenge| proofs(&ask(&gateway, challenge)));
        for (challenge, answer) in [&first, &first, &second].iter().zip(&answers) {
            let count = if others < 32 { 32 } else { 64 };
            assert_eq!(answer.len(), count, "{others} others");
            assert!(answer.contains(&proof_of(TOKEN, challenge)));
            for other in 0..others {
                assert!(answer.contains(&proof_of(&other.to_string(), challenge)), "{other}");
            }
        }
        // Only the proofs of the real tokens occur in both responses.
        let [one, two, _] = answers.map(BTreeSet::from_iter);
        assert_eq!(one.intersection(&two).count(), others + 1);
    }
}

#[test]
fn challenge_that_is_none_is_refused_and_foreign_pages_get_no_proof() {
    let upstream = Upstream::start();
    let desk = gateway(&upstream, "");
    for challenge in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
        assert_eq!(ask(&desk, challenge).status(), 422, "{challenge}");
    }
    let good = "00".repeat(32);
    let send = |request: Request| Client::plain(desk.admin_address()).send(&request).status();
    assert_eq!(send(request(&good).host("evil.example")), 403);
    assert_eq!(send(request(&good).header("Origin", "http://evil.example")), 403);
    assert_eq!(send(request(&good).header("Authorization", "Bearer nonsense")), 200);
    assert_eq!(send(Request::get("/v1/proof").host("127.0.0.1")), 405);
    let without_tokens = Gateway::in_front_of(&upstream).start();
    assert_eq!(ask(&without_tokens, &good).json()["code"], "no_admin_token");
}

#[test]
fn proofs_are_bounded_by_rate_and_asked_for_again_by_the_commands() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    let mut client = Client::plain(gateway.admin_address());
    let deadline = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        let answer = client.send(&request(&"00".repeat(32)));
        if answer.status() != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "there is no bound");
    };
    assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["code"], "too_many_proofs");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}", gateway.admin_address());
    super::assert_code(&super::keygate(folder.path(), &["keys", "list", "--admin", &url]), 0);
}

#[test]
fn digest_of_a_token_or_key_is_no_credential_anywhere() {
    let upstream = Upstream::start();
    let key = Key::live("key_reader").scopes(&["*"]);
    let setup = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).key(&key);
    let gateway = setup.more(&tokens(0)).more("[store]\npath = \"keygate.db\"").start();
    let proof = proof_of(TOKEN, &"00".repeat(32));
    ask(&gateway, &"00".repeat(32));
    let document: serde_json::Value = Client::plain(gateway.admin_address())
        .send(&Request::get("/openapi.json").host("127.0.0.1"))
        .json();
    let mut calls = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if operation.get("security").is_some() {
                continue;
            }
            calls += 1;
            for secret in [hex_digest(TOKEN), proof.clone()] {
                let target = path.replace("{id}", "key_reader").replace("{name}", "org_acme");
                let request = Request::new(&method.to_uppercase(), &target).host("127.0.0.1");
                let answer = Client::plain(gateway.admin_address())
                    .send(&request.header("Authorization", &format!("Bearer {secret}")));
                assert_eq!(answer.status(), 401, "{method} {path}: {answer:?}");
                assert_eq!(answer.json()["code"], "unknown_token");
            }
        }
    }
    assert!(calls > 15, "{calls}");
    let status = |secret: &str| {
        let request = Request::get("/x").header("Authorization", &format!("Bearer {secret}"));
        gateway.send(&request).status()
    };
    assert_eq!(status(&key.text), 200);
    for secret in [hex_digest(&key.text), hex_digest(TOKEN), TOKEN.to_owned(), proof] {
        assert_eq!(status(&secret), 401);
    }
}
