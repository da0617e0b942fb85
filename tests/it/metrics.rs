//! The admin listener: metrics, health and readiness.

mod page;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use crate::harness::{
    Answer, Certificates, Client, Gateway, Key, Message, Request, Upstream, hex_digest, wait_for,
};

fn admin(gateway: &Gateway, request: &Request) -> Message {
    Client::plain(gateway.admin_address()).send(&request.clone().host("127.0.0.1"))
}

fn scrape(gateway: &Gateway) -> String {
    let answer = admin(gateway, &Request::get("/metrics"));
    assert_eq!(answer.status(), 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    answer.text().to_owned()
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Starts a gateway and sends it requests with various outcomes.
fn busy() -> (Upstream, Gateway, Key) {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["tickets:read"]).set("rate_limit = \"2/hour\"");
    let setup = Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /api/v1/tickets"]);
    let gateway = setup.api("hosts = [\"desk.example\"]").key(&key).start();
    let tickets = Request::get("/api/v1/tickets");
    for (request, status) in [
        (tickets.clone().bearer(&key), 200),
        (tickets.clone().bearer(&key), 200),
        (tickets.clone().bearer(&key), 429),
        (tickets.clone(), 401),
        (tickets.clone().bearer(&Key::live("stranger-chosen")), 401),
        (Request::get("/stranger-chosen").bearer(&key), 403),
        (tickets.clone().host("stranger-chosen.example"), 404),
        (
            Request::new("POST", "/api/v1/tickets?stranger=chosen").header("X-Stranger", "chosen"),
            401,
        ),
    ] {
        assert_eq!(gateway.send(&request).status(), status, "{request:?}");
    }
    (upstream, gateway, key)
}

#[test]
fn requests_are_counted_by_api_outcome_and_status_class() {
    let (_upstream, gateway, _key) = busy();
    let series = |api, outcome, status| {
        format!("keygate_requests_total{{api=\"{api}\",outcome=\"{outcome}\",status=\"{status}\"}}")
    };
    // A response is counted when its last byte is sent, which may be after the client has received
    // it.
    let page = wait_for("all requests in the figures", || {
        let page = scrape(&gateway);
        let keys = value(&page, "keygate_key_requests_total{key=\"key_crm\"}");
        (value(&page, &series("desk", "forwarded", "2xx")) == Some(2.0) && keys >= Some(3.0))
            .then_some(page)
    });
    assert_eq!(value(&page, &series("desk", "rate_limited", "4xx")), Some(1.0), "{page}");
    assert_eq!(value(&page, &series("desk", "missing_key", "4xx")), Some(2.0), "{page}");
    assert_eq!(value(&page, &series("desk", "unknown_key", "4xx")), Some(1.0), "{page}");
    assert_eq!(value(&page, &series("desk", "no_scope_allows", "4xx")), Some(1.0), "{page}");
    assert_eq!(value(&page, &series("", "unknown_host", "4xx")), Some(1.0), "{page}");
    assert_eq!(value(&page, "keygate_limiter_refusals_total{api=\"desk\"}"), Some(1.0), "{page}");
    assert_eq!(value(&page, "keygate_key_requests_total{key=\"other\"}"), Some(0.0), "{page}");
    assert_eq!(
        value(&page, "keygate_upstream_duration_seconds_count{api=\"desk\"}"),
        Some(2.0),
        "{page}"
    );
}

#[test]
fn no_label_is_chosen_by_a_caller() {
    let (_upstream, gateway, key) = busy();
    let page = scrape(&gateway);
    for word in ["stranger", "chosen", "tickets", key.text.as_str(), "127.0.0.1"] {
        assert!(!page.contains(word), "{word} is in {page}");
    }
    let names: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('{'))
        .flat_map(|(_, labels)| {
            labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name)
        })
        .collect();
    assert_eq!(
        names,
        BTreeSet::from([
            "api", "key", "le", "limit", "outcome", "reason", "result", "status", "version"
        ])
    );
}

#[test]
fn health_and_readiness_answer_get_and_head_only() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).start();
    assert_eq!(admin(&gateway, &Request::get("/healthz")).status(), 200);
    wait_for("ready", || (admin(&gateway, &Request::get("/readyz")).status() == 200).then_some(()));
    let head = admin(&gateway, &Request::new("HEAD", "/metrics"));
    assert_eq!((head.status(), head.body.len()), (200, 0));
    let post = admin(&gateway, &Request::new("POST", "/healthz"));
    assert_eq!((post.status(), post.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(admin(&gateway, &Request::get("/elsewhere")).status(), 404);
}

#[test]
fn open_pages_are_not_for_web_pages_that_rebind_a_name_to_loopback() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).start();
    let listed = "[admin]\nhosts = [\"keygate.internal\"]";
    gateway.edit(|toml| *toml = toml.replace("[admin]", listed));
    let ask = |path: &str, host: &str| {
        let request = Request::get(path).host(host);
        Client::plain(gateway.admin_address()).send(&request)
    };
    wait_for("the edit is in force", || {
        (ask("/metrics", "keygate.internal").status() == 200).then_some(())
    });
    for path in ["/metrics", "/healthz", "/readyz"] {
        for host in ["localhost", "127.0.0.1:9190", "[::1]", "10.1.2.3", "keygate.internal:9190"] {
            assert_ne!(ask(path, host).status(), 403, "{path} {host}");
        }
        for host in ["evil.example", "localhost.evil.example", "keygate.internal.evil", ""] {
            let refused = ask(path, host);
            assert_eq!(refused.status(), 403, "{path} {host}: {refused:?}");
            assert_eq!(refused.json()["code"], "host_not_allowed");
        }
        // Browsers always send `Host`. Very old health checks do not.
        let mut old = Client::plain(gateway.admin_address());
        old.write(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        assert_ne!(old.read("GET").status(), 403, "{path}");
    }
}

#[test]
fn open_pages_are_scraped_by_the_name_of_a_service_on_any_other_address() {
    let upstream = Upstream::start();
    let certificates = Certificates::for_names(&["keygate.prod".to_owned()]);
    let folder = tempfile::tempdir().unwrap();
    certificates.write(folder.path());
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"0.0.0.0:0\"\n[admin.tls]\n\
            cert = \"cert.pem\"\nkey = \"key.pem\"\n[[admin.token]]\nname = \"ops\"\n\
            sha256 = \"{}\"\n[[api]]\nname = \"desk\"\nupstream = \"{}\"\n\
            credentials = [\"bearer\"]\n",
        hex_digest("token"),
        upstream.url()
    );
    std::fs::write(folder.path().join("gateway.toml"), toml).unwrap();
    let gateway = Gateway::serve_in(folder);
    let address = (std::net::Ipv4Addr::LOCALHOST, gateway.admin_address().port()).into();
    for path in ["/metrics", "/healthz"] {
        let request = Request::get(path).host("keygate.prod:9190");
        let answer = Client::tls(address, &certificates, "keygate.prod").send(&request);
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[test]
fn draining_gateway_is_alive_and_not_ready() {
    let upstream =
        Upstream::answering(|_| Answer::new("200 OK", &[], b"late").after(Duration::from_secs(3)));
    let gateway = Gateway::in_front_of(&upstream).api("public = [\"GET /status\"]").start();
    wait_for("ready", || (admin(&gateway, &Request::get("/readyz")).status() == 200).then_some(()));
    let mut slow = gateway.client();
    slow.write(b"GET /status HTTP/1.1\r\nHost: desk.example\r\n\r\n");
    upstream.last();
    gateway.signal("TERM");
    wait_for("not ready", || {
        (admin(&gateway, &Request::get("/readyz")).status() == 503).then_some(())
    });
    assert_eq!(admin(&gateway, &Request::get("/healthz")).status(), 200);
    assert_eq!(slow.read("GET").text(), "late");
}

#[test]
fn admin_address_speaks_tls_where_it_is_told_to() {
    let upstream = Upstream::start();
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    let folder = tempfile::tempdir().unwrap();
    certificates.write(folder.path());
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[admin.tls]\n\
            cert = \"cert.pem\"\nkey = \"key.pem\"\n\
         [[api]]\nname = \"desk\"\nupstream = \"{}\"\ncredentials = [\"bearer\"]\n",
        upstream.url()
    );
    std::fs::write(folder.path().join("gateway.toml"), toml).unwrap();
    let gateway = Gateway::serve_in(folder);
    let request = Request::get("/healthz").host("localhost");
    assert_eq!(
        Client::tls(gateway.admin_address(), &certificates, "localhost").send(&request).status(),
        200
    );
    let mut plain = std::net::TcpStream::connect(gateway.admin_address()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut said);
    assert!(!said.starts_with(b"HTTP"), "nothing is said without TLS");
}
