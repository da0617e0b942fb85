//! The control plane: one thread, which alone changes what the workers serve by. It watches
//! `gateway.toml` and the certificates, resolves upstreams, and answers on the admin address.

mod access;
mod admin;
mod api;
mod busy_keys;
mod certificate_expiry;
mod certificates;
mod expiry;
mod explain;
mod exposition;
mod figures;
mod files;
mod guard;
mod load;
mod metrics;
mod office;
mod registry;
mod reload;
mod resolve_upstreams;
mod site;
mod table;
mod terms;
mod tls;
mod uses;
mod watch;

use crate::config::{BadCertificate, Config, Problem, Problems, Reading};
use crate::keystore::{Health, KeyStore, OpenError};
use crate::state::{Clock, Descriptors, KeyRequest, Published, Shared};
use admin::{ReloadRequest, Settings};
use arc_swap::ArcSwap;
use figures::Figures;
use files::FileEvents;
use load::load;
use office::Office;
use registry::Registry;
use reload::Cause;
use site::SiteBuilder;
use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use table::Table;
use tls::{ListenerTls, TlsMaker};
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, mpsc, watch as channel};
use tokio::time::{Instant, sleep_until, timeout};
use watch::{Decision, Event, Watch};

/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The same while the file is changing.
const LOOK_CLOSELY: Duration = Duration::from_millis(200);
/// How often the counts of keys that are gone are gone through.
const FORGET: Duration = Duration::from_secs(60);
/// How long a store may take to be closed when the process stops: its disk may hang.
const FAREWELL: Duration = Duration::from_secs(5);
/// Calls of key endpoints that are answered at once: with a disk that hangs, they take long.
const KEY_CALLS: usize = 64;
/// Reloads by request that may wait.
const RELOADS: usize = 16;

/// What the process starts with.
#[derive(Debug)]
pub struct Startup {
    /// As it stands in the file.
    pub config: Arc<Config>,
    /// The same, in force; for the workers.
    pub shared: Arc<Shared>,
    /// For the control thread.
    pub controller: Controller,
}

/// Why the process cannot start.
#[derive(Debug)]
pub enum StartError {
    /// Mistakes in the file, all of them.
    Config(Problems),
    /// A certificate that cannot be used.
    Certificate(BadCertificate),
    /// TLS cannot be used at all.
    Tls(rustls::Error),
    /// The admin address cannot be bound.
    Admin(SocketAddr, std::io::Error),
    /// The store cannot be opened.
    Store(PathBuf, OpenError),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => problems.fmt(out),
            Self::Certificate(bad) => bad.fmt(out),
            Self::Tls(error) => write!(out, "TLS cannot be used: {error}"),
            Self::Admin(address, error) => write!(out, "cannot listen on the admin address {address}: {error}"),
            Self::Store(path, error) => write!(out, "the store {} cannot be opened: {error}", path.display()),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // So that they can be shown as what they are: places in a file.
        if let Self::Config(problems) = self { Some(problems) } else { None }
    }
}

/// The control plane, ready to run.
#[derive(Debug)]
pub struct Controller {
    path: PathBuf,
    shared: Arc<Shared>,
    figures: Arc<Figures>,
    builder: SiteBuilder,
    registry: Arc<Registry>,
    store: Option<KeyStore>,
    /// Keys of the store that the file revokes, of which the store is to be told.
    revoked_in_file: Vec<String>,
    office: Office,
    key_calls: Option<mpsc::Receiver<KeyRequest>>,
    /// What runs.
    config: Arc<Config>,
    /// The last reading of the file that was put in force.
    reading: Arc<Reading>,
    /// Of the file that it is from.
    digest: Option<[u8; 32]>,
    /// What the file was like when it was last refused.
    refused: Option<(watch::Identity, [u8; 32])>,
    complained_of: Vec<Problem>,
    retry: Option<reload::Retry>,
    /// What the process was started with, without its keys.
    started: Config,
    watch: Watch,
    listener: Option<TcpListener>,
    settings: Arc<ArcSwap<Settings>>,
    tls: TlsMaker,
    server_tls: Option<ListenerTls>,
    admin_tls: Option<ListenerTls>,
    /// Of certificates that end.
    told: certificate_expiry::Told,
}

/// Loads the file and builds all that the process starts with, the admin address bound included. Names of
/// upstreams are resolved later, and one that cannot be is no reason not to start. Blocks. `listen_to_events` is called as soon as the
/// file is known, so that what the store and its keys give reason to say is heard.
///
/// # Errors
/// Whatever is wrong with the file or with what it names.
pub fn start(path: &Path, listen_to_events: impl FnOnce(&Config)) -> Result<Startup, StartError> {
    let loaded = load(path, &[], None);
    let reading = Arc::new(loaded.reading.map_err(StartError::Config)?);
    let config = reading.config.clone();
    listen_to_events(&config);
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, Into::into),
        workers => workers,
    };
    let clock = Clock::default();
    let tls = TlsMaker::new().map_err(StartError::Tls)?;
    let server_tls = config.tls.as_ref().map(|settings| tls.data(settings, None)).transpose().map_err(StartError::Certificate)?;
    let admin_tls = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    let admin_tls = admin_tls.map(|settings| tls.admin(settings, None)).transpose().map_err(StartError::Certificate)?;
    let descriptors = Arc::new(Descriptors::claim(workers));
    let mut builder = SiteBuilder::new(workers, descriptors.clients);
    let handshakes = server_tls.as_ref().map(ListenerTls::config);
    let site = Arc::new(builder.build(&config, Arc::new(config.routes()), handshakes, None).map_err(StartError::Certificate)?);
    let mut table = Table::new(&config, site.routes.clone());
    let store = open_store(&config, &mut table)?;
    table.build().map_err(|clashes| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        StartError::Config(Problems(clashes.iter().map(|clash| clash.problem(path, &text)).collect()))
    })?;
    let revoked_in_file = table.keep_revoked();
    let listener = config.admin.as_ref().map(|admin| bind(admin.listen).map_err(|error| StartError::Admin(admin.listen, error)));
    let (shared, key_calls) = Shared::new(Published { snapshot: table.snapshot(), site: site.clone() }, workers, clock, descriptors);
    let figures = Arc::new(Figures::new(shared.clone(), store.as_ref().map(KeyStore::health)));
    let registry = Arc::new(Registry::new(shared.clone(), table, site));
    let clock = shared.clone();
    let office = Office::new(registry.clone(), store.clone(), move || clock.clock.now().unix);
    let moment = watch::Moment { monotonic: Duration::from_nanos(shared.clock.now().monotonic), wall: std::time::SystemTime::now() };
    let handshakes = admin_tls.as_ref().map(ListenerTls::config);
    let settings = Settings { admin: config.admin.clone(), tls: handshakes, digest: loaded.digest };
    let mut controller = Controller {
        path: path.to_owned(),
        shared: shared.clone(),
        figures,
        builder,
        registry,
        store,
        revoked_in_file,
        office,
        key_calls: Some(key_calls),
        config: config.clone(),
        reading,
        digest: loaded.digest,
        refused: None,
        complained_of: Vec::new(),
        retry: None,
        started: reload::without_keys(&config),
        watch: Watch::new(loaded.identity, moment),
        listener: listener.transpose()?,
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        tls,
        server_tls,
        admin_tls,
        told: Default::default(),
    };
    controller.note_loaded();
    controller.look_at_certificates();
    Ok(Startup { config, shared, controller })
}

/// Opens the store, if there is one, and takes in what it knows.
fn open_store(config: &Config, table: &mut Table) -> Result<Option<KeyStore>, StartError> {
    let Some(settings) = &config.store else { return Ok(None) };
    let opened = KeyStore::open(&settings.path, |key| table.load_key(&key));
    let opened = opened.map_err(|error| StartError::Store(settings.path.clone(), error))?;
    table.load_state(opened.revocations, &opened.organizations);
    Ok(Some(opened.store))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Controller {
    /// Where the admin address was bound, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Runs on a current-thread runtime with I/O and time, loading the file at each `hangup`, until `shutdown` resolves, which should be when
    /// the workers are done: until then edits are put in force and `/readyz` tells that the process drains.
    ///
    /// # Errors
    /// The runtime cannot listen for signals or on the admin address.
    pub async fn run(mut self, mut hangup: Signal, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
        let Some(key_calls) = self.key_calls.take() else { return Ok(()) };
        self.office.note_revoked_in_file(std::mem::take(&mut self.revoked_in_file));
        let (reload_sender, mut reloads) = mpsc::channel(RELOADS);
        let (settled_sender, settled) = channel::channel(false);
        let (stop, stopped) = channel::channel(false);
        self.config.warnings.iter().for_each(reload::log);
        let resolver = tokio::spawn(resolve_upstreams::run(self.shared.clone(), settled_sender));
        let clock = tokio::spawn(follow_wall_clock(self.shared.clone()));
        let uses = tokio::spawn(uses::run(self.figures.clone(), self.store.clone()));
        let hanging = self.figures.store.clone().map(|health| tokio::spawn(tell_of_hanging_store(health)));
        let expiry = tokio::spawn(expiry::run(self.figures.clone()));
        let answering = tokio::spawn(answer_key_calls(self.office.clone(), key_calls));
        let prune = self.store.clone().zip(self.config.store.clone());
        let prune = prune.map(|(store, settings)| tokio::spawn(uses::prune(self.figures.clone(), store, settings)));
        let admin = match self.listener.take() {
            Some(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let (figures, settings) = (self.figures.clone(), self.settings.clone());
                let (registry, office) = (self.registry.clone(), self.office.clone());
                let store = self.config.store.as_ref().map(|store| store.path.clone());
                let state = Arc::new(admin::State {
                    figures,
                    settings,
                    reloads: reload_sender,
                    settled,
                    registry,
                    office,
                    store,
                    file: self.path.clone(),
                });
                Some(tokio::spawn(admin::serve(listener, state, stopped)))
            }
            None => None,
        };
        tokio::select! {
            () = shutdown => {}
            () = self.watch_all(&mut hangup, &mut reloads) => {}
        }
        // Whoever still waits for a reload is told that none will come.
        drop(reloads);
        resolver.abort();
        clock.abort();
        uses.abort();
        prune.inspect(tokio::task::JoinHandle::abort);
        answering.abort();
        hanging.inspect(tokio::task::JoinHandle::abort);
        expiry.abort();
        stop.send_replace(true);
        if let Some(admin) = admin {
            let _ = admin.await;
        }
        if timeout(FAREWELL, self.close_store()).await.is_err() {
            tracing::error!("the store does not answer; stopping without it");
        }
        Ok(())
    }

    async fn close_store(&mut self) {
        self.office.settle().await;
        uses::write_down(&self.figures, self.store.as_ref()).await;
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    /// Never ends.
    async fn watch_all(&mut self, hangup: &mut Signal, reloads: &mut mpsc::Receiver<ReloadRequest>) {
        let mut events = FileEvents::new(&self.path);
        let (mut look, mut tidy, mut forget) = (Instant::now(), Instant::now() + LOOK, Instant::now() + FORGET);
        loop {
            tokio::select! {
                happened = events.next() => self.look(&happened).await,
                Some(waiting) = reloads.recv() => {
                    // Nobody is left to be told if the connection broke meanwhile.
                    let cause = if waiting.force { Cause::Force } else { Cause::Demand };
                    let _ = waiting.answer.send(self.reload(cause).await);
                }
                Some(()) = hangup.recv() => {
                    tracing::info!("reload asked for by SIGHUP");
                    self.reload(Cause::Demand).await;
                }
                () = sleep_until(look) => {
                    events.follow();
                    self.look(&[Event::Poll]).await;
                    look = Instant::now() + if self.watch.is_unsettled() { LOOK_CLOSELY } else { LOOK };
                }
                () = sleep_until(tidy) => {
                    if self.renew_certificates() && self.refused.is_some() {
                        // An edit may have been refused for half a renewal.
                        self.reload(Cause::Demand).await;
                    }
                    self.look_at_certificates();
                    self.retry().await;
                    self.registry.sweep();
                    if Instant::now() >= forget {
                        self.figures.forget(self.registry.forget());
                        forget = Instant::now() + FORGET;
                    }
                    tidy = Instant::now() + LOOK;
                }
            }
        }
    }

    async fn look(&mut self, happened: &[Event]) {
        let path = self.path.clone();
        let Ok(identity) = tokio::task::spawn_blocking(move || files::identity(&path)).await else { return };
        match self.watch.observe(happened, identity, self.moment()) {
            Decision::Wait => {}
            Decision::Load => _ = self.reload(Cause::Edit).await,
            Decision::Gone => self.note_gone(),
        }
    }
}

/// Answers what comes to the documents' own key endpoints. Never ends while there are workers.
async fn answer_key_calls(office: Office, mut calls: mpsc::Receiver<KeyRequest>) {
    let slots = Arc::new(Semaphore::new(KEY_CALLS));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Some((call, answer)) = calls.recv().await else { return };
        // The client went away while this waited, and was perhaps told that it was not done.
        if answer.is_closed() {
            continue;
        }
        let office = office.clone();
        tokio::spawn(async move {
            // Nobody is left to be told if the client went away meanwhile.
            let _ = answer.send(office.answer(call).await);
            drop(slot);
        });
    }
}

/// A store that fails says so itself; one that hangs cannot. Never ends.
async fn tell_of_hanging_store(health: Arc<Health>) {
    let mut hung = false;
    let mut second = tokio::time::interval(LOOK);
    loop {
        second.tick().await;
        if health.hangs() != hung {
            hung = !hung;
            if hung {
                tracing::error!(queue = health.queued(), "the store does not answer");
            } else {
                tracing::info!("the store answers again");
            }
        }
    }
}

/// Expiry is judged by the wall clock, which may be set.
async fn follow_wall_clock(shared: Arc<Shared>) {
    let mut second = tokio::time::interval(LOOK);
    loop {
        second.tick().await;
        shared.clock.follow_wall_clock();
    }
}
