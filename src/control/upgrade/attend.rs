//! The running process: performs one upgrade after another until one succeeds.

use std::process::Child;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::relay::{self, Outbox};
use super::request::{Failed, Refused, TAKEOVER_TIMEOUT, UpgradeRequest};
use super::state::{GivenUp, HandoverState, SETTLE_TIMEOUT};
use crate::control::gate::Gate;
use crate::control::usage_recorder::Destination;
use crate::state::Phase;

/// How often to retry opening the store after a failed upgrade, and the delay between attempts.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Performs one upgrade after another until one succeeds or this process stops.
///
/// Returns the task that then communicates with the new process, or `None` if this process stops.
/// Closes the listening sockets in both cases.
pub(in crate::control) async fn attend(
    state: HandoverState,
    mut requests: mpsc::Receiver<UpgradeRequest>,
) -> Option<JoinHandle<()>> {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request?,
            () = state.stops() => return None,
        };
        let outcome = {
            let takeover = state.run_takeover(request.waiting);
            tokio::pin!(takeover);
            loop {
                tokio::select! {
                    outcome = &mut takeover => break outcome,
                    Some(other) = requests.recv() => {
                        let _ = other.answer.send(Err(Refused::UnderWay));
                    }
                }
            }
        };
        match outcome {
            Ok((process, relay)) => {
                let _ = request.answer.send(Ok(process));
                tokio::spawn(async move {
                    while let Some(other) = requests.recv().await {
                        let _ = other.answer.send(Err(Refused::Impossible(
                            "another process has taken over from this one",
                        )));
                    }
                });
                return Some(relay);
            }
            Err(failed) => {
                let why = failed.to_string();
                tracing::error!(why, "the upgrade failed; what ran before goes on");
                let _ = request.answer.send(Err(Refused::Failed(why)));
            }
        }
    }
}

impl HandoverState {
    async fn run_takeover(&self, waiting: usize) -> Result<(u32, JoinHandle<()>), Failed> {
        let program = self.handover.program.as_ref().ok_or(Failed::NoProgram)?;
        let (mut child, stream) = program.start().map_err(Failed::NotStarted)?;
        let process = child.id();
        tracing::info!(process, "upgrade: the program has been started");
        let mut given_up = GivenUp::default();
        let outcome = tokio::select! {
            outcome = self.hand_over(stream, waiting, &mut given_up) => outcome,
            () = sleep(TAKEOVER_TIMEOUT) => Err(Failed::TooSlow),
            () = self.stops() => Err(Failed::Stopping),
        };
        match outcome {
            Ok(stream) => {
                tracing::info!(
                    process,
                    "upgrade: the new process has taken over; serving open connections to their end"
                );
                Ok((process, self.relieve(stream, given_up, child)))
            }
            Err(why) => {
                let _ = child.kill();
                // It ends within microseconds. Only then is the store free.
                let ended = tokio::task::spawn_blocking(move || child.wait()).await;
                let status = ended.ok().and_then(Result::ok);
                tracing::warn!(process, ?status, "upgrade: the new process has ended");
                self.take_back(given_up).await;
                Err(why)
            }
        }
    }

    /// Performs step 5.
    fn relieve(
        &self,
        stream: UnixStream,
        given_up: GivenUp<'_>,
        mut child: Child,
    ) -> JoinHandle<()> {
        self.shared.enter(Phase::Relieved);
        self.gate.send_replace(Gate::Shut);
        self.tasks.iter().for_each(AbortHandle::abort);
        self.keys.retire();
        let (uses_sender, uses) = mpsc::unbounded_channel();
        let (key_sender, key_calls) = mpsc::unbounded_channel();
        let (page_sender, page_calls) = mpsc::unbounded_channel();
        if let Some(mut destination) = given_up.destination {
            *destination = Destination::Successor(uses_sender);
        }
        if let Some((store, _)) = self.store.clone() {
            tokio::spawn(store.close());
        }
        self.key_calls.send_elsewhere(key_sender);
        self.page_calls.send_elsewhere(page_sender);
        drop(given_up.calls);
        // Nothing else in this process waits for the child.
        let waiting = std::thread::Builder::new().name("successor".to_owned());
        drop(waiting.spawn(move || {
            child
                .wait()
                .map(|status| tracing::error!(%status, "the process that took over has ended"))
        }));
        tokio::spawn(relay::relieved(
            stream,
            Outbox { uses, key_calls, page_calls },
            self.registry.clone(),
            self.shared.clone(),
        ))
    }

    /// Reverts what was given up, so that this process continues as before.
    async fn take_back(&self, given_up: GivenUp<'_>) {
        if given_up.switched
            && timeout(SETTLE_TIMEOUT, self.shared.counting.switch(Vec::new())).await.is_err()
        {
            tracing::error!("a worker does not react");
        }
        if let Some((store, path)) = self.store.as_ref().filter(|_| given_up.store_closed) {
            for attempt in 1..=ATTEMPTS {
                match store.reclaim(path).await {
                    Ok(()) => break,
                    Err(error) if attempt == ATTEMPTS => {
                        tracing::error!(%error, "the store cannot be opened again: nothing can be \
                            changed by request until a restart");
                    }
                    Err(_) => sleep(PAUSE).await,
                }
            }
        }
        drop((given_up.destination, given_up.changes, given_up.calls));
        if given_up.gate_closed {
            self.gate.send_replace(Gate::Open);
        }
    }
}
