//! `keygate organizations …`.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::admin::{Admin, Connection, encode};
use super::listing::{Listing, Paging};
use super::output::print;
use super::table;

/// Show the organizations that own keys, suspend them, and cap their keys
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List organizations
    List(Paging),
    /// Show one
    Show(One),
    /// Refuse all its keys until it is resumed
    Suspend(One),
    /// Accept its keys again
    Resume(One),
    /// Set how many keys it may have
    Cap(Cap),
}

// (No doc comments on these two: clap would show them in place of the commands' own.)
#[derive(Debug, Args)]
pub(super) struct One {
    /// Its name
    name: String,
    /// Print the gateway's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Cap {
    #[command(flatten)]
    organization: One,
    /// A number, or `default` for the default of gateway.toml
    #[arg(value_name = "KEYS", value_parser = cap)]
    cap: Limit,
}

/// A number of keys, or `None` for the default.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u32>);

fn cap(text: &str) -> anyhow::Result<Limit> {
    if text == "default" {
        return Ok(Limit(None));
    }
    Ok(Limit(Some(text.parse().context("it is a number or `default`")?)))
}

/// The members of an organization that the commands print.
#[derive(Debug, Deserialize)]
struct Organization {
    name: String,
    suspended_at: Option<String>,
    revoked: bool,
    keys: u64,
    key_cap: u32,
}

impl Organization {
    fn status(&self) -> String {
        match &self.suspended_at {
            _ if self.revoked => "revoked by gateway.toml".to_owned(),
            Some(at) => format!("suspended since {at}"),
            None => "active".to_owned(),
        }
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(paging) => {
            let listing = Listing {
                path: "/v1/organizations",
                member: "organizations",
                cursor: "after",
                filter: Vec::new(),
            };
            listing.print(
                paging,
                &["NAME", "KEYS", "CAP", "STATUS"],
                |organization: Organization| {
                    let status = organization.status();
                    vec![
                        organization.name,
                        organization.keys.to_string(),
                        organization.key_cap.to_string(),
                        status,
                    ]
                },
            )
        }
        Command::Show(one) => call(one, Method::GET, "", None),
        Command::Suspend(one) => call(one, Method::POST, "/suspend", None),
        Command::Resume(one) => call(one, Method::POST, "/resume", None),
        Command::Cap(Cap { cap, organization }) => {
            call(organization, Method::PATCH, "", Some(&json!({ "key_cap": cap.0 })))
        }
    }
}

fn call(
    one: &One,
    method: Method,
    action: &str,
    body: Option<&serde_json::Value>,
) -> anyhow::Result<()> {
    let answer = Admin::find(&one.connection)?.ask(
        method,
        &format!("/v1/organizations/{}{action}", encode(&one.name)),
        body,
    )?;
    if one.json {
        return print(answer.text()?);
    }
    let organization: Organization = answer.read()?;
    let keys = format!("{} of {}", organization.keys, organization.key_cap);
    let status = organization.status();
    table::print_record(&[("name", organization.name), ("status", status), ("keys", keys)])
}
