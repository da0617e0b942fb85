//! `keygate keys import`.

use anyhow::bail;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::hash;
use super::record::print_record;
use super::terms::{Holder, Terms};
use crate::cli::admin::{Admin, Connection};
use crate::cli::error::BadUsage;

/// Add an existing key to the running gateway's store, by its digest
///
/// The key may have any format, and its clients notice no change. The key itself does not leave
/// this machine.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    holder: Holder,
    /// Its id [default: generated]
    #[arg(long)]
    id: Option<String>,
    /// Its digest, as `keygate keys hash` prints it
    #[arg(long, value_name = "DIGEST", required_unless_present = "from_stdin")]
    sha256: Option<String>,
    /// Read the key from the terminal without echo, or from standard input, and compute the digest
    /// here
    #[arg(long, conflicts_with = "sha256")]
    from_stdin: bool,
    /// What people see of the key: at most 8 characters of its beginning
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// Print the gateway's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let admin = Admin::find(&arguments.connection)?;
    let digest = match &arguments.sha256 {
        Some(digest) => {
            // It could be the key itself, so the error does not quote it.
            if digest.len() != 64
                || !digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            {
                bail!(BadUsage(
                    "a digest is 64 lower-case hexadecimal digits\n  hint: `keygate keys hash` \
                        makes it of a key"
                ));
            }
            digest.clone()
        }
        None => hash::digest(&hash::read_key()?)?.to_string(),
    };
    let mut order = arguments.holder.members();
    order.extend(arguments.terms.members()?);
    order.insert("sha256".to_owned(), json!(digest));
    for (name, value) in [("id", &arguments.id), ("prefix", &arguments.prefix)] {
        if let Some(value) = value {
            order.insert(name.to_owned(), json!(value));
        }
    }
    print_record(
        &admin.ask(Method::POST, "/v1/keys/import", Some(&Value::Object(order)))?,
        arguments.json,
    )
}
