//! What the pages are served from.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::view::Texts;
use crate::config::Config;
use crate::control::keys::{self, KeyOperations, KeyService, ServiceError};
use crate::control::rates::{Rate, Rates};
use crate::state::{RefusedRequest, Shared};

/// How often sessions may be opened from one network.
const OPENING: Rate = Rate::per_minute(10);

/// How many refused requests the page of a key has.
const MOST_REFUSALS: usize = 20;

/// What the pages are served from.
#[derive(Debug)]
pub(super) struct State {
    keys: KeyService,
    shared: Arc<Shared>,
    /// The runtime of the control thread.
    control: Handle,
    /// The rate limits for opening sessions, by network.
    opening: Rates<IpAddr>,
}

impl State {
    pub(super) fn new(keys: KeyService, shared: Arc<Shared>, control: Handle) -> Self {
        Self { keys, shared, control, opening: Rates::new(OPENING) }
    }

    /// Returns the running configuration.
    pub(super) fn config(&self) -> Arc<Config> {
        self.keys.config()
    }

    /// Returns the words of the pages of a host, which may have a port.
    pub(super) fn texts(&self, authority: &str) -> Arc<Texts> {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let config = self.keys.config();
        let portal = config.portal.as_ref();
        let own = portal.and_then(|portal| {
            portal.texts.iter().find(|(known, _)| known.eq_ignore_ascii_case(host))
        });
        own.map(|(_, texts)| texts.clone()).unwrap_or_default()
    }

    /// Returns the time in Unix seconds.
    pub(super) fn now(&self) -> i64 {
        self.shared.clock.now().unix
    }

    /// Returns whether a session may be opened from this network now, and counts it.
    pub(super) fn admits_opening(&self, network: IpAddr) -> bool {
        self.opening.admits(network, self.shared.clock.now().monotonic)
    }

    /// Returns the requests with a key that were refused lately, the latest first.
    pub(super) fn refused_with_key(&self, id: &str) -> Vec<RefusedRequest> {
        self.shared.refused_with_key(id, MOST_REFUSALS)
    }

    /// Makes a change on the control thread.
    ///
    /// # Errors
    /// Returns the errors of [`KeyService::change`].
    pub(super) async fn change<T, C>(
        &self,
        change: impl FnOnce(Arc<KeyOperations>) -> C + Send + 'static,
    ) -> keys::Result<T>
    where
        T: Send + 'static,
        C: Future<Output = keys::Result<T>> + Send + 'static,
    {
        let keys = self.keys.clone();
        let task = self.control.spawn(async move { keys.change(change).await });
        task.await.unwrap_or(Err(ServiceError::Unavailable))
    }

    /// Reads on the control thread.
    ///
    /// # Errors
    /// Returns the errors of [`KeyService::read`].
    pub(super) async fn read<T, L>(
        &self,
        read: impl FnOnce(Arc<KeyOperations>) -> L + Send + 'static,
    ) -> keys::Result<T>
    where
        T: Send + 'static,
        L: Future<Output = keys::Result<T>> + Send + 'static,
    {
        let keys = self.keys.clone();
        let task = self.control.spawn(async move { keys.read(read).await });
        task.await.unwrap_or(Err(ServiceError::Unavailable))
    }

    /// Revokes a key on the control thread; see [`KeyService::revoke`].
    ///
    /// # Errors
    /// Returns the errors of [`KeyService::revoke`].
    pub(super) async fn revoke(
        &self,
        actor: keys::Actor,
        id: String,
        order: keys::RevocationOrder,
    ) -> keys::Result<keys::Revoked> {
        let keys = self.keys.clone();
        let task = self.control.spawn(async move { keys.revoke(&actor, &id, order).await });
        task.await.unwrap_or(Err(ServiceError::Unavailable))
    }
}
