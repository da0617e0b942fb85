//! What the running process hands over, and what it has given up meanwhile.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, SemaphorePermit, watch};
use tokio::task::AbortHandle;

use super::message::Purpose;
use super::program::Program;
use crate::control::gate::Gate;
use crate::control::key_calls::KeyCalls;
use crate::control::keys::KeyService;
use crate::control::metrics::Metrics;
use crate::control::registry::Registry;
use crate::control::usage_recorder::Destination;
use crate::keystore::KeyStore;
use crate::state::{Phase, Shared};

/// How long calls that are being answered may hold it up.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a process needs to hand over.
#[derive(Debug)]
pub struct Handover {
    /// What to start; nothing: this process cannot be upgraded.
    pub program: Option<Program>,
    /// The listening sockets, with the addresses as the configuration names them.
    pub sockets: Vec<(Purpose, SocketAddr, TcpListener)>,
}

/// What is handed over.
#[derive(Debug)]
pub(in crate::control) struct HandoverState {
    pub(in crate::control) handover: Handover,
    pub(in crate::control) shared: Arc<Shared>,
    pub(in crate::control) registry: Arc<Registry>,
    pub(in crate::control) metrics: Arc<Metrics>,
    pub(in crate::control) store: Option<(KeyStore, PathBuf)>,
    pub(in crate::control) destination: Arc<Mutex<Destination>>,
    pub(in crate::control) keys: KeyService,
    pub(in crate::control) key_desk: Arc<KeyCalls>,
    /// Of the admin address.
    pub(in crate::control) gate: Arc<watch::Sender<Gate>>,
    /// How many requests are being answered there.
    pub(in crate::control) answering_admin: Arc<watch::Sender<usize>>,
    /// Tasks that have no purpose without the store.
    pub(in crate::control) tasks: Vec<AbortHandle>,
}

/// What has been given up so far, and is taken back if the upgrade fails.
#[derive(Default)]
pub(super) struct GivenUp<'e> {
    pub(super) gate_closed: bool,
    pub(super) key_calls: Option<SemaphorePermit<'e>>,
    /// Of changes that go on although whoever asked for them has left.
    pub(super) changes: Option<MutexGuard<'e, ()>>,
    pub(super) destination: Option<OwnedMutexGuard<Destination>>,
    pub(super) store_closed: bool,
    pub(super) switched: bool,
}

impl HandoverState {
    /// Resolves when this process has been told to stop.
    pub(super) async fn stops(&self) {
        // The sender lives in `shared`, so there is no error.
        let _ = self.shared.phase().wait_for(|phase| *phase >= Phase::Leaving).await;
    }
}
