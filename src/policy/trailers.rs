//! Which fields may be trailers. Some recipients merge trailers into the header fields, although
//! RFC 9110 §6.5.1 allows it only if the field's definition does. Fields that would have a meaning
//! there are therefore removed.

use http::{HeaderMap, HeaderName};

use super::api::Api;
use super::known::{Known, hyphened};

/// Further names that must not be trailers (RFC 9110 §6.5.1), besides those of [`Known`]. Fields
/// about the handling, caching, routing or authenticity of a message must be known before its body.
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
    drop_where(trailers, |known, name| {
        known.is_override() || known == Known::Via || api.withheld.is_meant_by(name)
    });
}

/// Removes an upstream's trailers that the client must not receive. These are fields that must not
/// be trailers, the limit headers and `X-Keygate-*`.
pub fn prepare_answer_trailers(trailers: &mut HeaderMap) {
    drop_where(trailers, |known, _| {
        matches!(known, Known::XRateLimit | Known::RateLimit | Known::Keygate)
    });
}

/// Removes fields that must not be trailers, and those for which `also` returns `true`.
fn drop_where(trailers: &mut HeaderMap, also: impl Fn(Known, &str) -> bool) {
    let is_dropped = |name: &HeaderName| {
        let name = hyphened(name.as_str());
        let known = Known::of(&name);
        is_only_before(known, &name) || also(known, &name)
    };
    let dropped: Vec<HeaderName> =
        trailers.keys().filter(|name| is_dropped(name)).cloned().collect();
    for name in dropped {
        trailers.remove(name);
    }
}

fn is_only_before(known: Known, name: &str) -> bool {
    let of_the_message = known.is_hop_by_hop()
        || known.is_message()
        || matches!(known, Known::Te | Known::Trailer | Known::Expect | Known::Date);
    let of_the_caller = matches!(
        known,
        Known::Authorization | Known::Cookie | Known::Dpop | Known::From | Known::XRequestId
    );
    let by_name = || {
        ONLY_BEFORE.contains(&name)
            || name.starts_with("if-")
            || name.starts_with("access-control-")
    };
    of_the_message || of_the_caller || by_name()
}
