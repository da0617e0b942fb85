//! What others try with the pages.

use serde_json::json;

use super::desk::{Desk, HOST, code_of, form, open, text};
use crate::harness::{Gateway, Request, Upstream};

#[test]
fn other_sites_change_nothing() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let (id, key) = browser.make_key("a");
    let revoke =
        form(&format!("/keys/{id}/revoke"), &[("session", &browser.session), ("confirm", "a")]);
    let revoke = revoke.host(HOST).header("Cookie", &browser.cookie);
    for fields in [
        &[][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", "null")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "https://keys.localhost")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://keys.localhost")],
    ] {
        let sent =
            fields.iter().fold(revoke.clone(), |sent, (name, value)| sent.header(name, value));
        assert_eq!(desk.gateway.send(&sent).status(), 403, "{fields:?}");
        assert_eq!(desk.tickets(&key), 200, "{fields:?}");
    }
    // A browser that is old enough sends the origin alone.
    let sent = desk.gateway.send(&revoke.header("Origin", "http://keys.localhost"));
    assert_eq!(sent.status(), 200, "{sent:?}");
}

#[test]
fn form_of_another_session_does_nothing() {
    let desk = Desk::open();
    let first = desk.sign_in(json!({}));
    let (id, key) = first.make_key("a");
    let second = desk.sign_in(json!({}));
    let sent = form(&format!("/keys/{id}/pause"), &[("session", &first.session)]);
    let answer = desk.browse(&sent.header("Cookie", &second.cookie));
    assert_eq!(answer.status(), 409, "{answer:?}");
    assert_eq!(desk.tickets(&key), 200);
}

#[test]
fn strangers_and_other_organizations_find_nothing() {
    let desk = Desk::open();
    let (id, key) = desk.sign_in(json!({})).make_key("a");
    let other = desk.sign_in(json!({"organization": "org_other"}));
    for path in ["", "/edit", "/rotate", "/revoke"] {
        assert_eq!(other.get(&format!("/keys/{id}{path}")).status(), 404, "{path}");
    }
    let fields = [
        ("idempotency", "x"),
        ("grace", "0s"),
        ("confirm", "a"),
        ("name", "b"),
        ("expiry", "never"),
    ];
    for path in ["edit", "pause", "resume", "rotate", "revoke"] {
        assert_eq!(other.send(&format!("/keys/{id}/{path}"), &fields).status(), 404, "{path}");
    }
    assert!(!other.page(&format!("/audit?subject={id}")).contains("key.create"));
    for cookie in ["", "__Host-keygate=", "__Host-keygate=page_x", "__Host-keygate-admin=page_x"] {
        let asked = desk.browse(&Request::get("/keys").header("Cookie", cookie));
        assert_eq!(asked.status(), 401, "{cookie}");
    }
    assert_eq!(desk.tickets(&key), 200);
}

#[test]
fn markup_in_names_is_text() {
    let desk = Desk::open();
    let name = "<script>alert(1)</script>\"'&";
    let browser = desk.sign_in(json!({"actor": {"id": "<b>", "name": name}}));
    let (id, _) = browser.make_key(name);
    for path in
        ["/keys".to_owned(), format!("/keys/{id}"), format!("/keys/{id}/revoke"), "/audit".into()]
    {
        let page = browser.page(&path);
        assert!(!page.contains("<script>alert") && page.contains("&#60;script&#62;"), "{page}");
    }
    // Names that hide or turn around what stands beside them are refused.
    for name in ["a\u{202e}b", "a\u{0}b", "a\nb", "\u{200b}"] {
        let fields =
            [("idempotency", "n"), ("name", name), ("environment", "test"), ("expiry", "90d")];
        assert_eq!(browser.send("/keys", &fields).status(), 422, "{name:?}");
    }
}

#[test]
fn every_page_has_the_fields_that_protect_it() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let asked = ["/keys", "/keys/new", "/keys/none", "/none", "/open?code=x", "/assets/none"];
    for path in asked {
        let answer = browser.get(path);
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert!(answer.has("x-request-id") && !answer.has("strict-transport-security"), "{path}");
    }
    let page = browser.page("/keys");
    let style = super::desk::between(&page, "rel=\"stylesheet\" href=\"", "\"").expect("a style");
    let file = browser.get(&style);
    assert_eq!(
        (file.status(), file.header("content-type")),
        (200, Some("text/css; charset=utf-8"))
    );
    assert!(file.header("cache-control").is_some_and(|value| value.contains("immutable")));
}

#[test]
fn transport_security_is_asked_for_behind_a_proxy_with_tls() {
    let upstream = Upstream::start();
    let portal = super::desk::portal().replace(HOST, "keys.example.com");
    let gateway = Gateway::in_front_of(&upstream)
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .more(&portal)
        .start();
    let asked = Request::get("/keys")
        .host("keys.example.com")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https");
    assert!(gateway.send(&asked).has("strict-transport-security"));
    // The origin is the one that the browser sees.
    let sent = open("x").host("keys.example.com").header("X-Forwarded-Proto", "https");
    let sent = sent.header("X-Forwarded-For", "203.0.113.9");
    let status = |origin: &str| gateway.send(&sent.clone().header("Origin", origin)).status();
    assert_eq!(status("https://keys.example.com"), 410);
    assert_eq!(status("http://keys.example.com"), 403);
}

#[test]
fn link_that_is_followed_from_elsewhere_finds_the_open_session() {
    let desk = Desk::open();
    let followed = Request::get("/keys/new?environment=live")
        .host(HOST)
        .header("Sec-Fetch-Site", "cross-site")
        .header("Sec-Fetch-Mode", "navigate");
    let answer = desk.gateway.send(&followed);
    assert_eq!(answer.status(), 200, "{answer:?}");
    let page = text(&answer);
    assert!(page.contains("/keys/new?environment=live") && page.contains("refresh"), "{page}");
}

#[test]
fn link_that_is_followed_from_elsewhere_asks_before_it_replaces_another_session() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({"organization": "org_other"}));
    let (_, path) = desk.mint(json!({}));
    let followed = Request::get(&path)
        .host(HOST)
        .header("Sec-Fetch-Site", "cross-site")
        .header("Sec-Fetch-Mode", "navigate");
    let page = text(&desk.gateway.send(&followed));
    // The cookie is not sent with this request, but with the next one.
    assert!(page.contains(&path) && !page.contains("org_acme"), "{page}");
    let page = browser.page(&path);
    assert!(page.contains("org_other") && !page.contains("data-submit"), "{page}");
}

#[test]
fn pages_are_compressed_unless_they_hold_a_secret() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let compressed = |request: Request| {
        let request = request.header("Accept-Encoding", "br, gzip");
        desk.browse(&request.header("Cookie", &browser.cookie))
    };
    let list = compressed(Request::get("/keys"));
    assert_eq!(list.header("content-encoding"), Some("gzip"));
    let mut page = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&*list.body);
    std::io::Read::read_to_string(&mut decoder, &mut page).expect("gzip");
    assert_eq!(page, browser.page("/keys"));
    let style = super::desk::between(&page, "rel=\"stylesheet\" href=\"", "\"").expect("a style");
    let script = super::desk::between(&page, "<script src=\"", "\"").expect("a script");
    let files = [style, script].map(|file| compressed(Request::get(&file)).body.len());
    assert!(list.body.len() + files[0] + files[1] < 20_000, "{} {files:?}", list.body.len());
    let fields = [
        ("session", &*browser.session),
        ("idempotency", "a"),
        ("name", "a"),
        ("scope", "tickets:read"),
        ("environment", "test"),
        ("expiry", "90d"),
    ];
    let shown = compressed(form("/keys", &fields));
    assert!(!shown.has("content-encoding") && text(&shown).contains("new-key"), "{shown:?}");
}

#[test]
fn codes_cannot_be_tried_out() {
    let desk = Desk::open();
    let (_, path) = desk.mint(json!({}));
    let tried: Vec<u16> =
        (0..30).map(|number| desk.browse(&open(&format!("open_{number}"))).status()).collect();
    assert!(tried[..10].iter().all(|status| *status == 410), "{tried:?}");
    assert!(tried[10..].contains(&429), "{tried:?}");
    assert_eq!(desk.browse(&open(code_of(&path))).status(), 429);
}

#[test]
fn upstream_never_sees_the_cookies_of_the_pages() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let (_, key) = browser.make_key("a");
    let cookies = format!("a=b; {}; __Host-keygate-admin=x; c=d", browser.cookie);
    let request = Request::get("/api/v1/tickets")
        .header("Authorization", &format!("Bearer {key}"))
        .header("Cookie", &cookies);
    assert_eq!(desk.gateway.send(&request).status(), 200);
    let seen = desk.upstream.last();
    assert_eq!(seen.header("cookie"), Some("a=b; c=d"));
}

#[test]
fn bodies_and_methods_that_no_form_has_are_refused() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let long = "x".repeat(20_000);
    assert_eq!(browser.send("/keys", &[("name", &long)]).status(), 413);
    let json = Request::new("POST", "/keys")
        .header("Content-Type", "application/json")
        .header("Cookie", &browser.cookie)
        .body(b"{}");
    assert_eq!(desk.browse(&json).status(), 415);
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let request = Request::new(method, "/keys").header("Cookie", &browser.cookie);
        assert_eq!(desk.browse(&request).status(), 405, "{method}");
    }
    assert_eq!(browser.get("/keys/%2e%2e/keys").status(), 400);
}
