//! `keygate keys …`.

mod hash;
mod new;

use clap::Subcommand;

/// Make keys and their digests
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    New(new::Arguments),
    Hash(hash::Arguments),
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Hash(arguments) => hash::run(&arguments),
    }
}
