//! The composition root: the log, the workers, the control plane, and how they stop.

use crate::config::LogFormat;
use crate::control;
use crate::events;
use crate::proxy::{LogWriter, Worker, bind};
use crate::state::Shared;
use anyhow::Context;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long the last lines of the log may take.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs the gateway by the `gateway.toml` at this path until it is told to stop (SIGTERM, SIGINT) and has drained.
///
/// # Errors
/// Where it cannot start: a mistake in the file, an address that is taken, a store that cannot be opened.
pub fn run(config: &Path) -> anyhow::Result<()> {
    // One provider for the whole process; that it is set already is no mistake.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Gathering the process's first randomness takes 20 ms of computing, which the file can be read in. Whoever needs it waits for it.
    drop(
        thread::Builder::new()
            .name("randomness".to_owned())
            .spawn(|| rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut [0])),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the control thread")?;
    let outcome = runtime.block_on(run_control_plane(config));
    events::flush(LAST_LINES);
    // A read from a disk that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

/// The calling thread is the control plane; workers and log have threads of their own.
async fn run_control_plane(path: &Path) -> anyhow::Result<()> {
    // Before anything else, so that a signal that comes early is not lost and does not end the process.
    let hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let control::Startup { config, shared, controller } = control::start(path, |config| {
        // Where not even this thread can be started, the next one says so.
        let _ = events::install(config.log.format);
    })?;

    let mut listeners = Vec::new();
    for address in &config.server.listen {
        let listener = bind(*address).with_context(|| format!("cannot listen on {address}"))?;
        tracing::info!(listener = "data", address = %listener.local_addr()?, "listening");
        listeners.push(listener);
    }
    if let Some(address) = controller.admin_address() {
        tracing::info!(listener = "admin", %address, "listening");
    }
    let log = LogWriter::start(match config.log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stdout().is_terminal(),
    })?;
    let workers = start_workers(&shared, &listeners, &Arc::new(log))?;
    drop(listeners);
    tracing::info!(workers = workers.threads.len(), apis = config.apis.len(), keys = config.keys.len(), "ready");
    // It would outlive its time, with its keys and secrets.
    drop(config);

    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new connections, requests in flight are finished");
        shared.drain();
        // A second signal does not wait for them.
        tokio::select! {
            () = workers.finished() => tracing::info!("stopped"),
            _ = terminate.recv() => tracing::warn!("stopped at once"),
            _ = interrupt.recv() => tracing::warn!("stopped at once"),
        }
    };
    controller.run(hangup, stopped).await?;
    workers.join();
    Ok(())
}

struct Workers {
    threads: Vec<JoinHandle<()>>,
    log: Arc<LogWriter>,
}

fn start_workers(shared: &Arc<Shared>, listeners: &[std::net::TcpListener], log: &Arc<LogWriter>) -> anyhow::Result<Workers> {
    let mut threads = Vec::new();
    for index in 0..shared.workers.len() {
        let own = listeners.iter().map(std::net::TcpListener::try_clone).collect::<Result<_, _>>()?;
        let (shared, log) = (shared.clone(), log.clone());
        let worker = move || {
            if let Err(error) = Worker::run(index, shared, own, &log) {
                tracing::error!(%error, "a worker has ended");
            }
        };
        threads.push(thread::Builder::new().name(format!("worker-{index}")).spawn(worker)?);
    }
    Ok(Workers { threads, log: log.clone() })
}

impl Workers {
    /// Resolves when all of them have ended. They keep their deadline themselves.
    async fn finished(&self) {
        while !self.threads.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes what is left of the log.
    fn join(self) {
        if self.threads.iter().all(JoinHandle::is_finished) {
            self.threads.into_iter().for_each(|thread| drop(thread.join()));
            if let Some(log) = Arc::into_inner(self.log) {
                log.finish(LAST_LINES);
            }
        }
    }
}
