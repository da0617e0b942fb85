//! Which fields may stand behind a body. Some recipients take a trailer for a header field, which
//! RFC 9110 §6.5.1 lets them do only where the field's definition allows it; so nothing passes that
//! would mean something there.

use http::{HeaderMap, HeaderName};

use super::api::Api;
use super::known::{Known, hyphened};

/// Names besides those of [`Known`] that RFC 9110 §6.5.1 keeps out of trailers: what says how a
/// message is handled, cached, routed or believed has to be known before its body.
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

/// Makes a client's trailers those that the upstream gets: none that a header could not be, and no
/// name that Keygate sets itself.
pub fn prepare_trailers(trailers: &mut HeaderMap, api: &Api) {
    drop_where(trailers, |known, name| {
        known.is_override() || known == Known::Via || api.withheld.is_meant_by(name)
    });
}

/// Makes an upstream's trailers those that the client gets.
pub fn prepare_answer_trailers(trailers: &mut HeaderMap) {
    drop_where(trailers, |known, _| {
        matches!(known, Known::XRateLimit | Known::RateLimit | Known::Keygate)
    });
}

/// Drops what may stand in no trailers, and these.
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
