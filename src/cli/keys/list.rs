//! `keygate keys list`.

use clap::Args;

use super::record::Record;
use crate::cli::listing::{Listing, Paging};
use crate::cli::table::NONE;

/// List keys, including those of gateway.toml
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only keys of this organization
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Only keys that may call this [[api]]
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// Only keys of this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only keys with this status
    #[arg(long, value_parser = ["active", "paused", "expired", "suspended", "revoked"])]
    status: Option<String>,
    /// Only keys that are kept in this place
    #[arg(long, value_parser = ["store", "file"])]
    source: Option<String>,
    /// Only keys with this in their name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only keys that this key created
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = vec![
        ("organization", arguments.organization.as_deref()),
        ("api", arguments.api.as_deref()),
        ("environment", arguments.environment.as_deref()),
        ("status", arguments.status.as_deref()),
        ("source", arguments.source.as_deref()),
        ("name", arguments.name.as_deref()),
        ("parent", arguments.parent.as_deref()),
    ];
    let listing = Listing { path: "/v1/keys", member: "keys", cursor: "after", filter };
    let head = ["ID", "NAME", "ORGANIZATION", "ENV", "STATUS", "EXPIRES", "LAST USED"];
    listing.print(&arguments.paging, &head, |key: Record| {
        let (expires, used) = (day(key.expires_at.as_deref()), minute(key.last_used_at.as_deref()));
        let some = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        vec![
            key.id,
            key.name,
            some(key.organization),
            some(key.environment),
            key.status,
            expires,
            used,
        ]
    })
}

/// Returns the date of a timestamp: `2027-03-31` for `2027-03-31T23:59:59Z`. `keys show` prints the
/// whole timestamp.
fn day(moment: Option<&str>) -> String {
    moment.map_or(NONE, |moment| moment.get(..10).unwrap_or(moment)).to_owned()
}

/// Returns a timestamp up to the minute: `2026-11-22 03:15` for `2026-11-22T03:15:42Z`.
fn minute(moment: Option<&str>) -> String {
    moment.map_or(NONE, |moment| moment.get(..16).unwrap_or(moment)).replace('T', " ")
}
