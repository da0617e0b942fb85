//! The request that `POST /v1/reload` sends to the control thread, and its response.

use tokio::sync::oneshot;

/// The outcome of a reload.
#[derive(Debug)]
pub(in crate::control) enum ReloadReport {
    /// The file is in force.
    Accepted {
        /// What has changed.
        changes: Vec<String>,
        /// What will change after a restart.
        needs_restart: Vec<String>,
        /// What is probably a mistake.
        warnings: Vec<String>,
    },
    /// The file was refused. Nothing has changed.
    Refused {
        /// The reasons.
        errors: Vec<String>,
    },
}

/// A request for a reload, with the sender for its outcome.
#[derive(Debug)]
pub(in crate::control) struct ReloadRequest {
    /// Whether the file may remove any number of keys.
    pub(in crate::control) force: bool,
    pub(in crate::control) answer: oneshot::Sender<ReloadReport>,
}
