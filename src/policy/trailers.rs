//! Which fields may be trailers. Some recipients merge trailers into the header fields, although
//! RFC 9110 §6.5.1 allows it only if the field's definition does. Fields that would have a meaning
//! there are therefore removed.

use http::{HeaderMap, HeaderName};

use super::api::Api;
use super::header_kind::{HeaderKind, hyphened};

/// Further names that must not be trailers (RFC 9110 §6.5.1), besides those of [`HeaderKind`].
/// Fields about the handling, caching, routing or authenticity of a message must be known before
/// its body.
const ONLY_BEFORE: [&str; 16] = [
    "age",
    "cache-control",
    "content-encoding",
    "content-range",
    "expires",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "warning",
    "www-authenticate",
];

/// Removes a client's trailers that the upstream must not receive. These are fields that must not
/// be trailers, those that could override the decision, and those that Keygate sets itself.
pub fn prepare_trailers(trailers: &mut HeaderMap, api: &Api) {
    drop_where(trailers, |kind, name| {
        kind.is_override() || kind == HeaderKind::Via || api.withheld.is_meant_by(name)
    });
}

/// Removes an upstream's trailers that the client must not receive. These are fields that must not
/// be trailers, the limit headers and `X-Keygate-*`.
pub fn prepare_response_trailers(trailers: &mut HeaderMap) {
    drop_where(trailers, |kind, _| {
        matches!(kind, HeaderKind::XRateLimit | HeaderKind::RateLimit | HeaderKind::Keygate)
    });
}

/// Removes fields that must not be trailers, and those for which `also` returns `true`.
fn drop_where(trailers: &mut HeaderMap, also: impl Fn(HeaderKind, &str) -> bool) {
    let is_dropped = |name: &HeaderName| {
        let name = hyphened(name.as_str());
        let kind = HeaderKind::of(&name);
        is_only_before(kind, &name) || also(kind, &name)
    };
    let dropped: Vec<HeaderName> =
        trailers.keys().filter(|name| is_dropped(name)).cloned().collect();
    for name in dropped {
        trailers.remove(name);
    }
}

fn is_only_before(kind: HeaderKind, name: &str) -> bool {
    let of_the_message = kind.is_hop_by_hop()
        || kind.is_message()
        || matches!(
            kind,
            HeaderKind::Te | HeaderKind::Trailer | HeaderKind::Expect | HeaderKind::Date
        );
    let of_the_caller = matches!(
        kind,
        HeaderKind::Authorization
            | HeaderKind::Cookie
            | HeaderKind::Dpop
            | HeaderKind::From
            | HeaderKind::XRequestId
    );
    let by_name = || {
        ONLY_BEFORE.contains(&name)
            || name.starts_with("if-")
            || name.starts_with("access-control-")
    };
    of_the_message || of_the_caller || by_name()
}
