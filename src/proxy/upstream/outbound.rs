//! Requests in the form that is sent to the upstream, without the body.

use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use crate::config::{ApiConfig, Protocol};
use crate::http1::{ResponseHead, request_line};
use crate::policy::{
    Admission, Caller, Fields, Head, HeaderKind, Refusal, Sink as _, prepare_request,
};
use crate::proxy::worker::body::Length;
use crate::proxy::worker::current::Current;
use crate::state::UpstreamState;

/// Reader of an upstream's response head.
pub(in crate::proxy) trait ReadHead {
    /// What the reader keeps of the head.
    type Kept;

    /// Reads the final response head.
    fn read(&self, head: &ResponseHead<'_, '_>) -> Self::Kept;
}

/// A request in the form that is sent to the upstream, without the body.
pub(in crate::proxy) struct Outbound {
    pub(in crate::proxy) asked: Asked,
    pub(in crate::proxy) head: OutboundHead,
}

/// What retries and the parsing of the response depend on.
pub(in crate::proxy) struct Asked {
    pub(in crate::proxy) method: Method,
    /// Whether the request asks to switch to the WebSocket protocol.
    pub(in crate::proxy) switch: bool,
    /// Whether the body is sent with the chunked coding.
    pub(in crate::proxy) chunked: bool,
}

/// Request head in the upstream's protocol.
pub(in crate::proxy) enum OutboundHead {
    Http1(Vec<u8>),
    Http2(Box<Request<()>>),
}

/// Initial capacity in bytes, enough for most heads.
const ROOM: usize = 1024;

impl Outbound {
    /// Builds the request to forward. `body` is the length of its body.
    ///
    /// # Errors
    /// Returns `UpstreamUnreachable` if the API has no upstream, or `MalformedHost` if the host is
    /// not a valid authority.
    pub(in crate::proxy) fn new(
        current: &Current,
        admission: &Admission<'_>,
        head: &Head<'_>,
        version: Version,
        body: Length,
        request_id: &str,
    ) -> Result<Self, Refusal> {
        let (api, upstream) =
            destination(current, admission).ok_or(Refusal::UpstreamUnreachable)?;
        let host = api.rewrite_host.then_some(&*upstream.settings.authority);
        let trusted = current.snapshot.routes.trusted_proxies();
        // With a body, the place where the other protocol begins would be a guess. Such a request
        // is served as an ordinary one, which a server may always do (RFC 9110 §7.8).
        let switch = matches!(body, Length::Absent | Length::Exact(0))
            && wants_websocket(head.method, version, head.fields);
        let (method, chunked) = (head.method.clone(), body == Length::Unknown);
        let head = match upstream.settings.protocol {
            Protocol::Http1 | Protocol::Http1Tls => {
                let mut out = Vec::with_capacity(ROOM);
                request_line(&mut out, head.method, &head.target);
                prepare_request(head, version, admission, trusted, request_id, host, &mut out);
                match body {
                    Length::Exact(length) => {
                        out.put("content-length", length.to_string().as_bytes())
                    }
                    Length::Unknown => out.put("transfer-encoding", b"chunked"),
                    Length::Absent => {}
                }
                if switch {
                    out.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
                }
                out.extend_from_slice(b"\r\n");
                OutboundHead::Http1(out)
            }
            Protocol::Http2 | Protocol::Http2Tls => {
                let mut fields = HeaderMap::with_capacity(head.fields.len() + 16);
                prepare_request(head, version, admission, trusted, request_id, host, &mut fields);
                if let Length::Exact(length) = body {
                    fields.insert(header::CONTENT_LENGTH, length.into());
                }
                // The host is sent as `:authority` (RFC 9113 §8.3.1).
                let host = fields.remove(header::HOST);
                let mut request = Request::new(());
                *request.method_mut() = head.method.clone();
                *request.uri_mut() = absolute(head, upstream, host.as_ref())?;
                *request.version_mut() = Version::HTTP_2;
                *request.headers_mut() = fields;
                OutboundHead::Http2(Box::new(request))
            }
        };
        Ok(Self { asked: Asked { method, switch, chunked }, head })
    }

    /// Returns whether the upstream speaks HTTP/2.
    pub(in crate::proxy) fn is_http2(&self) -> bool {
        matches!(self.head, OutboundHead::Http2(_))
    }
}

/// Returns the API and the upstream of an admitted request, or `None` if it has no upstream.
pub(in crate::proxy) fn destination<'c>(
    current: &'c Current,
    admission: &Admission<'_>,
) -> Option<(&'c ApiConfig, &'c UpstreamState)> {
    let environment =
        if let Caller::Key { environment, .. } = admission.caller() { environment } else { None };
    let api = current.runtime.apis.get(admission.api_index())?;
    Some((&api.config, api.upstream(environment)?))
}

/// Builds the target of an HTTP/2 request. Path and query stay exactly as they were authorised.
fn absolute(
    head: &Head<'_>,
    upstream: &UpstreamState,
    host: Option<&HeaderValue>,
) -> Result<Uri, Refusal> {
    let scheme = if upstream.settings.protocol == Protocol::Http2Tls { "https" } else { "http" };
    let path = match head.target.query {
        Some(query) => format!("{}?{query}", head.target.path),
        None => head.target.path.to_owned(),
    };
    Uri::builder()
        .scheme(scheme)
        .authority(host.map_or(upstream.settings.authority.as_bytes(), |host| host.as_bytes()))
        .path_and_query(path)
        .build()
        .map_err(|_| Refusal::MalformedHost)
}

/// Returns whether the request asks to switch to the WebSocket protocol (RFC 6455 §4.1), the only
/// switch that is forwarded.
fn wants_websocket(method: &Method, version: Version, fields: &Fields<'_>) -> bool {
    names_websocket(fields) && version == Version::HTTP_11 && method == Method::GET
}

/// Returns whether a message asks for, or agrees to, a switch to the WebSocket protocol (RFC 6455
/// §4.1, §4.2.2).
pub(in crate::proxy) fn names_websocket(fields: &Fields<'_>) -> bool {
    fields.lists(HeaderKind::Upgrade, b"websocket")
        && fields.lists(HeaderKind::Connection, b"upgrade")
}
