//! The life of a worker's thread.

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

/// The shortest time between two looks at all live requests, in nanoseconds; a little less than the
/// time between two ticks.
const BETWEEN_LOOKS: u64 = 80_000_000;

/// What a worker serves.
pub(in crate::proxy) trait Serve: 'static {
    /// Accepts connections until the gateway drains, and serves each on a task of its own.
    fn accept(&self, listener: TcpListener) -> impl Future<Output = ()> + 'static;

    /// Does what time brings, about ten times a second.
    fn tick(&self, current: &Current, now: Now);
}

/// Serves the listeners on the calling thread from [`Phase::Running`]
/// until the phase is a later one and the last connection has ended, or the drain deadline has
/// passed. `serve` makes what is served.
///
/// # Errors
/// Where the runtime cannot be made.
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
    // `accept` ends when the phase changes and closes its listener.
    while accepting.join_next().await.is_some() {}
    let mut phase = worker.shared().phase();
    let too_late = async {
        let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
        tokio::time::sleep(worker.current().site.server.drain_timeout).await;
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

/// Lets go of old configurations, cuts requests whose key has lost its right, has the service do
/// its own upkeep, and hands over log lines.
async fn upkeep<S: Serve>(worker: Rc<Worker>, service: S) {
    let mut publications = worker.shared().publications();
    let mut phase = worker.shared().phase();
    phase.mark_changed();
    let mut switches = worker.shared().counting.switches();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The publication and the second that live requests were last judged by, and when that was.
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
        // Many changes at once are not worth as many looks; the next tick sees to them.
        if judged != (generation, now.unix) && now.monotonic - judged_at >= BETWEEN_LOOKS {
            (judged, judged_at) = ((generation, now.unix), now.monotonic);
            worker.in_flight().cancel_where_due(
                &current.snapshot,
                now,
                worker.soon(Duration::ZERO),
                |refusal| worker.stats().cuts[refusal.index()].add(1),
            );
        }
        for api in &current.site.apis {
            if let Some(stats) = api.stats.get(worker.index()) {
                stats.elsewhere.set(api.in_flight().saturating_sub(stats.in_flight.value()));
            }
        }
        service.tick(&current, now);
        worker.hand_over();
    }
}
