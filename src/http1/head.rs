//! Reading heads (RFC 9112 §2 to §6).

use http::{Method, StatusCode, Version};

use super::Malformed;
use super::body::Body;
use super::fields::{first_line, read_fields};
use crate::policy::{Fields, Known, Target};
use crate::syntax::{self, all, is_value_byte};

/// The bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes, the empty line included.
    pub size: usize,
    /// Header fields.
    pub fields: usize,
}

/// A request's first line, read in place.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method,
    /// The target, as sent.
    pub target: Target<'b>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
}

/// A response's head.
#[derive(Debug)]
pub struct ResponseHead<'f, 'b> {
    /// The status.
    pub status: StatusCode,
    /// The version.
    pub version: Version,
    /// The fields.
    pub fields: &'f Fields<'b>,
}

/// Where the head that `bytes` begin with ends, behind its empty line; `None` while that has not
/// come. `searched` bytes were looked at before.
///
/// # Errors
/// [`Malformed::TooLarge`], and [`Malformed::Syntax`] for a CR or a LF alone, behind which the end
/// would be waited for in vain.
pub fn find_end(bytes: &[u8], searched: usize, size: usize) -> Result<Option<usize>, Malformed> {
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
    // A whole head is read in any case, so only one without an end is searched for a CR.
    let bare = |at: usize| bytes.get(at + 1).is_some_and(|next| *next != b'\n');
    let within = &bytes[from..bytes.len().min(size)];
    if memchr::memchr_iter(b'\r', within).any(|at| bare(from + at)) {
        return Err(Malformed::Syntax);
    }
    if bytes.len() > size { Err(Malformed::TooLarge) } else { Ok(None) }
}

/// Reads a request's whole head, from the method to the empty line, and adds to `fields`. Names of
/// fields become lower case in place.
///
/// # Errors
/// What is wrong with it.
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
    // RFC 9112 §3.2: the field has to be there in any case, so what the target says does not stand
    // in for it.
    if version == Version::HTTP_11 && !fields.has(Known::Host) {
        target.authority = None;
    }
    Ok(RequestHead { method, target, version })
}

/// Reads a response's whole head, from the version to the empty line, and adds to `fields`.
///
/// # Errors
/// What is wrong with it.
pub fn response<'b>(
    head: &'b mut [u8],
    most_fields: usize,
    fields: &mut Fields<'b>,
) -> Result<(StatusCode, Version), Malformed> {
    let (line, rest) = first_line(head)?;
    // The reason may be empty, and so may the space before it be missing, as some servers have it.
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

/// RFC 9112 §3.2. What is neither a path nor an absolute URI stays whole, as a path that no rule
/// accepts.
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

/// How a request's body is framed (RFC 9112 §6.3). A head whose framing is ambiguous has none.
///
/// # Errors
/// [`Malformed::Framing`].
pub fn request_body(version: Version, fields: &Fields<'_>) -> Result<Body, Malformed> {
    Ok(framing(fields, version)?.unwrap_or(Body::NONE))
}

/// How a response's body is framed (RFC 9112 §6.3). `to_head`: whether it answers a HEAD request.
///
/// # Errors
/// [`Malformed::Framing`].
pub fn response_body(head: &ResponseHead<'_, '_>, to_head: bool) -> Result<Body, Malformed> {
    let framing = framing(head.fields, head.version)?;
    let bodiless = to_head
        || head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(if bodiless { Body::NONE } else { framing.unwrap_or(Body::UNTIL_CLOSE) })
}

/// What the fields say; nothing where they say nothing.
fn framing(fields: &Fields<'_>, version: Version) -> Result<Option<Body>, Malformed> {
    let mut codings = fields.all(Known::TransferEncoding);
    let mut lengths = fields.all(Known::ContentLength);
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(None),
        // RFC 9112 §6.1: HTTP/1.0 knows no codings, and whoever sends one there may mean something
        // else.
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
    let names = |option| fields.lists(Known::Connection, option);
    if version == Version::HTTP_11 {
        !names(b"close")
    } else {
        names(b"keep-alive") && !names(b"close")
    }
}
