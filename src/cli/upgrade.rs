//! `keygate upgrade`.

use anyhow::anyhow;
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::admin::{Admin, Connection};
use super::output::print;

/// Have the running gateway start the program that is now in its place, and hand over to it without
/// losing a request
///
/// Put the new program where the running one was started from (rename it into place), then run this
/// command. It calls the admin address with the token of an [[admin.token]] block, which it reads
/// from the variable KEYGATE_ADMIN_TOKEN or from --token-file, and waits until the new process
/// serves. Exits with 1 if the new process cannot take over; the running one then continues
/// unchanged.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

/// The response of `POST /v1/upgrade`.
#[derive(Debug, Deserialize)]
struct Upgraded {
    process: u32,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let without = "`kill -USR2` of the process does the same without a token, and the gateway \
        logs the outcome";
    let admin =
        Admin::find(&arguments.connection).map_err(|error| anyhow!("{error:#}\n  {without}"))?;
    let Upgraded { process } = admin.ask(Method::POST, "/v1/upgrade", None)?.read()?;
    print(format_args!("process {process} has taken over"))
}
