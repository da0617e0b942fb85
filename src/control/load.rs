//! Reads `gateway.toml`, off the control thread: a hung disk must not keep it from answering.

use std::path::Path;

use sha2::Digest as _;

use super::files::identity;
use super::watch::Identity;
use crate::config::{self, MOST_TOML, Mistaken, Problem, Reading, TlsFiles};

/// What came of reading the file.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What the file looked like before and after; nothing if it is not there or changed meanwhile.
    pub(super) identity: Option<Identity>,
    /// Of its content; nothing if it could not be read.
    pub(super) digest: Option<[u8; 32]>,
    pub(super) reading: Result<Reading, Mistaken>,
}

impl Loaded {
    /// Whether somebody wrote to the file while it was read, so that nothing about it can be
    /// believed.
    pub(super) fn is_torn(&self) -> bool {
        self.identity.is_none() && self.digest.is_some()
    }
}

/// Reads and checks the file, for a gateway that serves with the certificates `in_use` and has read
/// it before (`known`).
pub(super) fn load(path: &Path, in_use: &[TlsFiles], known: Option<&Reading>) -> Loaded {
    let before = identity(path);
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        // Reading a pipe may never end, and then no later edit, such as a revocation, would be
        // seen.
        let problem = Problem::of_file(path, "this is not a regular file");
        return Loaded {
            identity: before,
            digest: None,
            reading: Err(Mistaken::unreadable(problem)),
        };
    }
    let content = config::read_file(path, MOST_TOML);
    let digest = content.as_ref().ok().map(|content| sha2::Sha256::digest(content).into());
    let reading = config::load_while_serving(content, path, in_use, known);
    let identity = identity(path).filter(|after| before == Some(*after));
    Loaded { identity, digest, reading }
}
