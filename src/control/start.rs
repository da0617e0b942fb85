//! Prepares the start: reads the file, binds the admin address, and opens the store, in this order.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::api::Settings;
use super::certificate_expiry::Reported;
use super::controller::{AdminSocket, ConfigFile, Controller, ServedTls};
use super::keys::KeyService;
use super::load::load;
use super::metrics::Metrics;
use super::registry::Registry;
use super::runtime::RuntimeBuilder;
use super::table::{Clash, Loader};
use super::tls::{ListenerTls, TlsMaker};
use super::upgrade::{Inheritance, Purpose};
use super::{reload, watch};
use crate::config::{BadCertificate, Config, Problems, Reading};
use crate::keystore::{KeyStore, OpenError};
use crate::state::{Clock, Descriptors, Published, Runtime, Shared};

/// Everything that the process starts with.
#[derive(Debug)]
pub struct Startup {
    /// The configuration of the file.
    pub config: Arc<Config>,
    /// The state that is shared with the workers, with the configuration in force.
    pub shared: Arc<Shared>,
    /// The control plane.
    pub controller: Controller,
}

/// Everything that can be prepared before the store is open.
#[derive(Debug)]
pub struct Prepared {
    path: PathBuf,
    reading: Arc<Reading>,
    identity: Option<watch::Identity>,
    digest: Option<[u8; 32]>,
    workers: usize,
    descriptors: Arc<Descriptors>,
    clock: Clock,
    builder: RuntimeBuilder,
    runtime: Arc<Runtime>,
    tls: TlsMaker,
    server_tls: Option<ListenerTls>,
    admin_tls: Option<ListenerTls>,
    listener: Option<TcpListener>,
}

/// Loads the file and the files that it names, and binds the admin address. Names of upstreams are
/// resolved later, and a failed lookup does not prevent the start. Blocks. `inheritance`: that of a
/// process that takes over from another. `listen_to_events`: called as soon as the file has been
/// read, so that later events are logged.
///
/// # Errors
/// Fails if the file or a file that it names has a mistake, if TLS cannot be used, or if the admin
/// address cannot be bound.
pub fn prepare(
    path: &Path,
    mut inheritance: Option<&mut Inheritance>,
    listen_to_events: impl FnOnce(&Config),
) -> Result<Prepared, StartError> {
    let loaded = load(path, &[], None);
    let reading =
        Arc::new(loaded.reading.map_err(|mistaken| StartError::Config(mistaken.problems))?);
    let config = &reading.config;
    listen_to_events(config);
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, Into::into),
        workers => workers,
    };
    let clock = inheritance.as_ref().map_or_else(Clock::default, |inheritance| inheritance.clock());
    let tls = TlsMaker::new().map_err(StartError::Tls)?;
    let server_tls = config
        .tls
        .as_ref()
        .map(|settings| tls.data(settings, None))
        .transpose()
        .map_err(StartError::Certificate)?;
    let admin_tls = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    let admin_tls = admin_tls
        .map(|settings| tls.admin(settings, None))
        .transpose()
        .map_err(StartError::Certificate)?;
    let descriptors = Arc::new(Descriptors::claim(workers));
    let mut builder = RuntimeBuilder::new(workers, descriptors.clients);
    let handshakes = server_tls.as_ref().map(ListenerTls::config);
    let runtime = Arc::new(
        builder
            .build(config, Arc::new(config.routes()), handshakes, None)
            .map_err(StartError::Certificate)?,
    );
    let listener = config.admin.as_ref().map(|admin| {
        let inherited = inheritance
            .as_mut()
            .and_then(|inheritance| inheritance.socket(Purpose::Admin, admin.listen));
        inherited
            .map_or_else(|| bind(admin.listen), Ok)
            .map_err(|error| StartError::Admin(admin.listen, error))
    });
    Ok(Prepared {
        path: path.to_owned(),
        identity: loaded.identity,
        digest: loaded.digest,
        workers,
        descriptors,
        clock,
        builder,
        runtime,
        tls,
        server_tls,
        admin_tls,
        listener: listener.transpose()?,
        reading,
    })
}

impl Prepared {
    /// Returns the configuration of the file.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.reading.config
    }

    /// Opens the store and builds everything that the process starts with. Blocks.
    ///
    /// # Errors
    /// Fails if the store cannot be opened, or if its keys conflict with those of the file.
    // Longer than 60 lines: the steps of a start, in order.
    pub fn open(self) -> Result<Startup, StartError> {
        let Self {
            path,
            reading,
            identity,
            digest,
            workers,
            descriptors,
            clock,
            builder,
            runtime,
            ..
        } = self;
        let config = reading.config.clone();
        let mut loader = Loader::new(&config, runtime.routes.clone(), clock.now().unix);
        let store = open_store(&config, &mut loader)?;
        let mut table = loader.finish().map_err(|clashes| {
            let problem = |clash: &Clash| clash.problem(&path, reading.text());
            StartError::Config(Problems(clashes.iter().map(problem).collect()))
        })?;
        let revoked_in_file = table.keep_revoked();
        let (shared, calls) = Shared::new(
            Published { snapshot: table.snapshot(), runtime: runtime.clone() },
            workers,
            clock,
            descriptors,
        );
        let metrics = Arc::new(Metrics::new(shared.clone(), store.as_ref().map(KeyStore::health)));
        let registry = Arc::new(Registry::new(shared.clone(), table, runtime));
        let clock = shared.clone();
        let keys = KeyService::new(registry.clone(), store.clone(), move || clock.clock.now().unix);
        let handshakes = self.admin_tls.as_ref().map(ListenerTls::config);
        let mut controller = Controller {
            shared: shared.clone(),
            metrics,
            builder,
            registry,
            keys,
            store,
            revoked_in_file,
            calls: Some(calls),
            file: config_file(path, reading, identity, digest, &shared.clock),
            admin: AdminSocket {
                listener: self.listener,
                settings: Arc::new(ArcSwap::from_pointee(Settings {
                    admin: config.admin.clone(),
                    tls: handshakes,
                    digest,
                })),
            },
            tls: ServedTls {
                maker: self.tls,
                server: self.server_tls,
                admin: self.admin_tls,
                reported: Reported::default(),
            },
            predecessor: None,
        };
        controller.note_loaded();
        controller.look_at_certificates();
        Ok(Startup { config, shared, controller })
    }
}

/// Returns the state of a file that was read and is in force.
fn config_file(
    path: PathBuf,
    reading: Arc<Reading>,
    identity: Option<watch::Identity>,
    digest: Option<[u8; 32]>,
    clock: &Clock,
) -> ConfigFile {
    let now = watch::Moment {
        monotonic: Duration::from_nanos(clock.now().monotonic),
        wall: std::time::SystemTime::now(),
    };
    ConfigFile {
        path,
        config: reading.config.clone(),
        digest,
        differs: false,
        refused: None,
        reported: Vec::new(),
        retry: None,
        started: reload::without_keys(&reading.config),
        reading,
        watch: watch::Watch::new(identity, now),
        events: None,
    }
}

/// Opens the store, if there is one, and loads its keys.
fn open_store(config: &Config, loader: &mut Loader) -> Result<Option<KeyStore>, StartError> {
    let Some(settings) = &config.store else { return Ok(None) };
    let opened = KeyStore::open(&settings.path, |key| loader.add(&key));
    let opened = opened.map_err(|error| StartError::Store(settings.path.clone(), error))?;
    loader.add_state(opened.found);
    Ok(Some(opened.store))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// All mistakes in the file. They are also the source, so that the caller can show their places
    /// in the file.
    #[error("{0}")]
    Config(#[source] Problems),
    /// A certificate that cannot be used.
    #[error("{0}")]
    Certificate(BadCertificate),
    /// TLS cannot be used at all.
    #[error("TLS cannot be used: {0}")]
    Tls(rustls::Error),
    /// The admin address cannot be bound.
    #[error("cannot listen on the admin address {0}: {1}")]
    Admin(SocketAddr, std::io::Error),
    /// The store cannot be opened.
    #[error("the store {path} cannot be opened: {1}", path = .0.display())]
    Store(PathBuf, OpenError),
}
