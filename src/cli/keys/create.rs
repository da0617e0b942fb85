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

/// Make a key in the running gateway's store, and print it, once
///
/// The key alone goes to the standard output, so that KEY=$(keygate keys create --name …) takes it;
/// the rest goes to the standard error. It is in force when it is printed, and nobody can show it
/// again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    holder: Holder,
    #[command(flatten)]
    terms: Terms,
    /// Print the gateway's JSON, which has the key
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A record with the key that was made for it.
#[derive(Debug, Deserialize)]
struct Made {
    #[serde(flatten)]
    record: Record,
    /// Absent where it was shown before.
    key: Option<String>,
}

/// How often a request is sent whose answer does not arrive.
const ATTEMPTS: usize = 3;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let admin = Admin::find(&arguments.connection)?;
    let mut order = arguments.holder.members();
    order.extend(arguments.terms.members()?);
    let order = Value::Object(order);
    // The gateway makes one key, however often the request arrives.
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

/// Prints the key of an answer that has it this once.
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
