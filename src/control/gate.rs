//! Whether the admin address accepts connections.

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not now: those that come wait in the system's queue. Those that are open end with their
    /// request.
    Closed,
    /// Nor ever again.
    Shut,
}
