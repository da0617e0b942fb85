//! Decodes header blocks (RFC 7541 §6).

use std::fmt;

use super::huffman;
use super::table::{DynamicTable, ENTRY, STATIC};
use crate::policy::wipe;

/// The largest dynamic table that clients may use, in bytes. It is the default, which clients
/// assume before they receive SETTINGS (RFC 9113 §6.5.2).
const LARGEST_TABLE: usize = 4096;

/// The block breaks the grammar. The compression state is lost with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

/// The fields of a decoded header block in their order, including pseudo-header fields. It is
/// reused for the next block.
#[derive(Default)]
pub struct Block {
    /// Names and values, concatenated.
    text: Vec<u8>,
    /// Where each name and its value end.
    ends: Vec<(usize, usize)>,
    /// The size as defined in RFC 9113 §6.5.2, in bytes.
    size: usize,
    over: bool,
}

/// Omits the text, which contains keys.
impl fmt::Debug for Block {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Block")
            .field("fields", &self.ends.len())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Block {
    /// Returns whether the block had more bytes or fields than allowed. The excess fields are
    /// missing.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Erases the fields from memory, because one of them was a key.
    pub fn wipe(&mut self) {
        wipe(&mut self.text);
        self.ends.clear();
    }

    /// Returns the names and values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(name, value)| {
            let field = (&self.text[start..*name], &self.text[*name..*value]);
            start = *value;
            field
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        (self.size, self.over) = (0, false);
    }
}

/// The compression state that the blocks of one connection share.
#[derive(Debug)]
pub(super) struct Decoder {
    table: DynamicTable,
    /// The most bytes and the most fields of a block.
    most: (usize, usize),
}

impl Decoder {
    /// Returns a decoder with an empty table. `size`: the most bytes of a block, as defined in RFC
    /// 9113 §6.5.2. `fields`: the most fields.
    pub(super) fn new(size: usize, fields: usize) -> Self {
        // The operator's limit does not include the four pseudo-header fields.
        Self { table: DynamicTable::new(LARGEST_TABLE), most: (size, fields + 4) }
    }

    /// Decodes a complete header block.
    pub(super) fn decode(&mut self, mut input: &[u8], block: &mut Block) -> Result<(), Corrupt> {
        block.clear();
        let mut begun = false;
        while let Some(first) = input.first().copied() {
            match first {
                0x80.. => {
                    let index = integer(&mut input, 7)?;
                    if block.over {
                        self.entry(index)?;
                    } else {
                        let (name, value) = self.entry(index)?;
                        block.text.extend_from_slice(name);
                        let name = block.text.len();
                        block.text.extend_from_slice(value);
                        self.keep(block, name);
                    }
                }
                // A size update is allowed only at the beginning (RFC 7541 §4.2).
                0x20..0x40 if begun => return Err(Corrupt),
                0x20..0x40 => {
                    let size = integer(&mut input, 5)?;
                    if size > LARGEST_TABLE {
                        return Err(Corrupt);
                    }
                    self.table.resize(size);
                    continue;
                }
                _ => {
                    let indexed = first & 0x40 != 0;
                    let start = block.text.len();
                    match integer(&mut input, if indexed { 6 } else { 4 })? {
                        0 => string(&mut input, &mut block.text)?,
                        index => block.text.extend_from_slice(self.entry(index)?.0),
                    }
                    let name = block.text.len();
                    string(&mut input, &mut block.text)?;
                    if indexed {
                        self.table.add(&block.text[start..], name - start);
                    }
                    if block.over {
                        block.text.truncate(start);
                    } else {
                        self.keep(block, name);
                    }
                }
            }
            begun = true;
        }
        Ok(())
    }

    /// Counts the field that was appended to the text, or drops it if the block exceeds its limits.
    /// `name`: the offset at which its name ends.
    fn keep(&self, block: &mut Block, name: usize) {
        let start = block.ends.last().map_or(0, |(_, value)| *value);
        block.size += block.text.len() - start + ENTRY;
        if block.size > self.most.0 || block.ends.len() == self.most.1 {
            block.over = true;
            block.text.truncate(start);
        } else {
            block.ends.push((name, block.text.len()));
        }
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Corrupt> {
        let place = index.checked_sub(1).ok_or(Corrupt)?;
        match STATIC.get(place) {
            Some((name, value)) => Ok((name.as_bytes(), value.as_bytes())),
            None => self.table.get(place - STATIC.len()).ok_or(Corrupt),
        }
    }
}

/// Decodes an integer (RFC 7541 §5.1). `prefix`: how many bits of the first byte belong to it.
/// Refuses what is larger than about 2²⁸, for which there is no use here.
fn integer(input: &mut &[u8], prefix: u32) -> Result<usize, Corrupt> {
    let (first, mut rest) = input.split_first().ok_or(Corrupt)?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = rest.split_first().ok_or(Corrupt)?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 21 {
                return Err(Corrupt);
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Decodes a string and appends it to `out` (RFC 7541 §5.2).
fn string(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let huffman = input.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(input, 7)?;
    let (text, rest) = input.split_at_checked(length).ok_or(Corrupt)?;
    *input = rest;
    if !huffman {
        out.extend_from_slice(text);
    } else if !huffman::decode(text, out) {
        return Err(Corrupt);
    }
    Ok(())
}
