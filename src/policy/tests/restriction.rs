//! Tests of restricting a key to addresses, referrers and endpoints.

use std::net::IpAddr;

use super::*;

fn restricted(change: impl FnOnce(&mut Restrictions)) -> (Snapshot, String) {
    let text = key_text("live", "crm");
    let mut definition_of_key = key(&text);
    change(&mut definition_of_key.restrictions);
    (snapshot(definition(), [definition_of_key]), text)
}

fn range(text: &str) -> AddressRange {
    AddressRange::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn address_outside_of_every_range_is_refused() {
    let (snapshot, text) = restricted(|restrictions| {
        restrictions.addresses = vec![range("203.0.113.0/24"), range("2001:db8::1")]
    });
    for (from, refusal) in [
        ("203.0.113.9", None),
        ("::ffff:203.0.113.9", None),
        ("2001:db8::1", None),
        ("203.0.114.9", Some(Refusal::AddressNotAllowed)),
        ("2001:db8::2", Some(Refusal::AddressNotAllowed)),
        ("::ffff:203.0.114.9", Some(Refusal::AddressNotAllowed)),
    ] {
        assert_eq!(
            Call::new("GET", "/api/v1/tickets").bearer(&text).from(from).refusal(&snapshot),
            refusal,
            "{from}"
        );
    }
}

#[test]
fn mapped_addresses_and_ranges_count_as_ipv4() {
    assert!(range("203.0.113.0/24").contains(address("::ffff:203.0.113.1")));
    assert!(range("::ffff:203.0.113.0/120").contains(address("203.0.113.1")));
    assert!(!range("::ffff:203.0.113.0/120").contains(address("203.0.114.1")));
    assert!(range("::ffff:203.0.113.1").contains(address("203.0.113.1")));
    assert!(!range("::/0").contains(address("203.0.113.1")));
    assert!(!range("0.0.0.0/0").contains(address("2001:db8::1")));
}

#[test]
fn malformed_ranges_are_refused_and_set_host_bits_explained() {
    for bad in [
        "",
        "203.0.113",
        "203.0.113.0/33",
        "203.0.113.0/",
        "203.0.113.0/-1",
        "localhost",
        "203.0.113.0/24/24",
        " 203.0.113.0",
    ] {
        assert_eq!(AddressRange::parse(bad), Err(BadAddressRange::Form), "{bad:?}");
    }
    let why = AddressRange::parse("203.0.113.9/24").expect_err("host bits are set");
    assert!(why.to_string().contains("203.0.113.0/24"), "{why}");
}

fn client(peer: &str, fields: &[&str], trusted: &[&str]) -> Result<IpAddr, Refusal> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append("x-forwarded-for", HeaderValue::from_str(field).expect("a field value"));
    }
    let trusted: Vec<AddressRange> = trusted.iter().map(|text| range(text)).collect();
    client_address(address(peer), &Fields::from(&headers), &trusted)
}

#[test]
fn forwarded_for_is_read_from_the_right_and_only_from_trusted_proxies() {
    let trusted = &["10.0.0.0/8"];
    for (peer, fields, expected) in [
        ("198.51.100.7", &["203.0.113.1"][..], "198.51.100.7"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
        ("::ffff:10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["1.2.3.4, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["1.2.3.4, 203.0.113.1, 10.9.9.9"], "203.0.113.1"),
        ("10.0.0.1", &["1.2.3.4", "203.0.113.1,10.9.9.9"], "203.0.113.1"),
        ("10.0.0.1", &["nonsense, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", &["::ffff:203.0.113.1"], "203.0.113.1"),
    ] {
        assert_eq!(client(peer, fields, trusted), Ok(address(expected)), "{peer} {fields:?}");
    }
    assert_eq!(client("10.0.0.1", &["203.0.113.1"], &[]), Ok(address("10.0.0.1")));
}

#[test]
fn unreadable_entry_that_would_have_to_be_believed_is_refused() {
    for field in
        ["", "unknown", "203.0.113.1, ", "203.0.113.1, nonsense", "203.0.113.1, 10.1.1.1, _hidden"]
    {
        assert_eq!(
            client("10.0.0.1", &[field], &["10.0.0.0/8"]),
            Err(Refusal::MalformedForwardedFor),
            "{field:?}"
        );
    }
}

fn referrer_refusal(patterns: &[&str], referrers: &[&str]) -> Option<Refusal> {
    let parse =
        |text: &&str| ReferrerPattern::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let (snapshot, text) =
        restricted(|restrictions| restrictions.referrers = patterns.iter().map(parse).collect());
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    referrers
        .iter()
        .fold(call, |call, referrer| call.header("referer", referrer))
        .refusal(&snapshot)
}

#[test]
fn referrers_compare_scheme_host_port_and_then_path() {
    let app = &["https://app.example.com/desk/*", "http://localhost:3000"];
    for good in [
        "https://app.example.com/desk/",
        "https://app.example.com/desk/tickets?x=1#y",
        "https://APP.example.com:443/desk/x",
        "http://localhost:3000/",
        "http://localhost:3000/anything",
        "http://localhost:3000",
    ] {
        assert_eq!(referrer_refusal(app, &[good]), None, "{good}");
    }
    for bad in [
        "https://app.example.com/",
        "https://app.example.com/desk",
        "https://app.example.com/Desk/",
        "http://app.example.com/desk/",
        "https://app.example.com:8443/desk/",
        "https://app.example.com.evil.example/desk/",
        "https://evil.example/https://app.example.com/desk/",
        "https://app.example.com@evil.example/desk/",
        "https://user@app.example.com/desk/",
        "https://evil.example/?https://app.example.com/desk/",
        "http://localhost:3000.evil.example/",
        "//app.example.com/desk/",
        "app.example.com/desk/",
        "/desk/",
        "null",
        "about:blank",
        "",
    ] {
        assert_eq!(referrer_refusal(app, &[bad]), Some(Refusal::ReferrerNotAllowed), "{bad}");
    }
    assert_eq!(referrer_refusal(app, &[]), Some(Refusal::ReferrerNotAllowed));
    let good = "https://app.example.com/desk/";
    assert_eq!(referrer_refusal(app, &[good, good]), Some(Refusal::ReferrerNotAllowed));
}

#[test]
fn page_without_a_star_is_that_page_only() {
    let page = &["https://app.example.com/desk"];
    assert_eq!(referrer_refusal(page, &["https://app.example.com/desk"]), None);
    assert_eq!(referrer_refusal(page, &["https://app.example.com/desk?x=1"]), None);
    assert_eq!(
        referrer_refusal(page, &["https://app.example.com/desk/x"]),
        Some(Refusal::ReferrerNotAllowed)
    );
}

#[test]
fn referrer_patterns_that_mean_more_than_they_say_are_refused() {
    for text in [
        "https://*.example.com/*",
        "https://app.example.com*",
        "https://a*/x",
        "*",
        "https://app.example.com/*/x",
    ] {
        assert_eq!(
            ReferrerPattern::parse(text),
            Err(if text == "*" { BadReferrer::Form } else { BadReferrer::Wildcard }),
            "{text}"
        );
    }
    for text in [
        "",
        "app.example.com",
        "ftp://app.example.com/",
        "https://",
        "https:///x",
        "https://u@a/x",
        "https://a/x?y",
        "https://a/x#y",
        "https://a:/x",
    ] {
        assert_eq!(ReferrerPattern::parse(text), Err(BadReferrer::Form), "{text}");
    }
}

#[test]
fn endpoint_restriction_narrows_what_scopes_allow_and_widens_nothing() {
    let (snapshot, text) = restricted(|restrictions| {
        restrictions.endpoints =
            vec![pattern("GET /api/v1/tickets/*"), pattern("POST /api/v1/tickets")]
    });
    for (method, path, refusal) in [
        ("GET", "/api/v1/tickets/1", None),
        ("HEAD", "/api/v1/tickets/1", None),
        ("GET", "/api/v1/tickets", Some(Refusal::EndpointNotAllowed)),
        ("GET", "/api/v1/tickets/1/notes", Some(Refusal::EndpointNotAllowed)),
        ("POST", "/api/v1/tickets", Some(Refusal::InsufficientScope(1))),
    ] {
        assert_eq!(
            Call::new(method, path).bearer(&text).refusal(&snapshot),
            refusal,
            "{method} {path}"
        );
    }
}
