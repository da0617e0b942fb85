//! How commands print their output.

use std::fmt::Display;
use std::io::{self, Write as _};

use anyhow::anyhow;

use super::error::with_hint;
use crate::text::shown;

/// Writes a line to stdout. A closed pipe (`keygate … | head`) is not an error.
pub(super) fn print(text: impl Display) -> anyhow::Result<()> {
    print_part(format_args!("{text}\n"))
}

/// Does the same as [`print()`] without a line end.
pub(super) fn print_part(text: impl Display) -> anyhow::Result<()> {
    match write_out(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("cannot write to the standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a line that cannot be shown again. Here a closed pipe is an error.
pub(super) fn print_once(text: impl Display, hint: impl Display) -> anyhow::Result<()> {
    write_out(format_args!("{text}\n"))
        .map_err(|error| with_hint(format_args!("the key was lost on its way out: {error}"), hint))
}

fn write_out(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// Writes a line to stderr, and ignores errors.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Escapes the control and invisible characters of a text from an untrusted source.
pub(super) fn plain(text: &str) -> String {
    shown(text).into_owned()
}

/// Formats a number with its noun: `1 key`, `2 keys`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
