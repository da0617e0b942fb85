//! What the parts of the demo have to know about each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// One run of the demo.
pub(super) struct Demo {
    pub(super) folder: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The sample API, and a second one for the keys of the test environment.
    pub(super) desk: SocketAddr,
    pub(super) sandbox: SocketAddr,
    pub(super) keys: Keys,
}

/// The sample keys. Only their digests are written down.
pub(super) struct Keys {
    /// May look at tickets.
    pub(super) reader: Zeroizing<String>,
    /// May do everything.
    pub(super) agent: Zeroizing<String>,
    /// Belongs to the test environment, and may not do much at a time.
    pub(super) tester: Zeroizing<String>,
}
