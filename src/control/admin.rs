//! The admin address: its connections. What they are answered is in `api`.

use super::api::{self, Encrypted};
use super::figures::Figures;
use super::office::Office;
use super::registry::Registry;
use super::upgrade::UpgradeRequest;
use crate::config::Admin;
use arc_swap::ArcSwap;
use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

/// Connections served at once; more wait in the system's queue.
pub(super) const CONNECTIONS: usize = 64;
/// For the TLS handshake, for a request's head, for its body, and between two requests.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long connections may take to finish when the process stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What `POST /v1/reload` is answered with.
#[derive(Debug)]
pub(super) enum ReloadReport {
    /// In force.
    Accepted {
        /// What is different now.
        changes: Vec<String>,
        /// What will be after a restart.
        needs_restart: Vec<String>,
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// What runs has not changed.
    Refused {
        /// Why.
        errors: Vec<String>,
    },
}

/// Somebody who waits for a reload.
#[derive(Debug)]
pub(super) struct ReloadRequest {
    /// Whether the file may drop as many keys as it likes.
    pub(super) force: bool,
    pub(super) answer: oneshot::Sender<ReloadReport>,
}

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not now: those that come wait in the system's queue. Those that are open end with their request.
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

/// Serves whenever the gate is open until it is shut, then lets connections finish. `slots` are [`CONNECTIONS`].
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, mut gate: watch::Receiver<Gate>, slots: Arc<Semaphore>) {
    let router = api::router(state.clone());
    loop {
        match gate.wait_for(|gate| *gate != Gate::Closed).await.as_deref() {
            Ok(Gate::Open) => {}
            Ok(Gate::Closed) => continue,
            Ok(Gate::Shut) | Err(_) => break,
        }
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = gate.wait_for(|gate| *gate != Gate::Open) => continue,
        };
        let Ok(slot) = slot else { break };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (state, router, gate) = (state.clone(), router.clone(), gate.clone());
        tokio::spawn(async move {
            let tls = state.settings.load().tls.clone();
            match tls {
                None => connection(stream, false, router, gate).await,
                Some(config) => {
                    let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
                    if let Ok(Ok(stream)) = timeout(PATIENCE, handshake).await {
                        connection(stream, true, router, gate).await;
                    }
                }
            }
            drop(slot);
        });
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(FAREWELL, slots.acquire_many(all)).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    encrypted: bool,
    router: Router,
    mut gate: watch::Receiver<Gate>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(Encrypted(encrypted));
        let answer = router.call(request);
        async move { answer.await.map(api::finish) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A connection that breaks is the scraper's affair.
        _ = connection.as_mut() => return,
        _ = gate.wait_for(|gate| *gate != Gate::Open) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
