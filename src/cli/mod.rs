//! The commands. Each file reads its own arguments and does one command.

// The comments of commands are their `--help`, where `[[key]]` and addresses stand as in the file.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::bare_urls)]

mod admin;
mod audit;
mod backup;
mod check;
mod demo;
mod explain;
mod keys;
mod listing;
mod organizations;
mod reload;
mod serve;
mod table;
mod upgrade;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Parser, Subcommand};

use crate::config::Problems;
use crate::text::shown;

/// The file that commands read where none is named.
const DEFAULT_CONFIG: &str = "gateway.toml";

/// Keygate stands in front of an HTTP API and gives it API keys, scopes, restrictions and rate
/// limits.
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
    #[command(subcommand)]
    Organizations(organizations::Command),
    Audit(audit::Arguments),
    Backup(backup::Arguments),
    Explain(explain::Arguments),
    Reload(reload::Arguments),
    Upgrade(upgrade::Arguments),
}

/// Runs the command of this process's command line: 0 when all is well, 1 when something failed or
/// a mistake was found, 2 when the command line cannot be understood.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Keys(command) => keys::run(command),
        Command::Organizations(command) => organizations::run(&command),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Upgrade(arguments) => upgrade::run(&arguments),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if error.is::<Refused>() {
        return ExitCode::FAILURE;
    }
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

/// A request that is explained would be refused. What is printed says so already.
#[derive(Debug)]
struct Refused;

impl Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("refused")
    }
}

impl std::error::Error for Refused {}

/// An error and what to do about it.
fn with_hint(error: impl Display, hint: impl Display) -> anyhow::Error {
    anyhow!("{error:#}\n  hint: {hint}")
}

/// Writes to stdout. That nobody reads it (`keygate … | head`) is no error.
fn print(text: impl Display) -> anyhow::Result<()> {
    print_part(format_args!("{text}\n"))
}

/// The same without the end of the line.
fn print_part(text: impl Display) -> anyhow::Result<()> {
    match write_out(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("cannot write to the standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes what nobody can show a second time: here it is an error that nobody reads it.
fn print_once(text: impl Display, hint: impl Display) -> anyhow::Result<()> {
    write_out(format_args!("{text}\n"))
        .map_err(|error| with_hint(format_args!("the key was lost on its way out: {error}"), hint))
}

fn write_out(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// A text that somebody else chose, with what steers a terminal or cannot be seen written out.
fn plain(text: &str) -> String {
    shown(text).into_owned()
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
