//! Errors of the commands themselves.

use std::fmt::Display;

use anyhow::anyhow;
use thiserror::Error;

/// A command line that clap accepts but the command does not.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct BadUsage(pub(super) &'static str);

/// `keygate explain` found that the request would be refused. Its output already says so.
#[derive(Debug, Error)]
#[error("refused")]
pub(super) struct Refused;

/// Returns an error with a hint on what to do about it.
pub(super) fn with_hint(error: impl Display, hint: impl Display) -> anyhow::Error {
    anyhow!("{error:#}\n  hint: {hint}")
}
