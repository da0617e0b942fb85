//! What requests to the admin address are answered from.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::proof_rate::ProofRate;
use super::reload::ReloadRequest;
use crate::config::Admin;
use crate::control::keys::KeyService;
use crate::control::metrics::Metrics;
use crate::control::registry::Registry;
use crate::control::upgrade::UpgradeRequest;

/// What an edit may change.
#[derive(Debug, Default)]
pub(in crate::control) struct Settings {
    /// Nothing: `[admin]` is gone, and only a restart closes the address.
    pub(in crate::control) admin: Option<Admin>,
    pub(in crate::control) tls: Option<Arc<rustls::ServerConfig>>,
    /// Of the file that runs; nothing: what runs is no file.
    pub(in crate::control) digest: Option<[u8; 32]>,
}

/// What requests are answered from.
#[derive(Debug)]
pub(in crate::control) struct State {
    pub(in crate::control) metrics: Arc<Metrics>,
    pub(in crate::control) settings: Arc<ArcSwap<Settings>>,
    pub(in crate::control) reloads: mpsc::Sender<ReloadRequest>,
    pub(in crate::control) upgrades: mpsc::Sender<UpgradeRequest>,
    pub(in crate::control) proofs: ProofRate,
    /// Every upstream's name has been resolved, or tried.
    pub(in crate::control) settled: watch::Receiver<bool>,
    pub(in crate::control) registry: Arc<Registry>,
    pub(in crate::control) keys: KeyService,
    /// `gateway.toml`.
    pub(in crate::control) file: PathBuf,
    /// The store's file; backups are put beside it.
    pub(in crate::control) store: Option<PathBuf>,
}
