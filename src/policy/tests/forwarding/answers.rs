//! Tests of which fields of the upstream's response reach the client, and of trailers in both
//! directions.

use super::*;

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
    prepare_response_trailers(&mut answer);
    assert_eq!(names(&answer), ["x-sum", "grpc-status", "etag", "x-desk-auth", "x.api.key"]);
}
