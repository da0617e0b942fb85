//! Splits the text of a file into pieces: one per `[[key]]` table, and one for everything else.
//! Parsing a piece takes little time, and an unchanged piece need not be parsed again. Parsing a
//! file with many keys as a whole takes many times as long.
//!
//! The end of a table is not parsed, only guessed: before each line that begins with `[`. The TOML
//! parser verifies the guess. A piece that is valid TOML ends where a new table may begin. A header
//! after it is therefore a header in the whole file, too, and not part of an open string or array.
//! A wrong guess leaves an open string or array in a piece, which is then not valid TOML, and the
//! file is parsed as a whole.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;

/// A file, split into pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Everything outside the `[[key]]` tables.
    pub(super) rest: String,
    /// The offset of each part of `rest`, in `rest` and in the file.
    places: Vec<(usize, usize)>,
    /// The ranges of the `[[key]]` tables, in file order. Text after a table, up to the next
    /// header, belongs to its range.
    pub(super) keys: Vec<Range<usize>>,
}

impl Pieces {
    /// Splits a text. Returns `None` if it has no `[[key]]` tables, or if it cannot be split
    /// safely.
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

    /// Returns whether each part of the rest is valid TOML by itself. No string or array is then
    /// open where a table was removed after it.
    fn parts_are_whole(&self) -> bool {
        let starts = self.places.iter().map(|(start, _)| *start);
        let ends = starts.clone().skip(1).chain([self.rest.len()]);
        // A single part is parsed anyway.
        self.places.len() == 1
            || starts.zip(ends).all(|(start, end)| DeTable::parse(&self.rest[start..end]).is_ok())
    }

    /// Parses the rest. Returns `None` if it is not valid TOML, or if it defines `key`.
    pub(super) fn read_rest(&self) -> Option<Spanned<DeTable<'_>>> {
        DeTable::parse(&self.rest).ok().filter(|tree| !tree.get_ref().contains_key("key"))
    }

    /// Makes the report treat offsets as offsets in the rest.
    pub(super) fn report_of_rest(&self, report: &Report<'_>) {
        report.reads(&self.places);
    }
}

/// Returns the start of each line whose first character, except spaces and tabs, is `[`.
fn headers(text: &str) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'[', text.as_bytes()).filter_map(|at| {
        let before = text[..at].trim_end_matches([' ', '\t']);
        (before.is_empty() || before.ends_with('\n')).then_some(before.len())
    })
}

/// Parses one `[[key]]` table. Returns `None` if it is not valid TOML.
pub(super) fn read_block(piece: &str) -> Option<DeTable<'_>> {
    DeTable::parse(piece).ok().map(Spanned::into_inner)
}

/// Returns the only key of a piece, or `None` if the piece is not exactly one `[[key]]`.
pub(super) fn key_of<'a, 't>(block: &'a DeTable<'t>) -> Option<&'a Spanned<DeValue<'t>>> {
    let keys = block.get("key").filter(|_| block.len() == 1)?.get_ref().as_array()?;
    keys.first().filter(|_| keys.len() == 1)
}
