//! Encodes header blocks (RFC 7541 §6). Uses neither the dynamic table nor the Huffman code: both
//! cost more than they save here.

use http::StatusCode;
use smallvec::SmallVec;

use super::table::static_name;
use crate::policy::{Sink, split_lines};

/// The representations of a literal that no intermediary may index (RFC 7541 §6.2.3), and of one
/// that is merely not indexed here (§6.2.2).
const NEVER_INDEXED: u8 = 0x10;
const NOT_INDEXED: u8 = 0;
/// The static index of `set-cookie`, whose values are as sensitive as credentials.
const SET_COOKIE: u8 = 55;

/// The encoded fields of a header block.
#[derive(Debug, Default)]
pub struct HeaderBlock(pub(super) Vec<u8>);

impl HeaderBlock {
    /// Returns an empty block with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }
}

impl Sink for HeaderBlock {
    #[inline]
    fn put(&mut self, name: &str, value: &[u8]) {
        literal(&mut self.0, NOT_INDEXED, name, value);
    }

    fn put_lines(&mut self, lines: &[u8]) {
        for (name, value) in split_lines(lines) {
            literal(&mut self.0, NOT_INDEXED, name, value);
        }
    }

    fn put_secret_lines(&mut self, lines: &[u8]) {
        for (name, value) in split_lines(lines) {
            literal(&mut self.0, NEVER_INDEXED, name, value);
        }
    }
}

fn literal(out: &mut Vec<u8>, mut form: u8, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 8);
    let index = static_name(name);
    if index == SET_COOKIE {
        form = NEVER_INDEXED;
    }
    integer(out, form, 4, index.into());
    if index == 0 {
        integer(out, 0, 7, name.len());
        out.extend_from_slice(name.as_bytes());
    }
    integer(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

/// Returns the beginning of a response header block. `first`: whether it is the first block of the
/// connection. The first one also sets the size of the dynamic table to 0 (RFC 7541 §6.3). The
/// client can then free its table, and a later reduction of its limit needs no further size update
/// (§4.2).
pub(super) fn status(status: StatusCode, first: bool) -> SmallVec<[u8; 8]> {
    let mut out = SmallVec::new();
    if first {
        out.push(0x20);
    }
    let index = match status.as_u16() {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            out.extend_from_slice(&[8, 3]);
            out.extend_from_slice(status.as_str().as_bytes());
            return out;
        }
    };
    out.push(0x80 | index);
    out
}

/// Encodes an integer (RFC 7541 §5.1). `form`: the bits of the first byte before the prefix.
#[inline]
fn integer(out: &mut Vec<u8>, form: u8, prefix: u32, mut value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        out.push(form | value as u8);
        return;
    }
    out.push(form | most as u8);
    value -= most;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
