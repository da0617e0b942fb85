//! Tests of Keygate's own responses, byte for byte.

use http::Response;
use serde_json::Value;

use super::*;

/// The status, the code and the gRPC status of each refusal, in the order of [`Refusal::ALL`].
const TABLE: [(u16, &str, &str); Refusal::ALL.len()] = [
    (400, "malformed_target", "3"),
    (400, "malformed_host", "3"),
    (400, "malformed_forwarded_for", "3"),
    (400, "malformed_framing", "3"),
    (405, "method_not_allowed", "12"),
    (404, "unknown_host", "12"),
    (421, "misdirected", "12"),
    (404, "unknown_path", "12"),
    (400, "key_in_query", "3"),
    (400, "ambiguous_credential", "3"),
    (401, "missing_key", "16"),
    (401, "unknown_key", "16"),
    (401, "revoked_key", "16"),
    (401, "paused_key", "16"),
    (401, "suspended_organization", "16"),
    (401, "expired_key", "16"),
    (401, "key_not_for_api", "16"),
    (403, "address_not_allowed", "7"),
    (403, "referrer_not_allowed", "7"),
    (403, "endpoint_not_allowed", "7"),
    (403, "insufficient_scope", "7"),
    (403, "no_scope_allows", "7"),
    (429, "rate_limited", "8"),
    (502, "upstream_unreachable", "14"),
    (502, "upstream_failed", "14"),
    (504, "upstream_timeout", "4"),
    (400, "client_aborted", "3"),
    (413, "body_too_large", "8"),
    (503, "key_office_unavailable", "14"),
    (400, "malformed_head", "3"),
    (431, "head_too_large", "3"),
    (408, "client_timeout", "4"),
    (503, "overloaded", "14"),
    (400, "malformed_credential", "3"),
    (400, "repeated_header", "3"),
];

#[test]
fn every_refusal_has_its_place_status_code_and_grpc_status() {
    for (at, (refusal, (status, code, grpc))) in Refusal::ALL.into_iter().zip(TABLE).enumerate() {
        assert_eq!(
            (refusal.index(), refusal.status(true).as_u16(), refusal.code(), refusal.grpc_status()),
            (at, status, code, grpc)
        );
    }
}

fn answer(api: &Api, refusal: Refusal, grpc: bool) -> Response<bytes::Bytes> {
    let refused = Refused { refusal, api: Some((0, api)), key: None, grant: None, allowance: None };
    refusal_of(&refused, grpc)
}

fn refusal_of(refused: &Refused<'_>, grpc: bool) -> Response<bytes::Bytes> {
    let mut headers = HeaderMap::new();
    let (status, body) = refuse(refused, "id-1", grpc, NOON, &mut headers);
    let mut response = Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

fn challenges(response: &Response<bytes::Bytes>) -> Vec<&str> {
    response
        .headers()
        .get_all("www-authenticate")
        .iter()
        .map(|value| value.to_str().expect("plain text"))
        .collect()
}

#[test]
fn bodies_are_valid_json_of_exactly_the_promised_members() {
    for style in [ErrorStyle::Problem, ErrorStyle::Detail, ErrorStyle::Envelope] {
        let api = Api::new(ApiDefinition { errors: style, ..definition() });
        for refusal in Refusal::ALL {
            let response = answer(&api, refusal, false);
            let body: Value = serde_json::from_slice(response.body())
                .unwrap_or_else(|why| panic!("{refusal:?}: {why}"));
            let mut expected: Vec<&str> = match style {
                ErrorStyle::Problem => {
                    vec!["code", "detail", "request_id", "status", "title", "type"]
                }
                ErrorStyle::Detail => vec!["detail"],
                ErrorStyle::Envelope => vec!["message", "success"],
            };
            if style == ErrorStyle::Problem && matches!(refusal, Refusal::InsufficientScope(_)) {
                expected.insert(3, "required_scope");
            }
            let mut members: Vec<&str> =
                body.as_object().expect("an object").keys().map(String::as_str).collect();
            members.sort_unstable();
            assert_eq!(members, expected, "{refusal:?}");
            if style == ErrorStyle::Problem {
                assert_eq!(body["status"], response.status().as_u16());
                assert_eq!(body["code"], refusal.code());
            }
            let content_type = if style == ErrorStyle::Problem {
                "application/problem+json"
            } else {
                "application/json"
            };
            assert_eq!(response.headers()["content-type"], content_type);
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
    }
}

#[test]
fn bodies_are_these_bytes() {
    let with = |errors| Api::new(ApiDefinition { errors, ..definition() });
    let problem = answer(&with(ErrorStyle::Problem), Refusal::InsufficientScope(1), false);
    assert_eq!(
        std::str::from_utf8(problem.body()).expect("UTF-8"),
        concat!(
            r#"{"type":"about:blank","title":"Forbidden","status":403,"#,
            r#""detail":"The API key lacks the scope that this endpoint requires.","#,
            r#""code":"insufficient_scope","request_id":"id-1","required_scope":"tickets:write"}"#
        )
    );
    let detail = answer(&with(ErrorStyle::Detail), Refusal::MissingKey, false);
    assert_eq!(&detail.body()[..], br#"{"detail":"This endpoint needs an API key."}"#);
    let envelope = answer(&with(ErrorStyle::Envelope), Refusal::MissingKey, false);
    assert_eq!(
        &envelope.body()[..],
        br#"{"success":false,"message":"This endpoint needs an API key."}"#
    );
}

#[test]
fn challenges_name_the_scheme_of_each_place_and_the_error() {
    let api_key = CredentialPlace::Header(HeaderName::from_static("x-api-key"));
    let both = Api::new(ApiDefinition {
        credentials: vec![CredentialPlace::Bearer, api_key.clone()],
        ..definition()
    });
    let bearer = Api::new(definition());
    let header = Api::new(ApiDefinition { credentials: vec![api_key], ..definition() });
    for (refusal, rest) in [
        (Refusal::MissingKey, ""),
        (Refusal::UnknownKey, r#", error="invalid_token""#),
        (Refusal::RevokedKey, r#", error="invalid_token""#),
        (Refusal::ExpiredKey, r#", error="invalid_token""#),
        (Refusal::KeyNotForApi, r#", error="invalid_token""#),
        (Refusal::AmbiguousCredential, r#", error="invalid_request""#),
        (Refusal::MalformedCredential, r#", error="invalid_request""#),
        (Refusal::InsufficientScope(1), r#", error="insufficient_scope", scope="tickets:write""#),
    ] {
        let (bearer_value, api_key_value) =
            (format!("Bearer realm=\"desk\"{rest}"), format!("ApiKey realm=\"desk\"{rest}"));
        assert_eq!(challenges(&answer(&bearer, refusal, false)), [bearer_value.as_str()]);
        assert_eq!(challenges(&answer(&header, refusal, false)), [api_key_value.as_str()]);
        assert_eq!(
            challenges(&answer(&both, refusal, false)),
            [bearer_value.as_str(), api_key_value.as_str()]
        );
    }
    for refusal in [
        Refusal::AddressNotAllowed,
        Refusal::ReferrerNotAllowed,
        Refusal::EndpointNotAllowed,
        Refusal::NoScopeAllows,
        Refusal::KeyInQuery,
    ] {
        assert!(challenges(&answer(&both, refusal, false)).is_empty(), "{refusal:?}");
    }
}

#[test]
fn where_reasons_are_not_told_every_refused_credential_looks_the_same_byte_for_byte() {
    for errors in [ErrorStyle::Problem, ErrorStyle::Detail, ErrorStyle::Envelope] {
        let api = Api::new(ApiDefinition { errors, errors_distinguish: false, ..definition() });
        for grpc in [false, true] {
            let look = |refusal| {
                let response = answer(&api, refusal, grpc);
                (response.status(), format!("{:?}", response.headers()), response.into_body())
            };
            let missing = look(Refusal::MissingKey);
            assert_eq!(missing.0.as_u16(), if grpc { 200 } else { 401 });
            for refusal in [
                Refusal::UnknownKey,
                Refusal::RevokedKey,
                Refusal::ExpiredKey,
                Refusal::KeyNotForApi,
                Refusal::AmbiguousCredential,
                Refusal::MalformedCredential,
            ] {
                assert_eq!(look(refusal), missing, "{refusal:?}");
            }
        }
    }
}

#[test]
fn refused_grpc_gets_200_with_its_status_in_the_head_and_no_body() {
    let api = Api::new(definition());
    for refusal in Refusal::ALL {
        let response = answer(&api, refusal, true);
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], refusal.grpc_status());
        assert!(response.body().is_empty());
    }
}

#[test]
fn whoever_is_shed_is_told_when_to_come_again() {
    let response = answer(&Api::new(definition()), Refusal::Overloaded, false);
    assert_eq!(
        (response.status().as_u16(), response.headers()["retry-after"].as_bytes()),
        (503, &b"5"[..])
    );
}

#[test]
fn grpc_is_told_by_its_content_type() {
    let told = |value: &'static str| {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        is_grpc(&Fields::from(&headers))
    };
    assert!(
        told("application/grpc") && told("application/grpc+proto") && told("application/grpc;x=y")
    );
    assert!(!told("application/grpc-web") && !told("application/json") && !is_grpc(&Fields::new()));
}

fn limited(api: ApiDefinition, limits: &[Limit], requests: usize) -> HeaderMap {
    let text = key_text("live", "crm");
    let snapshot = snapshot(api, [TestKey { grants: vec![grant(&[0], limits)], ..key(&text) }]);
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    for _ in 1..requests {
        let _ = call.judge(&snapshot, NOON);
    }
    match call.judge(&snapshot, NOON) {
        Ok(admission) => {
            let mut headers = HeaderMap::new();
            prepare_response(&Fields::new(), &admission, "id-1", NOON, &[], &mut headers);
            headers
        }
        Err(refused) => refusal_of(&refused, false).into_parts().0.headers,
    }
}

#[test]
fn limit_headers_speak_of_the_window_with_least_remaining() {
    let limits = [Limit { count: 10, window: SECOND }, Limit { count: 12, window: MINUTE }];
    let headers = limited(definition(), &limits, 10);
    assert_eq!(
        (&headers["x-ratelimit-limit"], &headers["x-ratelimit-remaining"]),
        (&"10".parse().unwrap(), &"0".parse().unwrap())
    );
    assert!(!headers.contains_key("retry-after") && !headers.contains_key("ratelimit"));
    let headers = limited(definition(), &limits, 11);
    assert_eq!(headers["retry-after"], "2");
    assert_eq!(headers["x-ratelimit-remaining"], "0");
}

#[test]
fn reset_is_told_as_seconds_or_as_a_moment_and_the_draft_fields_on_request() {
    let limits = [Limit { count: 100, window: MINUTE }];
    let headers = limited(
        ApiDefinition {
            rate_limit_reset: ResetStyle::Epoch,
            rate_limit_draft: true,
            ..definition()
        },
        &limits,
        1,
    );
    assert_eq!(headers["x-ratelimit-reset"], (NOON.unix + 61).to_string().as_str());
    assert_eq!(headers["ratelimit-policy"], "\"100/min\";q=100;w=60");
    assert_eq!(headers["ratelimit"], "\"100/min\";r=99;t=61");
}

#[test]
fn unlimited_key_gets_no_limit_headers() {
    assert!(limited(definition(), &[], 3).keys().all(|name| !name.as_str().contains("ratelimit")));
}
