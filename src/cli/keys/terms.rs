//! Arguments for what a key is granted: its organization, its permissions and its lifetime.

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::parse_duration;

// The holder of a new key and the APIs that it may call. (No doc comments on these structs: clap
// would show them in place of the commands' own.)
#[derive(Debug, Args)]
pub(super) struct Holder {
    /// What people call it
    #[arg(long)]
    name: String,
    /// The organization that owns it
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Which [[api]] it may call; may be given several times, and omitted if there is only one
    #[arg(long = "api", value_name = "NAME")]
    apis: Vec<String>,
    /// Which of the API's environments it belongs to, such as live or test
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

impl Holder {
    pub(super) fn members(&self) -> Map<String, Value> {
        let mut members = Map::from_iter([("name".to_owned(), json!(self.name))]);
        insert(&mut members, "organization", self.organization.as_ref());
        insert(&mut members, "apis", non_empty(&self.apis));
        insert(&mut members, "environment", self.environment.as_ref());
        members
    }
}

// The grants of a key.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// A scope of the key; this and the following may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// An address or range of addresses that it may be used from
    #[arg(long = "allow-ip", value_name = "ADDRESS")]
    allow_ips: Vec<String>,
    /// A web page that it may be used by, such as https://app.example.com/*
    #[arg(long = "allow-referrer", value_name = "PATTERN")]
    allow_referrers: Vec<String>,
    /// An endpoint that it may be used for, such as "GET /api/v1/tickets/**"
    #[arg(long = "allow-endpoint", value_name = "PATTERN")]
    allow_endpoints: Vec<String>,
    /// A limit of its own instead of the API's, such as 100/min
    #[arg(long = "rate-limit", value_name = "LIMIT")]
    rate_limit: Vec<String>,
    /// Give it no limit at all
    #[arg(long, conflicts_with = "rate_limit")]
    unlimited: bool,
    /// When it expires: a time such as 2027-03-31T23:59:59Z, or a duration from now such as 30d
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

impl Terms {
    /// Returns the members that the arguments set. The gateway chooses the rest.
    pub(super) fn members(&self) -> anyhow::Result<Map<String, Value>> {
        let mut members = Map::new();
        insert(&mut members, "scopes", non_empty(&self.scopes));
        insert(&mut members, "allow_ips", non_empty(&self.allow_ips));
        insert(&mut members, "allow_referrers", non_empty(&self.allow_referrers));
        insert(&mut members, "allow_endpoints", non_empty(&self.allow_endpoints));
        insert(
            &mut members,
            "rate_limit",
            if self.unlimited { Some(&self.rate_limit) } else { non_empty(&self.rate_limit) },
        );
        insert(&mut members, "expires_at", self.expires.as_deref().map(moment).transpose()?);
        Ok(members)
    }
}

fn non_empty(list: &Vec<String>) -> Option<&Vec<String>> {
    Some(list).filter(|list| !list.is_empty())
}

fn insert(members: &mut Map<String, Value>, name: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), json!(value));
    }
}

/// Converts a duration from now to a timestamp. Returns any other text unchanged, for the gateway
/// to parse or reject.
fn moment(text: &str) -> anyhow::Result<String> {
    let Ok(duration) = parse_duration(text) else { return Ok(text.to_owned()) };
    let seconds = i64::try_from(duration.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::now().as_second().checked_add(seconds));
    let moment = seconds
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .context("--expires is too far away")?;
    Ok(moment.to_string())
}
