//! `keygate keys rotate`.

use clap::Args;
use http::Method;
use serde_json::json;

use super::create::hand_over;
use super::record::One;
use crate::cli::admin::Admin;

/// Give a key a new secret, and print it once
///
/// Its id, its rights and its counts stay. The previous secret works until the grace period ends,
/// and `keygate keys show` tells when each was last used. Only the new secret goes to standard
/// output; everything else goes to standard error.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// How long the previous secret still works, such as 24h; 0s stops it at once [default: 24h]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    #[command(flatten)]
    one: One,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let order = arguments.grace.as_ref().map(|grace| json!({ "grace": grace }));
    let one = &arguments.one;
    let answer =
        Admin::find(&one.connection)?.ask(Method::POST, &one.path("/rotate"), order.as_ref())?;
    hand_over(&answer, one.json, "rotated")
}
