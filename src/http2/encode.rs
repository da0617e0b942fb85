//! Writing header blocks (RFC 7541 §6). They use no dynamic table and no Huffman code: both cost
//! more than they save here.

use http::StatusCode;
use smallvec::SmallVec;

use super::table::static_name;
use crate::policy::{Sink, split_lines};

/// A literal that nobody on the way may add to a table (RFC 7541 §6.2.3), and one that is only not
/// added by this one (§6.2.2).
const NEVER_INDEXED: u8 = 0x10;
const NOT_INDEXED: u8 = 0;
/// Its values are as good as credentials.
const SET_COOKIE: u8 = 55;

/// The encoded fields of a header block.
#[derive(Debug, Default)]
pub struct HeaderBlock(pub(super) Vec<u8>);

impl HeaderBlock {
    /// One with room for so many bytes.
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

/// What an answer's header block starts with. `first`: whether it is the first one of the
/// connection; then it also says that no dynamic table is used (RFC 7541 §6.3), so that the client
/// may let go of its own, and need not be told when it makes it smaller (§4.2).
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

/// RFC 7541 §5.1. `form`: what the first byte says besides.
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
