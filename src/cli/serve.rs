//! `keygate serve`.

use std::path::PathBuf;

use clap::Args;

use super::defaults::DEFAULT_CONFIG;
use crate::serve::{self, Program};

/// Run the gateway until it is asked to stop
///
/// A saved edit of the file is in force at once; one with a mistake is reported and changes
/// nothing. Requests are logged to standard output, events to standard error. SIGTERM and Ctrl-C
/// finish requests in flight; SIGHUP reads the file again; SIGUSR2 hands over to the program that
/// is now at the path this one was started from.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Take over from the process at the other end of standard input
    #[arg(long, hide = true)]
    take_over: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, take_over } = arguments;
    let successor =
        ["serve".into(), "--take-over".into(), "--config".into(), config.clone().into_os_string()];
    let program = Program::of_this_process(successor.to_vec());
    if take_over { serve::take_over(&config, program) } else { serve::run(&config, program) }
}
