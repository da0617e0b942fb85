//! The admin address: its connections. What they are answered is in `api`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::api::{self, Encrypted, ReloadRequest};
use super::figures::Figures;
use super::office::Office;
use super::registry::Registry;
use super::upgrade::UpgradeRequest;
use crate::config::Admin;

/// Connections served at once.
const CONNECTIONS: usize = 64;
/// For the TLS handshake, for a request's head, for its body, and between two requests.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether one can be closed, while all of them are busy.
const LOOK: Duration = Duration::from_millis(50);
/// How long the first request of a connection may take to come when no more are wanted.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// How long connections may take to finish when the process stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not now: those that come wait in the system's queue. Those that are open end with their
    /// request.
    Closed,
    /// Nor ever again.
    Shut,
}

/// What an edit may change.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Nothing: `[admin]` is gone, and only a restart closes the address.
    pub(super) admin: Option<Admin>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// Of the file that runs; nothing: what runs is no file.
    pub(super) digest: Option<[u8; 32]>,
}

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct State {
    pub(super) figures: Arc<Figures>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) reloads: mpsc::Sender<ReloadRequest>,
    pub(super) upgrades: mpsc::Sender<UpgradeRequest>,
    /// Every upstream's name has been resolved, or tried.
    pub(super) settled: watch::Receiver<bool>,
    pub(super) registry: Arc<Registry>,
    pub(super) office: Office,
    /// `gateway.toml`.
    pub(super) file: PathBuf,
    /// The store's file; backups are put beside it.
    pub(super) store: Option<PathBuf>,
}

/// One that is open.
struct Open {
    /// Whether a request is being answered.
    busy: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Those that are open, the oldest first.
#[derive(Default)]
struct Connections(VecDeque<Open>);

impl Connections {
    /// Makes room for one more, if need be by closing the one that has been open for the longest
    /// without asking anything: silent connections, however many, must not keep anybody from the
    /// figures. Whether there is room.
    fn make_room(&mut self) -> bool {
        self.0.retain(|open| !open.task.is_finished());
        if self.0.len() < CONNECTIONS {
            return true;
        }
        let silent = self.0.iter().position(|open| !open.busy.load(Ordering::Relaxed));
        silent.and_then(|at| self.0.remove(at)).inspect(|open| open.task.abort()).is_some()
    }
}

/// A request that is being answered.
struct Answering {
    busy: Arc<AtomicBool>,
    all: Arc<AtomicUsize>,
}

impl Answering {
    fn begin(busy: &Arc<AtomicBool>, all: &Arc<AtomicUsize>) -> Self {
        busy.store(true, Ordering::Relaxed);
        all.fetch_add(1, Ordering::Relaxed);
        Self { busy: busy.clone(), all: all.clone() }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves whenever the gate is open until it is shut, then lets connections finish. Counts the
/// requests that are being answered.
pub(super) async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    mut gate: watch::Receiver<Gate>,
    answering: Arc<AtomicUsize>,
) {
    let mut connections = Connections::default();
    let mut tasks = JoinSet::new();
    let router = api::router(state.clone());
    loop {
        match gate.wait_for(|gate| *gate != Gate::Closed).await.as_deref() {
            Ok(Gate::Open) => {}
            Ok(Gate::Closed) => continue,
            Ok(Gate::Shut) | Err(_) => break,
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = gate.wait_for(|gate| *gate != Gate::Open) => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        let room = async {
            while !connections.make_room() {
                let _ = timeout(LOOK, tasks.join_next()).await;
            }
        };
        tokio::select! {
            biased; // whoever was accepted is served if there is room
            () = room => {}
            _ = gate.wait_for(|gate| *gate == Gate::Shut) => break,
        }
        let busy = Arc::new(AtomicBool::new(false));
        let (state, router, gate, answering) =
            (state.clone(), router.clone(), gate.clone(), answering.clone());
        let task = tasks.spawn(converse(stream, state, router, gate, (busy.clone(), answering)));
        connections.0.push_back(Open { busy, task });
    }
    drop(listener);
    let _ = timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Whether this connection's request is being answered, and how many of all connections are.
type Answered = (Arc<AtomicBool>, Arc<AtomicUsize>);

async fn converse(
    stream: TcpStream,
    state: Arc<State>,
    router: Router,
    gate: watch::Receiver<Gate>,
    answered: Answered,
) {
    let tls = state.settings.load().tls.clone();
    match tls {
        None => connection(stream, false, router, gate, answered).await,
        Some(config) => {
            let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = timeout(PATIENCE, handshake).await {
                connection(stream, true, router, gate, answered).await;
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    encrypted: bool,
    router: Router,
    mut gate: watch::Receiver<Gate>,
    (busy, all): Answered,
) {
    let router = TowerToHyperService::new(router);
    let asked = gate.clone();
    let (begins, mut begun) = watch::channel(false);
    let service = service_fn(move |mut request| {
        begins.send_replace(true);
        request.extensions_mut().insert(Encrypted(encrypted));
        let (router, mut gate, busy, all) =
            (router.clone(), asked.clone(), busy.clone(), all.clone());
        async move {
            // A request that comes while the store changes hands waits; nothing may change
            // meanwhile.
            let _ = gate.wait_for(|gate| *gate != Gate::Closed).await;
            let _answering = Answering::begin(&busy, &all);
            router.call(request).await.map(api::finish)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let closed = async {
        let _ = gate.wait_for(|gate| *gate != Gate::Open).await;
        // A connection that has just been made would be closed at once, with the request that is on
        // its way.
        let _ = timeout(ON_ITS_WAY, begun.wait_for(|begun| *begun)).await;
    };
    tokio::select! {
        // A connection that breaks is the scraper's affair.
        _ = connection.as_mut() => return,
        () = closed => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
