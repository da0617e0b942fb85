//! `keygate backup`.

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::admin::{Admin, Connection};
use super::output::print;

/// Copy the store of the running gateway, and print the copy's path
///
/// The copy is a complete database beside the store, on the gateway's machine. Existing files are
/// never overwritten.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The name of the new file, such as keygate-2026-11-22.db
    #[arg(value_name = "NAME")]
    file: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Deserialize)]
struct Copy {
    path: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let answer = Admin::find(&arguments.connection)?.ask(
        Method::POST,
        "/v1/backup",
        Some(&json!({ "file": arguments.file })),
    )?;
    print(answer.read::<Copy>()?.path)
}
