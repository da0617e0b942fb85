//! The commands. Each file reads its own arguments and does one command.

// The comments of commands are their `--help`, where `[[key]]` stands as in the file.
#![allow(rustdoc::broken_intra_doc_links)]

mod check;
mod demo;
mod keys;
mod reload;
mod serve;

use crate::config::Problems;
use anyhow::anyhow;
use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// The file that commands read where none is named.
const DEFAULT_CONFIG: &str = "gateway.toml";

/// Keygate stands in front of an HTTP API and gives it API keys, scopes, restrictions and rate limits.
///
/// New here? `keygate demo` starts a whole working system and says what to try.
#[derive(Debug, Parser)]
#[command(name = "keygate", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    #[command(subcommand)]
    Keys(keys::Command),
    Reload(reload::Arguments),
}

/// Runs the command of this process's command line: 0 when all is well, 1 when something failed or a mistake was
/// found, 2 when the command line cannot be understood.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Keys(command) => keys::run(command),
        Command::Reload(arguments) => reload::run(&arguments),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if let Some(problems) = error.chain().find_map(|cause| cause.downcast_ref::<Problems>()) {
        // They begin with their place in the file, as compilers' messages do.
        complain(problems);
    } else {
        complain(format_args!("error: {error:#}"));
    }
    ExitCode::from(if error.is::<BadUsage>() { 2 } else { 1 })
}

/// A command line that clap accepts and the command does not.
#[derive(Debug)]
struct BadUsage(&'static str);

impl Display for BadUsage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for BadUsage {}

/// An error and what to do about it.
fn with_hint(error: impl Display, hint: impl Display) -> anyhow::Error {
    anyhow!("{error:#}\n  hint: {hint}")
}

/// Writes to stdout. That nobody reads it (`keygate … | head`) is no error.
fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow!("cannot write to the standard output: {error}")),
        _ => Ok(()),
    }
}

/// Writes to stderr, if it is open.
fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// `1 key`, `2 keys`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
