//! What commands print, and how.

use std::fmt::Display;
use std::io::{self, Write as _};

use anyhow::anyhow;

use super::error::with_hint;
use crate::text::shown;

/// Writes to stdout. That nobody reads it (`keygate … | head`) is no error.
pub(super) fn print(text: impl Display) -> anyhow::Result<()> {
    print_part(format_args!("{text}\n"))
}

/// The same without the end of the line.
pub(super) fn print_part(text: impl Display) -> anyhow::Result<()> {
    match write_out(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("cannot write to the standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes what nobody can show a second time: here it is an error that nobody reads it.
pub(super) fn print_once(text: impl Display, hint: impl Display) -> anyhow::Result<()> {
    write_out(format_args!("{text}\n"))
        .map_err(|error| with_hint(format_args!("the key was lost on its way out: {error}"), hint))
}

fn write_out(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// Writes to stderr, if it is open.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A text that somebody else chose, with what steers a terminal or cannot be seen written out.
pub(super) fn plain(text: &str) -> String {
    shown(text).into_owned()
}

/// `1 key`, `2 keys`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
