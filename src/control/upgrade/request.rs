//! Requests for an upgrade, and the errors of a failed one.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::keystore::Unavailable;

/// Timeout from the start until the new process accepts connections. A caller of the admin API
/// waits for a minute.
pub(super) const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(50);

/// A request for an upgrade.
#[derive(Debug)]
pub(in crate::control) struct UpgradeRequest {
    /// How many admin requests wait for the response: 1, or 0 for a signal.
    pub(in crate::control) waiting: usize,
    /// Receives the id of the process that has taken over, or the error.
    pub(in crate::control) answer: oneshot::Sender<Result<u32, Refused>>,
}

/// Why there was no upgrade. The running process continues.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::control) enum Refused {
    /// Another upgrade is in progress.
    #[error("another upgrade is under way")]
    UnderWay,
    /// Another process has already taken over, or this one was not started in a way that allows it.
    #[error("{0}")]
    Impossible(&'static str),
    /// The upgrade failed.
    #[error("{0}")]
    Failed(String),
}

/// Why an upgrade failed. The running process continues.
#[derive(Debug, Error)]
pub(super) enum Failed {
    #[error("this process was not started by `keygate serve`")]
    NoProgram,
    #[error("the program cannot be started: {0}")]
    NotStarted(io::Error),
    #[error("the new process did not take over within {} seconds", TAKEOVER_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the gateway has been told to stop")]
    Stopping,
    #[error("the new process ended before it had taken over: {0}")]
    Broken(io::Error),
    #[error(
        "the new process ended before it had taken over; what it said is on the standard error"
    )]
    Ended,
    #[error("the new process said something out of turn")]
    OutOfTurn,
    /// The error that the new process reported.
    #[error("{0}")]
    Told(String),
    #[error("a worker does not react")]
    WorkerHangs,
    #[error("a call at the admin address takes too long; try again")]
    AdminCallHangs,
    #[error("a call at a key endpoint takes too long; try again")]
    KeyCallHangs,
    #[error("the store has yet to take revocations that are in force")]
    RevocationsUnstored,
    #[error("the store does not answer")]
    StoreHangs,
    #[error("{0}")]
    Store(Unavailable),
}
