//! Reads message heads (RFC 9112 §2 to §6).

use http::{Method, StatusCode, Version};

use super::Malformed;
use super::body::Body;
use super::fields::{first_line, read_fields};
use crate::policy::{Fields, HeaderKind, Target};
use crate::syntax::{self, all, is_value_byte};

/// The limits of a message head.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes, including the empty line.
    pub size: usize,
    /// The most header fields.
    pub fields: usize,
}

/// The request line, borrowed from the buffer.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method,
    /// The target, as sent.
    pub target: Target<'b>,
    /// The version, HTTP/1.0 or HTTP/1.1.
    pub version: Version,
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead<'f, 'b> {
    /// The status code.
    pub status: StatusCode,
    /// The version.
    pub version: Version,
    /// The header fields.
    pub fields: &'f Fields<'b>,
}

/// Finds the end of the head that `bytes` begin with. Returns the offset after its empty line, or
/// `None` if the empty line has not been received. `searched`: how many of the bytes were searched
/// before. `size`: the most bytes of a head.
///
/// # Errors
/// Returns [`Malformed::TooLarge`] for a head of more than `size` bytes. Returns
/// [`Malformed::Syntax`] for a bare CR or LF, after which the end might never come.
pub fn find_end(bytes: &[u8], searched: usize, size: usize) -> Result<Option<usize>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let from = searched.saturating_sub(3);
    for at in memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at) {
        if at >= size {
            break;
        }
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Malformed::Syntax);
        }
        if bytes[..=at].ends_with(b"\r\n\r\n") {
            return Ok(Some(at + 1));
        }
    }
    // Reading a complete head finds a bare CR anyway, so only an incomplete one is searched here.
    let bare = |at: usize| bytes.get(at + 1).is_some_and(|next| *next != b'\n');
    let within = &bytes[from..bytes.len().min(size)];
    if memchr::memchr_iter(b'\r', within).any(|at| bare(from + at)) {
        return Err(Malformed::Syntax);
    }
    if bytes.len() > size { Err(Malformed::TooLarge) } else { Ok(None) }
}

/// Reads a complete request head, from the method to the empty line, and adds its fields to
/// `fields`. Converts field names to lower case in place.
///
/// # Errors
/// Returns what is wrong with the head.
pub fn request<'b>(
    head: &'b mut [u8],
    most_fields: usize,
    fields: &mut Fields<'b>,
) -> Result<RequestHead<'b>, Malformed> {
    let (line, rest) = first_line(head)?;
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::Syntax);
    };
    let version = read_version(version)?;
    let method = Method::from_bytes(method).map_err(|_| Malformed::Syntax)?;
    read_fields(rest, most_fields, fields)?;
    let mut target = read_target(target)?;
    // RFC 9112 §3.2 requires `Host` in every HTTP/1.1 request, so the authority of the target must
    // not replace it.
    if version == Version::HTTP_11 && !fields.has(HeaderKind::Host) {
        target.authority = None;
    }
    Ok(RequestHead { method, target, version })
}

/// Reads a complete response head, from the version to the empty line, and adds its fields to
/// `fields`.
///
/// # Errors
/// Returns what is wrong with the head.
pub fn response<'b>(
    head: &'b mut [u8],
    most_fields: usize,
    fields: &mut Fields<'b>,
) -> Result<(StatusCode, Version), Malformed> {
    let (line, rest) = first_line(head)?;
    // The reason phrase may be empty. Some servers also omit the space before it.
    let (version, status) = line.split_at_checked(8).ok_or(Malformed::Syntax)?;
    let status = status.strip_prefix(b" ").ok_or(Malformed::Syntax)?;
    let (code, reason) = status.split_at_checked(3).ok_or(Malformed::Syntax)?;
    if !matches!(reason.first(), None | Some(b' ')) || !all(reason, is_value_byte) {
        return Err(Malformed::Syntax);
    }
    let version = read_version(version)?;
    let status = StatusCode::from_bytes(code).map_err(|_| Malformed::Syntax)?;
    if status.as_u16() >= 600 {
        return Err(Malformed::Syntax);
    }
    read_fields(rest, most_fields, fields)?;
    Ok((status, version))
}

fn read_version(text: &[u8]) -> Result<Version, Malformed> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        _ if text.starts_with(b"HTTP/") => Err(Malformed::Version),
        _ => Err(Malformed::Syntax),
    }
}

/// Splits a request target (RFC 9112 §3.2). A target that is neither a path nor an absolute URI is
/// kept whole, as a path that no rule accepts.
fn read_target(target: &[u8]) -> Result<Target<'_>, Malformed> {
    let target = syntax::target(target).ok_or(Malformed::Syntax)?;
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        target
            .as_bytes()
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    let (authority, rest) = match scheme {
        Some(scheme) => {
            let target = &target[scheme.len()..];
            let (authority, rest) =
                target.split_at(target.find(['/', '?']).unwrap_or(target.len()));
            (Some(authority), rest)
        }
        None => (None, target),
    };
    let (path, query) =
        rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let path = if path.is_empty() && authority.is_some() { "/" } else { path };
    Ok(Target { authority, path, query })
}

/// Returns how a request body is framed (RFC 9112 §6.3). A request without framing fields has no
/// body.
///
/// # Errors
/// Returns [`Malformed::Framing`] if the framing is ambiguous.
pub fn request_body(version: Version, fields: &Fields<'_>) -> Result<Body, Malformed> {
    Ok(framing(fields, version)?.unwrap_or(Body::NONE))
}

/// Returns how a response body is framed (RFC 9112 §6.3). `to_head`: whether it responds to a HEAD
/// request.
///
/// # Errors
/// Returns [`Malformed::Framing`] if the framing is ambiguous.
pub fn response_body(head: &ResponseHead<'_, '_>, to_head: bool) -> Result<Body, Malformed> {
    let framing = framing(head.fields, head.version)?;
    let has_content = syntax::has_content(head.status, to_head);
    Ok(if has_content { framing.unwrap_or(Body::UNTIL_CLOSE) } else { Body::NONE })
}

/// Returns the framing that the fields declare, or `None` if they declare none.
fn framing(fields: &Fields<'_>, version: Version) -> Result<Option<Body>, Malformed> {
    let mut codings = fields.all(HeaderKind::TransferEncoding);
    let mut lengths = fields.all(HeaderKind::ContentLength);
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(None),
        // HTTP/1.0 has no transfer codings (RFC 9112 §6.1). A sender that uses one there may mean
        // something else.
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked")
                && codings.next().is_none()
                && version == Version::HTTP_11 =>
        {
            Ok(Some(Body::chunked()))
        }
        (None, Some(length)) if lengths.next().is_none() => syntax::length(length)
            .map(|length| Some(Body::of_length(length)))
            .ok_or(Malformed::Framing),
        _ => Err(Malformed::Framing),
    }
}

/// Returns whether a message lets its connection persist (RFC 9112 §9.3).
pub fn keeps_alive(version: Version, fields: &Fields<'_>) -> bool {
    let names = |option| fields.lists(HeaderKind::Connection, option);
    if version == Version::HTTP_11 {
        !names(b"close")
    } else {
        names(b"keep-alive") && !names(b"close")
    }
}
