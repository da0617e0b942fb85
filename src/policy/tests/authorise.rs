//! Tests of the order of the checks, and of which API a request belongs to.

use proptest::prelude::*;

use super::*;

/// A request and a key that fail every check. Each step of the table below fixes the first check
/// that fails.
struct Broken {
    call: Call,
    key: TestKey,
    api: ApiDefinition,
    now: Now,
}

#[test]
// Longer than 60 lines: one step for each check, in order.
fn checks_refuse_in_the_documented_order() {
    let good = key_text("live", "crm");
    let mut broken = Broken {
        call: Call::new("TRACE", "/elsewhere//x?k=KEY".replace("KEY", &good).as_str())
            .header("transfer-encoding", "gzip")
            .header("host", "second.example")
            .header("from", "one@example.com")
            .header("from", "another@example.com")
            .header("x-api-key", "unknown")
            .header("authorization", "Bearer unknown"),
        key: TestKey {
            revoked: true,
            paused: true,
            expires_at: Some(NOON.unix),
            restrictions: Restrictions {
                addresses: vec![AddressRange::parse("203.0.113.1").expect("an address")],
                referrers: vec![
                    ReferrerPattern::parse("https://app.example.com").expect("a pattern"),
                ],
                endpoints: vec![pattern("GET /api/v1/none")],
            },
            grants: vec![Grant { api: 1, ..grant(&[], &[]) }],
            ..key(&good)
        },
        api: ApiDefinition {
            hosts: vec!["api.example".into()],
            base_path: "/api".into(),
            credentials: vec![
                CredentialPlace::Bearer,
                CredentialPlace::Header(HeaderName::from_static("x-api-key")),
            ],
            ..definition()
        },
        now: NOON,
    };
    type Mend = fn(&mut Broken, &str);
    let steps: [(Refusal, Mend); 19] = [
        (Refusal::MethodNotAllowed, |broken, _| broken.call.method = Method::DELETE),
        (Refusal::MalformedFraming, |broken, _| {
            drop(broken.call.headers.remove("transfer-encoding"))
        }),
        (Refusal::RepeatedHeader, |broken, _| drop(broken.call.headers.remove("from"))),
        (Refusal::MalformedTarget(BadTarget::EmptySegment), |broken, key| {
            broken.call.uri = format!("/elsewhere?k={key}").parse().unwrap()
        }),
        (Refusal::MalformedHost, |broken, _| {
            drop(broken.call.headers.insert("host", HeaderValue::from_static("desk.example")))
        }),
        (Refusal::UnknownHost, |broken, _| {
            drop(broken.call.headers.insert("host", HeaderValue::from_static("API.example:8443")))
        }),
        (Refusal::UnknownPath, |broken, key| {
            broken.call.uri = format!("/api/v1/nothing?k={key}").parse().unwrap()
        }),
        (Refusal::KeyInQuery, |broken, _| {
            broken.call.uri = "/api/v1/nothing".parse().unwrap();
        }),
        (Refusal::AmbiguousCredential, |broken, _| {
            broken.call.headers.remove("x-api-key");
            broken
                .call
                .headers
                .insert("authorization", HeaderValue::from_static("Bearer\tunknown"));
        }),
        (Refusal::MalformedCredential, |broken, _| {
            drop(broken.call.headers.remove("authorization"))
        }),
        (Refusal::MissingKey, |broken, _| {
            drop(
                broken
                    .call
                    .headers
                    .insert("authorization", HeaderValue::from_static("Bearer unknown")),
            )
        }),
        (Refusal::UnknownKey, |broken, key| {
            broken
                .call
                .headers
                .insert("authorization", HeaderValue::from_str(&format!("Bearer {key}")).unwrap());
        }),
        (Refusal::RevokedKey, |broken, _| broken.key.revoked = false),
        (Refusal::PausedKey, |broken, _| broken.key.paused = false),
        (Refusal::ExpiredKey, |broken, _| broken.now.unix -= 1),
        (Refusal::KeyNotForApi, |broken, _| broken.key.grants[0].api = 0),
        (Refusal::AddressNotAllowed, |broken, _| broken.key.restrictions.addresses.clear()),
        (Refusal::ReferrerNotAllowed, |broken, _| broken.key.restrictions.referrers.clear()),
        (Refusal::EndpointNotAllowed, |broken, _| broken.key.restrictions.endpoints.clear()),
    ];
    let refusal = |broken: &Broken| {
        let snapshot = snapshot(broken.api.clone(), [broken.key.clone()]);
        broken.call.judge(&snapshot, broken.now).err().map(|refused| refused.refusal)
    };
    for (expected, mend) in steps {
        assert_eq!(refusal(&broken), Some(expected));
        mend(&mut broken, &good);
    }
    assert_eq!(refusal(&broken), Some(Refusal::NoScopeAllows));
    broken.call.uri = "/api/v1/tickets/1".parse().unwrap();
    assert_eq!(refusal(&broken), Some(Refusal::InsufficientScope(2)));
    broken.key.grants = vec![grant(&[2], &[Limit { count: 1, window: MINUTE }])];
    let snapshot = snapshot(broken.api.clone(), [broken.key.clone()]);
    assert!(broken.call.judge(&snapshot, broken.now).is_ok());
    let refused = broken.call.judge(&snapshot, broken.now).err().map(|refused| refused.refusal);
    assert!(matches!(refused, Some(Refusal::RateLimited(_))));
}

#[test]
fn write_does_not_imply_read_nor_read_write() {
    let text = key_text("live", "crm");
    let with = |scopes: &[usize]| {
        snapshot(definition(), [TestKey { grants: vec![grant(scopes, &[])], ..key(&text) }])
    };
    let refusal =
        |snapshot: &Snapshot, method, path| Call::new(method, path).bearer(&text).refusal(snapshot);
    let (read, write, none) = (with(&[0]), with(&[1]), with(&[]));
    assert_eq!(refusal(&read, "GET", "/api/v1/tickets"), None);
    assert_eq!(refusal(&read, "HEAD", "/api/v1/tickets"), None);
    assert_eq!(refusal(&read, "POST", "/api/v1/tickets"), Some(Refusal::InsufficientScope(1)));
    assert_eq!(refusal(&write, "POST", "/api/v1/tickets"), None);
    assert_eq!(refusal(&write, "GET", "/api/v1/tickets"), Some(Refusal::InsufficientScope(0)));
    assert_eq!(refusal(&none, "GET", "/api/v1/tickets"), Some(Refusal::InsufficientScope(0)));
    assert_eq!(refusal(&none, "GET", "/status"), None);
}

#[test]
fn endpoint_that_no_scope_allows_needs_a_key_that_holds_everything() {
    let text = key_text("live", "crm");
    let all = Grant { everything: true, ..grant(&[], &[]) };
    let full = snapshot(definition(), [TestKey { grants: vec![all], ..key(&text) }]);
    let some =
        snapshot(definition(), [TestKey { grants: vec![grant(&[0, 1, 2], &[])], ..key(&text) }]);
    let call = Call::new("GET", "/api/v1/invoices").bearer(&text);
    assert_eq!(call.refusal(&full), None);
    assert_eq!(call.refusal(&some), Some(Refusal::NoScopeAllows));
}

#[test]
fn key_expires_at_its_second_and_not_before() {
    let text = key_text("live", "crm");
    let snapshot = snapshot(definition(), [TestKey { expires_at: Some(NOON.unix), ..key(&text) }]);
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    assert!(call.judge(&snapshot, Now { unix: NOON.unix - 1, ..NOON }).is_ok());
    assert_eq!(call.refusal(&snapshot), Some(Refusal::ExpiredKey));
}

#[test]
fn api_is_chosen_by_host_and_then_by_the_longest_base_path() {
    let api = |name: &str, hosts: &[&str], base: &str, ignore_case| ApiDefinition {
        name: name.into(),
        hosts: hosts.iter().map(|host| Box::from(*host)).collect(),
        base_path: base.into(),
        case_insensitive_paths: ignore_case,
        public: vec![pattern("GET /**")],
        ..definition()
    };
    let apis = vec![
        api("root", &["a.example"], "/", false),
        api("v1", &["a.example"], "/api/v1", false),
        api("beta", &["a.example", "b.example"], "/api/v1/beta", true),
        api("any", &[], "/shared", false),
    ];
    let snapshot = snapshot_of(apis, []);
    let chosen = |host: &str, path: &str| {
        let mut call = Call::new("GET", path);
        call.headers.insert("host", HeaderValue::from_str(host).unwrap());
        call.judge(&snapshot, NOON)
            .map(|admission| admission.api().definition().name.to_string())
            .map_err(|refused| refused.refusal)
    };
    for (host, path, name) in [
        ("a.example", "/", "root"),
        ("A.Example:8443", "/x", "root"),
        ("a.example", "/api/v1", "v1"),
        ("a.example", "/api/v1/x", "v1"),
        ("a.example", "/api/v1x", "root"),
        ("a.example", "/API/V1/x", "root"),
        ("a.example", "/api/v1/beta/x", "beta"),
        ("a.example", "/API/V1/Beta", "beta"),
        ("b.example", "/api/v1/beta", "beta"),
        ("b.example", "/shared/x", "any"),
        ("c.example", "/shared", "any"),
        ("a.example", "/shared", "root"),
    ] {
        assert_eq!(chosen(host, path).as_deref(), Ok(name), "{host}{path}");
    }
    for path in ["/api/v1;x/tickets", "/api;x/v1/tickets", "/api/v1%3Bx", "/api/v1/beta;x"] {
        assert_eq!(
            chosen("a.example", path),
            Err(Refusal::MalformedTarget(BadTarget::Parameter)),
            "{path}"
        );
    }
    assert_eq!(
        chosen("a.example", "/api/v1/tickets;x=1").as_deref(),
        Ok("v1"),
        "where it decides nothing it may stand"
    );
    assert_eq!(chosen("b.example", "/x"), Err(Refusal::UnknownPath));
    assert_eq!(chosen("c.example", "/x"), Err(Refusal::UnknownPath));
}

#[test]
fn unknown_host_is_misdirected_where_the_connection_was_made_for_another() {
    let snapshot =
        snapshot(ApiDefinition { hosts: vec!["api.example".into()], ..definition() }, []);
    assert_eq!(Call::new("GET", "/").refusal(&snapshot), Some(Refusal::UnknownHost));
    assert_eq!(
        Call::new("GET", "/").over_tls_to("desk.example").refusal(&snapshot),
        Some(Refusal::UnknownHost)
    );
    assert_eq!(
        Call::new("GET", "/").over_tls_to("api.example").refusal(&snapshot),
        Some(Refusal::Misdirected)
    );
}

#[test]
fn framing_other_than_one_length_or_one_chunked_is_refused() {
    let text = key_text("live", "crm");
    let snapshot = snapshot(definition(), [key(&text)]);
    let refusal = |fields: &[(&str, &str)]| {
        let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
        fields.iter().fold(call, |call, (name, value)| call.header(name, value)).refusal(&snapshot)
    };
    assert_eq!(refusal(&[("transfer-encoding", "chunked")]), None);
    assert_eq!(refusal(&[("transfer-encoding", "Chunked")]), None);
    assert_eq!(refusal(&[("content-length", "3")]), None);
    let te = "transfer-encoding";
    for fields in [
        &[(te, "chunked"), ("content-length", "3")][..],
        &[(te, "chunked"), (te, "chunked")],
        &[(te, "gzip, chunked")],
        &[(te, "chunked, identity")],
        &[(te, "identity")],
        &[(te, "")],
        &[(te, "xchunked")],
    ] {
        assert_eq!(refusal(fields), Some(Refusal::MalformedFraming), "{fields:?}");
    }
}

/// Returns an API that accepts a key, or a token or session of its own. Its paths match in any
/// letter case.
fn approvals() -> ApiDefinition {
    let endpoints = vec![pattern("GET /approvals/**"), pattern("POST /approvals/**")];
    ApiDefinition {
        environments: Vec::new(),
        credentials: vec![CredentialPlace::Header(HeaderName::from_static("x-api-key"))],
        pass_through: vec![
            PassThrough::Header(HeaderName::from_static("desktoken")),
            PassThrough::Cookie("sso_session".into()),
        ],
        pass_through_allows: endpoints,
        case_insensitive_paths: true,
        scopes: vec![
            Scope {
                name: "read".into(),
                description: "".into(),
                allows: vec![pattern("GET /approvals/GetApprovalNotComplete")],
            },
            Scope {
                name: "write".into(),
                description: "".into(),
                allows: vec![pattern("POST /approvals/CreateApproval")],
            },
        ],
        ..definition()
    }
}

#[test]
fn pass_through_needs_its_credential_and_its_endpoint_and_no_key() {
    let snapshot = snapshot(approvals(), [key("good")]);
    let get = || Call::new("GET", "/approvals/getapprovalnotcomplete");
    let passes = |call: Call| {
        call.judge(&snapshot, NOON)
            .is_ok_and(|admission| matches!(admission.caller(), Caller::PassThrough))
    };
    assert!(passes(get().header("desktoken", "t")));
    assert!(passes(get().header("cookie", "a=b; sso_session=t")));
    for call in [
        get(),
        get().header("desktoken", " "),
        get().header("cookie", "sso_session="),
        get().header("cookie", "xsso_session=t"),
        get().header("cookie", "SSO_session=t"),
        get().header("cookie", "a=sso_session=t"),
        Call::new("GET", "/other").header("desktoken", "t"),
        Call::new("DELETE", "/approvals/x").header("desktoken", "t"),
    ] {
        assert_eq!(call.refusal(&snapshot), Some(Refusal::MissingKey), "{call:?}");
    }
    assert_eq!(
        get().header("desktoken", "t").header("x-api-key", "bad").refusal(&snapshot),
        Some(Refusal::UnknownKey)
    );
    let with_key = get().header("desktoken", "t").header("x-api-key", "good");
    let admission = with_key.judge(&snapshot, NOON).expect("a good key");
    assert!(matches!(admission.caller(), Caller::Key { .. }));
    assert_eq!(
        Call::new("POST", "/Approvals/CREATEapproval")
            .header("x-api-key", "good")
            .refusal(&snapshot),
        Some(Refusal::InsufficientScope(1)),
        "another letter case is no way around a scope",
    );
}

proptest! {
    #[test]
    fn no_head_whatsoever_panics(
        method in "[A-Z]{1,7}", path in "/[ -~]{0,20}", query in prop::option::of("[ -~]{0,20}"),
        fields in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "host",
                    "authorization",
                    "x-api-key",
                    "cookie",
                    "referer",
                    "x-forwarded-for",
                    "content-length",
                    "transfer-encoding",
                ]),
                prop::collection::vec(32..=255_u8, 0..20),
            ),
            0..6,
        ),
    ) {
        let snapshot = snapshot(approvals(), [key("good")]);
        let target = path + &query.map(|query| format!("?{query}")).unwrap_or_default();
        let (Ok(uri), Ok(method)) = (target.parse::<Uri>(), method.parse::<Method>()) else {
            return Ok(());
        };
        let mut call = Call::new("GET", "/");
        call.uri = uri;
        call.method = method;
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                call.headers.append(name, value);
            }
        }
        let _ = call.judge(&snapshot, NOON);
    }
}

#[test]
fn key_that_is_refused_for_good_is_told_why_and_one_in_force_comes_first() {
    let text = key_text("live", "crm");
    let mut snapshot = snapshot(definition(), []);
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    let digest = Digest::of(text.as_bytes());
    for (cause, refusal) in
        [(Cause::Revoked, Refusal::RevokedKey), (Cause::Expired, Refusal::ExpiredKey)]
    {
        snapshot.tombstones = Tombstones::new(vec![Tombstone { digest, cause, since: NOON.unix }]);
        let refused = call.judge(&snapshot, NOON).expect_err("it is refused");
        assert_eq!(refused.refusal, refusal);
        assert!(refused.key.is_none() && refused.note_use(NOON).is_none());
        assert_eq!(snapshot.verdict_on(&digest, "desk", NOON), Some(refusal));
    }
    snapshot.keyring = Keyring::new([key(&text).record(0)]);
    snapshot.grants = Arc::new([Arc::new([grant(&[0], &[])])]);
    assert_eq!(call.refusal(&snapshot), None, "a tombstone may be another key's");
}
