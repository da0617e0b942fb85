use super::{SERVER, accepted, refused, with_api};
use crate::policy::CorsDefinition;

fn cors(settings: &str) -> CorsDefinition {
    accepted(&with_api(settings)).apis[0].definition.cors.clone().expect("the table")
}

#[test]
fn cors_is_off_unless_the_table_is_there() {
    assert_eq!(accepted(&with_api("")).apis[0].definition.cors, None);
}

#[test]
fn cors_has_defaults_that_fit_the_api() {
    let found = cors(
        "credentials = [\"header:X-API-Key\"]\n[api.cors]\n\
            origins = [\"https://app.example.com\", \"http://localhost:5173\"]",
    );
    assert_eq!(found.origins, ["https://app.example.com".into(), "http://localhost:5173".into()]);
    assert_eq!(found.headers, ["x-api-key", "content-type"]);
    assert_eq!(found.methods.join(" "), "GET HEAD POST PUT PATCH DELETE");
    assert_eq!(
        found.expose_headers,
        [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "retry-after",
            "x-request-id"
        ]
    );
    assert_eq!((found.max_age, found.credentials), (600, false));
    let found = cors("rate_limit_draft = true\n[api.cors]\norigins = [\"*\"]");
    assert!(
        found.origins.is_empty()
            && found.expose_headers.contains(&"ratelimit-policy".parse().expect("a name"))
    );
}

#[test]
fn origin_is_what_browsers_send() {
    for origin in [
        "https://a.example",
        "http://127.0.0.1:8080",
        "http://[::1]:80443".replace("80443", "8443").as_str(),
        "capacitor://localhost",
    ] {
        assert_eq!(cors(&format!("[api.cors]\norigins = [\"{origin}\"]")).origins, [origin.into()]);
    }
    for (origin, reason) in [
        ("app.example.com", "begins with its scheme"),
        ("https://app.example.com/", "no path"),
        ("https://app.example.com/app", "no path"),
        ("https://user@app.example.com", "no user"),
        ("https://App.example.com", "write `https://app.example.com`"),
        ("HTTPS://app.example.com", "no scheme"),
        ("https://*.example.com", "wildcards"),
        ("https://app.example.com:443", "write `https://app.example.com`"),
        ("http://app.example.com:80", "write `http://app.example.com`"),
        ("https://app.example.com:0", "from 1 to 65535"),
        ("https://app.example.com:08443", "from 1 to 65535"),
        ("https://", "this is no host name"),
        ("null", "no origin of anybody's own"),
        ("", "begins with its scheme"),
    ] {
        refused(&with_api(&format!("[api.cors]\norigins = [⟦\"{origin}\"]")), &[reason]);
    }
    refused(&with_api("[api.cors]\norigins = [\"https://a\", ⟦\"https://a\"]"), &["stands twice"]);
    refused(&with_api("[api.cors]\norigins = [\"https://a\", ⟦\"*\"]"), &["stands alone"]);
    refused(&with_api("[api.cors]\norigins = ⟦[]"), &["leave [api.cors] out"]);
}

#[test]
fn settings_of_cors_are_checked() {
    let with =
        |settings: &str| with_api(&format!("[api.cors]\norigins = [\"https://a\"]\n{settings}"));
    for method in ["get", "TRACE", "CONNECT", "*", "G T", ""] {
        if !method.is_empty() {
            refused(
                &with(&format!("methods = [⟦\"{method}\"]")),
                &["no method that a page may use"],
            );
        }
    }
    for setting in ["headers", "expose_headers"] {
        for name in ["*", "a b", ""] {
            refused(&with(&format!("{setting} = [⟦\"{name}\"]")), &["no header name"]);
        }
    }
    refused(&with("max_age = ⟦\"2d\""), &["to 1d"]);
    refused(
        &with_api("[api.cors]\norigins = [\"*\"]\ncredentials = ⟦true"),
        &["every page on the web"],
    );
    refused(&with("⟦origin = \"x\""), &["did you mean"]);
}

#[test]
fn headers_of_proxies_are_those_that_keygate_drops() {
    let text = |proxies: &str, headers: &str| {
        let api = with_api(&format!("proxy_headers = {headers}"));
        api.replace(SERVER, &format!("{SERVER}trusted_proxies = {proxies}\n"))
    };
    let found =
        accepted(&text("[\"10.0.0.0/8\"]", "[\"CF-Connecting-IP\", \"X-Forwarded-Prefix\"]"));
    assert_eq!(found.apis[0].definition.proxy_headers, ["cf-connecting-ip", "x-forwarded-prefix"]);
    for (name, reason) in [
        ("X-Keygate-Auth", "Keygate sets itself"),
        ("X-Forwarded-For", "Keygate sets itself"),
        ("Forwarded", "Keygate sets itself"),
        ("Connection", "Keygate sets itself"),
        ("Accept", "passed on from everybody"),
        ("a b", "no header name"),
    ] {
        refused(&text("[\"10.0.0.0/8\"]", &format!("[⟦\"{name}\"]")), &[reason]);
    }
    refused(&text("[\"10.0.0.0/8\"]", "[\"Client-IP\", ⟦\"client-ip\"]"), &["stands twice"]);
    refused(&text("[]", "⟦[\"Client-IP\"]"), &["where no proxy is trusted"]);
    refused(&with_api("proxy_headers = ⟦[\"Client-IP\"]"), &["where no proxy is trusted"]);
}
