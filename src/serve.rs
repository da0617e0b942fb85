//! The composition root. Starts, stops and hands over the log, the workers and the control plane.

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::{Config, LogFormat, Server};
use crate::control::{self, Handover, Inheritance, Purpose};
use crate::events;
use crate::proxy::{self, LogWriter, bind};
use crate::state::{Phase, Shared};
use crate::systemd::notify;

pub use crate::control::Program;

/// Timeout for writing the remaining lines of the log.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs the gateway with the `gateway.toml` at `config`.
///
/// Returns when SIGTERM or SIGINT has stopped it and it has drained. On SIGUSR2, or on a request to
/// the admin API, `program` takes over.
///
/// # Errors
/// Fails if the gateway cannot start: the file has a mistake, an address is in use, or the store
/// cannot be opened.
pub fn run(config: &Path, program: Option<Program>) -> anyhow::Result<()> {
    start(config, program, None)
}

/// Does the same as [`run`] in a process that takes over from its parent.
///
/// # Errors
/// Fails if the gateway cannot start. The previous process is notified, and continues.
pub fn take_over(config: &Path, program: Option<Program>) -> anyhow::Result<()> {
    start(config, program, Some(Inheritance::accept()?))
}

fn start(
    config: &Path,
    program: Option<Program>,
    inheritance: Option<Inheritance>,
) -> anyhow::Result<()> {
    // Must happen before any secret is in memory.
    set_core_dumps(false).context("core dumps cannot be switched off")?;
    // Installs one provider for the whole process. One may already be installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Gathering the process's first randomness takes 20 ms of CPU time. Doing so on a thread
    // overlaps it with reading the file. Callers that need randomness block until it is ready.
    drop(
        thread::Builder::new()
            .name("randomness".to_owned())
            .spawn(|| rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut [0])),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    let outcome = runtime.block_on(run_control_plane(config, program, inheritance));
    events::flush(LAST_LINES);
    // Does not wait for a blocked read from the disk.
    runtime.shutdown_background();
    outcome
}

/// Runs the control plane on the calling thread. Workers and log have threads of their own.
async fn run_control_plane(
    path: &Path,
    program: Option<Program>,
    mut inheritance: Option<Inheritance>,
) -> anyhow::Result<()> {
    // Must happen first. Otherwise an early signal would be lost or would kill the process.
    let signals = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined2())?);
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ready = match get_ready(path, program, inheritance.as_mut()) {
        Ok(ready) => ready,
        Err(error) => {
            if let Some(inheritance) = &mut inheritance {
                inheritance.fail(&format!("{error:#}"));
            }
            return Err(error);
        }
    };
    let Ready { config, shared, mut controller, handover, workers } = ready;
    match inheritance {
        Some(inheritance) => controller.take_over(inheritance).await?,
        None => shared.enter(Phase::Running),
    }
    let process = std::process::id();
    tracing::info!(
        process,
        workers = workers.threads.len(),
        apis = config.apis.len(),
        keys = config.keys.len(),
        "ready"
    );
    // Otherwise it would stay in memory after a reload, with its keys and secrets.
    drop(config);
    notify(&format!("READY=1\nMAINPID={process}"));

    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => leave(&shared, &mut terminate, &mut interrupt).await,
            _ = interrupt.recv() => notify("STOPPING=1"),
            () = relieved(&shared, &workers) => {}
        }
        tracing::info!("stopping: no new connections, requests in flight are finished");
        shared.enter(Phase::Draining);
        // A second signal stops without waiting for them.
        tokio::select! {
            () = workers.finished() => tracing::info!("stopped"),
            _ = terminate.recv() => tracing::warn!("stopped at once"),
            _ = interrupt.recv() => tracing::warn!("stopped at once"),
        }
    };
    controller.run(handover, signals, stopped).await?;
    workers.join();
    Ok(())
}

/// A gateway that is ready to accept connections.
struct Ready {
    config: Arc<Config>,
    shared: Arc<Shared>,
    controller: control::Controller,
    handover: Handover,
    workers: Workers,
}

fn get_ready(
    path: &Path,
    program: Option<Program>,
    mut inheritance: Option<&mut Inheritance>,
) -> anyhow::Result<Ready> {
    let prepared = control::prepare(path, inheritance.as_deref_mut(), |config| {
        // If this thread cannot be started, starting the next thread returns the error.
        let _ = events::install(config.log.format);
    })?;
    if prepared.config().server.core_dumps {
        set_core_dumps(true).context("core dumps cannot be switched on")?;
    }
    let mut sockets = listen(&prepared.config().server, inheritance.as_deref_mut())?;
    if let Some(inheritance) = &mut inheritance {
        inheritance.wait_for_store()?;
    }
    let control::Startup { config, shared, controller } = prepared.open()?;
    if let Some(inheritance) = &mut inheritance {
        inheritance.take_counts(&controller, &shared)?;
    }
    if let Some(address) = controller.admin_address() {
        tracing::info!(listener = "admin", %address, "listening");
    }
    let log = LogWriter::start(match config.log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stdout().is_terminal(),
    })?;
    let workers =
        start_workers(&shared, sockets.iter().map(|(_, _, listener)| listener), &Arc::new(log))?;
    sockets.extend(controller.admin_socket()?);
    if let Some(inheritance) = &mut inheritance {
        inheritance.wait_for_start()?;
    }
    Ok(Ready { config, shared, controller, handover: Handover { program, sockets }, workers })
}

/// Returns the sockets for requests: inherited from the previous process, or else new ones.
fn listen(
    server: &Server,
    mut inheritance: Option<&mut Inheritance>,
) -> anyhow::Result<Vec<(Purpose, SocketAddr, TcpListener)>> {
    let mut sockets = Vec::new();
    for address in &server.listen {
        let inherited = inheritance
            .as_mut()
            .and_then(|inheritance| inheritance.socket(Purpose::Data, *address));
        let listener = inherited
            .map_or_else(|| bind(*address), Ok)
            .with_context(|| format!("cannot listen on {address}"))?;
        tracing::info!(listener = "data", address = %listener.local_addr()?, "listening");
        sockets.push((Purpose::Data, *address, listener));
    }
    Ok(sockets)
}

/// Continues to serve for `shutdown_delay`, while load balancers notice the coming stop. A signal
/// ends the delay.
async fn leave(shared: &Shared, terminate: &mut Signal, interrupt: &mut Signal) {
    notify("STOPPING=1");
    let delay = shared.published().runtime.server.shutdown_delay;
    if delay.is_zero() {
        return;
    }
    tracing::info!(?delay, "about to stop: /readyz says so, and everything is served until then");
    shared.enter(Phase::Leaving);
    tokio::select! {
        () = sleep(delay) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Resolves when another process has taken over and this one has served its last connection. Also
/// resolves after `upgrade_drain_timeout`.
async fn relieved(shared: &Shared, workers: &Workers) {
    let mut phase = shared.phase();
    // The sender lives in `shared`, so there is no error.
    let _ = phase.wait_for(|phase| *phase >= Phase::Relieved).await;
    let served = async {
        workers.finished().await;
        // The process before this one receives revocations and counts requests through this one.
        let _ = shared.has_predecessor.subscribe().wait_for(|has| !has).await;
    };
    tokio::select! {
        () = served => {}
        () = sleep(shared.published().runtime.server.upgrade_drain_timeout) => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
    }
}

/// Sets whether a crash may write the process's memory, with its secrets, to a file. The resource
/// limit alone is not enough: systems that pipe core dumps to a program ignore it.
fn set_core_dumps(allowed: bool) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(if allowed {
            DumpableBehavior::Dumpable
        } else {
            DumpableBehavior::NotDumpable
        })?;
    }
    let maximum = getrlimit(Resource::Core).maximum;
    Ok(setrlimit(
        Resource::Core,
        Rlimit { current: if allowed { maximum } else { Some(0) }, maximum },
    )?)
}

struct Workers {
    threads: Vec<JoinHandle<()>>,
    /// Closed when all threads have ended.
    running: watch::Sender<()>,
    log: Arc<LogWriter>,
}

fn start_workers<'l>(
    shared: &Arc<Shared>,
    listeners: impl Iterator<Item = &'l TcpListener> + Clone,
    log: &Arc<LogWriter>,
) -> anyhow::Result<Workers> {
    let mut threads = Vec::new();
    let running = watch::Sender::new(());
    for index in 0..shared.workers.len() {
        let own = listeners.clone().map(TcpListener::try_clone).collect::<Result<_, _>>()?;
        let (shared, log, running) = (shared.clone(), log.clone(), running.subscribe());
        let worker = move || {
            let _running = running;
            if let Err(error) = proxy::run(index, shared, own, &log) {
                tracing::error!(%error, "a worker has ended");
            }
        };
        threads.push(thread::Builder::new().name(format!("worker-{index}")).spawn(worker)?);
    }
    Ok(Workers { threads, running, log: log.clone() })
}

impl Workers {
    /// Resolves when all threads have ended. They enforce the drain timeout themselves.
    async fn finished(&self) {
        self.running.closed().await;
    }

    /// Joins the threads, and writes the rest of the log.
    fn join(self) {
        if self.running.is_closed() {
            self.threads.into_iter().for_each(|thread| drop(thread.join()));
            if let Some(log) = Arc::into_inner(self.log) {
                log.finish(LAST_LINES);
            }
        }
    }
}
