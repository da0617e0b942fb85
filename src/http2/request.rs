//! Reads a header block as a request (RFC 9113 §8.2 and §8.3).

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Block;
use crate::policy::{Fields, HeaderKind, Target};
use crate::syntax;

/// The block is neither a valid request nor valid trailers. The stream ends with PROTOCOL_ERROR
/// (RFC 9113 §8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A request head, borrowed from the block.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method,
    /// The target, as sent.
    pub target: Target<'b>,
    /// The header fields.
    pub fields: Fields<'b>,
    /// The `Content-Length`, in bytes.
    pub length: Option<u64>,
}

/// Reads a request head.
///
/// # Errors
/// Returns [`Malformed`] if the block is not a valid request.
pub fn request(block: &Block) -> Result<RequestHead<'_>, Malformed> {
    let mut fields = Fields::new();
    let (mut method, mut scheme, mut authority, mut path) = (None, None, None, None);
    for (name, value) in block.fields() {
        if !syntax::all(value, syntax::is_value_byte) {
            return Err(Malformed);
        }
        if name.first() == Some(&b':') {
            let place = match name {
                b":method" => &mut method,
                b":scheme" => &mut scheme,
                b":authority" => &mut authority,
                b":path" => &mut path,
                _ => return Err(Malformed),
            };
            // Pseudo-header fields come first, and each at most once (RFC 9113 §8.3).
            if !fields.is_empty() || place.replace(value).is_some() {
                return Err(Malformed);
            }
            continue;
        }
        fields.push(field_name(name)?, bare(value)?);
    }
    let method = Method::from_bytes(method.ok_or(Malformed)?).map_err(|_| Malformed)?;
    let target = if method == Method::CONNECT {
        // CONNECT has an authority, but no scheme and no path (RFC 9113 §8.5).
        if scheme.is_some() || path.is_some() || authority.is_none() {
            return Err(Malformed);
        }
        Target { authority: authority.map(uri_text).transpose()?, path: "", query: None }
    } else {
        if !is_scheme(scheme.ok_or(Malformed)?) {
            return Err(Malformed);
        }
        let path = uri_text(path.ok_or(Malformed)?)?;
        let (path, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        Target { authority: authority.map(uri_text).transpose()?, path, query }
    };
    let length = check(&fields)?;
    Ok(RequestHead { method, target, fields, length })
}

/// Reads the trailers of a request.
pub(super) fn trailers(block: &Block) -> Result<HeaderMap, Malformed> {
    let mut trailers = HeaderMap::new();
    let mut fields = Fields::new();
    for (name, value) in block.fields() {
        let (name, value) = (field_name(name)?, bare(value)?);
        fields.push(name, value);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed)?;
        trailers.append(name, HeaderValue::from_bytes(value).map_err(|_| Malformed)?);
    }
    // A `Content-Length` in trailers declares nothing. A recipient that honoured it would read a
    // different message (RFC 9110 §6.5.1).
    if check(&fields)?.is_some() { Err(Malformed) } else { Ok(trailers) }
}

/// Refuses connection-specific fields (RFC 9113 §8.2.2). Returns the `Content-Length`.
fn check(fields: &Fields<'_>) -> Result<Option<u64>, Malformed> {
    let about_connection =
        [HeaderKind::Connection, HeaderKind::TransferEncoding, HeaderKind::Upgrade]
            .into_iter()
            .any(|known| fields.has(known))
            || fields.has(HeaderKind::HopByHop)
                && ["keep-alive", "proxy-connection", "http2-settings"]
                    .into_iter()
                    .any(|name| fields.named(name).next().is_some());
    if about_connection
        || !fields.all(HeaderKind::Te).all(|te| te.eq_ignore_ascii_case(b"trailers"))
    {
        return Err(Malformed);
    }
    let mut lengths = fields.all(HeaderKind::ContentLength);
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => syntax::length(length).map(Some).ok_or(Malformed),
        _ => Err(Malformed),
    }
}

/// Returns a field name as text if it is a token without upper case letters (RFC 9113 §8.2.1).
fn field_name(name: &[u8]) -> Result<&str, Malformed> {
    if !syntax::is_lower_token(name) {
        return Err(Malformed);
    }
    std::str::from_utf8(name).map_err(|_| Malformed)
}

/// Returns the value if no white space surrounds it (RFC 9113 §8.2.1).
fn bare(value: &[u8]) -> Result<&[u8], Malformed> {
    let space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if space(value.first()) || space(value.last()) { Err(Malformed) } else { Ok(value) }
}

fn uri_text(text: &[u8]) -> Result<&str, Malformed> {
    syntax::target(text).ok_or(Malformed)
}

/// Returns whether this is a scheme that Keygate serves (RFC 9110 §4.2). Which of the two applies
/// is decided by the connection or by a trusted proxy, not by the client.
fn is_scheme(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"http") || text.eq_ignore_ascii_case(b"https")
}
