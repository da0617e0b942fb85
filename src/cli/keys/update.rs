//! `keygate keys update`.

use anyhow::bail;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::record::One;
use super::terms::Terms;
use crate::cli::error::BadUsage;

/// Change what a key may do; everything else stays as it is
///
/// A list replaces the previous one: `--scope a --scope b` leaves the key with these two.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// Remove this from the key; may be given several times
    #[arg(long, value_name = "WHAT")]
    clear: Vec<Clear>,
    #[command(flatten)]
    one: One,
}

/// What `--clear` can remove.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Clear {
    /// Its scopes; an empty list means what the API's setting says
    Scopes,
    /// The restriction to addresses
    AllowIp,
    /// The restriction to web pages
    AllowReferrer,
    /// The restriction to endpoints
    AllowEndpoint,
    /// Its own limit, so that the API's applies
    RateLimit,
    /// Its expiry, so that it works for ever
    Expires,
}

impl Clear {
    fn member(self) -> (&'static str, Value) {
        match self {
            Self::Scopes => ("scopes", json!([])),
            Self::AllowIp => ("allow_ips", json!([])),
            Self::AllowReferrer => ("allow_referrers", json!([])),
            Self::AllowEndpoint => ("allow_endpoints", json!([])),
            Self::RateLimit => ("rate_limit", Value::Null),
            Self::Expires => ("expires_at", Value::Null),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut change = arguments.terms.members()?;
    if let Some(name) = &arguments.name {
        change.insert("name".to_owned(), json!(name));
    }
    for (member, cleared) in arguments.clear.iter().map(|clear| clear.member()) {
        if change.insert(member.to_owned(), cleared).is_some() {
            bail!(BadUsage("--clear takes away what another argument sets, or stands twice"));
        }
    }
    if change.is_empty() {
        bail!(BadUsage(
            "nothing is to change\n  hint: `keygate keys update --help` lists what can"
        ));
    }
    arguments.one.call(Method::PATCH, "", Some(&Value::Object(change)))
}
