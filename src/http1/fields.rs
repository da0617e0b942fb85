//! Reads lines and header fields (RFC 9112 §5) of heads and trailer sections.

use super::Malformed;
use crate::policy::Fields;
use crate::syntax::{all, is_value_byte, lower_token};

/// Splits off the first line. Returns it without its CRLF, and the rest.
pub(super) fn first_line(bytes: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), Malformed> {
    let end = memchr::memchr(b'\n', bytes).ok_or(Malformed::Syntax)?;
    if end == 0 || bytes[end - 1] != b'\r' {
        return Err(Malformed::Syntax);
    }
    let (line, rest) = bytes.split_at_mut(end + 1);
    Ok((&mut line[..end - 1], rest))
}

/// Reads the fields of `lines` up to and including the empty line. Converts their names to lower
/// case in place.
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
        // Values were checked above, so this trims only spaces and tabs (RFC 9112 §5.1).
        fields.push(std::str::from_utf8(name).map_err(|_| Malformed::Syntax)?, value.trim_ascii());
    }
}
