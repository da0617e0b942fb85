//! How a command can fail, besides what its libraries say.

use std::fmt::Display;

use anyhow::anyhow;
use thiserror::Error;

/// A command line that clap accepts and the command does not.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct BadUsage(pub(super) &'static str);

/// A request that is explained would be refused. What is printed says so already.
#[derive(Debug, Error)]
#[error("refused")]
pub(super) struct Refused;

/// An error and what to do about it.
pub(super) fn with_hint(error: impl Display, hint: impl Display) -> anyhow::Error {
    anyhow!("{error:#}\n  hint: {hint}")
}
