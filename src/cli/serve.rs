//! `keygate serve`.

use super::DEFAULT_CONFIG;
use crate::serve;
use clap::Args;
use std::path::PathBuf;

/// Run the gateway until it is told to stop
///
/// A saved edit of the file is in force at once; one with a mistake is reported and changes nothing. Requests are logged on
/// the standard output, events on the standard error. SIGTERM and Ctrl-C finish what is in flight; SIGHUP reads the file again.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to run
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    serve::run(&arguments.config)
}
