//! Changes the head of a request on its way to the upstream, and that of the response on its way
//! back.

use http::Version;
use smallvec::SmallVec;

use super::Now;
use super::address::{AddressRange, last_entry};
use super::authorise::{Admission, Caller};
use super::credential::{cookie_pairs, is_cookie};
use super::definition::{ApiDefinition, PassThrough};
use super::fields::{Fields, HeaderKind, Sink};
use super::head::Head;
use super::identity;
use super::key::KeyRecord;
use super::reply::limit_headers;

/// Writes the header fields for the upstream. These are the client's, without the key and without
/// anything that could contradict the decision, followed by who calls and where the request comes
/// from.
///
/// `Host` comes first: `host`, or else the client's own. No field of the connection or of the
/// body's framing is written, because both are new towards the upstream.
pub fn prepare_request(
    head: &Head<'_>,
    version: Version,
    admission: &Admission<'_>,
    trusted_proxies: &[AddressRange],
    request_id: &str,
    host: Option<&str>,
    sink: &mut impl Sink,
) {
    let fields = head.fields;
    let own_host = fields.first(HeaderKind::Host).or(head.target.authority.map(str::as_bytes));
    if let Some(host) = host.map(str::as_bytes).or(own_host) {
        sink.put("host", host);
    }
    let is_trusted = trusted_proxies.iter().any(|range| range.contains(head.peer.address));
    pass_on(fields, admission, is_trusted, sink);
    if accepts_trailers(fields) {
        sink.put_lines(b"te: trailers\r\n");
    }
    put_origin(head, own_host, is_trusted, sink);
    sink.put_lines(via(version));
    sink.put("x-request-id", request_id.as_bytes());
    put_identity(admission, sink);
    for (_, line) in &admission.api().definition.upstream_headers {
        sink.put_secret_lines(line.show());
    }
}

/// Writes the client's own fields that may be forwarded. `is_trusted`: whether the client is a
/// trusted proxy.
fn pass_on(fields: &Fields<'_>, admission: &Admission<'_>, is_trusted: bool, sink: &mut impl Sink) {
    let api = admission.api();
    let with_key = matches!(admission.caller(), Caller::Key { .. });
    let nominated = Nominated::by(fields);
    let key_in_authorization =
        api.withheld.bearer && fields.all(HeaderKind::Authorization).any(is_bearer);
    let mut cookies = tidied_cookies(fields, &api.definition, with_key);
    for field in fields.iter() {
        let kind = field.kind;
        if kind.is_hop_by_hop() || (kind == HeaderKind::Authorization && key_in_authorization) {
            continue;
        }
        if kind.is_override()
            && !(kind == HeaderKind::Override && is_wanted(field.name, &api.definition, is_trusted))
        {
            continue;
        }
        // Keygate handles `Expect` itself, once the request is admitted.
        if matches!(
            kind,
            HeaderKind::Host
                | HeaderKind::ContentLength
                | HeaderKind::Te
                | HeaderKind::Expect
                | HeaderKind::XRequestId
        ) {
            continue;
        }
        if api.withheld.contains(field.name, with_key) {
            continue;
        }
        let unsound = (kind == HeaderKind::Other && api.withheld.is_twin(field.name))
            || nominated.contains(field.name);
        if unsound && !is_needed(field.name, &api.definition) {
            continue;
        }
        match &mut cookies {
            Some(cookies) if kind == HeaderKind::Cookie => {
                if !cookies.is_empty() {
                    sink.put("cookie", cookies);
                    cookies.clear();
                }
            }
            _ => sink.put(field.name, field.value),
        }
    }
}

/// Returns whether a field is forwarded although it could override the decision. It is if a trusted
/// proxy sent it and the API asks for it, or if it is a pass-through credential.
#[cold]
fn is_wanted(name: &str, api: &ApiDefinition, is_trusted: bool) -> bool {
    (is_trusted && api.proxy_headers.iter().any(|wanted| wanted == name)) || is_needed(name, api)
}

/// Returns whether the field may hold a pass-through credential, which must reach the upstream that
/// checks it.
fn is_needed(name: &str, api: &ApiDefinition) -> bool {
    api.pass_through.iter().any(|place| match place {
        PassThrough::Header(other) => other == name,
        PassThrough::Cookie(_) => name == "cookie",
    })
}

/// The field names that the `Connection` fields of a message list (RFC 9110 §7.6.1). They do not
/// affect fields that Keygate writes itself.
struct Nominated<'b>(SmallVec<[&'b [u8]; 4]>);

impl<'b> Nominated<'b> {
    fn by(fields: &Fields<'b>) -> Self {
        let tokens = fields
            .all(HeaderKind::Connection)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii);
        Self(tokens.collect())
    }

    fn contains(&self, name: &str) -> bool {
        // `Trailer` announces trailers to the final recipient, through any number of
        // intermediaries.
        self.0.iter().any(|token| token.eq_ignore_ascii_case(name.as_bytes())) && name != "trailer"
    }
}

/// Returns whether the sender accepts trailers. `TE: trailers` is the only coding that a proxy can
/// forward (RFC 9110 §10.1.4).
#[must_use]
pub fn accepts_trailers(fields: &Fields<'_>) -> bool {
    fields.lists(HeaderKind::Te, b"trailers")
}

fn is_bearer(value: &[u8]) -> bool {
    value.trim_ascii().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// What the names of the cookies of Keygate's own pages begin with.
const OWN_COOKIES: &[u8] = b"__Host-keygate";

/// Merges several `Cookie` fields into one (RFC 9113 §8.2.3). Removes the cookies of Keygate's own
/// pages and, if the caller has a key, pass-through cookies. Returns `None` if the cookies need no
/// change.
fn tidied_cookies(fields: &Fields<'_>, api: &ApiDefinition, with_key: bool) -> Option<Vec<u8>> {
    let dropped = |pair: &[u8]| {
        // Cookies know no ports, so a browser sends those of the pages to any server of the host.
        pair.starts_with(OWN_COOKIES)
            || (with_key
                && api.pass_through.iter().any(
                    |place| matches!(place, PassThrough::Cookie(name) if is_cookie(pair, name)),
                ))
    };
    let mut all = fields.all(HeaderKind::Cookie);
    let first = all.next()?;
    if all.next().is_none() && !cookie_pairs(first).any(dropped) {
        return None;
    }
    let pairs: Vec<&[u8]> = fields
        .all(HeaderKind::Cookie)
        .flat_map(cookie_pairs)
        .filter(|pair| !dropped(pair))
        .collect();
    Some(pairs.join(&b"; "[..]))
}

/// Writes where the request comes from. Only a trusted proxy is believed about its own client.
fn put_origin(head: &Head<'_>, own_host: Option<&[u8]>, is_trusted: bool, sink: &mut impl Sink) {
    let (fields, peer) = (head.fields, head.peer);
    if !is_trusted {
        sink.put_lines(&peer.forwarded);
    } else {
        let mut chain: SmallVec<[u8; 128]> = SmallVec::new();
        for before in fields.all(HeaderKind::XForwardedFor) {
            chain.extend_from_slice(before);
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(peer.address_text.as_bytes());
        sink.put("x-forwarded-for", &chain);
        sink.put(
            "x-forwarded-proto",
            last_entry(fields, HeaderKind::XForwardedProto).unwrap_or(peer.scheme().as_bytes()),
        );
    }
    let believed = last_entry(fields, HeaderKind::XForwardedHost).filter(|_| is_trusted);
    if let Some(host) = believed.or(own_host) {
        sink.put("x-forwarded-host", host);
    }
}

/// Returns the `Via` line for the version of the received message (RFC 9110 §7.6.3).
fn via(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_2 => b"via: 2 keygate\r\n",
        Version::HTTP_10 => b"via: 1.0 keygate\r\n",
        _ => b"via: 1.1 keygate\r\n",
    }
}

fn put_identity(admission: &Admission<'_>, sink: &mut impl Sink) {
    match admission.caller() {
        Caller::PassThrough => sink.put_lines(b"x-keygate-auth: pass-through\r\n"),
        Caller::Public => sink.put_lines(b"x-keygate-auth: public\r\n"),
        Caller::Key { record, grant, environment, .. } => {
            sink.put_lines(b"x-keygate-auth: key\r\n");
            let lines = || identity::lines(record.id(), record.name(), record.organization());
            sink.put_lines(record.identity.get_or_init(|| Box::new(lines())));
            sink.put_lines(&grant.scopes_line);
            if let Some(line) =
                environment.and_then(|index| admission.api().environment_lines.get(index))
            {
                sink.put_lines(line);
            }
        }
    }
}

/// Writes the header fields for the client. These are the upstream's, without those of the
/// connection and the framing, followed by the request id and the limit headers. `cors`: the lines
/// of `[api.cors]`, which replace the upstream's own unless they are empty.
pub fn prepare_response(
    fields: &Fields<'_>,
    admission: &Admission<'_>,
    request_id: &str,
    now: Now,
    cors: &[u8],
    sink: &mut impl Sink,
) {
    let api = &admission.api().definition;
    let (limited, expiry) = match admission.caller() {
        Caller::Key { record, grant, .. } => {
            (admission.allowance().map(|allowance| (allowance, grant)), expiry(api, record, now))
        }
        Caller::PassThrough | Caller::Public => (None, None),
    };
    let nominated = Nominated::by(fields);
    for field in fields.iter() {
        let replaced = match field.kind {
            HeaderKind::ContentLength | HeaderKind::XRequestId => true,
            HeaderKind::XRateLimit => limited.is_some(),
            HeaderKind::RateLimit => limited.is_some() && api.rate_limit_draft,
            HeaderKind::Keygate => expiry.is_some() && field.name == EXPIRES,
            HeaderKind::Other => !cors.is_empty() && field.name.starts_with("access-control-"),
            kind => kind.is_hop_by_hop(),
        };
        if !replaced && (field.kind == HeaderKind::Host || !nominated.contains(field.name)) {
            sink.put(field.name, field.value);
        }
    }
    sink.put("x-request-id", request_id.as_bytes());
    if let Some((allowance, grant)) = limited {
        limit_headers(sink, api, allowance, &grant.limits, now);
    }
    if let Some(moment) = expiry {
        sink.put(EXPIRES, moment.as_bytes());
    }
    if !cors.is_empty() {
        sink.put_lines(cors);
    }
}

const EXPIRES: &str = "x-keygate-key-expires";

/// Returns when the key expires, as an RFC 3339 timestamp in UTC. Returns `None` if that is not
/// soon, or if the API does not want it sent.
fn expiry(api: &ApiDefinition, record: &KeyRecord, now: Now) -> Option<String> {
    if !api.expiry_header {
        return None;
    }
    let soon = |end: &i64| {
        u64::try_from(end.saturating_sub(now.unix)).is_ok_and(|left| left <= api.expiry_warning)
    };
    let end = record.expires_at().filter(soon)?;
    Some(jiff::Timestamp::from_second(end).ok()?.to_string())
}
