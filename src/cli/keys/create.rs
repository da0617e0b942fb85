//! `keygate keys create`.

use anyhow::anyhow;
use clap::Args;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::Value;

use super::record::Record;
use super::terms::{Holder, Terms};
use crate::cli::admin::{Admin, Answer, Broken, Connection};
use crate::cli::error::with_hint;
use crate::cli::output::{complain, plain, print_once};

/// Create a key in the running gateway's store, and print it once
///
/// Only the key goes to standard output, so that KEY=$(keygate keys create --name …) captures it;
/// everything else goes to standard error. The key is in force when it is printed, and cannot be
/// shown again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    holder: Holder,
    #[command(flatten)]
    terms: Terms,
    /// Print the gateway's JSON, which contains the key
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A key's record together with the key itself.
#[derive(Debug, Deserialize)]
struct Made {
    #[serde(flatten)]
    record: Record,
    /// The key, or `None` if an earlier response had it.
    key: Option<String>,
}

/// How often to send a request that gets no response.
const ATTEMPTS: usize = 3;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let admin = Admin::find(&arguments.connection)?;
    let mut order = arguments.holder.members();
    order.extend(arguments.terms.members()?);
    let order = Value::Object(order);
    // The header makes the request idempotent: the gateway makes one key for all attempts.
    let once = uuid::Uuid::new_v4().to_string();
    let header = HeaderName::from_static("idempotency-key");
    let mut attempt = 1;
    let answer = loop {
        match admin.call(Method::POST, "/v1/keys", Some(&order), Some((header.clone(), &once))) {
            Err(error) if error.is::<Broken>() && attempt < ATTEMPTS => attempt += 1,
            outcome => break outcome?.accepted()?,
        }
    };
    hand_over(&answer, arguments.json, "made")
}

/// Prints the key of a response, which contains it only once.
pub(super) fn hand_over(answer: &Answer, json: bool, done: &str) -> anyhow::Result<()> {
    let Made { record, key } = answer.read()?;
    let again =
        format!("`keygate keys rotate {} --grace 0s` gives it another one", plain(&record.id));
    let Some(key) = key else {
        return Err(with_hint(
            anyhow!(
                "{} is made, but the answer with the key was lost on its way",
                plain(&record.id)
            ),
            again,
        ));
    };
    if json {
        return print_once(answer.text()?, again);
    }
    print_once(key, again)?;
    let Record { id, name, prefix, .. } = record;
    complain(plain(&format!(
        "{done} {id} ({name}), in force: the key that begins with {prefix} is shown this once"
    )));
    Ok(())
}
