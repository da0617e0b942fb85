//! `keygate keys use`.

use clap::Args;
use http::Method;
use serde::Deserialize;

use super::record::One;
use crate::cli::admin::{Admin, encode};
use crate::cli::output::{complain, print};
use crate::cli::table::{Table, width};

/// Show how many requests used a key and how they ended, by day
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The first day, such as 2026-11-22, in UTC
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Show hours, as far as they are kept: 14 days
    #[arg(long)]
    hours: bool,
    #[command(flatten)]
    one: One,
}

/// The response of the usage request.
#[derive(Debug, Deserialize)]
struct Use {
    days: Vec<Part>,
    #[serde(default)]
    hours: Vec<Part>,
}

/// A day or an hour. A gateway of an earlier version sends the sum only.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(alias = "day", alias = "hour")]
    when: String,
    requests: u64,
    ok: u64,
    client: u64,
    limited: u64,
    refused: u64,
    failed: u64,
    highest_minute: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let one = &arguments.one;
    let mut query: Vec<String> = [("from", &arguments.from), ("to", &arguments.to)]
        .into_iter()
        .filter_map(|(name, day)| Some(format!("{name}={}", encode(day.as_ref()?))))
        .collect();
    query.extend(arguments.hours.then(|| "by=hour".to_owned()));
    let answer = Admin::find(&one.connection)?.ask(
        Method::GET,
        &one.path(&format!("/use?{}", query.join("&"))),
        None,
    )?;
    if one.json {
        return print(answer.text()?);
    }
    let when = if arguments.hours { "HOUR" } else { "DAY" };
    let mut table = Table::new(&[
        when,
        "REQUESTS",
        "OK",
        "CLIENT",
        "LIMITED",
        "REFUSED",
        "FAILED",
        "HIGHEST MINUTE",
    ]);
    let used = answer.read::<Use>()?;
    for part in if arguments.hours { used.hours } else { used.days } {
        let Part { requests, ok, client, limited, refused, failed, highest_minute, .. } = part;
        let counts = [requests, ok, client, limited, refused, failed, highest_minute];
        table.push(
            std::iter::once(part.when).chain(counts.map(|count| count.to_string())).collect(),
        );
    }
    if table.is_empty() {
        complain("there were no requests");
        return Ok(());
    }
    table.lines(width()).try_for_each(print)
}
