//! What the upstream gets, whatever the client sends.

use http::Version;
use proptest::prelude::*;

use super::*;

fn prepare(call: &Call, snapshot: &Snapshot, trusted: &[AddressRange]) -> HeaderMap {
    let admission = call
        .judge(snapshot, NOON)
        .unwrap_or_else(|refused| panic!("{call:?}: {:?}", refused.refusal));
    let fields = Fields::from(&call.headers);
    let mut headers = HeaderMap::new();
    prepare_request(
        &call.head(&fields),
        Version::HTTP_11,
        &admission,
        trusted,
        "made-by-keygate",
        None,
        &mut headers,
    );
    // As lines of HTTP/1.1 it is the same.
    let mut lines = Vec::new();
    prepare_request(
        &call.head(&fields),
        Version::HTTP_11,
        &admission,
        trusted,
        "made-by-keygate",
        None,
        &mut lines,
    );
    assert!(lines.starts_with(b"host: ") && lines.ends_with(b"\r\n"));
    let mut again = HeaderMap::new();
    again.put_lines(&lines);
    assert_eq!(again, headers);
    headers
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

/// An API with every way to send a credential, and a header of its own towards the upstream.
fn api() -> ApiDefinition {
    ApiDefinition {
        credentials: vec![
            CredentialPlace::Bearer,
            CredentialPlace::Header(HeaderName::from_static("x-api-key")),
        ],
        pass_through: vec![
            PassThrough::Header(HeaderName::from_static("desktoken")),
            PassThrough::Cookie("sso".into()),
        ],
        pass_through_allows: vec![pattern("GET /api/v1/tickets")],
        upstream_headers: vec![(
            HeaderName::from_static("x-desk-auth"),
            Hidden::of(&[b"x-desk-auth: ours\r\n"]).into(),
        )],
        ..definition()
    }
}

fn good() -> String {
    key_text("live", "crm")
}

fn by_key() -> Call {
    Call::new("GET", "/api/v1/tickets").bearer(&good())
}

#[test]
fn upstream_learns_who_calls_with_a_key() {
    let snapshot = snapshot(api(), [key(&good())]);
    let headers = prepare(&by_key(), &snapshot, &[]);
    for (name, value) in [
        ("x-keygate-auth", "key"),
        ("x-keygate-key-id", "key_crm"),
        ("x-keygate-key-name", "CRM%20Integration"),
        ("x-keygate-scopes", "tickets:read"),
        ("x-keygate-environment", "live"),
        ("x-keygate-organization", "org_acme"),
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "desk.example"),
        ("host", "desk.example"),
        ("via", "1.1 keygate"),
        ("x-request-id", "made-by-keygate"),
        ("x-desk-auth", "ours"),
    ] {
        assert_eq!(values(&headers, name), [value], "{name}");
    }
    assert!(!headers.contains_key("authorization"));
}

#[test]
fn upstream_learns_of_pass_through_and_public_and_of_nothing_else() {
    let snapshot = snapshot(api(), [key(&good())]);
    let pass_through =
        Call::new("GET", "/api/v1/tickets").header("desktoken", "t").header("cookie", "sso=s; a=b");
    let public = Call::new("GET", "/status").bearer(&good());
    for (call, auth) in [(&pass_through, "pass-through"), (&public, "public")] {
        let headers = prepare(call, &snapshot, &[]);
        assert_eq!(values(&headers, "x-keygate-auth"), [auth]);
        assert_eq!(
            headers.keys().filter(|name| name.as_str().starts_with("x-keygate-")).count(),
            1
        );
        assert!(!headers.contains_key("authorization"));
    }
    let headers = prepare(&pass_through, &snapshot, &[]);
    assert_eq!(values(&headers, "desktoken"), ["t"]);
    assert_eq!(values(&headers, "cookie"), ["sso=s; a=b"]);
}

#[test]
fn key_use_strips_pass_through_credentials_and_keeps_other_cookies() {
    let snapshot = snapshot(api(), [key(&good())]);
    let call = by_key()
        .header("desktoken", "t")
        .header("desk_token", "x")
        .header("cookie", "a=b; sso=s")
        .header("cookie", "sso=2; c=d");
    let headers = prepare(&call, &snapshot, &[]);
    assert!(!headers.contains_key("desktoken"));
    assert_eq!(values(&headers, "cookie"), ["a=b; c=d"]);
    let headers = prepare(&by_key().header("cookie", "sso=s"), &snapshot, &[]);
    assert!(!headers.contains_key("cookie"));
}

#[test]
fn other_scheme_of_authorization_stays_where_no_bearer_key_was_sent() {
    let snapshot = snapshot(api(), [key(&good())]);
    let call = Call::new("GET", "/api/v1/tickets")
        .header("x-api-key", good())
        .header("authorization", "Basic x");
    let headers = prepare(&call, &snapshot, &[]);
    assert_eq!(values(&headers, "authorization"), ["Basic x"]);
    assert!(!headers.contains_key("x-api-key"));
}

#[test]
fn names_outside_of_plain_tokens_are_percent_encoded() {
    let odd = TestKey {
        name: "Zoë, \"x\"; 50%\r\n".into(),
        organization: Some("Ünïon".into()),
        ..key(&good())
    };
    let snapshot = snapshot(api(), [odd]);
    let headers = prepare(&by_key(), &snapshot, &[]);
    assert_eq!(values(&headers, "x-keygate-key-name"), ["Zo%C3%AB%2C%20%22x%22%3B%2050%25%0D%0A"]);
    assert_eq!(values(&headers, "x-keygate-organization"), ["%C3%9Cn%C3%AFon"]);
}

#[test]
fn forwarded_fields_are_continued_behind_a_trusted_proxy_and_replaced_otherwise() {
    let snapshot = snapshot(api(), [key(&good())]);
    let call = by_key()
        .header("x-forwarded-for", "203.0.113.1")
        .header("x-forwarded-for", "203.0.113.2")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "outside.example");
    let headers = prepare(&call, &snapshot, &[]);
    assert_eq!(values(&headers, "x-forwarded-for"), ["198.51.100.7"]);
    assert_eq!(values(&headers, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&headers, "x-forwarded-host"), ["desk.example"]);
    let trusted = [AddressRange::parse("198.51.100.0/24").expect("a range")];
    let headers = prepare(&call, &snapshot, &trusted);
    assert_eq!(values(&headers, "x-forwarded-for"), ["203.0.113.1, 203.0.113.2, 198.51.100.7"]);
    assert_eq!(values(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&headers, "x-forwarded-host"), ["outside.example"]);
}

#[test]
fn host_comes_first_and_is_the_upstreams_where_it_is_rewritten() {
    let snapshot = snapshot(api(), [key(&good())]);
    let call = by_key();
    let admission = call.judge(&snapshot, NOON).expect("a good request");
    let by_authority = Call {
        uri: "http://desk.example/api/v1/tickets".parse().expect("a target"),
        ..call.clone()
    };
    for (call, drop_field) in [(&call, false), (&by_authority, true)] {
        let mut sent = call.headers.clone();
        if drop_field {
            sent.remove("host");
        }
        let fields = Fields::from(&sent);
        for (host, expected) in [(None, "desk.example"), (Some("inside:8080"), "inside:8080")] {
            let mut lines = Vec::new();
            prepare_request(
                &call.head(&fields),
                Version::HTTP_2,
                &admission,
                &[],
                "id",
                host,
                &mut lines,
            );
            let text = String::from_utf8(lines).expect("text");
            assert!(text.starts_with(&format!("host: {expected}\r\n")), "{text}");
            assert_eq!(text.matches("\r\nhost: ").count(), 0, "{text}");
            assert!(
                text.contains("\r\nx-forwarded-host: desk.example\r\n")
                    && text.contains("\r\nvia: 2 keygate\r\n"),
                "{text}"
            );
        }
    }
}

#[test]
fn repeated_fields_stay_repeated_and_in_order() {
    let snapshot = snapshot(api(), [key(&good())]);
    let call = by_key()
        .header("accept", "a")
        .header("x-kept", "1")
        .header("accept", "b")
        .header("x-kept", "");
    let headers = prepare(&call, &snapshot, &[]);
    assert_eq!(values(&headers, "accept"), ["a", "b"]);
    assert_eq!(values(&headers, "x-kept"), ["1", ""]);
}

#[test]
fn clients_fields_give_way_to_those_that_the_configuration_sets() {
    let snapshot = snapshot(api(), [key(&good())]);
    for name in ["x-desk-auth", "x_desk_auth", "x-desk_auth"] {
        let headers = prepare(&by_key().header(name, "theirs"), &snapshot, &[]);
        assert_eq!(headers.iter().filter(|(_, value)| *value == "theirs").count(), 0, "{name}");
        assert_eq!(values(&headers, "x-desk-auth"), ["ours"]);
    }
}

#[test]
fn pass_through_credential_reaches_the_upstream_whatever_its_name_is_like() {
    let place = PassThrough::Header(HeaderName::from_static("desk_token"));
    let snapshot = snapshot(ApiDefinition { pass_through: vec![place], ..api() }, [key(&good())]);
    let call = Call::new("GET", "/api/v1/tickets")
        .header("desk_token", "t")
        .header("connection", "desk_token");
    assert_eq!(values(&prepare(&call, &snapshot, &[]), "desk_token"), ["t"]);
    let with_key = by_key().header("desk_token", "t").header("desk-token", "t");
    assert!(!prepare(&with_key, &snapshot, &[]).contains_key("desk_token"));
}

#[test]
fn te_trailers_is_kept_and_other_connection_fields_go() {
    let snapshot = snapshot(api(), [key(&good())]);
    let call = by_key()
        .header("te", "gzip, trailers")
        .header("connection", "close, X-Mine, Host, Content-Length")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("upgrade", "h2c")
        .header("expect", "100-continue")
        .header("content-length", "3")
        .header("via", "1.0 before")
        .header("x-kept", "1");
    let headers = prepare(&call, &snapshot, &[]);
    assert_eq!(values(&headers, "te"), ["trailers"]);
    // The length is said anew, by whoever frames the body.
    for name in ["connection", "x-mine", "keep-alive", "upgrade", "expect", "content-length"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(values(&headers, "host"), ["desk.example"]);
    assert_eq!(values(&headers, "via"), ["1.0 before", "1.1 keygate"]);
    assert_eq!(values(&headers, "x-kept"), ["1"]);
}

#[test]
fn answers_lose_connection_fields_and_gain_the_request_id_and_the_limit() {
    let limits = [Limit { count: 100, window: MINUTE }];
    let snapshot =
        snapshot(api(), [TestKey { grants: vec![grant(&[0], &limits)], ..key(&good()) }]);
    let admission = by_key().judge(&snapshot, NOON).expect("a good request");
    let mut theirs = HeaderMap::new();
    for (name, value) in [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "1"),
        ("x-request-id", "theirs"),
        ("x-ratelimit-limit", "7"),
        ("etag", "e"),
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
    ] {
        theirs.insert(name, HeaderValue::from_static(value));
    }
    let mut headers = HeaderMap::new();
    prepare_response(&Fields::from(&theirs), &admission, "ours", NOON, &[], &mut headers);
    for name in
        ["connection", "x-hop", "keep-alive", "content-length", "transfer-encoding", "upgrade"]
    {
        assert!(!headers.contains_key(name), "{name}");
    }
    for (name, value) in [
        ("x-request-id", "ours"),
        ("x-ratelimit-limit", "100"),
        ("x-ratelimit-remaining", "99"),
        ("x-ratelimit-reset", "61"),
        ("etag", "e"),
    ] {
        assert_eq!(values(&headers, name), [value], "{name}");
    }
}

const OURS: [&str; 13] = [
    "x-keygate-auth",
    "x-keygate-key-id",
    "x-keygate-key-name",
    "x-keygate-scopes",
    "x-keygate-environment",
    "x-keygate-organization",
    "x-keygate-other",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-user",
    "x-request-id",
    "x-desk-auth",
];

/// Names that mean something here, in spellings that servers confuse, and others.
fn hostile_name() -> impl Strategy<Value = String> {
    let known: Vec<&str> = OURS
        .into_iter()
        .chain([
            "x-api-key",
            "authorization",
            "desktoken",
            "cookie",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "te",
            "x-innocent",
        ])
        .chain([
            "cf-connecting-ip",
            "remote-user",
            "x-remote-user",
            "x-auth-request-email",
            "x-http-method-override",
            "ssl-client-cert",
        ])
        .chain([
            "x-original-forwarded-for",
            "x-client-ip",
            "client-cert",
            "x-envoy-internal",
            "x-middleware-subrequest",
            "proxy",
        ])
        .collect();
    (prop::sample::select(known), any::<u64>()).prop_map(|(name, twist)| {
        let twisted = |at: usize| ['-', '_', '-', '.'][(twist >> (2 * at % 64) & 3) as usize];
        name.char_indices()
            .map(|(at, letter)| if letter == '-' { twisted(at) } else { letter })
            .collect()
    })
}

fn hostile_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        Just("Basic x".to_owned()),
        Just("sso=1; a=b".to_owned()),
        Just("trailers".to_owned()),
        Just("sk".to_owned())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_client_sets_keeps_or_deletes_what_the_upstream_relies_on_and_no_key_remains(
        fields in prop::collection::vec((hostile_name(), hostile_value()), 0..10),
        nominated in prop::collection::vec(hostile_name(), 0..6),
        with_key in any::<bool>(), trusted in any::<bool>(),
    ) {
        let snapshot = snapshot(api(), [key(&good())]);
        let plain = if with_key { by_key() } else { Call::new("GET", "/status").bearer(&good()) };
        let mut call = plain.clone();
        for (name, value) in &fields {
            // The places of the key itself would make the request another one.
            let believed = trusted && name.starts_with("x-forwarded-");
            // What may stand once is refused where it stands twice.
            let again = name == "desktoken" && call.headers.contains_key(name);
            if !believed && !again && !["authorization", "x-api-key"].contains(&name.as_str()) {
                call = call.header(name, value);
            }
        }
        if !nominated.is_empty() {
            call = call.header("connection", nominated.join(", "));
        }
        // Copies of the key in the confusable spellings too.
        call = call.header("x_api_key", good()).header("x_api-key", good());
        let range = [AddressRange::parse("198.51.100.0/24").expect("a range")];
        let trusted = if trusted { &range[..] } else { &[] };
        let (expected, headers) =
            (prepare(&plain, &snapshot, trusted), prepare(&call, &snapshot, trusted));
        for name in OURS {
            prop_assert_eq!(values(&headers, name), values(&expected, name), "{}", name);
        }
        for (name, value) in &headers {
            let read_as = crate::policy::hyphened(name.as_str());
            let ours = OURS.contains(&read_as.as_str()) || Known::of(&read_as).is_override();
            prop_assert!(!ours || name.as_str() == read_as, "{name} is left");
            prop_assert!(
                read_as != "x-api-key" && Known::of(&read_as) != Known::Override,
                "{name} is left"
            );
            prop_assert!(
                !String::from_utf8_lossy(value.as_bytes()).contains(&good()),
                "the key is left in {name}"
            );
            prop_assert!(!with_key || read_as != "desktoken", "{name} is left");
            let session =
                name == "cookie" && String::from_utf8_lossy(value.as_bytes()).contains("sso=");
            prop_assert!(!with_key || !session, "the session is left");
        }
        prop_assert!(!headers.contains_key("authorization"));
    }
}

#[test]
fn named_headers_of_proxies_pass_from_trusted_ones_only() {
    let cf = HeaderName::from_static("cf-connecting-ip");
    let snapshot = snapshot(ApiDefinition { proxy_headers: vec![cf], ..api() }, [key(&good())]);
    let call = by_key()
        .header("cf-connecting-ip", "203.0.113.1")
        .header("cf_connecting_ip", "192.0.2.1")
        .header("x-real-ip", "192.0.2.1");
    let trusted = [AddressRange::parse("198.51.100.0/24").expect("a range")];
    let headers = prepare(&call, &snapshot, &trusted);
    assert_eq!(values(&headers, "cf-connecting-ip"), ["203.0.113.1"]);
    assert!(!headers.contains_key("cf_connecting_ip") && !headers.contains_key("x-real-ip"));
    assert!(!prepare(&call, &snapshot, &[]).contains_key("cf-connecting-ip"));
}

#[test]
fn login_in_front_can_be_what_the_upstream_checks() {
    let name = "cf-access-jwt-assertion";
    let place = PassThrough::Header(HeaderName::from_static(name));
    let snapshot = snapshot(ApiDefinition { pass_through: vec![place], ..api() }, [key(&good())]);
    let call = Call::new("GET", "/api/v1/tickets").header(name, "t");
    assert_eq!(values(&prepare(&call, &snapshot, &[]), name), ["t"]);
    assert!(
        !prepare(&by_key().header(name, "t"), &snapshot, &[]).contains_key(name),
        "a key takes its place"
    );
}

#[test]
fn trailers_say_nothing_that_a_header_must() {
    let api = Api::new(api());
    let mut trailers = HeaderMap::new();
    for name in [
        "x-sum",
        "grpc-status",
        "etag",
        "set-cookie",
        "content_length",
        "if-match",
        "x-desk-auth",
        "x.api.key",
        "x-ratelimit-limit",
    ] {
        trailers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    let mut answer = trailers.clone();
    prepare_trailers(&mut trailers, &api);
    let names = |trailers: &HeaderMap| {
        trailers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&trailers), ["x-sum", "grpc-status", "etag", "x-ratelimit-limit"]);
    prepare_answer_trailers(&mut answer);
    assert_eq!(names(&answer), ["x-sum", "grpc-status", "etag", "x-desk-auth", "x.api.key"]);
}
