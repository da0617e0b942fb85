//! Decides when to reload the certificates: when one of the two files has changed and both have
//! been unchanged for a second, through any chain of links.
//!
//! This is independent of `gateway.toml`. Polling every second is enough: a renewal is not urgent,
//! but a half-finished one is worse than none.

use super::files::identity;
use super::watch::Identity;
use crate::config::TlsFiles;

type Pair = [Option<Identity>; 2];

/// Watches a certificate and its key.
#[derive(Debug, Clone)]
pub(super) struct CertificateWatch {
    files: TlsFiles,
    /// The files' state when they were last loaded.
    loaded: Pair,
    /// The files' state at the last poll.
    seen: Pair,
    /// The state that was refused and reported, or `None`.
    refused: Option<Pair>,
}

impl CertificateWatch {
    /// Starts to watch files that are about to be read for the first time.
    pub(super) fn new(files: &TlsFiles) -> Self {
        let now = pair(files);
        Self { files: files.clone(), loaded: now, seen: now, refused: None }
    }

    /// Returns the watched files.
    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Returns whether to read the files now.
    ///
    /// To be called every second. The caller reports the outcome with [`Self::loaded`] or
    /// [`Self::refused`]. Accesses the disk.
    pub(super) fn is_due(&mut self) -> bool {
        let now = pair(&self.files);
        let still = now == self.seen;
        self.seen = now;
        still && now != self.loaded
    }

    /// Notes that the files are in force.
    pub(super) fn loaded(&mut self) {
        self.loaded = self.seen;
        self.refused = None;
    }

    /// Notes that the files cannot be used, perhaps because a renewal is in progress. They will be
    /// tried again. Returns whether this state has not been reported yet.
    pub(super) fn refused(&mut self) -> bool {
        self.refused.replace(self.seen) != Some(self.seen)
    }
}

fn pair(files: &TlsFiles) -> Pair {
    [identity(&files.cert), identity(&files.key)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_pair_is_due_when_it_has_been_still_for_one_look() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.cert, "1").unwrap();
        std::fs::write(&files.key, "1").unwrap();
        let mut watch = CertificateWatch::new(&files);
        assert!(!watch.is_due());
        std::fs::write(&files.cert, "22").unwrap();
        assert!(!watch.is_due(), "it may go on");
        assert!(watch.is_due());
        assert!(watch.refused(), "the key is still the old one");
        assert!(watch.is_due(), "it is tried again");
        assert!(!watch.refused(), "but not complained of again");
        std::fs::write(&files.key, "22").unwrap();
        assert!(!watch.is_due());
        assert!(watch.is_due());
        watch.loaded();
        assert!(!watch.is_due());
    }
}
