//! Answers what comes to the documents' own key endpoints.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::keys::KeyService;
use crate::state::KeyRequest;

/// Calls that are answered at once: with a disk that hangs, they take long.
pub(super) const KEY_CALLS: usize = 64;

/// Who answers, and how many calls at once.
#[derive(Debug)]
pub(super) struct KeyCalls {
    slots: Semaphore,
    /// To the process that has taken over.
    elsewhere: Mutex<Option<UnboundedSender<KeyRequest>>>,
}

impl KeyCalls {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { slots: Semaphore::new(KEY_CALLS), elsewhere: Mutex::default() })
    }

    /// Waits until no call is being answered; none is until what is returned is dropped.
    pub(super) async fn close(&self) -> SemaphorePermit<'_> {
        let all = self.slots.acquire_many(u32::try_from(KEY_CALLS).unwrap_or(u32::MAX)).await;
        all.expect("the semaphore is never closed")
    }

    /// Another process answers from now on.
    pub(super) fn send_elsewhere(&self, elsewhere: UnboundedSender<KeyRequest>) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Some(elsewhere);
    }

    /// Answers calls. Never ends while there are workers.
    pub(super) async fn run(
        self: Arc<Self>,
        keys: KeyService,
        mut calls: mpsc::Receiver<KeyRequest>,
    ) {
        while let Some((call, answer)) = calls.recv().await {
            let Ok(slot) = self.slots.acquire().await else { return };
            // The client went away while this waited, and was perhaps told that it was not done.
            if answer.is_closed() {
                continue;
            }
            if let Some(elsewhere) = &*self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
            {
                // If it is gone, the sender for the answer is dropped with the call.
                let _ = elsewhere.send((call, answer));
                continue;
            }
            slot.forget();
            let (keys, calls_here) = (keys.clone(), self.clone());
            tokio::spawn(async move {
                let answered = keys.answer(call).await;
                calls_here.slots.add_permits(1);
                // Nobody is left to be told if the client went away meanwhile.
                let _ = answer.send(answered);
            });
        }
    }
}
