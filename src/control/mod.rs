//! The control plane: one thread, the only one that changes the published configuration. It watches
//! `gateway.toml` and the certificates, resolves upstreams, and serves the admin address.

mod access;
mod admin;
mod api;
mod busy_keys;
mod calls;
mod certificate_expiry;
mod certificates;
mod controller;
mod expiry;
mod explain;
mod files;
mod gate;
mod grants;
mod guard;
mod keys;
mod load;
mod metrics;
mod pages;
mod pending_usage;
mod public_origin;
mod rates;
mod registry;
mod reload;
mod renew;
mod resolve_upstreams;
mod revoked;
mod runtime;
mod start;
mod table;
mod tls;
mod upgrade;
mod usage_recorder;
mod watch;

use std::future::Future;
use std::os::unix::net::UnixStream as BlockingStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, UnixStream};
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, mpsc, watch as channel};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use self::api::ReloadRequest;
use self::calls::Calls;
use self::files::FileEvents;
use self::gate::{Activity, Gate};
use self::pages::Pages;
use self::rates::{Rate, Rates};
use self::reload::Cause;
use self::upgrade::{HandoverState, UpgradeRequest};
use self::usage_recorder::Destination;
use self::watch::{Decision, Event};
use crate::keystore::Health;
use crate::state::{CallReceivers, KeyAnswer, KeyCall, PageCall, Phase, Shared};
use crate::systemd;

pub use controller::Controller;
pub use start::{Prepared, StartError, Startup, prepare};
pub use upgrade::{Handover, Inheritance, Program, Purpose};

/// Poll interval of the file, the certificates, the store and the clock.
const INTERVAL: Duration = Duration::from_secs(1);
/// Poll interval of the file while it is changing.
const CLOSE_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between removals of the counts of keys that no longer exist.
const FORGET: Duration = Duration::from_secs(60);
/// Timeout of each step that may hang when the process stops, such as closing the store on a hung
/// disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The rate of proofs of tokens.
const PROOFS: Rate = Rate { burst: 32, interval: Duration::from_millis(31) };
/// The rate of new portal sessions, for each token.
const MINTING: Rate = Rate::per_minute(60);
/// Limit of queued reload requests, and of queued upgrade requests.
const RELOADS: usize = 16;

/// The tasks beside the main loop. They end with it.
struct Background {
    /// All tasks, aborted when the loop ends.
    tasks: JoinSet<()>,
    /// The tasks that need the store.
    of_store: Vec<AbortHandle>,
    /// Where key usage is stored.
    destination: Arc<Mutex<Destination>>,
    key_calls: Arc<Calls<KeyCall, KeyAnswer>>,
    page_calls: Arc<Calls<PageCall, http::Response<Bytes>>>,
    /// Whether every upstream's name has been looked up once, successfully or not.
    settled: channel::Receiver<bool>,
}

/// The server of the admin address.
struct AdminServer {
    gate: Arc<channel::Sender<Gate>>,
    activity: Arc<Activity>,
    task: Option<JoinHandle<()>>,
}

impl Controller {
    /// Takes over from another process. Loads the file first if it has changed since it was read,
    /// so that no request is served by an older one.
    ///
    /// # Errors
    /// Fails if the previous process is gone.
    pub async fn take_over(&mut self, inheritance: Inheritance) -> std::io::Result<()> {
        // Watch before comparing, so that an edit is either found here or reported.
        self.file.events = Some(FileEvents::new(&self.file.path));
        let path = self.file.path.clone();
        let identity = tokio::task::spawn_blocking(move || files::identity(&path)).await;
        if identity.is_ok_and(|identity| identity.is_some() && self.file.watch.differs(identity)) {
            self.reload(Cause::Edit).await;
        }
        self.shared.enter(Phase::Running);
        self.predecessor = Some(inheritance.taken_over()?);
        self.shared.has_predecessor.send_replace(true);
        Ok(())
    }

    /// Runs the control plane on a current-thread runtime with I/O and time. Returns after
    /// `shutdown` resolves, which should be when the workers have ended: until then edits are put
    /// in force, and `/readyz` reports that the process drains. Loads the file at each `hangup`
    /// (SIGHUP). At each `upgrade` (SIGUSR2), another process takes over if it can.
    ///
    /// # Errors
    /// Fails if the runtime cannot register the admin socket or the socket to the previous process.
    pub async fn run(
        mut self,
        handover: Handover,
        (mut hangup, upgrade): (Signal, Signal),
        shutdown: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        let Some(calls) = self.calls.take() else { return Ok(()) };
        self.keys.note_revoked_in_file(std::mem::take(&mut self.revoked_in_file));
        self.warnings().iter().for_each(reload::log);
        let (reload_sender, mut reloads) = mpsc::channel(RELOADS);
        let (upgrade_sender, upgrades) = mpsc::channel(RELOADS);
        let mut background = self.start_background(calls);
        let predecessor = self.follow_predecessor()?;
        let admin = self.serve_admin(&background, reload_sender, upgrade_sender.clone())?;
        background.tasks.spawn(ask_for_upgrades(upgrade, upgrade_sender));
        let upgrading = tokio::spawn(upgrade::attend(
            self.handover_state(handover, &background, &admin),
            upgrades,
        ));
        tokio::select! {
            () = shutdown => {}
            () = self.watch_all(&mut hangup, &mut reloads) => {}
        }
        // Requests for a reload that still wait get an error, because their senders are dropped.
        drop(reloads);
        background.tasks.abort_all();
        admin.gate.send_replace(Gate::Shut);
        if let Some(task) = admin.task {
            let _ = task.await;
        }
        let relay = timeout(STOP_TIMEOUT, upgrading).await.ok().and_then(Result::ok).flatten();
        if timeout(STOP_TIMEOUT, self.close_store(&background.destination)).await.is_err() {
            tracing::error!("the store does not answer; stopping without it");
        }
        if let Some(relay) = relay {
            // All key usage has been sent. The relay ends when the sender to it is dropped.
            *background.destination.lock().await = Destination::Nowhere;
            let _ = timeout(STOP_TIMEOUT, relay).await;
        }
        predecessor.inspect(JoinHandle::abort);
        Ok(())
    }

    fn start_background(&self, calls: CallReceivers) -> Background {
        let (settled_sender, settled) = channel::channel(false);
        let (shared, metrics) = (&self.shared, &self.metrics);
        let destination = self.store.clone().map_or(Destination::Nowhere, Destination::Store);
        let destination = Arc::new(Mutex::new(destination));
        let (key_calls, page_calls) = (Calls::new(), Calls::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(resolve_upstreams::run(shared.clone(), settled_sender));
        tasks.spawn(follow_wall_clock(shared.clone()));
        tasks.spawn(usage_recorder::run(metrics.clone(), destination.clone()));
        tasks.spawn(expiry::run(metrics.clone(), self.keys.clone()));
        let keys = self.keys.clone();
        let answer = move |call| {
            let keys = keys.clone();
            async move { keys.answer(call).await }
        };
        tasks.spawn(key_calls.clone().run(calls.keys, answer));
        let pages = Pages::new(self.keys.clone(), shared.clone());
        let show = move |call| {
            let pages = pages.clone();
            async move { pages.answer(call).await }
        };
        tasks.spawn(page_calls.clone().run(calls.pages, show));
        let mut of_store = Vec::new();
        if let Some(health) = metrics.store.clone() {
            of_store.push(tasks.spawn(warn_of_hanging_store(health)));
        }
        if let Some((store, settings)) = self.store.clone().zip(self.file.config.store.clone()) {
            of_store.push(tasks.spawn(usage_recorder::prune(metrics.clone(), store, settings)));
        }
        Background { tasks, of_store, destination, key_calls, page_calls, settled }
    }

    /// Starts the exchange of messages with the previous process, which lasts until that one ends.
    /// Returns the task, or `None` if there is no previous process.
    fn follow_predecessor(&mut self) -> std::io::Result<Option<JoinHandle<()>>> {
        let Some(stream) = self.predecessor.take() else { return Ok(None) };
        BlockingStream::set_nonblocking(&stream, true)?;
        let stream = UnixStream::from_std(stream)?;
        let (registry, metrics) = (self.registry.clone(), self.metrics.clone());
        Ok(Some(tokio::spawn(upgrade::follow(stream, registry, metrics))))
    }

    fn serve_admin(
        &mut self,
        background: &Background,
        reloads: mpsc::Sender<ReloadRequest>,
        upgrades: mpsc::Sender<UpgradeRequest>,
    ) -> std::io::Result<AdminServer> {
        let gate = Arc::new(channel::Sender::new(Gate::Open));
        let activity = Arc::<Activity>::default();
        let Some(listener) = self.admin.listener.take() else {
            return Ok(AdminServer { gate, activity, task: None });
        };
        let listener = TcpListener::from_std(listener)?;
        let state = Arc::new(api::State {
            metrics: self.metrics.clone(),
            settings: self.admin.settings.clone(),
            reloads,
            upgrades,
            proofs: Rates::new(PROOFS),
            minting: Rates::new(MINTING),
            settled: background.settled.clone(),
            registry: self.registry.clone(),
            keys: self.keys.clone(),
            store: self.file.config.store.as_ref().map(|store| store.path.clone()),
            file: self.file.path.clone(),
        });
        let task = tokio::spawn(admin::serve(listener, state, gate.subscribe(), activity.clone()));
        Ok(AdminServer { gate, activity, task: Some(task) })
    }

    fn handover_state(
        &self,
        handover: Handover,
        background: &Background,
        admin: &AdminServer,
    ) -> HandoverState {
        let path = self.file.config.store.as_ref().map(|store| store.path.clone());
        HandoverState {
            handover,
            shared: self.shared.clone(),
            registry: self.registry.clone(),
            metrics: self.metrics.clone(),
            store: self.store.clone().zip(path),
            destination: background.destination.clone(),
            keys: self.keys.clone(),
            key_calls: background.key_calls.clone(),
            page_calls: background.page_calls.clone(),
            gate: admin.gate.clone(),
            admin_activity: admin.activity.clone(),
            tasks: background.of_store.clone(),
        }
    }

    async fn close_store(&mut self, destination: &Mutex<Destination>) {
        let destination = destination.lock().await;
        self.keys.flush().await;
        usage_recorder::write_down(&self.metrics, &destination).await;
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    /// Watches the file and the certificates, and handles requests for a reload. Never returns.
    async fn watch_all(
        &mut self,
        hangup: &mut Signal,
        reloads: &mut mpsc::Receiver<ReloadRequest>,
    ) {
        let mut events =
            self.file.events.take().unwrap_or_else(|| FileEvents::new(&self.file.path));
        let (mut look, mut tidy, mut forget) =
            (Instant::now(), Instant::now() + INTERVAL, Instant::now() + FORGET);
        loop {
            tokio::select! {
                happened = events.next() => self.look(&happened).await,
                Some(waiting) = reloads.recv() => {
                    // The client may have disconnected.
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
                    let is_unsettled = self.file.watch.is_unsettled();
                    look = Instant::now() + if is_unsettled { CLOSE_INTERVAL } else { INTERVAL };
                }
                () = sleep_until(tidy) => {
                    if self.renew_certificates() && self.file.refused.is_some() {
                        // An edit may have been refused because a renewal was incomplete.
                        self.reload(Cause::Demand).await;
                    }
                    self.look_at_certificates();
                    self.retry().await;
                    self.keys.note_revoked_in_file(self.registry.take_unrecorded());
                    self.registry.sweep();
                    self.registry.forget_dead(self.shared.clock.now().unix);
                    self.metrics.forget(self.registry.forget_collected());
                    if Instant::now() >= forget {
                        self.metrics.forget(self.registry.forget());
                        self.metrics.run_upkeep();
                        forget = Instant::now() + FORGET;
                    }
                    tidy = Instant::now() + INTERVAL;
                }
            }
        }
    }

    async fn look(&mut self, happened: &[Event]) {
        let path = self.file.path.clone();
        let Ok(identity) = tokio::task::spawn_blocking(move || files::identity(&path)).await else {
            return;
        };
        match self.file.watch.observe(happened, identity, self.moment()) {
            Decision::Wait => {}
            Decision::Load => _ = self.reload(Cause::Edit).await,
            Decision::Gone => self.note_gone(),
        }
    }
}

/// Requests an upgrade at each signal, and logs a failure. Does not return while the process can be
/// upgraded.
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

/// Logs when the store hangs and when it responds again. The store logs its other failures itself.
/// Never returns.
async fn warn_of_hanging_store(health: Arc<Health>) {
    let mut hung = false;
    let mut second = tokio::time::interval(INTERVAL);
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

/// Follows changes of the wall clock, by which keys expire. Never returns.
async fn follow_wall_clock(shared: Arc<Shared>) {
    let mut second = tokio::time::interval(INTERVAL);
    loop {
        second.tick().await;
        shared.clock.follow_wall_clock();
    }
}
