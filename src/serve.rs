//! The composition root: the log, the workers, the control plane, and how they start, stop and take
//! over.

use crate::config::{Config, LogFormat, Server};
pub use crate::control::Program;
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

use crate::control::{self, Handover, Inheritance, Purpose};
use crate::events;
use crate::proxy::{self, LogWriter, bind};
use crate::state::{Phase, Shared};
use crate::systemd::notify;

/// How long the last lines of the log may take.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs the gateway by the `gateway.toml` at this path until it is told to stop (SIGTERM, SIGINT)
/// and has drained. At SIGUSR2, or when the admin API is asked to, `program` takes over.
///
/// # Errors
/// Where it cannot start: a mistake in the file, an address that is taken, a store that cannot be
/// opened.
pub fn run(config: &Path, program: Option<Program>) -> anyhow::Result<()> {
    start(config, program, None)
}

/// The same for a process that takes over from the one that has started it.
///
/// # Errors
/// Where it cannot start. The process before is told, and goes on.
pub fn take_over(config: &Path, program: Option<Program>) -> anyhow::Result<()> {
    start(config, program, Some(Inheritance::accept()?))
}

fn start(
    config: &Path,
    program: Option<Program>,
    inheritance: Option<Inheritance>,
) -> anyhow::Result<()> {
    // Before there is a secret in memory.
    set_core_dumps(false).context("core dumps cannot be switched off")?;
    // One provider for the whole process; that it is set already is no mistake.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Gathering the process's first randomness takes 20 ms of computing, which the file can be read
    // in. Whoever needs it waits for it.
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
    // A read from a disk that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

/// The calling thread is the control plane; workers and log have threads of their own.
async fn run_control_plane(
    path: &Path,
    program: Option<Program>,
    mut inheritance: Option<Inheritance>,
) -> anyhow::Result<()> {
    // Before anything else, so that a signal that comes early is not lost and does not end the
    // process.
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
    // It would outlive its time, with its keys and secrets.
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
        // A second signal does not wait for them.
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

/// A gateway that only has to be told to accept connections.
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
        // Where not even this thread can be started, the next one says so.
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

/// The sockets on which requests come in: those of the process before, where it has them, or new
/// ones.
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

/// Serves on for the time that load balancers take to notice that this process is about to stop. A
/// signal ends it.
async fn leave(shared: &Shared, terminate: &mut Signal, interrupt: &mut Signal) {
    notify("STOPPING=1");
    let delay = shared.published().site.server.shutdown_delay;
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

/// Resolves when another process has taken over and this one has nothing left to serve, or has
/// served it for long enough.
async fn relieved(shared: &Shared, workers: &Workers) {
    let mut phase = shared.phase();
    // The sender lives in `shared`, so there is no error.
    let _ = phase.wait_for(|phase| *phase >= Phase::Relieved).await;
    let served = async {
        workers.finished().await;
        // Through this process, the one before is told what is revoked, and its requests are
        // counted.
        let _ = shared.has_predecessor.subscribe().wait_for(|has| !has).await;
    };
    tokio::select! {
        () = served => {}
        () = sleep(shared.published().site.server.upgrade_drain_timeout) => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
    }
}

/// Whether the process may leave its memory, and the secrets in it, in a file when it crashes. The
/// limit alone would not do: a system that passes core dumps to a program does not look at it.
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
    /// Closed when all of them have ended.
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
    /// Resolves when all of them have ended. They keep their deadline themselves.
    async fn finished(&self) {
        self.running.closed().await;
    }

    /// Writes what is left of the log.
    fn join(self) {
        if self.running.is_closed() {
            self.threads.into_iter().for_each(|thread| drop(thread.join()));
            if let Some(log) = Arc::into_inner(self.log) {
                log.finish(LAST_LINES);
            }
        }
    }
}
