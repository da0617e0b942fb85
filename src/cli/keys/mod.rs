//! `keygate keys …`.

mod create;
mod hash;
mod import;
mod list;
mod new;
mod record;
mod revoke;
mod rotate;
mod terms;
mod update;
mod usage;

use clap::Subcommand;

use self::record::One;

/// Create and manage keys, and print the digests of existing ones
///
/// `new` and `hash` are for keys that are kept in gateway.toml by hand. The others manage the keys
/// in the store of a running gateway: they call its admin address with the token of an
/// [[admin.token]] block, which they read from the variable KEYGATE_ADMIN_TOKEN or from
/// --token-file.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    New(new::Arguments),
    Hash(hash::Arguments),
    Create(create::Arguments),
    Import(import::Arguments),
    List(list::Arguments),
    /// Show a key's record, which has everything except the key
    Show(One),
    Update(update::Arguments),
    /// Refuse a key until it is resumed
    Pause(One),
    /// Accept a paused key again
    Resume(One),
    Rotate(rotate::Arguments),
    Revoke(revoke::Arguments),
    Use(usage::Arguments),
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Hash(arguments) => hash::run(&arguments),
        Command::Create(arguments) => create::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Show(one) => record::show(&one),
        Command::Update(arguments) => update::run(&arguments),
        Command::Pause(one) => record::act(&one, "pause"),
        Command::Resume(one) => record::act(&one, "resume"),
        Command::Rotate(arguments) => rotate::run(&arguments),
        Command::Revoke(arguments) => revoke::run(&arguments),
        Command::Use(arguments) => usage::run(&arguments),
    }
}
