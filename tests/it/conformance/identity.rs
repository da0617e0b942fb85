//! Only Keygate tells the upstream who the caller is, where the request comes from and what it is
//! for (RFC 9110 §7.6, RFC 7239 §8).

mod sources;

use std::collections::BTreeSet;

use self::sources::{HONEST, SOURCES};
use super::{Stand, declined};
use crate::harness::Message;

/// Returns the distinct names of [`SOURCES`].
fn overrides() -> BTreeSet<&'static str> {
    SOURCES.iter().flat_map(|(_, names)| names.split_whitespace()).collect()
}

/// A request without any override, for comparison.
const PLAIN: &str = "GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\nConnection: close\r\n\r\n";

fn arrived(stand: &Stand, sent: &str) -> Message {
    stand.upstream.forget();
    let come = stand.exchange(sent.as_bytes());
    assert!(come.starts_with(b"HTTP/1.1 200 "), "{sent:?}: {}", come.escape_ascii());
    stand.upstream.last()
}

/// Returns spellings of a field name that some servers treat as the same name (RFC 3875 §4.1.18).
fn spellings(name: &str) -> BTreeSet<String> {
    let last = |by: &str| {
        name.rsplit_once('-').map_or(name.to_owned(), |(start, end)| format!("{start}{by}{end}"))
    };
    let every = |by| name.replace(['-', '_'], by);
    [
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase(),
        every("_"),
        last("_"),
        every("."),
    ]
    .into()
}

#[test]
fn no_override_reaches_the_upstream_in_any_spelling() {
    let stand = Stand::start();
    let plain = arrived(&stand, PLAIN);
    for (source, names) in SOURCES {
        for spelling in names.split_whitespace().flat_map(spellings) {
            let with = PLAIN.replace(
                "Connection",
                &format!("{spelling}: 192.0.2.1\r\n{spelling}: boss\r\nConnection"),
            );
            assert_eq!(arrived(&stand, &with), plain, "{spelling} ({source})");
        }
    }
}

#[test]
fn connection_cannot_name_away_what_keygate_says() {
    let stand = Stand::start();
    let plain = arrived(&stand, PLAIN);
    for name in overrides().into_iter().chain([
        "Host",
        "Via",
        "X-Request-Id",
        "Content-Length",
        "Connection",
        "Transfer-Encoding",
    ]) {
        for spelling in [name.to_owned(), name.to_ascii_lowercase(), name.replace('-', "_")] {
            for value in [
                format!("close, {spelling}"),
                format!("{spelling},close"),
                format!("{spelling}\r\nConnection: close"),
            ] {
                let with = PLAIN.replace("Connection: close", &format!("Connection: {value}"));
                assert_eq!(arrived(&stand, &with), plain, "{value}");
            }
        }
    }
    let named = arrived(
        &stand,
        &PLAIN.replace("Connection: close", "X-Mine: 1\r\nConnection: close, X-Mine"),
    );
    assert_eq!(named, plain, "what is the client's own to take away goes");
}

#[test]
fn honest_fields_that_look_a_little_like_overrides_pass() {
    let stand = Stand::start();
    for name in HONEST.split_whitespace() {
        let with = PLAIN.replace("Connection", &format!("{name}: kept\r\nConnection"));
        assert_eq!(arrived(&stand, &with).all(name), ["kept"], "{name}");
    }
}

#[test]
fn address_of_the_client_is_read_from_the_right_and_nothing_else_is_one() {
    let stand = Stand::with("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]", "");
    for (chain, logged) in [
        ("203.0.113.5", "203.0.113.5"),
        ("192.0.2.1, 203.0.113.5", "203.0.113.5"),
        ("nonsense, 203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, 10.1.2.3", "203.0.113.5"),
        ("203.0.113.5,10.1.2.3 , 127.0.0.9", "203.0.113.5"),
        ("192.0.2.1\r\nX-Forwarded-For: 203.0.113.5", "203.0.113.5"),
        ("203.0.113.5\r\nX-Forwarded-For: 10.1.2.3", "203.0.113.5"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
    ] {
        let with = PLAIN.replace("Connection", &format!("X-Forwarded-For: {chain}\r\nConnection"));
        let seen = arrived(&stand, &with);
        let one = chain.replace("\r\nX-Forwarded-For:", ",");
        assert_eq!(seen.all("x-forwarded-for"), [format!("{one}, 127.0.0.1")], "{chain}");
        let client = |line: &serde_json::Value| line["client"] == logged;
        crate::harness::wait_for(chain, || {
            stand.gateway.logged("request_id", "one").iter().any(client).then_some(())
        });
    }
    let cases = [
        "nonsense",
        "",
        ",",
        "203.0.113.5,",
        "203.0.113.5, ,10.0.0.1",
        "203.0.113.5:80",
        "[2001:db8::7]",
        "[2001:db8::7]:80",
        "203.0.113.5 10.0.0.1",
        "203.0.113.5;10.0.0.1",
        "unknown",
        "_hidden",
        "\"203.0.113.5\"",
        "203.0.113.005",
        "203.0.113.256",
        "203.0.113",
        "0xcb.0.113.5",
        "fe80::1%eth0",
        "for=203.0.113.5",
        "203.0.113.5\r\nX-Forwarded-For: nonsense",
        "203.0.113.5\r\nX-Forwarded-For:",
        "203.0.113.\u{665}",
    ];
    let request =
        |chain: &str| format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {chain}\r\n\r\n");
    let cases: Vec<_> =
        cases.into_iter().map(|chain| declined(400, "7239 §5.2", request(chain))).collect();
    stand.check(&cases);
}

#[test]
fn scheme_and_host_that_a_trusted_proxy_says_are_read_from_the_right_too() {
    let stand = Stand::with("trusted_proxies = [\"127.0.0.0/8\"]", "");
    let with = |lines: &str| PLAIN.replace("Connection", &format!("{lines}\r\nConnection"));
    for (said, proto, host) in [
        ("X-Forwarded-Proto: https", "https", "a"),
        ("X-Forwarded-Proto: http, https", "https", "a"),
        ("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https", "https", "a"),
        ("X-Forwarded-Host: evil.example, desk.example", "http", "desk.example"),
        (
            "X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: desk.example:8443",
            "http",
            "desk.example:8443",
        ),
        ("X-Forwarded-Host: [::1]:80", "http", "[::1]:80"),
    ] {
        let seen = arrived(&stand, &with(said));
        assert_eq!(
            (seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")),
            (Some(proto), Some(host)),
            "{said}"
        );
    }
    let cases = [
        "Proto:",
        "Proto: ftp",
        "Proto: https,",
        "Proto: https http",
        "Host:",
        "Host: a,",
        "Host: a b",
        "Host: user@a",
        "Host: a/b",
        "Host: a.",
        "Host: caf\u{e9}",
    ];
    let cases = cases.map(|line| {
        declined(
            400,
            "7239 §5.4",
            PLAIN.replace("Connection: close", &format!("X-Forwarded-{line}")),
        )
    });
    stand.check(&cases);
}

#[test]
fn proxys_own_headers_pass_only_where_they_are_named_and_only_from_trusted_proxies() {
    let sent = PLAIN.replace(
        "Connection",
        "CF-Connecting-IP: 203.0.113.5\r\nCf_Connecting_Ip: 192.0.2.1\r\n\
            True-Client-IP: 192.0.2.1\r\nConnection",
    );
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]";
    let named = "proxy_headers = [\"CF-Connecting-IP\", \"X-Forwarded-Prefix\"]";
    let stand = Stand::with(trusted, named);
    let seen = arrived(&stand, &sent);
    assert_eq!(seen.all("cf-connecting-ip"), ["203.0.113.5"]);
    assert!(!seen.has("true-client-ip") && !seen.has("cf_connecting_ip"));
    let seen =
        arrived(&stand, &sent.replace("Connection: close", "Connection: close, CF-Connecting-IP"));
    assert!(!seen.has("cf-connecting-ip"), "as any field that its sender names");
    for stand in
        [Stand::with(trusted, ""), Stand::with("trusted_proxies = [\"192.0.2.0/24\"]", named)]
    {
        assert!(!arrived(&stand, &sent).has("cf-connecting-ip"));
    }
}
