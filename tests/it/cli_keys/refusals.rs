//! What the commands print if the gateway refuses, or cannot be reached.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::process::Output;

use super::{Desk, NARROW, TOKEN, Typed};
use crate::cli::{assert_code, stderr, stdout};
use crate::cli_token::proof_of;
use crate::harness::Message;

#[test]
fn refusals_are_told_with_every_mistake_and_what_to_do() {
    let desk = Desk::open();
    let wrong = desk
        .typed(&[
            "keys",
            "create",
            "--name",
            "CRM",
            "--scope",
            "tickets:raed",
            "--allow-ip",
            "somewhere",
        ])
        .run();
    assert_code(&wrong, 1);
    assert!(stdout(&wrong).is_empty());
    for part in ["\n  scopes[0]: ", "\n  allow_ips[0]: "] {
        assert!(stderr(&wrong).contains(part), "{part}: {}", stderr(&wrong));
    }
    let told = |output: &Output, parts: &[&str]| {
        assert_code(output, 1);
        for part in parts {
            assert!(stderr(output).contains(part), "{part}: {}", stderr(output));
        }
    };
    told(&desk.typed(&["keys", "show", "key_none"]).run(), &["hint: ", "keygate keys list"]);
    told(&desk.typed(&["keys", "pause", "key_file"]).run(), &["gateway.toml"]);
    let stranger =
        desk.typed(&["keys", "list"]).env("KEYGATE_ADMIN_TOKEN", "token-of-a-stranger").run();
    told(&stranger, &["token was not sent", "[[admin.token]]"]);
    assert!(!stderr(&stranger).contains("token-of-a-stranger"));
    told(
        &desk.typed(&["reload"]).env("KEYGATE_ADMIN_TOKEN", NARROW).run(),
        &["one organization", "without `organization`"],
    );

    let storeless = Desk::open_with("");
    told(
        &storeless.typed(&["keys", "create", "--name", "CRM"]).run(),
        &["[store]", "keygate keys new"],
    );
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that nobody listens at");
    let url = format!("http://{free}");
    let nobody =
        Typed::new(env!("CARGO_BIN_EXE_keygate"), &["keys", "list", "--admin", &url]).run();
    told(&nobody, &["does not answer", "is it running"]);
}

#[test]
fn creation_is_repeated_after_a_broken_connection_and_asks_for_the_same_key() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let made = r#"{"id":"key_1","name":"CRM","organization":null,"apis":["desk"],"prefix":"sk_",
        "environment":null,"scopes":[],"allow_ips":[],"allow_referrers":[],"allow_endpoints":[],
        "rate_limit":null,"status":"active","source":"store","created_at":null,"created_by":null,
        "parent":null,"expires_at":null,"revoked_at":null,"revoked_by":null,
        "revoked_because":null,"last_used_at":null,"secrets":[],"revision":1,"key_shown":true}"#;
    let gateway = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for answered in [false, true] {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut requests = BufReader::new(stream.try_clone().expect("a handle"));
            let mut read =
                || Message::read(&mut requests, |_| true).expect("a request").expect("one");
            let mut write = |status: &str, body: &str| {
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).expect("it is read");
            };
            let challenge = read().json()["challenge"].as_str().expect("a challenge").to_owned();
            write("200 OK", &format!("{{\"proofs\": [\"{}\"]}}", proof_of(TOKEN, &challenge)));
            let request = read();
            if answered {
                write("201 Created", made);
            }
            seen.push((request.header("idempotency-key").map(str::to_owned), request.body.clone()));
        }
        seen
    });
    let output = Typed::new(
        env!("CARGO_BIN_EXE_keygate"),
        &["keys", "create", "--name", "CRM", "--expires", "1h", "--admin", &url],
    )
    .run();
    let seen = gateway.join().expect("two requests");
    assert!(seen[0].0.as_ref().is_some_and(|key| key.len() >= 32));
    assert_eq!(seen[0], seen[1]);
    // The gateway does not show a key twice, so the command suggests a rotation.
    assert_code(&output, 1);
    assert!(
        stdout(&output).is_empty() && stderr(&output).contains("keygate keys rotate key_1"),
        "{}",
        stderr(&output)
    );
}
