//! `keygate audit`.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::listing::{Listing, Paging};
use super::table::NONE;

/// Show who changed what, newest first
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only entries about this organization
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Only entries about the key with this id, or the organization with this name
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

/// The members of an audit entry that the table shows.
#[derive(Debug, Deserialize)]
struct Entry {
    at: String,
    actor: String,
    action: String,
    subject: String,
    organization: Option<String>,
    detail: Value,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = vec![
        ("organization", arguments.organization.as_deref()),
        ("subject", arguments.subject.as_deref()),
    ];
    let listing = Listing { path: "/v1/audit", member: "entries", cursor: "before", filter };
    listing.print(
        &arguments.paging,
        &["AT", "BY", "ACTION", "SUBJECT", "ORGANIZATION", "DETAIL"],
        |entry: Entry| {
            let detail =
                if entry.detail.is_null() { NONE.to_owned() } else { entry.detail.to_string() };
            let organization = entry.organization.unwrap_or_else(|| NONE.to_owned());
            vec![entry.at, entry.actor, entry.action, entry.subject, organization, detail]
        },
    )
}
