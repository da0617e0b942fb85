//! The bytes of HTTP that both of its versions share (RFC 9110 §5 and §8.6): what a token, a field
//! value, a length and a target may hold.

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)] != 0
}

/// Makes the letters of a token lower case; false where it is none, such as one that begins with a
/// space.
pub fn lower_token(name: &mut [u8]) -> bool {
    let mut sound = true;
    for byte in name {
        let lower = TOKEN[usize::from(*byte)];
        sound &= lower != 0;
        *byte = lower;
    }
    sound
}

/// Whether it is a token without upper case letters, which is how HTTP/2 writes names (RFC 9113
/// §8.2.1).
#[must_use]
pub fn is_lower_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| TOKEN[usize::from(*byte)] == *byte && *byte != 0)
}

/// The lower case of each byte that a token may hold, 0 for all others.
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

/// Whether a byte may stand in a field value (RFC 9110 §5.5).
#[must_use]
pub fn is_value_byte(byte: u8) -> bool {
    ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')
}

/// Whether all bytes are as they should be. It never stops early, so that many are looked at
/// together.
pub fn all(bytes: &[u8], sound: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & sound(*byte))
}

/// Reads a `Content-Length`: digits only (RFC 9110 §8.6), no sign, no list. `None`: it is none, or
/// longer than any body.
#[must_use]
pub fn length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// The target of a request as text: what may stand in a URI (RFC 3986 §2), without a fragment,
/// which is never sent (RFC 9112 §3.2.1, RFC 9113 §8.3.1). `None`: it is empty or holds something
/// else.
#[must_use]
pub fn target(text: &[u8]) -> Option<&str> {
    let sound = all(text, |byte| byte.is_ascii_graphic() & !matches!(byte, b'#' | b'<' | b'>'));
    if text.is_empty() || !sound { None } else { std::str::from_utf8(text).ok() }
}
