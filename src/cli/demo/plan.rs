//! What the parts of the demo share.

use std::net::SocketAddr;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// One run of the demo.
pub(super) struct Demo {
    pub(super) folder: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The address of the sample API. `sandbox` serves the keys of the test environment.
    pub(super) desk: SocketAddr,
    pub(super) sandbox: SocketAddr,
    pub(super) keys: Keys,
}

/// The sample keys. Only their digests are written to disk.
pub(super) struct Keys {
    /// May read tickets.
    pub(super) reader: Zeroizing<String>,
    /// May do everything.
    pub(super) agent: Zeroizing<String>,
    /// Belongs to the test environment, and has a low rate limit.
    pub(super) tester: Zeroizing<String>,
}
