//! Main loop of a worker's thread.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::task::{JoinSet, spawn_local};

use crate::policy::Now;
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::current::Current;
use crate::proxy::worker::log::LogWriter;
use crate::state::{Phase, Shared};

/// Shortest interval between two checks of all requests in flight, in nanoseconds. It is slightly
/// less than the interval between two ticks.
const BETWEEN_LOOKS: u64 = 80_000_000;

/// Service that a worker runs.
pub(in crate::proxy) trait Serve: 'static {
    /// Accepts connections until the gateway drains, and serves each on a task of its own.
    fn accept(&self, listener: TcpListener) -> impl Future<Output = ()> + 'static;

    /// Does periodic upkeep, about ten times a second.
    fn tick(&self, current: &Current, now: Now);
}

/// Serves the listeners on the calling thread, from [`Phase::Running`] until no more connections
/// are accepted and the last one has closed, or until the drain timeout has passed. `serve` creates
/// the service.
///
/// # Errors
/// Returns an error if the worker or its runtime cannot be built.
pub(in crate::proxy) fn run<S: Serve>(
    index: usize,
    shared: Arc<Shared>,
    listeners: Vec<std::net::TcpListener>,
    log: &LogWriter,
    serve: impl FnOnce(&Rc<Worker>) -> S,
) -> io::Result<()> {
    let worker = Rc::new(Worker::new(index, shared, log)?);
    let service = serve(&worker);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(serve_all(worker, service, listeners))
}

async fn serve_all<S: Serve>(
    worker: Rc<Worker>,
    service: S,
    listeners: Vec<std::net::TcpListener>,
) -> io::Result<()> {
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn_local(service.accept(TcpListener::from_std(listener)?));
    }
    let upkeep = spawn_local(upkeep(worker.clone(), service));
    // `accept` returns when the phase changes, and closes its listener.
    while accepting.join_next().await.is_some() {}
    let mut phase = worker.shared().phase();
    let too_late = async {
        let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
        tokio::time::sleep(worker.current().runtime.server.drain_timeout).await;
    };
    tokio::select! {
        () = worker.all_closed() => {}
        () = too_late => {}
    }
    upkeep.abort();
    worker.in_flight().stop();
    worker.hand_over();
    Ok(())
}

/// Drops old configurations, cancels requests whose key would be refused now, runs the service's
/// upkeep and hands over log lines.
async fn upkeep<S: Serve>(worker: Rc<Worker>, service: S) {
    let mut publications = worker.shared().publications();
    let mut phase = worker.shared().phase();
    phase.mark_changed();
    let mut switches = worker.shared().counting.switches();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The publication and the Unix second of the last check of requests in flight, and the time of
    // that check in monotonic nanoseconds.
    let (mut judged, mut judged_at) = ((0, 0), 0);
    loop {
        tokio::select! {
            _ = publications.changed() => {}
            Ok(()) = phase.changed() => worker.enter(*phase.borrow_and_update()),
            Ok(()) = switches.changed() => worker.switch_counting(),
            _ = tick.tick() => {}
        }
        // Read before the snapshot, which is then at least as new.
        let generation = *publications.borrow_and_update();
        let (current, now) = (worker.current(), worker.now());
        // Many changes in a row do not need as many checks: the next tick covers them.
        if judged != (generation, now.unix) && now.monotonic - judged_at >= BETWEEN_LOOKS {
            (judged, judged_at) = ((generation, now.unix), now.monotonic);
            worker.in_flight().cancel_where_due(
                &current.snapshot,
                now,
                worker.soon(Duration::ZERO),
                |refusal| worker.stats().cuts[refusal.index()].add(1),
            );
        }
        for api in &current.runtime.apis {
            if let Some(stats) = api.stats.get(worker.index()) {
                stats.elsewhere.set(api.in_flight().saturating_sub(stats.in_flight.value()));
            }
        }
        service.tick(&current, now);
        worker.hand_over();
    }
}
