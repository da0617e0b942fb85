//! Reads `gateway.toml`. Runs off the control thread, which a hung disk must not block.

use std::path::Path;

use sha2::Digest as _;

use super::files::identity;
use super::watch::Identity;
use crate::config::{self, MOST_TOML, Mistaken, Problem, Reading, TlsFiles};

/// The result of reading the file.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The identity of the file. `None` if it does not exist, or if it changed during the read.
    pub(super) identity: Option<Identity>,
    /// The SHA-256 digest of the content, or `None` if it could not be read.
    pub(super) digest: Option<[u8; 32]>,
    pub(super) reading: Result<Reading, Mistaken>,
}

impl Loaded {
    /// Returns whether the file changed during the read, so that the result is not reliable.
    pub(super) fn is_torn(&self) -> bool {
        self.identity.is_none() && self.digest.is_some()
    }
}

/// Reads and checks the file. `in_use`: the certificates that the gateway serves with. `known`: the
/// previous reading, or `None` at the start.
pub(super) fn load(path: &Path, in_use: &[TlsFiles], known: Option<&Reading>) -> Loaded {
    let before = identity(path);
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        // Reading a pipe may never end, and a later edit, such as a revocation, would then be
        // missed.
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
