//! Cross-origin requests (the CORS protocol of the Fetch standard, §3.3).

use crate::harness::{Answer, Gateway, Key, Message, Request, Setup, Upstream};

const PAGE: &str = "https://app.example.com";

fn desk(upstream: &Upstream) -> Setup {
    Gateway::in_front_of(upstream)
        .scope("tickets:read", &["GET /tickets/**"])
        .api("public = [\"GET /status\"]\nrate_limit = \"2/hour\"")
}

fn reader() -> Key {
    Key::live("key_reader").scopes(&["tickets:read"])
}

fn preflight(path: &str, origin: &str) -> Request {
    let request = Request::new("OPTIONS", path).header("Origin", origin);
    request
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "authorization")
}

/// Returns the fields of a response that concern CORS, including `Vary`.
fn told(answer: &Message) -> Vec<(String, String)> {
    let mut told = answer.fields();
    told.retain(|(name, _)| name.starts_with("access-control-") || name == "vary");
    told
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn without_the_table_a_preflight_is_a_request_like_any_other() {
    let upstream = Upstream::answering(|_| {
        Answer::new(
            "200 OK",
            &[("Access-Control-Allow-Origin", "*"), ("Vary", "Origin")],
            b"theirs",
        )
    });
    let gateway = desk(&upstream)
        .api("pass_through = [\"header:DeskToken\"]\npass_through_allows = [\"OPTIONS /**\"]")
        .start();
    let refused = gateway.send(&preflight("/tickets/1", PAGE));
    assert_eq!((refused.status(), told(&refused)), (401, Vec::new()));
    upstream.assert_untouched();
    let passed = gateway.send(&preflight("/tickets/1", PAGE).header("DeskToken", "t"));
    assert_eq!(
        (passed.text(), told(&passed)),
        ("theirs", pairs(&[("access-control-allow-origin", "*"), ("vary", "Origin")]))
    );
}

#[test]
// Longer than 60 lines: one table of requests and answers.
fn preflight_is_answered_without_a_key_without_quota_and_without_the_upstream() {
    let upstream = Upstream::start();
    let gateway = desk(&upstream)
        .table(&format!("[api.cors]\norigins = [\"{PAGE}\", \"http://localhost:5173\"]"))
        .start();
    for path in ["/tickets/1", "/status", "/nowhere?x=y"] {
        for origin in [PAGE, "http://localhost:5173"] {
            let answer = gateway.send(&preflight(path, origin));
            let expected = [
                ("access-control-allow-headers", "authorization, content-type"),
                ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
                ("access-control-allow-origin", origin),
                ("access-control-max-age", "600"),
                ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            ];
            assert_eq!(
                (answer.status(), told(&answer)),
                (204, pairs(&expected)),
                "{path} {origin}"
            );
            assert!(
                answer.has("x-request-id")
                    && !answer.has("content-length")
                    && !answer.has("x-ratelimit-limit")
            );
        }
    }
    for origin in [
        "https://app.example.com.evil.example",
        "https://app.example.com:8443",
        "http://app.example.com",
        "HTTPS://APP.EXAMPLE.COM",
        "null",
        "",
        "*",
    ] {
        let answer = gateway.send(&preflight("/tickets/1", origin));
        let expected =
            [("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")];
        assert_eq!((answer.status(), told(&answer)), (204, pairs(&expected)), "{origin}");
    }
    // None of these is a valid preflight: no `Origin`, no requested method, another method than
    // OPTIONS, an ambiguous path, or two `Host` fields.
    let plain = Request::new("OPTIONS", "/tickets/1");
    assert_eq!(gateway.send(&plain).status(), 401);
    assert_eq!(gateway.send(&plain.clone().header("Origin", PAGE)).status(), 401);
    assert_eq!(gateway.send(&plain.header("Access-Control-Request-Method", "GET")).status(), 401);
    assert_eq!(
        gateway
            .send(
                &Request::get("/tickets/1")
                    .header("Origin", PAGE)
                    .header("Access-Control-Request-Method", "GET")
            )
            .status(),
        401
    );
    assert_eq!(gateway.send(&preflight("/tickets/../1", PAGE)).status(), 400);
    assert_eq!(gateway.send(&preflight("/tickets/1", PAGE).header("Host", "b")).status(), 400);
    upstream.assert_untouched();
}

#[test]
fn answers_and_refusals_tell_allowed_pages_and_replace_what_the_upstream_says() {
    let theirs = [
        ("Access-Control-Allow-Origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("Vary", "Accept"),
        ("X-Theirs", "1"),
    ];
    let upstream = Upstream::answering(move |_| Answer::new("200 OK", &theirs, b"{}"));
    let key = reader();
    let gateway =
        desk(&upstream).table(&format!("[api.cors]\norigins = [\"{PAGE}\"]")).key(&key).start();
    let exposed =
        "x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, retry-after, x-request-id";
    let ours = [("access-control-allow-origin", PAGE), ("access-control-expose-headers", exposed)];
    let from = |origin: &str, key: &Key| {
        gateway.send(&Request::get("/tickets/1").bearer(key).header("Origin", origin))
    };

    let answer = from(PAGE, &key);
    let both = [&ours[..], &[("vary", "Accept"), ("vary", "Origin")]].concat();
    assert_eq!(
        (answer.status(), told(&answer), answer.header("x-theirs")),
        (200, pairs(&both), Some("1"))
    );
    let answer = from("https://evil.example", &key);
    assert_eq!(
        (answer.status(), told(&answer)),
        (200, pairs(&[("vary", "Accept"), ("vary", "Origin")]))
    );
    assert_eq!(upstream.last().header("origin"), Some("https://evil.example"));

    let with_vary = [&ours[..], &[("vary", "Origin")]].concat();
    for (answer, status) in [
        (from(PAGE, &key), 429),
        (from(PAGE, &Key::live("nobody")), 401),
        (gateway.send(&Request::get("/elsewhere").bearer(&key).header("Origin", PAGE)), 403),
    ] {
        assert_eq!((answer.status(), told(&answer)), (status, pairs(&with_vary)));
    }
    assert_eq!(told(&from("https://evil.example", &key)), pairs(&[("vary", "Origin")]));
    assert_eq!(
        told(&gateway.send(&Request::get("/tickets/1"))),
        pairs(&[("vary", "Origin")]),
        "without an origin too"
    );
}

#[test]
fn any_page_may_read_where_the_file_says_so() {
    let upstream = Upstream::start();
    let gateway =
        desk(&upstream).table("[api.cors]\norigins = [\"*\"]\nexpose_headers = []").start();
    let answer = gateway.send(&preflight("/tickets/1", "https://anybody.example"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    for request in [
        Request::get("/status").header("Origin", PAGE),
        Request::get("/status"),
        Request::get("/tickets/1").header("Origin", "null"),
    ] {
        assert_eq!(told(&gateway.send(&request)), pairs(&[("access-control-allow-origin", "*")]));
    }
}

#[test]
fn settings_of_cors_are_told_to_the_browser() {
    let upstream = Upstream::start();
    let settings = "credentials = true\nmethods = [\"GET\"]\nheaders = [\"X-Mine\"]\n\
        expose_headers = [\"ETag\"]\nmax_age = \"1h\"";
    let gateway =
        desk(&upstream).table(&format!("[api.cors]\norigins = [\"{PAGE}\"]\n{settings}")).start();
    let expected = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "x-mine"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-origin", PAGE),
        ("access-control-max-age", "3600"),
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ];
    assert_eq!(told(&gateway.send(&preflight("/tickets/1", PAGE))), pairs(&expected));
    let answer = gateway.send(&Request::get("/status").header("Origin", PAGE));
    let expected = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-origin", PAGE),
        ("access-control-expose-headers", "etag"),
        ("vary", "Origin"),
    ];
    assert_eq!((answer.status(), told(&answer)), (200, pairs(&expected)));
}

#[test]
fn preflights_are_logged_and_counted_as_answered() {
    let upstream = Upstream::start();
    let gateway = desk(&upstream).table(&format!("[api.cors]\norigins = [\"{PAGE}\"]")).start();
    assert_eq!(
        gateway.send(&preflight("/tickets/1", PAGE).header("X-Request-Id", "asks")).status(),
        204
    );
    let line = crate::harness::wait_for("its line", || gateway.logged("request_id", "asks").pop());
    assert_eq!(
        (line["outcome"].as_str(), line["status"].as_u64(), line["api"].as_str()),
        (Some("answered"), Some(204), Some("desk"))
    );
    let series = "keygate_requests_total{api=\"desk\",outcome=\"answered\",status=\"2xx\"} 1";
    crate::harness::wait_for("the figure", || {
        gateway.admin("/metrics").text().contains(series).then_some(())
    });
}
