//! The syntax that HTTP/1.1 and HTTP/2 share (RFC 9110 §5 and §8.6): which bytes a token, a field
//! value, a length and a request target may contain, and which responses have content.

use http::StatusCode;

/// Returns whether a response may have content, whatever length its head declares (RFC 9110
/// §6.4.1). A 205 must not have any, but is framed as if it could (RFC 9112 §6.3). `to_head`:
/// whether it responds to a HEAD request.
#[must_use]
pub fn has_content(status: StatusCode, to_head: bool) -> bool {
    !to_head
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Returns whether a token may contain the byte (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)] != 0
}

/// Converts a token to lower case in place. Returns whether every byte may be part of a token; a
/// leading space, for example, may not.
pub fn lower_token(name: &mut [u8]) -> bool {
    let mut sound = true;
    for byte in name {
        let lower = TOKEN[usize::from(*byte)];
        sound &= lower != 0;
        *byte = lower;
    }
    sound
}

/// Returns whether `name` is a token without upper case letters, as HTTP/2 requires of field names
/// (RFC 9113 §8.2.1).
#[must_use]
pub fn is_lower_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| TOKEN[usize::from(*byte)] == *byte && *byte != 0)
}

/// Maps each byte that a token may contain to its lower case, and every other byte to 0.
static TOKEN: [u8; 256] = {
    const MARKS: &[u8] = b"!#$%&'*+-.^_`|~";
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    let mut at = 0;
    while at < MARKS.len() {
        table[MARKS[at] as usize] = MARKS[at];
        at += 1;
    }
    table
};

/// Returns whether a field value may contain the byte (RFC 9110 §5.5).
#[must_use]
pub fn is_value_byte(byte: u8) -> bool {
    ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')
}

/// Returns whether `sound` holds for every byte. It never stops early, so that the compiler can
/// vectorise the loop.
pub fn all(bytes: &[u8], sound: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & sound(*byte))
}

/// Parses a `Content-Length` value: digits only, no sign, no list (RFC 9110 §8.6). Returns `None`
/// if it is malformed or has more than 19 digits.
#[must_use]
pub fn length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// Returns a request target as text. It may contain what a URI may (RFC 3986 §2), but no fragment,
/// which is never sent (RFC 9112 §3.2.1, RFC 9113 §8.3.1). Returns `None` if it is empty or
/// contains any other byte.
#[must_use]
pub fn target(text: &[u8]) -> Option<&str> {
    let sound = all(text, |byte| byte.is_ascii_graphic() & !matches!(byte, b'#' | b'<' | b'>'));
    if text.is_empty() || !sound { None } else { std::str::from_utf8(text).ok() }
}
