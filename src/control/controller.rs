//! The state of the control plane. What is done with it stands in `mod.rs` (the loop), `reload.rs`,
//! `renew.rs` and `start.rs`.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::api::Settings;
use super::certificate_expiry::Reported;
use super::files::FileEvents;
use super::keys::KeyService;
use super::metrics::Metrics;
use super::registry::Registry;
use super::site::SiteBuilder;
use super::table::KeyName;
use super::tls::{ListenerTls, TlsMaker};
use super::upgrade::Purpose;
use super::watch::{Identity, Watch};
use crate::config::{Config, Problem, Reading};
use crate::keystore::KeyStore;
use crate::policy::AccountState;
use crate::state::{KeyRequest, Shared};

/// The control plane, ready to run.
#[derive(Debug)]
pub struct Controller {
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) builder: SiteBuilder,
    pub(super) registry: Arc<Registry>,
    pub(super) keys: KeyService,
    pub(super) store: Option<KeyStore>,
    /// Keys of the store that the file revokes, of which the store is to be told.
    pub(super) revoked_in_file: Vec<KeyName>,
    pub(super) key_calls: Option<mpsc::Receiver<KeyRequest>>,
    pub(super) file: ConfigFile,
    pub(super) admin: AdminSocket,
    pub(super) tls: ServedTls,
    /// The process from which this one has taken over.
    pub(super) predecessor: Option<UnixStream>,
}

/// `gateway.toml`, and what of it runs.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// What runs.
    pub(super) config: Arc<Config>,
    /// The last reading that was put in force.
    pub(super) reading: Arc<Reading>,
    /// Of the file that it is from; `None`: what runs is no file.
    pub(super) digest: Option<[u8; 32]>,
    /// Whether the file on disk is not what runs: a mistake in it, or it is gone.
    pub(super) differs: bool,
    /// What the file was like when it was last refused.
    pub(super) refused: Option<(Identity, [u8; 32])>,
    /// The problems that were reported last.
    pub(super) reported: Vec<Problem>,
    pub(super) retry: Option<Retry>,
    /// What the process was started with, without its keys.
    pub(super) started: Config,
    pub(super) watch: Watch,
    /// If the file is watched already.
    pub(super) events: Option<FileEvents>,
}

/// A file that was refused and is to be read again without an edit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Instant,
    /// What it was like.
    pub(super) refused: Identity,
}

/// The admin address.
#[derive(Debug)]
pub(super) struct AdminSocket {
    /// `None`: there is no such address, or it is being served.
    pub(super) listener: Option<TcpListener>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
}

/// What both listeners serve TLS with.
#[derive(Debug)]
pub(super) struct ServedTls {
    pub(super) maker: TlsMaker,
    pub(super) server: Option<ListenerTls>,
    pub(super) admin: Option<ListenerTls>,
    /// Certificates of whose end the log has told.
    pub(super) reported: Reported,
}

impl Controller {
    /// Where the admin address was bound, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The admin socket as it is handed over, with the address as the file names it.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn admin_socket(&self) -> std::io::Result<Option<(Purpose, SocketAddr, TcpListener)>> {
        let named = self.file.config.admin.as_ref();
        let Some((admin, listener)) = named.zip(self.admin.listener.as_ref()) else {
            return Ok(None);
        };
        Ok(Some((Purpose::Admin, admin.listen, listener.try_clone()?)))
    }

    /// Goes on with what another process knew of keys.
    pub(super) fn import(&self, known: &[(Box<str>, AccountState)]) {
        self.registry.import(known);
    }

    /// Notes for the metrics when the certificates that are served with end, and reports those for
    /// which it is time. To be called every second.
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
