//! Lists that the admin API returns page by page.

use std::collections::HashMap;

use clap::Args;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::admin::{Admin, Connection, encode};
use super::output::{complain, print, print_part};
use super::table::{Table, width};

// How much to list, and how. (No doc comment: clap would show it in the `--help` of each command.)
#[derive(Debug, Args)]
pub(super) struct Paging {
    /// Show everything, not only the first page
    #[arg(long, conflicts_with = "after")]
    all: bool,
    /// How many to show at most
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(1..=1000),
        conflicts_with = "all"
    )]
    limit: u16,
    /// Where to continue: the text at the end of the previous page
    #[arg(long, value_name = "TEXT")]
    after: Option<String>,
    /// Print the gateway's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A list of the admin API.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) path: &'a str,
    /// The member of the response that has the entries.
    pub(super) member: &'a str,
    /// The query parameter that takes the `next` of the previous page.
    pub(super) cursor: &'a str,
    /// Other query parameters.
    pub(super) filter: Vec<(&'a str, Option<&'a str>)>,
}

/// Entries to request at once when all are wanted.
const PAGE: u16 = 1000;

impl Listing<'_> {
    /// Prints the list as JSON, or as a table with one row for each entry.
    pub(super) fn print<T: DeserializeOwned>(
        &self,
        paging: &Paging,
        head: &[&str],
        row: impl Fn(T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        let admin = Admin::find(&paging.connection)?;
        let mut table = Table::new(head);
        let mut after = paging.after.clone();
        let mut first = true;
        loop {
            let answer = admin.ask(Method::GET, &self.target(paging, after.as_deref()), None)?;
            let mut page: HashMap<String, Box<RawValue>> = answer.read()?;
            let next: Option<String> = page
                .get("next")
                .map(|next| serde_json::from_str(next.get()))
                .transpose()?
                .flatten();
            let entries: Vec<Box<RawValue>> = page
                .remove(self.member)
                .map(|entries| serde_json::from_str(entries.get()))
                .transpose()?
                .unwrap_or_default();
            for entry in entries {
                if paging.json {
                    // Print each entry at once and keep none, so that memory does not limit the
                    // list.
                    let before =
                        if first { format!("{{\"{}\":[", self.member) } else { ",".to_owned() };
                    print_part(format_args!("{before}{}", entry.get()))?;
                    first = false;
                } else {
                    table.push(row(serde_json::from_str(entry.get())?));
                }
            }
            after = next;
            if !paging.all || after.is_none() {
                break;
            }
        }
        if paging.json {
            let before = if first { format!("{{\"{}\":[", self.member) } else { String::new() };
            return print(format_args!("{before}],\"next\":{}}}", serde_json::to_string(&after)?));
        }
        if table.is_empty() {
            complain("there is nothing to list");
            return Ok(());
        }
        for line in table.lines(width()) {
            print(line)?;
        }
        if let Some(after) = after {
            complain(format_args!(
                "there are more: --all shows all, `--after {after}` the next page"
            ));
        }
        Ok(())
    }

    fn target(&self, paging: &Paging, after: Option<&str>) -> String {
        let mut target =
            format!("{}?limit={}", self.path, if paging.all { PAGE } else { paging.limit });
        for (name, value) in self.filter.iter().chain([&(self.cursor, after)]) {
            if let Some(value) = value {
                target.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        target
    }
}
