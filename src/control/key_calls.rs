//! Handles the requests to the APIs' own key endpoints.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::keys::KeyService;
use crate::state::KeyRequest;

/// Limit of concurrent calls. With a hung disk, each takes long.
pub(super) const KEY_CALLS: usize = 64;

/// Decides which process handles the calls, and limits how many run at once.
#[derive(Debug)]
pub(super) struct KeyCalls {
    slots: Semaphore,
    /// Sends calls to the process that has taken over, or `None` while this process handles them.
    elsewhere: Mutex<Option<UnboundedSender<KeyRequest>>>,
}

impl KeyCalls {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { slots: Semaphore::new(KEY_CALLS), elsewhere: Mutex::default() })
    }

    /// Waits until no call is in progress. No further call starts until the returned permit is
    /// dropped.
    pub(super) async fn close(&self) -> SemaphorePermit<'_> {
        let all = self.slots.acquire_many(u32::try_from(KEY_CALLS).unwrap_or(u32::MAX)).await;
        all.expect("the semaphore is never closed")
    }

    /// Forwards all further calls to another process.
    pub(super) fn send_elsewhere(&self, elsewhere: UnboundedSender<KeyRequest>) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Some(elsewhere);
    }

    /// Handles calls. Does not return while there are workers.
    pub(super) async fn run(
        self: Arc<Self>,
        keys: KeyService,
        mut calls: mpsc::Receiver<KeyRequest>,
    ) {
        while let Some((call, answer)) = calls.recv().await {
            let Ok(slot) = self.slots.acquire().await else { return };
            // Nobody waits for the response: the client has disconnected, or the worker has timed
            // out and may have reported that nothing was done.
            if answer.is_closed() {
                continue;
            }
            if let Some(elsewhere) = &*self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
            {
                // If the other process is gone, the call is dropped together with the sender for
                // its response.
                let _ = elsewhere.send((call, answer));
                continue;
            }
            slot.forget();
            let (keys, calls_here) = (keys.clone(), self.clone());
            tokio::spawn(async move {
                let answered = keys.answer(call).await;
                calls_here.slots.add_permits(1);
                // The client may have disconnected.
                let _ = answer.send(answered);
            });
        }
    }
}
