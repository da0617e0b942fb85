//! The state that requests to the admin address are served from.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::reload::ReloadRequest;
use crate::config::Admin;
use crate::control::keys::KeyService;
use crate::control::metrics::Metrics;
use crate::control::rates::Rates;
use crate::control::registry::Registry;
use crate::control::upgrade::UpgradeRequest;

/// The settings that an edit of the file may change.
#[derive(Debug, Default)]
pub(in crate::control) struct Settings {
    /// `None`: `[admin]` was removed. Only a restart closes the address.
    pub(in crate::control) admin: Option<Admin>,
    pub(in crate::control) tls: Option<Arc<rustls::ServerConfig>>,
    /// SHA-256 of the file in force. `None`: what is in force is not the content of a file.
    pub(in crate::control) digest: Option<[u8; 32]>,
}

/// The state that requests are served from.
#[derive(Debug)]
pub(in crate::control) struct State {
    pub(in crate::control) metrics: Arc<Metrics>,
    pub(in crate::control) settings: Arc<ArcSwap<Settings>>,
    pub(in crate::control) reloads: mpsc::Sender<ReloadRequest>,
    pub(in crate::control) upgrades: mpsc::Sender<UpgradeRequest>,
    /// The rate limit for proofs, shared by all clients. A proof needs no token, so strangers could
    /// otherwise cause any amount of computation.
    pub(in crate::control) proofs: Rates<()>,
    /// The rate limits for new portal sessions, by the name of the token.
    pub(in crate::control) minting: Rates<String>,
    /// Whether the name of every upstream has been resolved, or at least tried.
    pub(in crate::control) settled: watch::Receiver<bool>,
    pub(in crate::control) registry: Arc<Registry>,
    pub(in crate::control) keys: KeyService,
    /// The path of `gateway.toml`.
    pub(in crate::control) file: PathBuf,
    /// The path of the store. Backups are written beside it.
    pub(in crate::control) store: Option<PathBuf>,
}
