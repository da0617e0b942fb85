//! Which fields the upstream and the client receive, whatever the other one sends.

use crate::harness::{Answer, Gateway, Key, Message, Request, Setup, Upstream};

fn desk(upstream: &Upstream) -> Setup {
    Gateway::in_front_of(upstream)
        .scope("tickets:read", &["GET /tickets", "GET /tickets/**"])
        .scope("tickets:write", &["POST /tickets"])
}

fn reader() -> Key {
    Key::live("key_reader")
        .scopes(&["tickets:read", "tickets:write"])
        .set("organization = \"Ünïon & Söhne\"")
}

/// Returns the request that the upstream receives.
fn seen(change: impl FnOnce(Setup) -> Setup, request: impl FnOnce(Request) -> Request) -> Message {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = change(desk(&upstream).key(&key)).start();
    let answer = gateway.send(&request(Request::get("/tickets").bearer(&key)));
    assert_eq!(answer.status(), 200, "{answer:?}");
    upstream.last()
}

#[test]
fn upstream_sees_exactly_these_fields_of_a_plain_request() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let answer = gateway.send(
        &Request::get("/tickets?page=2")
            .header("Accept", "*/*")
            .header("X-Request-Id", "from-client.1_2")
            .bearer(&key),
    );
    let seen = upstream.last();
    assert_eq!(seen.start, "GET /tickets?page=2 HTTP/1.1");
    let mut fields: Vec<(String, String)> = seen
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    fields.sort();
    let expected = [
        ("accept", "*/*"),
        ("host", "desk.example"),
        ("via", "1.1 keygate"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "desk.example"),
        ("x-forwarded-proto", "http"),
        ("x-keygate-auth", "key"),
        ("x-keygate-environment", "live"),
        ("x-keygate-key-id", "key_reader"),
        ("x-keygate-key-name", "key_reader%20of%20a%20test"),
        ("x-keygate-organization", "%C3%9Cn%C3%AFon%20&%20S%C3%B6hne"),
        ("x-keygate-scopes", "tickets:read tickets:write"),
        ("x-request-id", "from-client.1_2"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(answer.header("x-request-id"), Some("from-client.1_2"));
}

#[test]
fn names_that_a_client_smuggles_are_dropped_in_every_spelling() {
    let request = |request: Request| {
        request
            .header("X-Keygate-Auth", "public")
            .header("x-keygate-key-id", "key_admin")
            .header("X_Keygate_Key_Id", "key_admin")
            .header("X-Keygate_Scopes", "*")
            .header("X-Keygate-Anything", "1")
            .header("X-Forwarded-For", "203.0.113.1")
            .header("X_Forwarded_For", "203.0.113.1")
            .header("X-Forwarded-User", "root")
            .header("Forwarded", "for=203.0.113.1")
            .header("X-Real-IP", "203.0.113.1")
            .header("X-Original-URL", "/admin")
            .header("X-HTTP-Method-Override", "DELETE")
            .header(
                "Connection",
                "X-Keygate-Auth, x-keygate-key-id, X-Forwarded-For, \
                X-Request-Id, Host, X-Mine, close",
            )
            .header("X-Mine", "1")
            .header("X-Innocent", "kept")
    };
    let seen = seen(|setup| setup, request);
    assert_eq!(seen.all("x-keygate-auth"), ["key"]);
    assert_eq!(seen.all("x-keygate-key-id"), ["key_reader"]);
    assert_eq!(seen.all("x-keygate-scopes"), ["tickets:read tickets:write"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("host"), ["desk.example"]);
    assert_eq!(seen.all("x-innocent"), ["kept"]);
    assert_eq!(seen.all("x-request-id").len(), 1);
    for (name, value) in &seen.headers {
        assert!(!name.contains('_'), "{name}: {value}");
    }
    for name in [
        "x-keygate-anything",
        "x-forwarded-user",
        "forwarded",
        "x-real-ip",
        "x-original-url",
        "x-http-method-override",
        "x-mine",
    ] {
        assert!(!seen.has(name), "{name}");
    }
}

#[test]
fn fields_of_one_connection_are_not_passed_on_in_either_direction() {
    let upstream = Upstream::answering(|_| {
        Answer::new(
            "200 OK",
            &[
                ("Connection", "X-Theirs"),
                ("X-Theirs", "1"),
                ("Keep-Alive", "timeout=5"),
                ("ETag", "\"e\""),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
            ],
            b"body",
        )
    });
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let request = Request::get("/tickets")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic x")
        .header("TE", "gzip, trailers")
        .bearer(&key);
    let answer = gateway.send(&request);
    let seen = upstream.last();
    for name in ["keep-alive", "proxy-connection", "proxy-authorization"] {
        assert!(!seen.has(name), "{name}");
    }
    assert_eq!(seen.header("te"), Some("trailers"));
    assert!(!answer.has("x-theirs") && !answer.has("keep-alive"));
    assert_eq!(
        (answer.header("etag"), answer.all("set-cookie")),
        (Some("\"e\""), vec!["a=1", "b=2"])
    );
    assert_eq!(answer.text(), "body");
}

#[test]
fn request_id_is_kept_where_it_is_sound_and_made_otherwise() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let mut client = gateway.client();
    let longest = "x".repeat(128);
    for good in ["a", "A.b_c-9", &longest] {
        let answer =
            client.send(&Request::get("/tickets").header("X-Request-Id", good).bearer(&key));
        assert_eq!(
            (answer.header("x-request-id"), upstream.last().header("x-request-id")),
            (Some(good), Some(good))
        );
    }
    let too_long = "x".repeat(129);
    let mut made = std::collections::HashSet::new();
    for bad in ["", "a b", "a\"b", "a/b", &too_long, "é"] {
        let answer =
            client.send(&Request::get("/tickets").header("X-Request-Id", bad).bearer(&key));
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert_eq!(upstream.last().header("x-request-id"), Some(id.as_str()));
        assert!(!id.is_empty() && id.len() <= 128 && id != bad, "{id}");
        assert!(
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
            "{id}"
        );
        assert!(made.insert(id), "the same id twice");
    }
    let refused = client.send(&Request::get("/tickets").header("X-Request-Id", "mine"));
    assert_eq!((refused.status(), refused.header("x-request-id")), (401, Some("mine")));
}

#[test]
fn trusted_proxy_is_believed_about_the_client() {
    let request = |request: Request| {
        request
            .header("X-Forwarded-For", "1.2.3.4, 203.0.113.5")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "outside.example")
    };
    let believed = seen(|setup| setup.server("trusted_proxies = [\"127.0.0.0/8\"]"), request);
    assert_eq!(believed.header("x-forwarded-for"), Some("1.2.3.4, 203.0.113.5, 127.0.0.1"));
    assert_eq!(believed.header("x-forwarded-proto"), Some("https"));
    assert_eq!(believed.header("x-forwarded-host"), Some("outside.example"));
    let not_believed = seen(|setup| setup, request);
    assert_eq!(not_believed.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(not_believed.header("x-forwarded-proto"), Some("http"));
    assert_eq!(not_believed.header("x-forwarded-host"), Some("desk.example"));
}

#[test]
fn address_restriction_goes_by_the_client_behind_a_trusted_proxy() {
    let upstream = Upstream::start();
    let key = reader().set("allow_ips = [\"203.0.113.0/24\"]");
    let gateway = desk(&upstream).server("trusted_proxies = [\"127.0.0.0/8\"]").key(&key).start();
    let from = |chain| {
        gateway
            .send(&Request::get("/tickets").header("X-Forwarded-For", chain).bearer(&key))
            .status()
    };
    assert_eq!(from("203.0.113.5"), 200);
    assert_eq!(from("198.51.100.1, 203.0.113.5, 127.0.0.1"), 200);
    assert_eq!(from("203.0.113.5, 198.51.100.1"), 403);
    assert_eq!(from("not an address"), 400);
}

#[test]
fn upstream_headers_replace_the_clients_own_and_are_never_logged() {
    let upstream = Upstream::start();
    let key = reader();
    let secret = format!("Basic {}", "c2VjcmV0".repeat(2));
    let table = format!("[api.upstream_headers]\nAuthorization = \"{secret}\"\nX-Desk = \"ours\"");
    let gateway = desk(&upstream).table(&table).key(&key).start();
    let answer = gateway.send(
        &Request::get("/tickets")
            .header("X-Desk", "theirs")
            .header("X_Desk", "theirs")
            .bearer(&key),
    );
    assert_eq!(answer.status(), 200);
    let seen = upstream.last();
    assert_eq!(
        (seen.all("authorization"), seen.all("x-desk"), seen.all("x_desk")),
        (vec![secret.as_str()], vec!["ours"], vec![])
    );
    let id = answer.header("x-request-id").expect("an id");
    crate::harness::wait_for("the log line", || gateway.logged("request_id", id).pop());
    assert!(!gateway.output().contains(&secret) && !gateway.output().contains(&key.text));
}

#[test]
fn host_is_kept_or_the_upstreams_own_as_the_setting_says() {
    assert_eq!(seen(|setup| setup, |request| request).header("host"), Some("desk.example"));
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).api("host_header = \"upstream\"").key(&key).start();
    assert_eq!(gateway.send(&Request::get("/tickets").bearer(&key)).status(), 200);
    let seen = upstream.last();
    assert_eq!(seen.header("host"), Some(upstream.url().trim_start_matches("http://")));
    assert_eq!(seen.header("x-forwarded-host"), Some("desk.example"));
}

#[test]
fn path_query_and_body_are_forwarded_byte_for_byte() {
    let upstream = Upstream::start();
    let key = reader();
    let gateway = desk(&upstream).key(&key).start();
    let target = "/tickets/caf%C3%A9/a+b;v=1/~x?q=%2F..%2F&empty=&&x=%zz?y";
    assert_eq!(gateway.send(&Request::get(target).bearer(&key)).status(), 200);
    assert_eq!(upstream.last().start, format!("GET {target} HTTP/1.1"));
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert_eq!(
        gateway.send(&Request::new("POST", "/tickets").bearer(&key).body(&body)).status(),
        200
    );
    let seen = upstream.last();
    assert_eq!(seen.header("content-length"), Some("300000"));
    assert!(seen.body == body, "the body was changed");
}

#[test]
fn answers_are_passed_on_with_their_trailers_and_length() {
    let key = reader();
    let upstream = Upstream::start();
    let gateway = desk(&upstream).key(&key).start();
    upstream.answer(|_| {
        Answer::raw(
            "HTTP/1.1 201 Made Up\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\n\
                abc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
        )
    });
    let answer = gateway.send(&Request::get("/tickets").header("TE", "trailers").bearer(&key));
    assert_eq!((answer.status(), answer.text()), (201, "abcde"));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "5".to_owned())]);
    upstream.answer(|_| Answer::new("200 OK", &[], b"12345"));
    let head = gateway.send(&Request::new("HEAD", "/tickets").bearer(&key));
    assert_eq!((head.status(), head.header("content-length"), head.text()), (200, Some("5"), ""));
}
