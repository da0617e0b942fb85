//! Tests of the head that the upstream receives, whatever the client sends.

mod answers;
mod hostile;

use http::Version;

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
    // Written as HTTP/1.1 lines, the head has the same fields.
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

/// Returns an API with every kind of credential, and a header that it adds for the upstream.
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
    // Whoever frames the body for the upstream writes a new length.
    for name in ["connection", "x-mine", "keep-alive", "upgrade", "expect", "content-length"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(values(&headers, "host"), ["desk.example"]);
    assert_eq!(values(&headers, "via"), ["1.0 before", "1.1 keygate"]);
    assert_eq!(values(&headers, "x-kept"), ["1"]);
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
fn named_header_of_a_proxy_stands_once() {
    let names = ["cf-connecting-ip", "forwarded"].map(HeaderName::from_static);
    let snapshot = |trusted: &[AddressRange]| {
        let definition = ApiDefinition { proxy_headers: names.to_vec(), ..api() };
        let routes = Routes::new(vec![Api::new(definition.clone())], trusted.to_vec());
        Snapshot { routes: Arc::new(routes), ..snapshot(definition, [key(&good())]) }
    };
    let trusted = snapshot(&[AddressRange::parse("198.51.100.0/24").expect("a range")]);
    let once = by_key().header("cf-connecting-ip", "203.0.113.1");
    let twice = once.clone().header("cf-connecting-ip", "192.0.2.1");
    let list = by_key().header("forwarded", "for=a").header("forwarded", "for=b");
    assert_eq!(once.refusal(&trusted), None);
    assert_eq!(list.refusal(&trusted), None);
    assert_eq!(twice.refusal(&trusted), Some(Refusal::RepeatedHeader));
    assert_eq!(twice.refusal(&snapshot(&[])), None, "it is not forwarded");
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
