//! What changes about a request on its way to the upstream, and about the answer on its way back.

use super::Now;
use super::address::{AddressRange, X_FORWARDED_FOR};
use super::api::{Api, ApiDefinition, CredentialPlace, PassThrough};
use super::authorise::{Admission, Caller};
use super::credential::{cookie_pairs, is_cookie};
use super::key::KeyRecord;
use super::reply::limit_headers;
use http::header::{AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE, VIA};
use http::{Uri, Version, header};
use std::net::IpAddr;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_KEYGATE_AUTH: HeaderName = HeaderName::from_static("x-keygate-auth");
const X_KEYGATE_KEY_ID: HeaderName = HeaderName::from_static("x-keygate-key-id");
const X_KEYGATE_KEY_NAME: HeaderName = HeaderName::from_static("x-keygate-key-name");
const X_KEYGATE_SCOPES: HeaderName = HeaderName::from_static("x-keygate-scopes");
const X_KEYGATE_ENVIRONMENT: HeaderName = HeaderName::from_static("x-keygate-environment");
const X_KEYGATE_KEY_EXPIRES: HeaderName = HeaderName::from_static("x-keygate-key-expires");
const X_KEYGATE_ORGANIZATION: HeaderName = HeaderName::from_static("x-keygate-organization");

/// Fields that speak about one connection only (RFC 9110 §7.6.1), so that they are never passed on.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("http2-settings"),
    header::TRANSFER_ENCODING,
    header::PROXY_AUTHENTICATE,
    UPGRADE,
];

/// Names, besides `x-keygate-*` and `x-forwarded-*`, by which an upstream could be told another caller,
/// path or method than the ones that were authorised. A client's are never passed on.
const OVERRIDES: [&str; 12] = [
    "forwarded",
    "proxy", // CGI programs take it for the environment variable HTTP_PROXY
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Fields that say what the message itself is. A twin of theirs is never passed on.
const MESSAGE: [HeaderName; 3] = [header::CONTENT_LENGTH, header::CONTENT_TYPE, HOST];

/// Whether Keygate says, changes or removes this field itself, so that no setting may name it. An underscore
/// spelling counts as the field.
#[must_use]
pub fn is_gateway_header(name: &HeaderName) -> bool {
    let hyphened = name.as_str().replace('_', "-");
    let known = HOP_BY_HOP.into_iter().chain(MESSAGE).chain([X_REQUEST_ID, TE, EXPECT, VIA]);
    is_override(&hyphened) || known.into_iter().any(|known| known.as_str() == hyphened)
}

/// The other end of a connection, and what it always adds to requests.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The same, for `X-Forwarded-For`.
    address_value: HeaderValue,
    /// Whether the connection is encrypted.
    pub https: bool,
    /// The name that the client asked for in the TLS handshake.
    pub tls_name: Option<Box<str>>,
}

impl Peer {
    /// A peer at `address`.
    #[must_use]
    pub fn new(address: IpAddr, https: bool, tls_name: Option<Box<str>>) -> Self {
        let address = address.to_canonical();
        let address_value = HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, address_value, https, tls_name }
    }
}

/// Header values that tell the upstream who calls; made on first use of a key.
#[derive(Debug)]
pub(super) struct Identity {
    id: HeaderValue,
    name: HeaderValue,
}

impl Identity {
    fn of(record: &KeyRecord) -> Self {
        Self { id: encoded_value(record.id()), name: encoded_value(record.name()) }
    }
}

/// A header value for several texts, separated by spaces, each percent-encoded where it is not a plain token.
pub(super) fn encoded_list(texts: &[&str]) -> HeaderValue {
    let texts: Vec<String> = texts.iter().map(|text| percent_encode(text)).collect();
    HeaderValue::from_str(&texts.join(" ")).unwrap_or(HeaderValue::from_static(""))
}

/// A header value for any text, percent-encoded where it is not a plain token.
pub(super) fn encoded_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(&percent_encode(text)).unwrap_or(HeaderValue::from_static(""))
}

/// Encodes what is not visible ASCII, and what separates or quotes values in headers.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"%,;\"\\".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Makes a client's header fields those that the upstream gets: the key and everything that could
/// contradict the decision goes, then who calls and how it came here is added.
///
/// `request_id` is added as it is. Nothing is done about the framing of the body, nor about `Host`, except
/// that an HTTP/2 request gets one from its `:authority`.
pub fn prepare_request(
    headers: &mut HeaderMap,
    uri: &Uri,
    version: Version,
    admission: &Admission<'_>,
    peer: &Peer,
    trusted_proxies: &[AddressRange],
    request_id: &HeaderValue,
) {
    let api = &admission.api().definition;
    let peer_is_trusted = trusted_proxies.iter().any(|range| range.contains(peer.address));
    let trailers = accepts_trailers(headers);
    let forwarded_for = peer_is_trusted.then(|| joined(headers, &X_FORWARDED_FOR, ", ")).flatten();
    let believed = |name: &HeaderName| headers.get(name).filter(|_| peer_is_trusted).cloned();
    let (forwarded_proto, forwarded_host) = (believed(&X_FORWARDED_PROTO), believed(&X_FORWARDED_HOST));

    // What let a request pass must reach whoever checks it.
    let is_needed = |name: &HeaderName| {
        api.pass_through.iter().any(|place| match place {
            PassThrough::Header(other) => other == name,
            PassThrough::Cookie(_) => name == COOKIE,
        })
    };
    remove_hop_by_hop(headers, is_needed);
    headers.remove(EXPECT); // Keygate answers it itself, once the request is admitted.
    headers.remove(TE);
    remove_owned(headers, api, admission.caller());
    tidy_cookies(headers, api, admission.caller());

    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if !headers.contains_key(HOST)
        && let Some(host) = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    let forwarded_for =
        forwarded_for.and_then(|chain| HeaderValue::from_bytes(&[&chain, &b", "[..], peer.address_value.as_bytes()].concat()).ok());
    headers.insert(X_FORWARDED_FOR, forwarded_for.unwrap_or_else(|| peer.address_value.clone()));
    let proto = HeaderValue::from_static(if peer.https { "https" } else { "http" });
    headers.insert(X_FORWARDED_PROTO, forwarded_proto.unwrap_or(proto));
    if let Some(host) = forwarded_host.or_else(|| headers.get(HOST).cloned()) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.append(VIA, HeaderValue::from_static(via(version)));
    headers.insert(X_REQUEST_ID, request_id.clone());
    add_identity(headers, admission);
    for (name, value) in &api.upstream_headers {
        headers.insert(name.clone(), value.clone());
    }
}

/// RFC 9110 §7.6.3: the version that the message came in.
fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2 keygate",
        Version::HTTP_10 => "1.0 keygate",
        _ => "1.1 keygate",
    }
}

fn add_identity(headers: &mut HeaderMap, admission: &Admission<'_>) {
    let (record, grant, environment) = match admission.caller() {
        Caller::Key { record, grant, environment, .. } => (record, grant, environment),
        Caller::PassThrough => {
            headers.insert(X_KEYGATE_AUTH, HeaderValue::from_static("pass-through"));
            return;
        }
        Caller::Public => {
            headers.insert(X_KEYGATE_AUTH, HeaderValue::from_static("public"));
            return;
        }
    };
    let identity = record.identity.get_or_init(|| Box::new(Identity::of(record)));
    headers.insert(X_KEYGATE_AUTH, HeaderValue::from_static("key"));
    headers.insert(X_KEYGATE_KEY_ID, identity.id.clone());
    headers.insert(X_KEYGATE_KEY_NAME, identity.name.clone());
    headers.insert(X_KEYGATE_SCOPES, grant.scopes_value.clone());
    if let Some(organization) = &record.organization {
        headers.insert(X_KEYGATE_ORGANIZATION, organization.value.clone());
    }
    if let Some(value) = environment.and_then(|index| admission.api().environment_values.get(index)) {
        headers.insert(X_KEYGATE_ENVIRONMENT, value.clone());
    }
}

/// Makes an upstream's header fields those that the client gets: connection matters go, the limit figures
/// and the request id are set.
pub fn prepare_response(headers: &mut HeaderMap, admission: &Admission<'_>, request_id: &HeaderValue, now: Now) {
    remove_hop_by_hop(headers, |_| false);
    headers.insert(X_REQUEST_ID, request_id.clone());
    if let (Some(allowance), Caller::Key { grant, .. }) = (admission.allowance(), admission.caller()) {
        limit_headers(headers, &admission.api().definition, allowance, &grant.limits, now);
    }
    if let Caller::Key { record, .. } = admission.caller() {
        expiry_header(headers, &admission.api().definition, record, now);
    }
}

/// Says when the key expires, if that is soon and the API wants it said: RFC 3339, in UTC.
fn expiry_header(headers: &mut HeaderMap, api: &ApiDefinition, record: &KeyRecord, now: Now) {
    let soon = |end: &i64| u64::try_from(end.saturating_sub(now.unix)).is_ok_and(|left| left <= api.expiry_warning);
    let Some(end) = record.expires_at().filter(|end| api.expiry_header && soon(end)) else { return };
    let Ok(moment) = jiff::Timestamp::from_second(end) else { return };
    if let Ok(value) = HeaderValue::from_str(&moment.to_string()) {
        headers.insert(X_KEYGATE_KEY_EXPIRES, value);
    }
}

/// Makes a client's trailers those that the upstream gets. Some servers take a trailer for a header field (RFC 9110 §6.5.1 allows
/// it), so nothing passes that a header could not say, and no name that Keygate sets itself.
pub fn prepare_trailers(trailers: &mut HeaderMap, api: &Api) {
    let api = &api.definition;
    let set_here = [X_REQUEST_ID, VIA, AUTHORIZATION, COOKIE, HOST];
    let dropped: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_override(name.as_str()) || set_here.contains(name) || is_twin(&name.as_str().replace('_', "-"), api))
        .cloned()
        .collect();
    for name in dropped {
        trailers.remove(name);
    }
}

/// RFC 9110 §7.6.1: removes the fields of one connection and those that `Connection` names. What Keygate
/// adds itself is added later, so no client can name it away; a body's framing, the host and what `is_needed` stay.
fn remove_hop_by_hop(headers: &mut HeaderMap, is_needed: impl Fn(&HeaderName) -> bool) {
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            match HeaderName::from_bytes(token.trim_ascii()) {
                Ok(name) if ![HOST, header::CONTENT_LENGTH, header::TRAILER].contains(&name) && !is_needed(&name) => named.push(name),
                _ => {}
            }
        }
    }
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// RFC 9110 §10.1.4: `TE: trailers` is the one coding that a proxy can promise to pass on.
fn accepts_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.into_iter().any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes the key, what Keygate says itself, and spellings of either that servers take for the same.
fn remove_owned(headers: &mut HeaderMap, api: &ApiDefinition, caller: Caller<'_>) {
    for place in &api.credentials {
        match place {
            CredentialPlace::Header(name) => {
                headers.remove(name);
            }
            // Another scheme, such as Basic, is no key; whether it means anything is for the upstream to say.
            CredentialPlace::Bearer => {
                let carries_bearer = |value: &HeaderValue| {
                    value.as_bytes().trim_ascii().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
                };
                if headers.get_all(AUTHORIZATION).iter().any(carries_bearer) {
                    headers.remove(AUTHORIZATION);
                }
            }
        }
    }
    if matches!(caller, Caller::Key { .. }) {
        for place in &api.pass_through {
            if let PassThrough::Header(name) = place {
                headers.remove(name);
            }
        }
    }
    let mut owned = Vec::new();
    for name in headers.keys() {
        let text = name.as_str();
        let twin = memchr::memchr(b'_', text.as_bytes()).is_some();
        if is_override(text) || (twin && is_twin(&text.replace('_', "-"), api)) {
            owned.push(name.clone());
        }
    }
    for name in owned {
        headers.remove(name);
    }
}

fn is_override(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => name.starts_with("x-keygate-") || name.starts_with("x-forwarded-") || OVERRIDES.contains(&name),
        Some(b'f' | b'p' | b't') => OVERRIDES.contains(&name),
        _ => false,
    }
}

/// CGI and WSGI servers read `X_Api_Key` as `X-Api-Key`; so an underscore spelling of any name that has a
/// meaning here is as good as the name itself.
fn is_twin(hyphened: &str, api: &ApiDefinition) -> bool {
    let same = |name: &HeaderName| name.as_str().replace('_', "-") == hyphened;
    is_override(hyphened)
        || same(&X_REQUEST_ID)
        || api.credentials.iter().any(|place| same(place.header()))
        || api.upstream_headers.iter().any(|(name, _)| same(name))
        || api.pass_through.iter().any(|place| matches!(place, PassThrough::Header(name) if same(name)))
        || HOP_BY_HOP.iter().chain(&MESSAGE).chain(&[COOKIE]).any(same)
}

/// RFC 9113 §8.2.3: several cookie fields become one. With a key, pass-through cookies are taken out.
fn tidy_cookies(headers: &mut HeaderMap, api: &ApiDefinition, caller: Caller<'_>) {
    let with_key = matches!(caller, Caller::Key { .. });
    let dropped =
        |pair: &[u8]| with_key && api.pass_through.iter().any(|place| matches!(place, PassThrough::Cookie(name) if is_cookie(pair, name)));
    let mut fields = headers.get_all(COOKIE).iter();
    let Some(first) = fields.next() else { return };
    if fields.next().is_none() && !cookie_pairs(first.as_bytes()).any(dropped) {
        return;
    }
    let pairs: Vec<&[u8]> =
        headers.get_all(COOKIE).iter().flat_map(|field| cookie_pairs(field.as_bytes())).filter(|pair| !dropped(pair)).collect();
    let rest = HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok().filter(|value| !value.is_empty());
    match rest {
        Some(value) => {
            headers.insert(COOKIE, value);
        }
        None => {
            headers.remove(COOKIE);
        }
    }
}

/// All values of a list field as one, or nothing if there is none.
fn joined(headers: &HeaderMap, name: &HeaderName, separator: &str) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!values.is_empty()).then(|| values.join(separator.as_bytes()))
}
