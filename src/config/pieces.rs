//! The text of a file in pieces: each `[[key]]` block by itself, and everything else together. A
//! piece is read in a moment, and one that has not changed need not be read again; a file of many
//! keys read as a whole takes many times as long.
//!
//! Where a block ends is not parsed here, only guessed: in front of each line that begins with `[`.
//! Whether the guess was right is for the TOML parser to say. A text that it accepts by itself ends
//! where a new table may begin, so a header that follows it is a header in the whole file as well,
//! and no part of an open string or list. What is guessed wrongly leaves an open string or list in
//! a piece, which is then no TOML, and the file is read as a whole.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;

/// A file, cut up.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Everything outside the blocks.
    pub(super) rest: String,
    /// Where the parts of `rest` begin in it, and in the file.
    places: Vec<(usize, usize)>,
    /// Where the `[[key]]` blocks are, in file order. What follows a block up to the next header
    /// belongs to it.
    pub(super) keys: Vec<Range<usize>>,
}

impl Pieces {
    /// Cuts a text up. Nothing: there are no blocks, or it cannot be cut up safely.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut pieces = Self { rest: String::new(), places: Vec::new(), keys: Vec::new() };
        let (mut start, mut in_rest) = (0, false);
        for end in headers(text).chain([text.len()]) {
            let piece = &text[start..end];
            if !piece.is_empty() && piece.trim_start_matches([' ', '\t']).starts_with("[[key]]") {
                pieces.keys.push(start..end);
                in_rest = false;
            } else if !piece.is_empty() {
                if !in_rest {
                    pieces.places.push((pieces.rest.len(), start));
                }
                pieces.rest.push_str(piece);
                in_rest = true;
            }
            start = end;
        }
        (!pieces.keys.is_empty() && pieces.parts_are_whole()).then_some(pieces)
    }

    /// Whether each part of the rest is TOML by itself: no string or list is open where a block was
    /// taken out behind it.
    fn parts_are_whole(&self) -> bool {
        let starts = self.places.iter().map(|(start, _)| *start);
        let ends = starts.clone().skip(1).chain([self.rest.len()]);
        // A single part is read anyway.
        self.places.len() == 1
            || starts.zip(ends).all(|(start, end)| DeTable::parse(&self.rest[start..end]).is_ok())
    }

    /// Reads the rest. Nothing: it is no TOML, or says something of `key` itself.
    pub(super) fn read_rest(&self) -> Option<Spanned<DeTable<'_>>> {
        DeTable::parse(&self.rest).ok().filter(|tree| !tree.get_ref().contains_key("key"))
    }

    /// Problems that are reported from now on lie in the rest.
    pub(super) fn report_of_rest(&self, report: &Report<'_>) {
        report.reads(&self.places);
    }
}

/// Where each line begins whose first character other than spaces and tabs is `[`.
fn headers(text: &str) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'[', text.as_bytes()).filter_map(|at| {
        let before = text[..at].trim_end_matches([' ', '\t']);
        (before.is_empty() || before.ends_with('\n')).then_some(before.len())
    })
}

/// Reads one block. Nothing: it is no TOML.
pub(super) fn read_block(piece: &str) -> Option<DeTable<'_>> {
    DeTable::parse(piece).ok().map(Spanned::into_inner)
}

/// The key of a block. Nothing: it is not exactly one `[[key]]`.
pub(super) fn key_of<'a, 't>(block: &'a DeTable<'t>) -> Option<&'a Spanned<DeValue<'t>>> {
    let keys = block.get("key").filter(|_| block.len() == 1)?.get_ref().as_array()?;
    keys.first().filter(|_| keys.len() == 1)
}
