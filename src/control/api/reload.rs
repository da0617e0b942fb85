//! What is asked of the control thread by `POST /v1/reload`, and what it answers.

use tokio::sync::oneshot;

/// What `POST /v1/reload` is answered with.
#[derive(Debug)]
pub(in crate::control) enum ReloadReport {
    /// In force.
    Accepted {
        /// What is different now.
        changes: Vec<String>,
        /// What will be after a restart.
        needs_restart: Vec<String>,
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// What runs has not changed.
    Refused {
        /// Why.
        errors: Vec<String>,
    },
}

/// Somebody who waits for a reload.
#[derive(Debug)]
pub(in crate::control) struct ReloadRequest {
    /// Whether the file may drop as many keys as it likes.
    pub(in crate::control) force: bool,
    pub(in crate::control) answer: oneshot::Sender<ReloadReport>,
}
