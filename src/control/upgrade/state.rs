//! The handover state of the running process, and what it has given up during an upgrade.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, SemaphorePermit, watch};
use tokio::task::AbortHandle;

use super::message::Purpose;
use super::program::Program;
use crate::control::calls::Calls;
use crate::control::gate::{Activity, Gate};
use crate::control::keys::KeyService;
use crate::control::metrics::Metrics;
use crate::control::registry::Registry;
use crate::control::usage_recorder::Destination;
use crate::keystore::KeyStore;
use crate::state::{KeyAnswer, KeyCall, PageCall, Phase, Shared};

/// Timeout for calls in progress to finish.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a process needs to hand over.
#[derive(Debug)]
pub struct Handover {
    /// The program to start, or `None` if this process cannot be upgraded.
    pub program: Option<Program>,
    /// The listening sockets, with their addresses as the configuration names them.
    pub sockets: Vec<(Purpose, SocketAddr, TcpListener)>,
}

/// The handover state: everything that an upgrade touches.
#[derive(Debug)]
pub(in crate::control) struct HandoverState {
    pub(in crate::control) handover: Handover,
    pub(in crate::control) shared: Arc<Shared>,
    pub(in crate::control) registry: Arc<Registry>,
    pub(in crate::control) metrics: Arc<Metrics>,
    pub(in crate::control) store: Option<(KeyStore, PathBuf)>,
    pub(in crate::control) destination: Arc<Mutex<Destination>>,
    pub(in crate::control) keys: KeyService,
    pub(in crate::control) key_calls: Arc<Calls<KeyCall, KeyAnswer>>,
    pub(in crate::control) page_calls: Arc<Calls<PageCall, Response<Bytes>>>,
    /// The gate of the admin address.
    pub(in crate::control) gate: Arc<watch::Sender<Gate>>,
    pub(in crate::control) admin_activity: Arc<Activity>,
    /// Tasks that need the store.
    pub(in crate::control) tasks: Vec<AbortHandle>,
}

/// What has been given up so far. A failed upgrade reverts it.
#[derive(Default)]
pub(super) struct GivenUp<'e> {
    pub(super) gate_closed: bool,
    pub(super) calls: Option<[SemaphorePermit<'e>; 2]>,
    /// The lock on changes, which continue even if their client has disconnected.
    pub(super) changes: Option<MutexGuard<'e, ()>>,
    pub(super) destination: Option<OwnedMutexGuard<Destination>>,
    pub(super) store_closed: bool,
    pub(super) switched: bool,
}

impl HandoverState {
    /// Resolves when this process has been asked to stop.
    pub(super) async fn stops(&self) {
        // The sender lives in `shared`, so there is no error.
        let _ = self.shared.phase().wait_for(|phase| *phase >= Phase::Leaving).await;
    }
}
