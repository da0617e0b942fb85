//! Responses: pages, redirects, and what every response has in common.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::arrival::Arrival;
use crate::control::public_origin;

/// A response to a request for a page.
pub(super) type Page = Response;

/// What a page may load and where its forms may go: this origin only, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
/// For a year.
const TRANSPORT_SECURITY: &str = "max-age=31536000";

/// Returns a page with this status.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Page {
    let Ok(text) = template.render() else { return plain(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// Returns a page with the status 200.
pub(super) fn ok(template: &impl Template) -> Page {
    page(StatusCode::OK, template)
}

/// Marks a page that must not be compressed: its length would tell something about the secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct HoldsSecret;

/// Returns a page that shows a secret.
pub(super) fn secret(template: &impl Template) -> Page {
    let mut response = page(StatusCode::OK, template);
    response.extensions_mut().insert(HoldsSecret);
    response
}

/// Returns a page with a form in which something is wrong.
pub(super) fn unprocessable(template: &impl Template) -> Page {
    page(StatusCode::UNPROCESSABLE_ENTITY, template)
}

/// Returns a 303, after which the browser asks for this path.
pub(super) fn see_other(path: &str) -> Page {
    let mut response = plain(StatusCode::SEE_OTHER);
    match HeaderValue::try_from(path) {
        Ok(path) => _ = response.headers_mut().insert(header::LOCATION, path),
        Err(_) => return plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
    response
}

/// Returns a response whose text is the reason phrase of the status.
pub(super) fn plain(status: StatusCode) -> Page {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut response = Response::new(Body::from(format!("{reason}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Adds the fields that every response has.
pub(super) fn finish(headers: &mut HeaderMap, arrival: &Arrival) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // A browser would then refuse whatever else the machine serves there without TLS.
    if arrival.https && !is_local(&arrival.authority) {
        let value = HeaderValue::from_static(TRANSPORT_SECURITY);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}

/// Returns whether a host is an address or a name of this machine.
fn is_local(authority: &str) -> bool {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let host = if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<std::net::IpAddr>().is_ok() || public_origin::is_local(host)
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn addresses_and_names_of_this_machine_are_local() {
        for host in ["127.0.0.1", "127.0.0.1:8443", "[::1]:8443", "localhost", "a.localhost:1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["keys.example.com", "keys.example.com:8443", "localhost.example.com"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
