//! How much keys are used: exact by how requests ended, and kept over a restart.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Gateway, Key, Request, Upstream, hex_digest, wait_for};

/// How late what happened is told at most.
const LATE: Duration = Duration::from_secs(5);

fn upstream() -> Upstream {
    Upstream::answering(|request| {
        let status = match request.start.split(' ').nth(1) {
            Some(path) if path.ends_with("/missing") => "404 Not Found",
            Some(path) if path.ends_with("/broken") => "500 Internal Server Error",
            _ => "200 OK",
        };
        Answer::new(status, &[], b"x")
    })
}

fn folder(upstream: &Upstream, keys: &[&Key]) -> std::sync::Arc<tempfile::TempDir> {
    let digest = hex_digest("token-of-ops");
    let setup = Gateway::in_front_of(upstream)
        .scope("tickets:read", &["GET /api/v1/tickets/**"])
        .more("\n[store]\npath = \"keygate.db\"\n")
        .more(&format!(
            "\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{digest}\"\n"
        ));
    keys.iter().fold(setup, |setup, key| setup.key(key)).write()
}

fn ask(gateway: &Gateway, path: &str) -> Value {
    let request =
        Request::get(path).host("127.0.0.1").header("Authorization", "Bearer token-of-ops");
    let answer = Client::plain(gateway.admin_address()).send(&request);
    assert_eq!(answer.status(), 200, "{path}: {answer:?}");
    answer.json()
}

/// Returns the sums of all days or hours: requests, ok, client, limited, refused and failed.
fn sums(used: &Value, parts: &str) -> [u64; 6] {
    let all = used[parts].as_array().expect("a list");
    let sum = |name: &str| all.iter().map(|part| part[name].as_u64().expect("a number")).sum();
    ["requests", "ok", "client", "limited", "refused", "failed"].map(sum)
}

#[test]
fn use_is_exact_by_how_requests_ended_and_outlives_a_restart() {
    let upstream = upstream();
    let key = Key::live("key_a").scopes(&["tickets:read"]).set("organization = \"org_acme\"");
    let key = key.set("rate_limit = \"40/hour\"");
    let other = Key::live("key_b").scopes(&["tickets:read"]).set("organization = \"org_acme\"");
    let folder = folder(&upstream, &[&key, &other]);
    let gateway = Gateway::serve_in(folder.clone());
    let get = |path: &str| {
        let request = Request::get(&format!("/api/v1/tickets/{path}"));
        gateway.send(&request.bearer(&key)).status()
    };
    assert!((0..12).all(|_| get("1") == 200));
    assert!((0..5).all(|_| get("missing") == 404));
    assert!((0..3).all(|_| get("broken") == 500));
    let foreign = Request::get("/api/v1/customers").bearer(&key);
    assert!((0..4).all(|_| gateway.send(&foreign).status() == 403));
    assert!((0..20).all(|_| get("1") == 200));
    assert!((0..6).all(|_| get("1") == 429));
    gateway.send(&Request::get("/api/v1/tickets/1").bearer(&other));

    let began = Instant::now();
    let expected = [50, 32, 5, 6, 4, 3];
    let told = wait_for("the requests are told", || {
        let used = ask(&gateway, "/v1/keys/key_a/use?by=hour");
        (sums(&used, "days") == expected).then_some(used)
    });
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    assert_eq!(sums(&told, "hours"), expected);
    let highest = told["days"][0]["highest_minute"].as_u64().expect("a number");
    assert!((1..=50).contains(&highest), "{told}");
    let lines = gateway.logged("key", "key_a").len() as u64;
    assert_eq!(lines, expected[0], "each line that names the key is counted once");

    let all = ask(&gateway, "/v1/organizations/org_acme/use?by=hour");
    assert_eq!(sums(&all, "days"), [51, 33, 5, 6, 4, 3]);
    assert_eq!(sums(&all, "hours"), sums(&all, "days"));
    assert_eq!((&all["keys"][0]["id"], &all["keys"][0]["limited"]), (&json!("key_a"), &json!(6)));
    assert_eq!((&all["keys"][1]["id"], &all["keys"][1]["requests"]), (&json!("key_b"), &json!(1)));

    let refused = ask(&gateway, "/v1/keys/key_a/refusals");
    let refusals = refused["refusals"].as_array().expect("a list");
    let count = |code: &str| refusals.iter().filter(|one| one["code"] == code).count();
    assert_eq!([count("rate_limited"), count("no_scope_allows"), refusals.len()], [6, 4, 10]);

    gateway.stop();
    let gateway = Gateway::serve_in(folder);
    assert_eq!(ask(&gateway, "/v1/keys/key_a/use?by=hour"), told);
    gateway.send(&Request::get("/api/v1/tickets/missing").bearer(&other));
    wait_for("a request after the restart is added", || {
        let used = ask(&gateway, "/v1/keys/key_b/use");
        (sums(&used, "days") == [2, 1, 1, 0, 0, 0]).then_some(())
    });
}

#[test]
fn request_that_its_client_leaves_counts_as_the_clients() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"x").after(Duration::from_millis(300)));
    let key = Key::live("key_a").scopes(&["tickets:read"]);
    let gateway = Gateway::serve_in(folder(&upstream, &[&key]));
    let stream = std::net::TcpStream::connect(gateway.address()).expect("a connection");
    let head = format!(
        "GET /api/v1/tickets/1 HTTP/1.1\r\nHost: desk.example\r\nAuthorization: Bearer {}\r\n\r\n",
        key.text
    );
    std::io::Write::write_all(&mut &stream, head.as_bytes()).expect("sent");
    wait_for("the request is on its way", || (!upstream.requests().is_empty()).then_some(()));
    stream.shutdown(Shutdown::Both).expect("closed");
    drop(stream);
    wait_for("it is told", || {
        let used = ask(&gateway, "/v1/keys/key_a/use");
        (sums(&used, "days") == [1, 0, 1, 0, 0, 0]).then_some(())
    });
}

#[test]
fn requests_with_a_paused_key_are_refused_requests_of_it() {
    let upstream = upstream();
    let gateway = Gateway::serve_in(folder(&upstream, &[]));
    let bearer = "Bearer token-of-ops";
    let send = |method: &str, path: &str, body: &Value| {
        let request = Request::new(method, path)
            .host("127.0.0.1")
            .header("Authorization", bearer)
            .header("Content-Type", "application/json")
            .body(body.to_string().as_bytes());
        Client::plain(gateway.admin_address()).send(&request).json()
    };
    let made = send("POST", "/v1/keys", &json!({"name": "a", "scopes": ["tickets:read"]}));
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    let get = || {
        let bearer = format!("Bearer {key}");
        let request = Request::get("/api/v1/tickets/1").header("Authorization", &bearer);
        gateway.send(&request).status()
    };
    let pause = Request::new("POST", &format!("/v1/keys/{id}/pause"));
    let pause = pause.host("127.0.0.1").header("Authorization", bearer);
    assert_eq!(Client::plain(gateway.admin_address()).send(&pause).status(), 200);
    assert!((0..3).all(|_| get() == 401));
    wait_for("they are told", || {
        let used = ask(&gateway, &format!("/v1/keys/{id}/use"));
        (sums(&used, "days") == [3, 0, 0, 0, 3, 0]).then_some(())
    });
    let shown = ask(&gateway, &format!("/v1/keys/{id}"));
    assert_eq!(shown["last_used_at"], Value::Null, "a refused secret was not used");
}
