//! The causes of a reload.

/// Why the file is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) enum Cause {
    /// The file changed.
    Edit,
    /// It was requested: by SIGHUP, by the admin API, or after a renewal of certificates. The files
    /// that it names are read again even if the file itself is unchanged.
    Demand,
    /// As [`Self::Demand`], and the file may drop any number of keys.
    Force,
    /// The file was refused because something could not be read, which may have passed.
    Retry,
}

impl Cause {
    /// Returns whether the reload was not requested, so that nobody waits for its outcome.
    pub(super) fn is_unasked(self) -> bool {
        matches!(self, Self::Edit | Self::Retry)
    }
}
