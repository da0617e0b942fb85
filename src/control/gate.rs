//! Whether the admin address accepts connections.

/// The state of the admin address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Closed for now. New connections wait in the system's queue. Open ones end with their
    /// request.
    Closed,
    /// Closed for good.
    Shut,
}
