//! Another program takes over from the running one, and no request is lost.
//!
//! The running process starts the program that now stands where it was itself started from, and
//! stays at work. Over a socket pair:
//!
//! | | the running process | the new one |
//! |---|---|---|
//! | 1 | passes its listening sockets on | reads `gateway.toml`, binds what addresses are new |
//! | 2 | takes no more admin calls (they wait in the system's queue), closes the store | opens it, builds its table of keys |
//! | 3 | has its workers ask the new process for each request's count, and sends what was counted so far | goes on counting |
//! | 4 | | accepts connections, answers admin calls |
//! | 5 | accepts none any more, serves those that are open until their clients go over | tells it of revocations, writes down its uses |
//!
//! Until the new process accepts connections, whatever goes wrong ends it, and the running one goes
//! on as if nothing had been.
//!
//! | file | what is there |
//! |---|---|
//! | `program.rs` | what is started |
//! | `message.rs` | what the two say to each other |
//! | `inherit.rs` | the new process |
//! | `relay.rs` | both, once the new one has taken over |

mod inherit;
mod message;
mod program;
mod relay;

pub use inherit::Inheritance;
pub use message::Purpose;
pub use program::Program;
pub(super) use relay::follow;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use message::{ToPredecessor, ToSuccessor, VERSION};
use relay::Outbox;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, SemaphorePermit, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::admin::Gate;
use super::figures::Figures;
use super::key_calls::KeyDesk;
use super::office::Office;
use super::registry::Registry;
use super::uses::{self, Destination};
use crate::handover::{self, Link};
use crate::keystore::KeyStore;
use crate::state::{Phase, Shared};

/// How long all of it may take until the new process accepts connections. Whoever asked by the
/// admin API waits for a minute.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long calls that are being answered may hold it up.
const SETTLING: Duration = Duration::from_secs(5);
/// How many keys' counts go in one message.
const PART: usize = 1000;
/// How often the store is opened again after a failure, and how far apart.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Somebody who asks for an upgrade.
#[derive(Debug)]
pub(super) struct UpgradeRequest {
    /// Requests at the admin address that wait for the answer: 1, or 0 for a signal.
    pub(super) waiting: usize,
    /// The process that has taken over, or why none has.
    pub(super) answer: oneshot::Sender<Result<u32, Refused>>,
}

/// Why there was no upgrade. The running process goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another one is under way.
    UnderWay,
    /// This process has been relieved already, or was not started in a way that it could be.
    Impossible(&'static str),
    /// It failed.
    Failed(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay => out.write_str("another upgrade is under way"),
            Self::Impossible(why) => out.write_str(why),
            Self::Failed(why) => out.write_str(why),
        }
    }
}

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
pub(super) struct Estate {
    pub(super) handover: Handover,
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Arc<Registry>,
    pub(super) figures: Arc<Figures>,
    pub(super) store: Option<(KeyStore, PathBuf)>,
    pub(super) destination: Arc<Mutex<Destination>>,
    pub(super) office: Office,
    pub(super) key_desk: Arc<KeyDesk>,
    /// Of the admin address.
    pub(super) gate: Arc<watch::Sender<Gate>>,
    /// How many requests are being answered there.
    pub(super) answering_admin: Arc<AtomicUsize>,
    /// Tasks that have no purpose without the store.
    pub(super) tasks: Vec<AbortHandle>,
}

/// What has been given up so far, and is taken back if the upgrade fails.
#[derive(Default)]
struct GivenUp<'e> {
    gate_closed: bool,
    key_calls: Option<SemaphorePermit<'e>>,
    /// Of changes that go on although whoever asked for them has left.
    changes: Option<MutexGuard<'e, ()>>,
    destination: Option<OwnedMutexGuard<Destination>>,
    store_closed: bool,
    switched: bool,
}

/// Does one upgrade after the other until one succeeds, and returns the task that then speaks with
/// the new process; or until this process stops. The listening sockets are closed then.
pub(super) async fn attend(
    estate: Estate,
    mut requests: mpsc::Receiver<UpgradeRequest>,
) -> Option<JoinHandle<()>> {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request?,
            () = estate.stops() => return None,
        };
        let outcome = {
            let conducting = estate.conduct(request.waiting);
            tokio::pin!(conducting);
            loop {
                tokio::select! {
                    outcome = &mut conducting => break outcome,
                    Some(other) = requests.recv() => drop(other.answer.send(Err(Refused::UnderWay))),
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
            Err(why) => {
                tracing::error!(why, "the upgrade failed; what ran before goes on");
                let _ = request.answer.send(Err(Refused::Failed(why)));
            }
        }
    }
}

impl Estate {
    /// Resolves when this process has been told to stop.
    async fn stops(&self) {
        // The sender lives in `shared`, so there is no error.
        let _ = self.shared.phase().wait_for(|phase| *phase >= Phase::Leaving).await;
    }

    async fn conduct(&self, waiting: usize) -> Result<(u32, JoinHandle<()>), String> {
        let program = self
            .handover
            .program
            .as_ref()
            .ok_or("this process was not started by `keygate serve`")?;
        let (mut child, stream) =
            program.start().map_err(|error| format!("the program cannot be started: {error}"))?;
        let process = child.id();
        tracing::info!(process, "upgrade: the program has been started");
        let mut given_up = GivenUp::default();
        let outcome = tokio::select! {
            outcome = self.hand_over(stream, waiting, &mut given_up) => outcome,
            () = sleep(PATIENCE) => Err(format!("the new process did not take over within {} \
                seconds", PATIENCE.as_secs())),
            () = self.stops() => Err("the gateway has been told to stop".to_owned()),
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
                // It ends within microseconds; the store is free when it has.
                let ended = tokio::task::spawn_blocking(move || child.wait()).await;
                tracing::warn!(process, status = ?ended.ok().and_then(Result::ok), "upgrade: the new process has ended");
                self.take_back(given_up).await;
                Err(why)
            }
        }
    }

    /// Steps 1 to 4. What is given up on the way is noted.
    async fn hand_over<'e>(
        &'e self,
        stream: BlockingStream,
        waiting: usize,
        given_up: &mut GivenUp<'e>,
    ) -> Result<UnixStream, String> {
        let broken = |error: std::io::Error| {
            format!("the new process ended before it had taken over: {error}")
        };
        stream.set_nonblocking(true).map_err(broken)?;
        let mut stream = UnixStream::from_std(stream).map_err(broken)?;

        let sockets = self
            .handover
            .sockets
            .iter()
            .map(|(purpose, address, _)| (*purpose, *address))
            .collect();
        let hello =
            ToSuccessor::Hello { version: VERSION, clock: self.shared.clock.zero(), sockets };
        handover::send(&mut stream, &hello).await.map_err(broken)?;
        for (_, _, listener) in &self.handover.sockets {
            pass(&stream, listener.as_fd()).await.map_err(broken)?;
        }
        expect(&mut stream, |said| matches!(said, ToPredecessor::Checked)).await?;

        self.close_office(waiting, given_up).await?;
        let pairs: Vec<_> = (0..self.shared.counting.parties())
            .map(|_| BlockingStream::pair())
            .collect::<Result<_, _>>()
            .map_err(broken)?;
        handover::send(&mut stream, &ToSuccessor::Store { links: pairs.len() })
            .await
            .map_err(broken)?;
        let mut links = Vec::new();
        for (here, there) in pairs {
            pass(&stream, there.as_fd()).await.map_err(broken)?;
            links.push(Link::new(here).map_err(broken)?);
        }
        expect(&mut stream, |said| matches!(said, ToPredecessor::Opened)).await?;

        given_up.switched = true;
        let switched = timeout(SETTLING, self.shared.counting.switch(links)).await;
        switched.map_err(|_| "a worker does not react".to_owned())?;
        let now = self.shared.clock.now().monotonic;
        let mut counts = self.registry.look(|table| table.export(now));
        while !counts.is_empty() {
            let part = counts.split_off(counts.len().saturating_sub(PART));
            handover::send(&mut stream, &ToSuccessor::Counts(part)).await.map_err(broken)?;
        }
        handover::send(&mut stream, &ToSuccessor::Counted).await.map_err(broken)?;
        expect(&mut stream, |said| matches!(said, ToPredecessor::Loaded)).await?;

        handover::send(&mut stream, &ToSuccessor::Start).await.map_err(broken)?;
        expect(&mut stream, |said| matches!(said, ToPredecessor::Serving)).await?;
        Ok(stream)
    }

    /// Sees to it that nothing changes any more by request, and that all that has changed is in the
    /// store; then closes it.
    async fn close_office<'e>(
        &'e self,
        waiting: usize,
        given_up: &mut GivenUp<'e>,
    ) -> Result<(), String> {
        given_up.gate_closed = true;
        self.gate.send_replace(Gate::Closed);
        let answered = async {
            while self.answering_admin.load(Ordering::Relaxed) > waiting {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SETTLING, answered)
            .await
            .map_err(|_| "a call at the admin address takes too long; try again".to_owned())?;
        let slots = timeout(SETTLING, self.key_desk.close()).await;
        given_up.key_calls = Some(
            slots.map_err(|_| "a call at a key endpoint takes too long; try again".to_owned())?,
        );
        let settled = async {
            while self.office.owes() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SETTLING, settled)
            .await
            .map_err(|_| "the store has yet to take revocations that are in force".to_owned())?;
        let changes = timeout(SETTLING, self.office.close()).await;
        given_up.changes = Some(changes.map_err(|_| "the store does not answer".to_owned())?);
        let destination = timeout(SETTLING, self.destination.clone().lock_owned()).await;
        let destination = destination.map_err(|_| "the store does not answer".to_owned())?;
        if let Some((store, _)) = &self.store {
            timeout(SETTLING, uses::write_down(&self.figures, &destination))
                .await
                .map_err(|_| "the store does not answer".to_owned())?;
            given_up.store_closed = true;
            store.release().await.map_err(|error| error.to_string())?;
        }
        given_up.destination = Some(destination);
        Ok(())
    }

    /// Step 5.
    fn relieve(
        &self,
        stream: UnixStream,
        given_up: GivenUp<'_>,
        mut child: Child,
    ) -> JoinHandle<()> {
        self.shared.enter(Phase::Relieved);
        self.gate.send_replace(Gate::Shut);
        self.tasks.iter().for_each(AbortHandle::abort);
        self.office.retire();
        let ((uses_sender, uses), (key_sender, key_calls)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        if let Some(mut destination) = given_up.destination {
            *destination = Destination::Successor(uses_sender);
        }
        if let Some((store, _)) = self.store.clone() {
            tokio::spawn(store.close());
        }
        self.key_desk.send_elsewhere(key_sender);
        drop(given_up.key_calls);
        // It belongs to nobody else until this process ends.
        let waiting = std::thread::Builder::new().name("successor".to_owned());
        drop(waiting.spawn(move || {
            child
                .wait()
                .map(|status| tracing::error!(%status, "the process that took over has ended"))
        }));
        tokio::spawn(relay::relieved(
            stream,
            Outbox { uses, key_calls },
            self.registry.clone(),
            self.shared.clone(),
        ))
    }

    /// Goes on as if nothing had been.
    async fn take_back(&self, given_up: GivenUp<'_>) {
        if given_up.switched
            && timeout(SETTLING, self.shared.counting.switch(Vec::new())).await.is_err()
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
        drop((given_up.destination, given_up.changes, given_up.key_calls));
        if given_up.gate_closed {
            self.gate.send_replace(Gate::Open);
        }
    }
}

/// Waits for what the new process is to say next.
async fn expect(
    stream: &mut UnixStream,
    is_expected: impl FnOnce(&ToPredecessor) -> bool,
) -> Result<(), String> {
    match handover::receive(stream).await {
        Ok(said) if is_expected(&said) => Ok(()),
        Ok(ToPredecessor::Failed(why)) => Err(why),
        Ok(_) => Err("the new process said something out of turn".to_owned()),
        Err(_) => Err(
            "the new process ended before it had taken over; what it said is on the standard error"
                .to_owned(),
        ),
    }
}

async fn pass(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    stream.async_io(Interest::WRITABLE, || handover::pass(stream, descriptor)).await
}
