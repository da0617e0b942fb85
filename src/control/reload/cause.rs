//! Why the file is loaded.

/// Why the file is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) enum Cause {
    /// It changed.
    Edit,
    /// Somebody said so; then the files that it names are read again too.
    Demand,
    /// The same, and it may drop as many keys as it likes.
    Force,
    /// It was refused because something could not be read, which may have passed.
    Retry,
}

impl Cause {
    /// Whether nobody waits for an answer.
    pub(super) fn is_unasked(self) -> bool {
        matches!(self, Self::Edit | Self::Retry)
    }
}
