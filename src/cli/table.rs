//! Tables for people: as wide as their content needs, and no wider than the terminal.

use std::io::IsTerminal as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::output::{plain, print};

/// Stands in an empty cell.
pub(super) const NONE: &str = "-";
const GAP: usize = 2;

/// Rows of cells under a header row.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// The width of each column's widest cell, in terminal columns.
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new(), widths: vec![0; head.len()] };
        table.push(head.iter().map(|&name| name.to_owned()).collect());
        table
    }

    /// Adds a row with as many cells as the header row.
    pub(super) fn push(&mut self, row: Vec<String>) {
        let row: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.width());
        }
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// Returns the lines, none wider than `limit` terminal columns.
    pub(super) fn lines(&self, limit: Option<usize>) -> impl Iterator<Item = String> {
        let widths = fit(self.widths.clone(), limit);
        self.rows.iter().map(move |row| {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                let (cell, used) = shorten(cell, width);
                line.push_str(&cell);
                line.extend(std::iter::repeat_n(' ', width - used + GAP));
            }
            line.truncate(line.trim_end().len());
            line
        })
    }
}

/// Prints names and values, one per line, and leaves out empty values.
pub(super) fn print_record(members: &[(&str, String)]) -> anyhow::Result<()> {
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let filled = members.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<String> =
        filled.map(|(name, value)| format!("{name:width$}  {}", plain(value))).collect();
    print(lines.join("\n"))
}

/// Returns the width of the output in terminal columns: `COLUMNS`, else the terminal's own width.
/// Returns `None` if the output is not a terminal, whose reader takes any width.
pub(super) fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .filter(|&columns| columns > 0);
    let terminal = || {
        std::io::stdout()
            .is_terminal()
            .then(|| terminal_size::terminal_size().map_or(80, |(width, _)| width.0.into()))
    };
    said.or_else(terminal)
}

/// Narrows the widest column until all columns fit together. Narrows the first column last, because
/// it identifies the row.
fn fit(mut widths: Vec<usize>, limit: Option<usize>) -> Vec<usize> {
    let Some(limit) = limit else { return widths };
    let room = limit.saturating_sub(GAP * widths.len().saturating_sub(1));
    const READABLE: usize = 6;
    while widths.iter().sum::<usize>() > room {
        let others = widths
            .iter_mut()
            .skip(1)
            .max_by_key(|width| **width)
            .filter(|width| **width > READABLE);
        let widest = match others {
            Some(width) => Some(width),
            None => widths.iter_mut().max_by_key(|width| **width),
        };
        match widest {
            Some(width) if *width > 1 => *width -= 1,
            _ => break,
        }
    }
    widths
}

/// Returns the text, cut with `…` where it is wider than `width`, and its resulting width.
fn shorten(text: &str, width: usize) -> (String, usize) {
    let whole = text.width();
    if whole <= width {
        return (text.to_owned(), whole);
    }
    let (mut short, mut used) = (String::new(), 1);
    for character in text.chars() {
        let more = character.width().unwrap_or(0);
        if used + more > width {
            break;
        }
        used += more;
        short.push(character);
    }
    short.push('…');
    (short, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "NAME", "STATUS"]);
        table.push(vec![
            "key_123456789012".to_owned(),
            "a name that goes on and on".to_owned(),
            "active".to_owned(),
        ]);
        table.push(vec![
            "key_2".to_owned(),
            "\u{7968}\u{52d9}\u{7cfb}\u{7d71}\u{1b}[31m".to_owned(),
            NONE.to_owned(),
        ]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_content_where_there_is_room() {
        let lines: Vec<String> = table().lines(None).collect();
        assert_eq!(
            lines,
            [
                "ID                NAME                        STATUS",
                "key_123456789012  a name that goes on and on  active",
                "key_2             \u{7968}\u{52d9}\u{7cfb}\u{7d71}\\u{1b}[31m          -",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_limit_and_the_id_gives_last() {
        for limit in 8..60 {
            for line in table().lines(Some(limit)) {
                assert!(line.width() <= limit, "{limit}: {line}");
            }
        }
        let lines: Vec<String> = table().lines(Some(40)).collect();
        assert_eq!(lines[1], "key_123456789012  a name that g…  active");
    }
}
