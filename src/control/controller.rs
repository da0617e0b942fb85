//! The state of the control plane. Its operations are in `mod.rs` (the loop), `reload.rs`,
//! `renew.rs` and `start.rs`.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::api::Settings;
use super::certificate_expiry::Reported;
use super::files::FileEvents;
use super::keys::KeyService;
use super::metrics::Metrics;
use super::registry::Registry;
use super::runtime::RuntimeBuilder;
use super::table::KeyName;
use super::tls::{ListenerTls, TlsMaker};
use super::upgrade::Purpose;
use super::watch::{Identity, Watch};
use crate::config::{Config, Problem, Reading};
use crate::keystore::KeyStore;
use crate::policy::AccountState;
use crate::state::{CallReceivers, Shared};

/// The control plane, ready to run.
#[derive(Debug)]
pub struct Controller {
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) builder: RuntimeBuilder,
    pub(super) registry: Arc<Registry>,
    pub(super) keys: KeyService,
    pub(super) store: Option<KeyStore>,
    /// Keys of the store that the file revokes, and that are yet to be revoked in the store.
    pub(super) revoked_in_file: Vec<KeyName>,
    pub(super) calls: Option<CallReceivers>,
    pub(super) file: ConfigFile,
    pub(super) admin: AdminSocket,
    pub(super) tls: ServedTls,
    /// The socket to the process that this one took over from.
    pub(super) predecessor: Option<UnixStream>,
}

/// `gateway.toml`, and the configuration that runs.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// The running configuration.
    pub(super) config: Arc<Config>,
    /// The last reading that was put in force.
    pub(super) reading: Arc<Reading>,
    /// The digest of the file that the running configuration was read from, or `None` if the
    /// configuration matches no file.
    pub(super) digest: Option<[u8; 32]>,
    /// Whether the file on disk differs from what runs: it has a mistake, or is gone.
    pub(super) differs: bool,
    /// The identity and digest of the file when it was last refused.
    pub(super) refused: Option<(Identity, [u8; 32])>,
    /// The problems that were last reported.
    pub(super) reported: Vec<Problem>,
    pub(super) retry: Option<Retry>,
    /// The configuration at the start, without its keys.
    pub(super) started: Config,
    pub(super) watch: Watch,
    /// The notifications, or `None` if the file is not yet watched.
    pub(super) events: Option<FileEvents>,
}

/// A refused file that is to be read again without an edit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Instant,
    /// The refused file's identity.
    pub(super) refused: Identity,
}

/// The admin address.
#[derive(Debug)]
pub(super) struct AdminSocket {
    /// The listening socket, or `None` without an admin address or while it is being served.
    pub(super) listener: Option<TcpListener>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
}

/// The TLS of both listeners.
#[derive(Debug)]
pub(super) struct ServedTls {
    pub(super) maker: TlsMaker,
    pub(super) server: Option<ListenerTls>,
    pub(super) admin: Option<ListenerTls>,
    /// Certificates whose expiry has been logged.
    pub(super) reported: Reported,
}

impl Controller {
    /// Returns the bound admin address, or `None` if there is none.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Returns the admin socket for a handover, with its address as the file names it.
    ///
    /// # Errors
    /// Fails if no file descriptor is left.
    pub fn admin_socket(&self) -> std::io::Result<Option<(Purpose, SocketAddr, TcpListener)>> {
        let named = self.file.config.admin.as_ref();
        let Some((admin, listener)) = named.zip(self.admin.listener.as_ref()) else {
            return Ok(None);
        };
        Ok(Some((Purpose::Admin, admin.listen, listener.try_clone()?)))
    }

    /// Imports another process's state of the keys.
    pub(super) fn import(&self, known: &[(Box<str>, AccountState)]) {
        self.registry.import(known);
    }

    /// Updates the certificates' expiry for the metrics, and logs those that are due. To be called
    /// every second.
    pub(super) fn look_at_certificates(&mut self) {
        let now = self.shared.clock.now();
        let found = self.tls.reported.look(
            self.tls.server.as_ref(),
            self.tls.admin.as_ref(),
            now.unix,
            Duration::from_nanos(now.monotonic),
        );
        self.metrics.set_certificates(found);
    }
}
