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
mod key_calls;
mod load;
mod metrics;
mod office;
mod registry;
mod reload;
mod renew;
mod resolve_upstreams;
mod revoked;
mod site;
mod start;
mod table;
mod terms;
mod tls;
mod upgrade;
mod uses;
mod watch;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use admin::{Gate, Settings};
use api::ReloadRequest;
use arc_swap::ArcSwap;
use figures::Figures;
use files::FileEvents;
use key_calls::KeyDesk;
use office::Office;
use registry::Registry;
use reload::Cause;
use site::SiteBuilder;
use tls::{ListenerTls, TlsMaker};
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, mpsc, watch as channel};
use tokio::time::{Instant, sleep_until, timeout};
use upgrade::{Estate, UpgradeRequest};
use uses::Destination;
use watch::{Decision, Event, Watch};

use crate::config::{Config, Problem, Reading};
use crate::keystore::{Health, KeyStore};
use crate::policy::AccountState;
use crate::state::{KeyRequest, Phase, Shared};
use crate::systemd;

pub use start::{Prepared, StartError, Startup, prepare};
pub use upgrade::{Handover, Inheritance, Program, Purpose};

/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The same while the file is changing.
const LOOK_CLOSELY: Duration = Duration::from_millis(200);
/// How often the counts of keys that are gone are gone through.
const FORGET: Duration = Duration::from_secs(60);
/// How long a store may take to be closed when the process stops: its disk may hang.
const FAREWELL: Duration = Duration::from_secs(5);
/// Reloads and upgrades by request that may wait.
const RELOADS: usize = 16;

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
    /// The process from which this one has taken over.
    predecessor: Option<UnixStream>,
    /// If the file is watched already.
    events: Option<FileEvents>,
    settings: Arc<ArcSwap<Settings>>,
    tls: TlsMaker,
    server_tls: Option<ListenerTls>,
    admin_tls: Option<ListenerTls>,
    /// Of certificates that end.
    told: certificate_expiry::Told,
}

impl Controller {
    /// Where the admin address was bound, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The admin socket as it is handed over, with the address as the file names it.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn admin_socket(&self) -> std::io::Result<Option<(Purpose, SocketAddr, TcpListener)>> {
        let Some((admin, listener)) = self.config.admin.as_ref().zip(self.listener.as_ref()) else {
            return Ok(None);
        };
        Ok(Some((Purpose::Admin, admin.listen, listener.try_clone()?)))
    }

    /// Goes on with what another process knew of keys.
    fn import(&self, known: &[(Box<str>, AccountState)]) {
        self.registry.import(known);
    }

    /// Takes over from another process: what has changed in the file since it was read is put in
    /// force before anybody is served.
    ///
    /// # Errors
    /// The process before is gone.
    pub async fn take_over(&mut self, inheritance: Inheritance) -> std::io::Result<()> {
        // First, so that an edit is either found here or told of.
        self.events = Some(FileEvents::new(&self.path));
        let path = self.path.clone();
        let identity = tokio::task::spawn_blocking(move || files::identity(&path)).await;
        if identity.is_ok_and(|identity| identity.is_some() && self.watch.differs(identity)) {
            self.reload(Cause::Edit).await;
        }
        self.shared.enter(Phase::Running);
        self.predecessor = Some(inheritance.taken_over()?);
        self.shared.has_predecessor.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs on a current-thread runtime with I/O and time, loading the file at each `hangup`, until
    /// `shutdown` resolves, which should be when the workers are done: until then edits are put in
    /// force and `/readyz` tells that the process drains. At each `upgrade`, another process takes
    /// over if it can.
    ///
    /// # Errors
    /// The runtime cannot listen for signals or on the admin address.
    pub async fn run(
        mut self,
        handover: Handover,
        (mut hangup, upgrade): (Signal, Signal),
        shutdown: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        let Some(key_calls) = self.key_calls.take() else { return Ok(()) };
        self.office.note_revoked_in_file(std::mem::take(&mut self.revoked_in_file));
        let (reload_sender, mut reloads) = mpsc::channel(RELOADS);
        let (upgrade_sender, upgrades) = mpsc::channel(RELOADS);
        let (settled_sender, settled) = channel::channel(false);
        let gate = Arc::new(channel::Sender::new(Gate::Open));
        let answering_admin = Arc::new(AtomicUsize::new(0));
        let key_desk = KeyDesk::new();
        let destination = self.store.clone().map_or(Destination::Nowhere, Destination::Store);
        let destination = Arc::new(Mutex::new(destination));
        self.warnings().iter().for_each(reload::log);
        let resolver = tokio::spawn(resolve_upstreams::run(self.shared.clone(), settled_sender));
        let clock = tokio::spawn(follow_wall_clock(self.shared.clone()));
        let uses = tokio::spawn(uses::run(self.figures.clone(), destination.clone()));
        let hanging =
            self.figures.store.clone().map(|health| tokio::spawn(tell_of_hanging_store(health)));
        let expiry = tokio::spawn(expiry::run(self.figures.clone()));
        let answering = tokio::spawn(key_desk.clone().run(self.office.clone(), key_calls));
        let prune = self.store.clone().zip(self.config.store.clone());
        let prune = prune.map(|(store, settings)| {
            tokio::spawn(uses::prune(self.figures.clone(), store, settings))
        });
        let predecessor = self.predecessor.take().map(|stream| {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(stream)?;
            std::io::Result::Ok(tokio::spawn(upgrade::follow(
                stream,
                self.registry.clone(),
                self.figures.clone(),
            )))
        });
        let predecessor = predecessor.transpose()?;
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
                    upgrades: upgrade_sender.clone(),
                    settled,
                    registry,
                    office,
                    store,
                    file: self.path.clone(),
                });
                Some(tokio::spawn(admin::serve(
                    listener,
                    state,
                    gate.subscribe(),
                    answering_admin.clone(),
                )))
            }
            None => None,
        };
        let tasks =
            prune.iter().chain(&hanging).map(tokio::task::JoinHandle::abort_handle).collect();
        let estate = Estate {
            handover,
            shared: self.shared.clone(),
            registry: self.registry.clone(),
            figures: self.figures.clone(),
            store: self
                .store
                .clone()
                .zip(self.config.store.as_ref().map(|store| store.path.clone())),
            destination: destination.clone(),
            office: self.office.clone(),
            key_desk,
            gate: gate.clone(),
            answering_admin,
            tasks,
        };
        let asking = tokio::spawn(ask_for_upgrades(upgrade, upgrade_sender));
        let attending = tokio::spawn(upgrade::attend(estate, upgrades));
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
        asking.abort();
        gate.send_replace(Gate::Shut);
        if let Some(admin) = admin {
            let _ = admin.await;
        }
        let relay = timeout(FAREWELL, attending).await.ok().and_then(Result::ok).flatten();
        if timeout(FAREWELL, self.close_store(&destination)).await.is_err() {
            tracing::error!("the store does not answer; stopping without it");
        }
        if let Some(relay) = relay {
            // Its last uses are told.
            *destination.lock().await = Destination::Nowhere;
            let _ = timeout(FAREWELL, relay).await;
        }
        predecessor.inspect(tokio::task::JoinHandle::abort);
        Ok(())
    }

    async fn close_store(&mut self, destination: &Mutex<Destination>) {
        let destination = destination.lock().await;
        self.office.settle().await;
        uses::write_down(&self.figures, &destination).await;
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    /// Never ends.
    async fn watch_all(
        &mut self,
        hangup: &mut Signal,
        reloads: &mut mpsc::Receiver<ReloadRequest>,
    ) {
        let mut events = self.events.take().unwrap_or_else(|| FileEvents::new(&self.path));
        let (mut look, mut tidy, mut forget) =
            (Instant::now(), Instant::now() + LOOK, Instant::now() + FORGET);
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
                    systemd::notify_reloading();
                    self.reload(Cause::Demand).await;
                    systemd::notify("READY=1");
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
                    self.office.note_revoked_in_file(self.registry.take_untold());
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
        let Ok(identity) = tokio::task::spawn_blocking(move || files::identity(&path)).await else {
            return;
        };
        match self.watch.observe(happened, identity, self.moment()) {
            Decision::Wait => {}
            Decision::Load => _ = self.reload(Cause::Edit).await,
            Decision::Gone => self.note_gone(),
        }
    }
}

/// Asks for an upgrade at each signal; the log tells what came of it. Never ends.
async fn ask_for_upgrades(mut signal: Signal, requests: mpsc::Sender<UpgradeRequest>) {
    while signal.recv().await.is_some() {
        tracing::info!("upgrade asked for by SIGUSR2");
        let (answer, outcome) = tokio::sync::oneshot::channel();
        if requests.send(UpgradeRequest { waiting: 0, answer }).await.is_err() {
            return;
        }
        tokio::spawn(async move {
            if let Ok(Err(why)) = outcome.await {
                tracing::error!(%why, "no upgrade");
            }
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
