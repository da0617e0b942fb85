//! Whether the admin address accepts connections and requests, and how many there are.

use tokio::sync::watch;

/// The state of the admin address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Closed for now to new connections, which wait in the system's queue. Open ones end with
    /// their request.
    Closing,
    /// Closed for now to requests, too: they wait.
    Closed,
    /// Closed for good.
    Shut,
}

/// What goes on at the admin address.
#[derive(Debug)]
pub(super) struct Activity {
    /// The number of open connections.
    pub(super) connections: watch::Sender<usize>,
    /// The number of requests in progress.
    pub(super) requests: watch::Sender<usize>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { connections: watch::Sender::new(0), requests: watch::Sender::new(0) }
    }
}
