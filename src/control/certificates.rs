//! When to read the certificates again: when one of their files has changed and both have been
//! still for a second, whatever path of links leads to them. This is independent of `gateway.toml`,
//! and looking each second is enough: a renewal is not urgent, while half of one is worse than
//! none.

use super::files::identity;
use super::watch::Identity;
use crate::config::TlsFiles;

type Pair = [Option<Identity>; 2];

/// Watches a certificate and its key.
#[derive(Debug, Clone)]
pub(super) struct CertificateWatch {
    files: TlsFiles,
    /// What is in force.
    loaded: Pair,
    /// What was there at the last look.
    seen: Pair,
    /// What could not be used, and has been complained of.
    refused: Option<Pair>,
}

impl CertificateWatch {
    /// For files that are about to be read for the first time.
    pub(super) fn new(files: &TlsFiles) -> Self {
        let now = pair(files);
        Self { files: files.clone(), loaded: now, seen: now, refused: None }
    }

    /// Those that are watched.
    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Whether to read them now. To be asked every second, with the outcome told to
    /// [`Self::loaded`] or [`Self::refused`]. Touches the disk.
    pub(super) fn is_due(&mut self) -> bool {
        let now = pair(&self.files);
        let still = now == self.seen;
        self.seen = now;
        still && now != self.loaded
    }

    /// They are in force.
    pub(super) fn loaded(&mut self) {
        self.loaded = self.seen;
        self.refused = None;
    }

    /// They cannot be used, half-way through a renewal perhaps, and will be tried again. Returns
    /// whether that is news.
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
