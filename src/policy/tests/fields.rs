//! Tests of reading and writing header fields.

use super::*;

#[test]
// Longer than 60 lines: one list of names.
fn names_that_speak_about_a_connection_or_could_overrule_the_decision_are_known() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
        "transfer-encoding",
        "proxy-authenticate",
        "upgrade",
    ] {
        assert!(HeaderKind::of(name).is_hop_by_hop(), "{name}");
    }
    for name in [
        "x-keygate-auth",
        "x-keygate-",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-user",
        "forwarded",
        "proxy",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "x-original-url",
        "x-original-host",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-method",
        "x-forwarded",
        "x-forwarded-prefix",
        "client-ip",
        "cf-connecting-ip",
        "cf-access-jwt-assertion",
        "remote-user",
        "x-remote-user",
        "x-auth-request-user",
        "x-amzn-oidc-identity",
        "x-amzn-mtls-clientcert",
        "x-ms-client-principal",
        "x-webauth-user",
        "x-ssl-client-verify",
        "x-client-cert",
        "x-client-verify",
        "client-cert",
        "ssl-client-cert",
        "x-envoy-original-path",
        "x-accel-mapping",
        "x-middleware-subrequest",
    ] {
        assert!(HeaderKind::of(name).is_override(), "{name}");
    }
    for name in [
        "",
        "x",
        "x-",
        "x--",
        "x-keygate",
        "xx-keygate-auth",
        "te2",
        "hosts",
        "x-innocent",
        "accept",
        "user-agent",
        "proxy-status",
        "set-cookie",
        "x-amzn-trace-id",
        "x-client-version",
        "x-ms-version",
        "x-auth-token",
        "remotely",
        "cf-ray",
        "origin",
    ] {
        assert_eq!(HeaderKind::of(name), HeaderKind::Other, "{name}");
    }
}

#[test]
fn each_known_name_is_told_from_its_neighbours() {
    for (name, kind) in [
        ("authorization", HeaderKind::Authorization),
        ("content-length", HeaderKind::ContentLength),
        ("content-type", HeaderKind::ContentType),
        ("cookie", HeaderKind::Cookie),
        ("date", HeaderKind::Date),
        ("expect", HeaderKind::Expect),
        ("host", HeaderKind::Host),
        ("referer", HeaderKind::Referer),
        ("te", HeaderKind::Te),
        ("trailer", HeaderKind::Trailer),
        ("via", HeaderKind::Via),
        ("x-request-id", HeaderKind::XRequestId),
        ("x-ratelimit-limit", HeaderKind::XRateLimit),
        ("x-ratelimit-remaining", HeaderKind::XRateLimit),
        ("x-ratelimit-reset", HeaderKind::XRateLimit),
        ("ratelimit", HeaderKind::RateLimit),
        ("ratelimit-policy", HeaderKind::RateLimit),
    ] {
        assert_eq!(HeaderKind::of(name), kind, "{name}");
        for at in 0..name.len() {
            let mut other = name.as_bytes().to_vec();
            other[at] ^= 1;
            let other = String::from_utf8(other).expect("ASCII");
            assert_ne!(HeaderKind::of(&other), kind, "{other}");
        }
    }
}

#[test]
fn fields_keep_their_order_however_many_there_are() {
    let names: Vec<String> = (0..100)
        .map(|number| if number % 7 == 0 { "cookie".to_owned() } else { format!("x-{number}") })
        .collect();
    let values: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for count in [0, 1, 7, 15, 16, 17, 100] {
        let mut fields = Fields::new();
        for (name, value) in names.iter().zip(&values).take(count) {
            fields.push(name, value.as_bytes());
        }
        assert_eq!((fields.len(), fields.is_empty()), (count, count == 0));
        let seen: Vec<(&str, &[u8])> =
            fields.iter().map(|field| (field.name, field.value)).collect();
        let sent: Vec<(&str, &[u8])> = names
            .iter()
            .map(String::as_str)
            .zip(values.iter().map(String::as_bytes))
            .take(count)
            .collect();
        assert_eq!(seen, sent);
        let cookies: Vec<&[u8]> =
            (0..count).step_by(7).map(|number| values[number].as_bytes()).collect();
        assert_eq!(fields.all(HeaderKind::Cookie).collect::<Vec<_>>(), cookies);
        assert_eq!(
            fields.all(HeaderKind::Cookie).rev().collect::<Vec<_>>(),
            cookies.iter().rev().copied().collect::<Vec<_>>()
        );
        assert_eq!(fields.named("cookie").collect::<Vec<_>>(), cookies);
        assert_eq!(
            (fields.first(HeaderKind::Cookie), fields.has(HeaderKind::Cookie)),
            (cookies.first().copied(), count > 0)
        );
        assert!(!fields.has(HeaderKind::Host) && fields.first(HeaderKind::Host).is_none());
    }
}

#[test]
fn values_of_a_header_map_come_without_white_space_around_them() {
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-a"),
        HeaderValue::from_static(" \tb c \t"),
    )]);
    assert_eq!(Fields::from(&headers).named("x-a").collect::<Vec<_>>(), [b"b c"]);
}

#[test]
fn text_is_what_is_visible_or_blank() {
    assert_eq!(field_text(b"a b\t~"), Some("a b\t~"));
    for value in [&b"\xc3\xa9"[..], b"\x7f", b"a\x00", b"a\r"] {
        assert_eq!(field_text(value), None, "{value:?}");
    }
}

#[test]
fn target_is_taken_apart_as_it_was_sent() {
    let parts = |uri: &str| {
        let uri: Uri = uri.parse().expect("a target");
        let target = Target::from(&uri);
        (
            target.authority.map(str::to_owned),
            target.path.to_owned(),
            target.query.map(str::to_owned),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(parts("/a%20b?x=1?y"), (None, "/a%20b".to_owned(), some("x=1?y")));
    assert_eq!(parts("http://a.example:80/b"), (some("a.example:80"), "/b".to_owned(), None));
    assert_eq!(parts("*"), (None, "*".to_owned(), None));
}

#[test]
fn lines_become_fields_again_and_secret_ones_are_never_indexed() {
    let mut headers = HeaderMap::new();
    headers.put_lines(b"x-a: 1\r\nx-a: 2: 3\r\nx-empty: \r\n");
    headers.put_secret_lines(b"x-secret: caf\xe9\r\n");
    headers.put("x-b", b"b");
    let seen: Vec<(&str, &[u8], bool)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes(), value.is_sensitive()))
        .collect();
    assert_eq!(
        seen,
        [
            ("x-a", &b"1"[..], false),
            ("x-a", b"2: 3", false),
            ("x-empty", b"", false),
            ("x-secret", b"caf\xe9", true),
            ("x-b", b"b", false)
        ]
    );
}

#[test]
fn neither_values_nor_queries_are_shown() {
    let mut fields = Fields::new();
    fields.push("authorization", b"Bearer hunter2");
    let target = Target { authority: None, path: "/tickets", query: Some("api_key=hunter2") };
    let shown = format!("{fields:?} {target:?}");
    assert!(shown.contains("authorization") && shown.contains("/tickets"), "{shown}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("104, 117, 110, 116, 101, 114"),
        "{shown}"
    );
}
