//! `keygate keys use`.

use clap::Args;
use http::Method;
use serde::Deserialize;

use super::record::One;
use crate::cli::admin::{Admin, encode};
use crate::cli::output::{complain, print};
use crate::cli::table::{Table, width};

/// Show how many requests used a key, by day
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The first day, such as 2026-11-22, in UTC
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    #[command(flatten)]
    one: One,
}

/// The response of the usage request.
#[derive(Debug, Deserialize)]
struct Use {
    days: Vec<Day>,
}

#[derive(Debug, Deserialize)]
struct Day {
    day: String,
    requests: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let one = &arguments.one;
    let days: Vec<String> = [("from", &arguments.from), ("to", &arguments.to)]
        .into_iter()
        .filter_map(|(name, day)| Some(format!("{name}={}", encode(day.as_ref()?))))
        .collect();
    let answer = Admin::find(&one.connection)?.ask(
        Method::GET,
        &one.path(&format!("/use?{}", days.join("&"))),
        None,
    )?;
    if one.json {
        return print(answer.text()?);
    }
    let mut table = Table::new(&["DAY", "REQUESTS"]);
    for Day { day, requests } in answer.read::<Use>()?.days {
        table.push(vec![day, requests.to_string()]);
    }
    if table.is_empty() {
        complain("there were no requests");
        return Ok(());
    }
    table.lines(width()).try_for_each(print)
}
