//! Who asks for an upgrade, and why there was none.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::keystore::Unavailable;

/// How long all of it may take until the new process accepts connections. Whoever asked by the
/// admin API waits for a minute.
pub(super) const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(50);

/// Somebody who asks for an upgrade.
#[derive(Debug)]
pub(in crate::control) struct UpgradeRequest {
    /// Requests at the admin address that wait for the answer: 1, or 0 for a signal.
    pub(in crate::control) waiting: usize,
    /// The process that has taken over, or why none has.
    pub(in crate::control) answer: oneshot::Sender<Result<u32, Refused>>,
}

/// Why there was no upgrade. The running process goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::control) enum Refused {
    /// Another one is under way.
    #[error("another upgrade is under way")]
    UnderWay,
    /// This process has been relieved already, or was not started in a way that it could be.
    #[error("{0}")]
    Impossible(&'static str),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// Why an upgrade failed. The running process goes on.
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
    /// What the new process said.
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
