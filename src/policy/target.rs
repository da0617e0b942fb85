//! The rule for request targets and hosts: refuse whatever two parsers could read differently.
//!
//! The authorised path is forwarded byte for byte, so nothing is repaired here. A path is refused
//! if another server could resolve it to a different one. Reasons are dot segments in any spelling,
//! empty segments, encoded slashes, backslashes, NUL and control characters, double encoding of any
//! of these, and percent-encoded letters or digits (RFC 3986 §6.2.2.2 makes `%61` equivalent to
//! `a`).

use super::fields::{Fields, HeaderKind, Target, field_text};

/// Why a path or a host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTarget {
    /// The target does not start with `/` (asterisk form, authority form).
    NotAPath,
    /// The path contains a byte that RFC 3986 does not allow there.
    Byte,
    /// Two hexadecimal digits do not follow a `%`.
    Escape,
    /// A slash, a backslash, a control character, a letter, a digit, `-`, `.`, `_` or an escape is
    /// percent-encoded, or UTF-8 is overlong.
    Encoded,
    /// A segment is `.` or `..`, possibly before a `;`.
    DotSegment,
    /// The path contains `//`, or a segment that begins with `;`.
    EmptySegment,
    /// A path parameter (`;`) affects which API the path belongs to.
    Parameter,
    /// The host is missing, repeated, empty, malformed or contradictory.
    Host,
}

impl BadTarget {
    /// Returns a sentence for the client.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NotAPath => "The request target must be a path that starts with '/'.",
            Self::Byte => "The path has a character that must be percent-encoded.",
            Self::Escape => "The path has a '%' that is not followed by two hexadecimal digits.",
            Self::Encoded => {
                "The path percent-encodes a character that must stand plain or must not stand \
                    there at all."
            }
            Self::DotSegment => "The path has a '.' or '..' segment.",
            Self::EmptySegment => "The path has an empty segment ('//' or '/;').",
            Self::Parameter => {
                "The path has a parameter (';') where the name alone decides which API is meant."
            }
            Self::Host => "The request must name exactly one valid host.",
        }
    }
}

/// Checks that `path` has only one reading.
///
/// # Errors
/// Returns the first rule that the path breaks, from left to right.
pub fn check_path(path: &str) -> Result<(), BadTarget> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(BadTarget::NotAPath);
    }
    let mut segment = 1; // where the current segment starts
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'/' => {
                if at == segment {
                    return Err(BadTarget::EmptySegment);
                }
                check_segment(&bytes[segment..at])?;
                segment = at + 1;
            }
            b'%' => {
                check_escape(&bytes[at..])?;
                at += 2;
            }
            byte if !is_path_byte(byte) => return Err(BadTarget::Byte),
            _ => {}
        }
        at += 1;
    }
    check_segment(&bytes[segment..])
}

/// Refuses dot segments and empty segments, also if path parameters follow (`..;x`, `;x`). Some
/// servers remove parameters before they resolve the path, and some decode the path before that.
fn check_segment(segment: &[u8]) -> Result<(), BadTarget> {
    let dots = segment.iter().take_while(|byte| **byte == b'.').count();
    match (dots, &segment[dots..]) {
        (1 | 2, [] | [b';', ..] | [b'%', b'3', b'b' | b'B', ..]) => Err(BadTarget::DotSegment),
        (0, [b';', ..] | [b'%', b'3', b'b' | b'B', ..]) => Err(BadTarget::EmptySegment),
        _ => Ok(()),
    }
}

fn check_escape(rest: &[u8]) -> Result<(), BadTarget> {
    let byte = decode_escape(rest).ok_or(BadTarget::Escape)?;
    let refused = match byte {
        0..=0x1f | 0x7f | b'/' | b'\\' | b'-' | b'.' | b'_' => true,
        // `%25` is a literal percent sign, unless decoding it yields another escape.
        b'%' => rest.len() >= 5 && rest[3].is_ascii_hexdigit() && rest[4].is_ascii_hexdigit(),
        0xc0 | 0xc1 | 0xe0 | 0xf0 | 0xf8 | 0xfc => is_overlong(byte, &rest[3..]),
        other => other.is_ascii_alphanumeric(),
    };
    if refused { Err(BadTarget::Encoded) } else { Ok(()) }
}

/// Returns whether the bytes begin an overlong UTF-8 sequence (RFC 3629 §3). Lenient decoders take
/// `%C0%AE` for `.` and `%C0%AF` for `/`. A single such byte may be a letter in another encoding.
fn is_overlong(first: u8, rest: &[u8]) -> bool {
    let longest_wrong = match first {
        0xe0 => 0x9f,
        0xf0 => 0x8f,
        // Sequences of five and six bytes, which old decoders still read.
        0xf8 => 0x87,
        0xfc => 0x83,
        _ => 0xbf,
    };
    rest.first() == Some(&b'%')
        && decode_escape(rest).is_some_and(|second| (0x80..=longest_wrong).contains(&second))
}

/// Returns the path without the parameters of its segments (RFC 3986 §3.3), encoded ones included,
/// as some servers see it.
pub(super) fn without_parameters(path: &str) -> String {
    let name = |segment: &str| {
        let end = segment.bytes().enumerate().position(|(at, byte)| {
            byte == b';' || (byte == b'%' && decode_escape(&segment.as_bytes()[at..]) == Some(b';'))
        });
        segment[..end.unwrap_or(segment.len())].to_owned()
    };
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

/// Returns whether [`without_parameters`] might change the path.
pub(super) fn has_parameters(path: &str) -> bool {
    // Hardly any path contains either byte, and one search finds out.
    memchr::memchr2(b';', b'%', path.as_bytes()).is_some()
        && (path.contains(';') || path.contains("%3b") || path.contains("%3B"))
}

/// Decodes the `%XX` at the start of `rest`. Returns `None` if it is malformed.
pub(super) fn decode_escape(rest: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*rest.get(1)?)? << 4 | digit(*rest.get(2)?)?)
}

/// Returns whether the byte is a `pchar` (RFC 3986 §3.3), except `%`, which is handled separately.
fn is_path_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut at = 0;
        while at < 256 {
            let byte = at as u8;
            table[at] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.'
                        | b'_'
                        | b'~'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'*'
                        | b'+'
                        | b','
                        | b';'
                        | b'='
                        | b':'
                        | b'@'
                );
            at += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// The host of a request: the name, and the complete authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name or address without the port, in the client's letter case.
    pub name: &'a str,
    /// The authority as sent, port included.
    pub authority: &'a str,
}

/// Determines the host of a request from its target (absolute form, `:authority`) and its `Host`
/// field.
///
/// # Errors
/// Returns [`BadTarget::Host`] if the host is missing, repeated or malformed, or if target and
/// field differ (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub fn host_of<'a>(target: &Target<'a>, fields: &Fields<'a>) -> Result<Host<'a>, BadTarget> {
    let mut hosts = fields.all(HeaderKind::Host);
    let field = hosts.next().map(|value| field_text(value).ok_or(BadTarget::Host)).transpose()?;
    if hosts.next().is_some() {
        return Err(BadTarget::Host);
    }
    let authority = match (target.authority, field) {
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
            return Err(BadTarget::Host);
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(BadTarget::Host),
    };
    Ok(Host { name: host_name(authority).ok_or(BadTarget::Host)?, authority })
}

/// Returns the name in `name[:port]`, or `None` if the name or the port is malformed.
pub(super) fn host_name(authority: &str) -> Option<&str> {
    let (name, port) = if authority.starts_with('[') {
        let end = authority.find(']')?;
        authority[1..end].parse::<std::net::Ipv6Addr>().ok()?;
        (&authority[..=end], &authority[end + 1..])
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let name = &authority[..end];
        // No label may be empty, including the last one: a resolver treats `a.` and `a` as the same
        // host, but a comparison does not.
        let mut before = b'.';
        let sound = name.bytes().all(|byte| {
            let sound = byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'_')
                || (byte == b'.' && before != b'.');
            before = byte;
            sound
        });
        if !sound || before == b'.' {
            return None;
        }
        (name, &authority[end..])
    };
    let port_is_good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.len() <= 5
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok()
        });
    port_is_good.then_some(name)
}
