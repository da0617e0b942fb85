//! Reading heads (RFC 9112 §2 to §6).

use http::{Method, StatusCode, Version};

use super::{Body, Malformed};
use crate::policy::{Fields, Known, Target};

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
/// [`Malformed::TooLarge`], and [`Malformed::Syntax`] for a line that ends without CR, which would
/// be waited for in vain.
pub fn find_end(bytes: &[u8], searched: usize, size: usize) -> Result<Option<usize>, Malformed> {
    let from = searched.saturating_sub(3);
    for at in memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(if at < size { Malformed::Syntax } else { Malformed::TooLarge });
        }
        if bytes[..=at].ends_with(b"\r\n\r\n") {
            return if at < size { Ok(Some(at + 1)) } else { Err(Malformed::TooLarge) };
        }
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

/// The line without its CRLF, and what follows.
fn first_line(bytes: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), Malformed> {
    let end = memchr::memchr(b'\n', bytes).ok_or(Malformed::Syntax)?;
    if end == 0 || bytes[end - 1] != b'\r' {
        return Err(Malformed::Syntax);
    }
    let (line, rest) = bytes.split_at_mut(end + 1);
    Ok((&mut line[..end - 1], rest))
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
    // RFC 3986 §2: nothing else may stand in a URI; a fragment is never sent (RFC 9112 §3.2.1).
    if target.is_empty()
        || !all(target, |byte| byte.is_ascii_graphic() & !matches!(byte, b'#' | b'<' | b'>'))
    {
        return Err(Malformed::Syntax);
    }
    let target = std::str::from_utf8(target).map_err(|_| Malformed::Syntax)?;
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

/// RFC 9112 §5. `lines` ends with the empty line.
pub(super) fn read_fields<'b>(
    mut lines: &'b mut [u8],
    most: usize,
    fields: &mut Fields<'b>,
) -> Result<(), Malformed> {
    loop {
        let (line, rest) = first_line(lines)?;
        lines = rest;
        if line.is_empty() {
            return if lines.is_empty() { Ok(()) } else { Err(Malformed::Syntax) };
        }
        if fields.len() == most {
            return Err(Malformed::TooLarge);
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed::Syntax)?;
        let (name, value) = line.split_at_mut(colon);
        let value = &value[1..];
        if name.is_empty() || !lower_token(name) || !all(value, is_value_byte) {
            return Err(Malformed::Syntax);
        }
        // Of what this trims, only spaces and tabs can still be there (RFC 9112 §5.1).
        fields.push(std::str::from_utf8(name).map_err(|_| Malformed::Syntax)?, value.trim_ascii());
    }
}

/// Makes the letters of a token lower case; false where it is none (RFC 9110 §5.6.2), such as one
/// that begins with a space.
fn lower_token(name: &mut [u8]) -> bool {
    let mut sound = true;
    for byte in name {
        let lower = TOKEN[usize::from(*byte)];
        sound &= lower != 0;
        *byte = lower;
    }
    sound
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)] != 0
}

/// The lower case of each byte that a token may hold, 0 for all others.
static TOKEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let allowed = (byte as u8).is_ascii_alphanumeric()
            || matches!(
                byte as u8,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        if allowed {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// RFC 9110 §5.5.
pub(super) fn is_value_byte(byte: u8) -> bool {
    ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')
}

/// Whether all bytes are as they should be. It never stops early, so that many are looked at
/// together.
pub(super) fn all(bytes: &[u8], sound: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & sound(*byte))
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
        (None, Some(length)) if lengths.next().is_none() => {
            read_length(length).map(|length| Some(Body::of_length(length)))
        }
        _ => Err(Malformed::Framing),
    }
}

/// Digits only (RFC 9110 §8.6): no sign, no list.
fn read_length(text: &[u8]) -> Result<u64, Malformed> {
    if text.is_empty() || text.len() > 19 {
        return Err(Malformed::Framing);
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        if byte.is_ascii_digit() {
            Ok(sum * 10 + u64::from(byte - b'0'))
        } else {
            Err(Malformed::Framing)
        }
    })
}
