//! A credential has exactly one reading: one scheme, one separator, one field line.

use crate::harness::{Gateway, Key, Request, Upstream};

/// Starts a gateway with these credential locations, a pass-through credential and a public
/// endpoint.
fn stand(credentials: &str) -> (Gateway, Upstream, Key) {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream)
        .api(&format!(
            "credentials = {credentials}\npublic = [\"GET /public\"]\n\
             pass_through = [\"header:X-Session\"]\npass_through_allows = [\"GET /session\"]"
        ))
        .scope("all", &["GET /key"])
        .key(&key)
        .start();
    (gateway, upstream, key)
}

#[test]
fn tab_behind_the_scheme_is_malformed_and_never_taken_for_no_key() {
    let (gateway, upstream, key) = stand("[\"bearer\", \"header:X-API-Key\"]");
    let at = |target: &str, value: &str| {
        Request::get(target).header("Authorization", &value.replace("KEY", &key.text))
    };
    let of = |value: &str| at("/key", value);
    for value in ["Bearer\tKEY", "Bearer \tKEY", "bearer\t KEY", "Bearer \t KEY"] {
        let answer = gateway.send(&of(value));
        assert_eq!(
            (answer.status(), &answer.json()["code"]),
            (400, &"malformed_credential".into()),
            "{value:?}"
        );
        let session = at("/session", value).header("X-Session", "one");
        assert_eq!(gateway.send(&session).status(), 400, "{value:?}, and a session beside it");
        let both = of(value).header("X-API-Key", &key.text);
        assert_eq!(gateway.send(&both).status(), 400, "{value:?}, and a key beside it");
    }
    upstream.assert_untouched();
    // White space around a field value is not part of it (RFC 9110 §5.5).
    for value in ["Bearer KEY", "bearer   KEY", "\t Bearer KEY \t"] {
        assert_eq!(gateway.send(&of(value)).status(), 200, "{value:?}");
    }
    let header =
        |value: &str| Request::get("/key").header("X-API-Key", &value.replace("KEY", &key.text));
    for value in ["KEY", "\tKEY", "KEY\t", " \tKEY\t "] {
        assert_eq!(gateway.send(&header(value)).status(), 200, "{value:?}");
    }
}

#[test]
fn header_that_says_who_somebody_is_stands_once() {
    let (gateway, upstream, key) = stand("[\"header:X-API-Key\"]");
    let with_key = Request::get("/key").header("X-API-Key", &key.text);
    let with_session = Request::get("/session").header("X-Session", "one");
    let public = Request::get("/public");
    for (section, name, value) in [
        ("9110 §11.6.2", "Authorization", "Basic YTpi"),
        ("9110 §11.7.2", "Proxy-Authorization", "Basic YTpi"),
        ("9110 §10.1.2", "From", "somebody@example.com"),
        ("9110 §7.2", "Host", "desk.example"),
        ("9449 §4.3", "DPoP", "e.e.e"),
    ] {
        for request in [&with_key, &with_session, &public] {
            for other in [value, "", "other"] {
                let twice = match name {
                    "Host" => request.clone().header(name, other),
                    _ => request.clone().header(name, value).header(name, other),
                };
                let status = gateway.send(&twice).status();
                assert_eq!(status, 400, "RFC {section}: {name} twice: {request:?}");
            }
        }
    }
    // A pass-through credential may not be repeated, whichever way the request is admitted.
    let beside = |request: &Request| request.clone().header("X-Session", "one");
    for request in [&with_session, &beside(&with_key), &beside(&public)] {
        let status = gateway.send(&request.clone().header("x-session", "two")).status();
        assert_eq!(status, 400, "X-Session twice: {request:?}");
    }
    upstream.assert_untouched();
    // Several `Cookie` fields are allowed and are forwarded as one (RFC 9113 §8.2.3).
    let cookies = with_key
        .header("Cookie", "a=1")
        .header("Cookie", "b=2")
        .header("Authorization", "Basic YTpi");
    assert_eq!(gateway.send(&cookies).status(), 200);
    assert_eq!(upstream.last().all("cookie"), ["a=1; b=2"]);
    assert_eq!(upstream.last().all("authorization"), ["Basic YTpi"]);
}
