//! Decisions as clients see them: every row of the table of responses, and that no refused request
//! reaches the upstream.

use std::net::TcpListener;
use std::time::Duration;

use crate::harness::{Answer, Gateway, Key, Message, Request, Upstream, wait_for};

/// Returns the settings of an API at one host, with three scopes and keys as bearer tokens or in
/// `X-API-Key`.
fn desk(upstream: &Upstream) -> crate::harness::Setup {
    Gateway::in_front_of(upstream)
        .api(
            "hosts = [\"desk.example\"]\ncredentials = [\"bearer\", \"header:X-API-Key\"]\n\
            public = [\"GET /status\"]",
        )
        .scope("tickets:read", &["GET /tickets", "GET /tickets/**"])
        .scope("tickets:write", &["POST /tickets"])
        .scope("tickets:admin", &["POST /tickets", "DELETE /tickets/*"])
}

fn reader() -> Key {
    Key::live("key_reader").scopes(&["tickets:read"])
}

/// Returns the challenges for both credential locations of `desk`.
fn challenges(rest: &str) -> [String; 2] {
    ["Bearer", "ApiKey"].map(|scheme| format!("{scheme} realm=\"desk\"{rest}"))
}

#[track_caller]
fn assert_refused(answer: &Message, status: u16, code: &str, challenge: Option<&str>) {
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (status, Some(code)),
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
    let expected = challenge.map_or(Vec::new(), |rest| challenges(rest).to_vec());
    assert_eq!(answer.all("www-authenticate"), expected, "{code}");
}

#[test]
fn every_refusal_has_its_status_code_and_challenge_and_never_contacts_the_upstream() {
    let upstream = Upstream::start();
    let expired =
        Key::live("key_expired").scopes(&["tickets:read"]).set("expires_at = 2020-01-01T00:00:00Z");
    let revoked = Key::live("key_revoked").scopes(&["tickets:read"]);
    let far =
        Key::live("key_far").scopes(&["tickets:read"]).set("allow_ips = [\"203.0.113.0/24\"]");
    let web = Key::live("key_web")
        .scopes(&["tickets:read"])
        .set("allow_referrers = [\"https://app.example.com/*\"]");
    let narrow = Key::live("key_narrow")
        .scopes(&["tickets:read"])
        .set("allow_endpoints = [\"GET /tickets/*\"]");
    let (reader, unknown) = (reader(), Key::live("key_unknown"));
    let all = [&expired, &revoked, &far, &web, &narrow, &reader];
    let setup = all.iter().fold(desk(&upstream), |setup, key| setup.key(key));
    let gateway = setup.more("\n[revoked]\nkeys = [\"key_revoked\"]").start();

    let get = || Request::get("/tickets");
    let token = Some(", error=\"invalid_token\"");
    for (request, status, code, challenge) in [
        (get(), 401, "missing_key", Some("")),
        (get().header("Authorization", "Basic dXNlcjpwYXNz"), 401, "missing_key", Some("")),
        (get().header("Authorization", "Bearer"), 401, "missing_key", Some("")),
        (get().header("X-API-Key", " "), 401, "missing_key", Some("")),
        (get().bearer(&unknown), 401, "unknown_key", token),
        (get().header("Authorization", "Bearer other_prefix"), 401, "unknown_key", token),
        (get().bearer(&revoked), 401, "revoked_key", token),
        (get().bearer(&expired), 401, "expired_key", token),
        (
            get().header("Authorization", &format!("Bearer\t{}", reader.text)),
            400,
            "malformed_credential",
            Some(", error=\"invalid_request\""),
        ),
        (get().bearer(&reader).bearer(&reader), 400, "repeated_header", None),
        (
            get().bearer(&reader).header("X-API-Key", &reader.text),
            400,
            "ambiguous_credential",
            Some(", error=\"invalid_request\""),
        ),
        (get().bearer(&far), 403, "address_not_allowed", None),
        (get().bearer(&web), 403, "referrer_not_allowed", None),
        (get().bearer(&narrow), 403, "endpoint_not_allowed", None),
        (
            Request::new("POST", "/tickets").bearer(&reader),
            403,
            "insufficient_scope",
            Some(", error=\"insufficient_scope\", scope=\"tickets:write\""),
        ),
        (Request::get("/invoices").bearer(&reader), 403, "no_scope_allows", None),
        (Request::get(&format!("/tickets?key={}", reader.text)), 400, "key_in_query", None),
    ] {
        assert_refused(&gateway.send(&request), status, code, challenge);
    }
    upstream.assert_untouched();
}

#[test]
fn requests_before_any_api_are_refused_without_contact() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    for (request, status, code) in [
        (Request::get("/tickets").host("other.example").bearer(&key), 404, "unknown_host"),
        (Request::get("/a/../tickets").bearer(&key), 400, "malformed_target"),
        (Request::get("/tickets/%2e%2e/x").bearer(&key), 400, "malformed_target"),
        (Request::get("/tickets%2F1").bearer(&key), 400, "malformed_target"),
        (Request::get("//tickets").bearer(&key), 400, "malformed_target"),
        (Request::get("/;/tickets").bearer(&key), 400, "malformed_target"),
        (Request::new("TRACE", "/tickets").bearer(&key), 405, "method_not_allowed"),
        (
            Request::get("/tickets").header("Host", "desk.example").bearer(&key),
            400,
            "malformed_host",
        ),
        (Request::get("http://other.example/tickets").bearer(&key), 400, "malformed_host"),
    ] {
        assert_refused(&gateway.send(&request), status, code, None);
    }
    upstream.assert_untouched();
}

#[test]
fn ambiguous_framing_never_reaches_the_upstream_and_closes_the_connection() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let head =
        format!("POST /tickets HTTP/1.1\r\nHost: desk.example\r\nX-API-Key: {}\r\n", key.text);
    for rest in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "Content-Length: +4\r\n\r\nabcd",
        "Content-Length: 4, 4\r\n\r\nabcd",
    ] {
        let mut client = gateway.client();
        client.write(
            format!("{head}{rest}GET /smuggled HTTP/1.1\r\nHost: desk.example\r\n\r\n").as_bytes(),
        );
        let answer = client.read("POST");
        // A gateway may also re-frame a request that has only one valid reading. Then the key's
        // scope decides, which gives 403.
        assert!(matches!(answer.status(), 400 | 403 | 501), "{rest:?}: {answer:?}");
        assert!(client.is_closed(), "{rest:?}: the connection is used further");
    }
    upstream.assert_untouched();
}

#[test]
fn tls_name_that_does_not_cover_the_host_gets_421() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).tls(&["desk.example", "other.example"]).start();
    let misdirected = gateway
        .client_for("desk.example")
        .send(&Request::get("/tickets").host("other.example").bearer(&key));
    assert_refused(&misdirected, 421, "misdirected", None);
    let unknown = gateway
        .client_for("other.example")
        .send(&Request::get("/tickets").host("other.example").bearer(&key));
    assert_refused(&unknown, 404, "unknown_host", None);
    upstream.assert_untouched();
    let answer = gateway.client_for("desk.example").send(&Request::get("/tickets").bearer(&key));
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.last().header("x-forwarded-proto"), Some("https"));
}

#[test]
fn key_for_another_api_is_refused_as_invalid() {
    let upstream = Upstream::start();
    let key = reader().set("apis = [\"desk\"]");
    let other = Key::live("key_other").set("apis = [\"second\"]").scopes(&[]);
    let second = format!(
        "\n[[api]]\nname = \"second\"\nhosts = [\"second.example\"]\nupstream = \"{}\"\n",
        upstream.url()
    );
    let gateway = desk(&upstream).more(&second).key(&key).key(&other).start();
    assert_refused(
        &gateway.send(&Request::get("/tickets").bearer(&other)),
        401,
        "key_not_for_api",
        Some(", error=\"invalid_token\""),
    );
    upstream.assert_untouched();
}

#[test]
fn public_endpoint_needs_no_key_and_strips_one_that_is_sent() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    assert_eq!(gateway.send(&Request::get("/status")).status(), 200);
    assert_eq!(upstream.last().header("x-keygate-auth"), Some("public"));
    assert_eq!(
        gateway.send(&Request::get("/status").header("Authorization", "Bearer nonsense")).status(),
        200
    );
    let seen = upstream.last();
    assert!(!seen.has("authorization") && !seen.has("x-keygate-key-id"));
}

#[test]
fn refused_request_leaves_the_connection_usable() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let mut client = gateway.client();
    assert_eq!(client.send(&Request::get("/tickets")).status(), 401);
    assert_eq!(client.send(&Request::new("POST", "/tickets").bearer(&key)).status(), 403);
    assert_eq!(client.send(&Request::get("/tickets").bearer(&key)).status(), 200);
    assert_eq!(client.send(&Request::new("HEAD", "/tickets").bearer(&key)).status(), 200);
    assert_eq!(client.send(&Request::get("/tickets").bearer(&key)).text(), r#"{"data":[]}"#);
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn upstream_that_is_down_gives_502_and_one_that_is_slow_504_and_both_are_charged() {
    let key = Key::live("key_reader").scopes(&["tickets:read"]).set("rate_limit = \"10/min\"");
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"late").after(Duration::from_secs(3)));
    let slow = desk(&upstream).api("response_timeout = \"200ms\"").key(&key).start();
    let answer = slow.send(&Request::get("/tickets").bearer(&key));
    assert_refused(&answer, 504, "upstream_timeout", None);
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("9"));

    // A port that was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let gateway = desk(&upstream).key(&key).start();
    gateway.edit(|toml| *toml = toml.replace(&upstream.url(), &format!("http://{nobody}")));
    let answer = wait_for("the edit is in force", || {
        let answer = gateway.send(&Request::get("/tickets").bearer(&key));
        (answer.status() == 502).then_some(answer)
    });
    assert_refused(&answer, 502, "upstream_unreachable", None);
    assert!(answer.header("x-ratelimit-remaining").is_some());
}

#[test]
fn upstream_that_breaks_off_gives_502() {
    let key = reader();
    let upstream = Upstream::answering(|_| Answer::raw("").then_close());
    let gateway = desk(&upstream).key(&key).start();
    assert_refused(
        &gateway.send(&Request::get("/tickets").bearer(&key)),
        502,
        "upstream_failed",
        None,
    );
    upstream.answer(|_| Answer::raw("what is this\r\n\r\n").then_close());
    assert_refused(
        &gateway.send(&Request::get("/tickets").bearer(&key)),
        502,
        "upstream_failed",
        None,
    );
}

#[test]
fn refusals_take_the_form_that_the_api_promises() {
    let upstream = Upstream::start();
    for (style, body) in [
        ("detail", r#"{"detail":"This endpoint needs an API key."}"#),
        ("envelope", r#"{"success":false,"message":"This endpoint needs an API key."}"#),
    ] {
        let gateway = Gateway::in_front_of(&upstream).api(&format!("errors = \"{style}\"")).start();
        let answer = gateway.send(&Request::get("/tickets"));
        assert_eq!((answer.status(), answer.text()), (401, body));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    upstream.assert_untouched();
}

#[test]
fn refused_grpc_call_gets_its_status_in_the_head() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let call = |path: &str| Request::new("POST", path).header("Content-Type", "application/grpc");
    for (request, status) in [(call("/tickets"), "16"), (call("/tickets").bearer(&key), "7")] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status(), answer.header("grpc-status"), answer.text()),
            (200, Some(status), "")
        );
    }
    upstream.assert_untouched();
}

#[test]
fn refusal_of_a_request_with_a_body_is_read_and_the_connection_goes_on() {
    let upstream = Upstream::start();
    let key = Key::live("key_reader").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).key(&key).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(
            client.send(&Request::new("POST", "/").body(&vec![b'x'; 200_000])).status(),
            401
        );
    }
    assert_eq!(client.send(&Request::get("/").bearer(&key)).status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}
