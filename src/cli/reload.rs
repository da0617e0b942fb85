//! `keygate reload`.

use anyhow::{anyhow, bail};
use clap::Args;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::admin::{Admin, Answer, Connection};
use super::output::{complain, plain, print};

/// Make the running gateway read its file now, and report what changed or what is wrong
///
/// Saved edits are in force without this command. It is for scripts that need the outcome, and for
/// files on network mounts. It calls the admin address with the token of an [[admin.token]] block,
/// which it reads from the variable KEYGATE_ADMIN_TOKEN or from --token-file. Exits with 1 if the
/// gateway refuses the file, and then keeps its previous configuration.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Put the file in force even if it removes more keys than `max_removed_keys` of [reload]
    /// allows
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The response of `POST /v1/reload`.
#[derive(Debug, Deserialize)]
struct Reloaded {
    changes: Vec<String>,
    needs_restart: Vec<String>,
    warnings: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let order = arguments.force.then(|| json!({ "force": true }));
    let without = "`kill -HUP` of the process does the same without a token, and the gateway logs \
        the outcome";
    let admin =
        Admin::find(&arguments.connection).map_err(|error| anyhow!("{error:#}\n  {without}"))?;
    report(admin.call(Method::POST, "/v1/reload", order.as_ref(), None)?)
}

fn report(answer: Answer) -> anyhow::Result<()> {
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        // They begin with their position in the file, like those of `keygate check`.
        answer.mistakes().iter().for_each(|mistake| complain(plain(&mistake.message)));
        bail!("the gateway refused the file and goes on with what it had");
    }
    let Reloaded { mut changes, needs_restart, warnings } = answer.accepted()?.read()?;
    warnings.iter().for_each(|warning| complain(plain(warning)));
    if changes.is_empty() && needs_restart.is_empty() {
        changes.push("the file is what runs already".to_owned());
    }
    changes.extend(needs_restart.into_iter().map(|change| format!("needs a restart: {change}")));
    let changes: Vec<String> = changes.iter().map(|change| plain(change)).collect();
    print(changes.join("\n"))
}
