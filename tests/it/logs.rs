//! The access log: one line of JSON for each request, and never a secret or an unescaped byte.

use crate::harness::{Gateway, Key, Request, Upstream, wait_for};

#[test]
fn each_request_is_one_line_that_says_who_what_and_how_it_ended() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["tickets:read"]);
    let gateway = Gateway::in_front_of(&upstream)
        .scope("tickets:read", &["GET /api/v1/tickets"])
        .key(&key)
        .start();
    gateway.send(&Request::get("/api/v1/tickets?q=1").bearer(&key).header("X-Request-Id", "first"));
    gateway.send(
        &Request::new("POST", "/api/v1/tickets")
            .bearer(&key)
            .header("X-Request-Id", "second")
            .body(b"{}"),
    );
    let line = wait_for("the first line", || gateway.logged("request_id", "first").pop());
    assert_eq!(line["api"], "desk");
    assert_eq!(line["key"], "key_crm");
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/api/v1/tickets".into()));
    assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &"forwarded".into()));
    assert_eq!(
        (&line["client"], &line["host"], &line["bytes"]),
        (&"127.0.0.1".into(), &"desk.example".into(), &11.into())
    );
    assert!(line["duration_us"].as_u64() >= line["upstream_us"].as_u64());
    let line = wait_for("the second line", || gateway.logged("request_id", "second").pop());
    assert_eq!((&line["status"], &line["outcome"]), (&403.into(), &"no_scope_allows".into()));
    assert_eq!(line.get("upstream_us"), None, "the upstream was not asked");
}

#[test]
fn no_key_is_logged_wherever_a_caller_puts_it() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).key(&key).start();
    let last = Request::get("/last").bearer(&key).header("X-Request-Id", "last");
    for request in [
        Request::get(&format!("/path/{}", key.text)).bearer(&key),
        Request::get(&format!("/?token={}", key.text)).bearer(&key),
        Request::get(&format!("/path/{}", key.text.replace('_', "%5f"))).bearer(&key),
        Request::get("/a").bearer(&key).header("X-Request-Id", &key.text),
        Request::get("/b").bearer(&key).host(&key.text),
        Request::new(&key.text, "/c").bearer(&key),
        Request::get("/d").header("Authorization", &format!("Bearer {0} {0}", key.text)),
        Request::get("/e")
            .bearer(&key)
            .header("Referer", &key.text)
            .header("User-Agent", &key.text),
        last,
    ] {
        gateway.send(&request);
    }
    wait_for("the last line", || gateway.logged("request_id", "last").pop());
    let secret = &key.text["sk_live_".len()..];
    assert!(!gateway.output().contains(secret), "{}", gateway.output());
}

#[test]
fn no_line_grows_with_the_request_and_what_is_cut_says_so() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).api("public = [\"GET /**\"]").start();
    let long = "x".repeat(30_000);
    for (id, request) in [
        ("path", Request::get(&format!("/{long}"))),
        ("method", Request::new(&long, "/a")),
        ("host", Request::get("/a").host(&long)),
        ("odd", Request::get(&format!("/{}", "%\"\\".repeat(9_000)))),
    ] {
        gateway.send(&request.header("X-Request-Id", id));
        let line = wait_for(id, || gateway.logged("request_id", id).pop());
        assert!(line.to_string().len() < 8 * 1024, "{id}: {} bytes", line.to_string().len());
        let field = line[if id == "odd" { "path" } else { id }].as_str().expect("a text");
        assert!(field.ends_with('\u{2026}'), "{id}: {field}");
    }
    // A value within the limit is not truncated.
    let path = format!("/{}", "y".repeat(2047));
    gateway.send(&Request::get(&path).header("X-Request-Id", "fits"));
    let line = wait_for("the last line", || gateway.logged("request_id", "fits").pop());
    assert_eq!(line["path"], path);
    for line in gateway.output().lines() {
        assert!(line.len() < 8 * 1024, "{} bytes: {}", line.len(), &line[..200]);
    }
}

#[test]
fn blocked_log_delays_nothing_and_its_losses_are_counted() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream)
        .scope("all", &["GET /**"])
        .key(&key)
        .start_with_blocked_log();
    let long = format!("/{}", "x".repeat(7000));
    let mut client = gateway.client();
    let lost = || {
        let metrics = crate::harness::Client::plain(gateway.admin_address())
            .send(&Request::get("/metrics").host("127.0.0.1"));
        let line = metrics
            .text()
            .lines()
            .find(|line| line.starts_with("keygate_log_lines_lost_total"))
            .map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("the figure")
    };
    wait_for("lost lines", || {
        assert_eq!(client.send(&Request::get(&long).bearer(&key)).status(), 200);
        (lost() > 0).then_some(())
    });
    drop(client);
    assert_eq!(gateway.stop().code(), Some(0), "nor does it keep the gateway from stopping");
}
