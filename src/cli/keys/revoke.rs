//! `keygate keys revoke`.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::record::{One, Record};
use crate::cli::admin::Admin;
use crate::cli::error::BadUsage;
use crate::cli::output::{complain, plain, print};

/// Refuse a key permanently from now on
///
/// Asks for confirmation first. When the command succeeds, the key is refused everywhere and its
/// connections are closed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Also revoke the keys that it created, and those that they created
    #[arg(long)]
    descendants: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    one: One,
}

/// The response of `POST /v1/keys/{id}/revoke`.
#[derive(Debug, Deserialize)]
struct Revoked {
    revoked: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let one = &arguments.one;
    let somebody_can_answer = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !arguments.yes && !somebody_can_answer {
        bail!(BadUsage(
            "revoking is for good, and there is no terminal to ask at\n  hint: --yes says that it \
                is meant"
        ));
    }
    let admin = Admin::find(&one.connection)?;
    if !arguments.yes {
        let key: Record = admin.ask(Method::GET, &one.path(""), None)?.read()?;
        if !confirm(&key, arguments.descendants)? {
            bail!("nothing is revoked");
        }
    }
    let order = json!({ "descendants": arguments.descendants, "reason": arguments.reason });
    let answer = admin.ask(Method::POST, &one.path("/revoke"), Some(&order))?;
    if one.json {
        return print(answer.text()?);
    }
    let Revoked { revoked } = answer.read()?;
    print(revoked.iter().map(|id| format!("revoked {}", plain(id))).collect::<Vec<_>>().join("\n"))
}

fn confirm(key: &Record, descendants: bool) -> anyhow::Result<bool> {
    let organization = key.organization.as_deref().unwrap_or("none");
    for (name, value) in [
        ("key", &*key.id),
        ("name", &*key.name),
        ("organization", organization),
        ("last used", key.last_use()),
    ] {
        complain(plain(&format!("{name:<12}  {value}")));
    }
    let more = if descendants { " and every key that it made" } else { "" };
    let mut err = io::stderr();
    write!(err, "Revoke it{more} for good? [y/N] ")
        .and_then(|()| err.flush())
        .context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes)))
}
