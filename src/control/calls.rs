//! Handles the workers' calls: requests to the APIs' own key endpoints, and requests for pages.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::state::CallRequest;

/// Limit of concurrent calls of a kind. With a hung disk, each takes long.
pub(super) const MOST_CALLS: usize = 64;

/// Decides which process handles the calls of one kind, and limits how many run at once.
#[derive(Debug)]
pub(super) struct Calls<C, A> {
    slots: Semaphore,
    /// Sends calls to the process that has taken over, or `None` while this process handles them.
    elsewhere: Mutex<Option<UnboundedSender<CallRequest<C, A>>>>,
}

impl<C: Send + 'static, A: Send + 'static> Calls<C, A> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { slots: Semaphore::new(MOST_CALLS), elsewhere: Mutex::default() })
    }

    /// Waits until no call is in progress. No further call starts until the returned permit is
    /// dropped.
    pub(super) async fn close(&self) -> SemaphorePermit<'_> {
        let all = self.slots.acquire_many(u32::try_from(MOST_CALLS).unwrap_or(u32::MAX)).await;
        all.expect("the semaphore is never closed")
    }

    /// Forwards all further calls to another process.
    pub(super) fn send_elsewhere(&self, elsewhere: UnboundedSender<CallRequest<C, A>>) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Some(elsewhere);
    }

    /// Handles calls. Does not return while there are workers.
    pub(super) async fn run<F: Future<Output = A> + Send + 'static>(
        self: Arc<Self>,
        mut calls: mpsc::Receiver<CallRequest<C, A>>,
        handle: impl Fn(C) -> F,
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
            let (handling, calls_here) = (handle(call), self.clone());
            tokio::spawn(async move {
                let answered = handling.await;
                calls_here.slots.add_permits(1);
                // The client may have disconnected.
                let _ = answer.send(answered);
            });
        }
    }
}
