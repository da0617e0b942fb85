//! The commands. Each file parses its own arguments and runs one command.

// Doc comments of commands are their `--help`, which writes `[[key]]` and addresses as the file
// does.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::bare_urls)]

mod admin;
mod audit;
mod backup;
mod check;
mod defaults;
mod demo;
mod error;
mod explain;
mod keys;
mod listing;
mod organizations;
mod output;
mod reachable;
mod reload;
mod serve;
mod table;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::error::{BadUsage, Refused};
use self::output::complain;
use crate::config::Problems;

/// Keygate stands in front of an HTTP API and gives it API keys, scopes, restrictions and rate
/// limits.
///
/// New here? `keygate demo` starts a complete working system and shows what to try.
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

/// Runs the command that the process's command line names.
///
/// Returns 0 on success, 1 if something failed or a mistake was found, and 2 if the command line is
/// invalid.
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
        // They begin with their position in the file, like compiler messages.
        complain(problems);
    } else {
        complain(format_args!("error: {error:#}"));
    }
    ExitCode::from(if error.is::<BadUsage>() { 2 } else { 1 })
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
