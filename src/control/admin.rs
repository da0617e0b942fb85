//! Serves the connections of the admin address. `api` handles their requests.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::api::{self, Arrival, BODY_TIMEOUT, State};
use super::gate::{Activity, Gate};

/// Limit of concurrent connections.
const CONNECTIONS: usize = 64;
/// Timeout for the TLS handshake, for a request's header section, and between two requests.
const CLIENT_TIMEOUT: Duration = BODY_TIMEOUT;
/// Interval between attempts to close a connection while all of them are busy.
const ROOM_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for the first request of a connection after the gate has closed.
pub(super) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
/// Timeout for sending a TLS alert and a FIN.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);
/// Timeout for connections to finish when the process stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// An open connection.
struct Open {
    /// Whether a request is in progress.
    busy: Arc<AtomicBool>,
    /// Notified when the connection is to close to make room for another one.
    evicted: Arc<Notify>,
    task: AbortHandle,
}

/// The open connections, oldest first.
#[derive(Default)]
struct Connections(VecDeque<Open>);

impl Connections {
    /// Returns whether there is room for one more connection. If there is not, has the oldest
    /// connection without a request in progress close: idle connections, however many, must not
    /// keep anyone from the metrics.
    fn make_room(&mut self) -> bool {
        self.0.retain(|open| !open.task.is_finished());
        if self.0.len() < CONNECTIONS {
            return true;
        }
        if let Some(silent) = self.0.iter().find(|open| !open.busy.load(Ordering::Relaxed)) {
            silent.evicted.notify_one();
        }
        false
    }
}

/// A request in progress. Counts it until dropped.
struct Answering {
    busy: Arc<AtomicBool>,
    all: Arc<Activity>,
}

impl Answering {
    fn begin(busy: &Arc<AtomicBool>, all: &Arc<Activity>) -> Self {
        busy.store(true, Ordering::Relaxed);
        all.requests.send_modify(|requests| *requests += 1);
        Self { busy: busy.clone(), all: all.clone() }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Relaxed);
        self.all.requests.send_modify(|requests| *requests -= 1);
    }
}

/// An accepted connection. Counts it until dropped.
struct Connected(Arc<Activity>);

impl Connected {
    fn new(all: &Arc<Activity>) -> Self {
        all.connections.send_modify(|connections| *connections += 1);
        Self(all.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.send_modify(|connections| *connections -= 1);
    }
}

/// Accepts connections while the gate is open. Returns when the gate is shut and the connections
/// have finished. `activity` counts the connections and the requests in progress.
pub(super) async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    mut gate: watch::Receiver<Gate>,
    activity: Arc<Activity>,
) {
    let mut connections = Connections::default();
    let mut tasks = JoinSet::new();
    let router = api::router(state.clone());
    let loopback =
        listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    loop {
        let is_settled = |gate: &Gate| matches!(gate, Gate::Open | Gate::Shut);
        if !gate.wait_for(is_settled).await.is_ok_and(|gate| *gate == Gate::Open) {
            break;
        }
        let accepted = tokio::select! {
            biased; // accept nothing once the gate is closed, although a connection waits
            _ = gate.wait_for(|gate| *gate != Gate::Open) => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Most likely out of file descriptors. An immediate retry would only spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connected = Connected::new(&activity);
        while tasks.try_join_next().is_some() {}
        let room = async {
            while !connections.make_room() {
                let _ = timeout(ROOM_INTERVAL, tasks.join_next()).await;
            }
        };
        tokio::select! {
            biased; // serve an accepted connection if there is room
            () = room => {}
            _ = gate.wait_for(|gate| *gate == Gate::Shut) => break,
        }
        let busy = Arc::new(AtomicBool::new(false));
        let evicted = Arc::new(Notify::new());
        let (state, router, gate, activity) =
            (state.clone(), router.clone(), gate.clone(), activity.clone());
        let client = serve_client(
            stream,
            loopback,
            state,
            router,
            gate,
            (busy.clone(), activity),
            evicted.clone(),
        );
        let task = tasks.spawn(async move {
            client.await;
            drop(connected);
        });
        connections.0.push_back(Open { busy, evicted, task });
    }
    drop(listener);
    let _ = timeout(STOP_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Whether this connection has a request in progress, and the number of requests in progress on all
/// connections.
type Answered = (Arc<AtomicBool>, Arc<Activity>);

async fn serve_client(
    stream: TcpStream,
    loopback: bool,
    state: Arc<State>,
    router: Router,
    gate: watch::Receiver<Gate>,
    answered: Answered,
    evicted: Arc<Notify>,
) {
    let tls = state.settings.load().tls.clone();
    let arrival = Arrival { encrypted: tls.is_some(), loopback };
    match tls {
        None => serve_http(stream, arrival, router, gate, answered, &evicted).await,
        Some(config) => {
            let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            let handshake = timeout(CLIENT_TIMEOUT, handshake);
            let accepted = tokio::select! {
                accepted = handshake => accepted,
                () = evicted.notified() => return,
            };
            if let Ok(Ok(stream)) = accepted {
                serve_http(stream, arrival, router, gate, answered, &evicted).await;
            }
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    arrival: Arrival,
    router: Router,
    mut gate: watch::Receiver<Gate>,
    (busy, all): Answered,
    evicted: &Notify,
) {
    let router = TowerToHyperService::new(router);
    let asked = gate.clone();
    let (begins, mut begun) = watch::channel(false);
    let service = service_fn(move |mut request| {
        begins.send_replace(true);
        request.extensions_mut().insert(arrival);
        let (router, mut gate, busy, all) =
            (router.clone(), asked.clone(), busy.clone(), all.clone());
        Box::pin(async move {
            // A request that arrives during a handover of the store waits. Nothing may change
            // meanwhile.
            let _ = gate.wait_for(|gate| *gate != Gate::Closed).await;
            let _answering = Answering::begin(&busy, &all);
            router.call(request).await.map(api::finish)
        })
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let closed = async {
        let _ = gate.wait_for(|gate| *gate != Gate::Open).await;
        // Without this delay, a new connection would be closed at once, although its first request
        // may be on its way.
        let _ = timeout(FIRST_REQUEST_TIMEOUT, begun.wait_for(|begun| *begun)).await;
    };
    let is_finishing = tokio::select! {
        // Ignore a broken connection. It concerns only its client.
        _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => false,
        () = evicted.notified() => false,
        () = closed => true,
    };
    if is_finishing {
        Pin::new(&mut connection).graceful_shutdown();
        let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    }
    // hyper drops a connection whose client was idle for too long. With TLS, the client could not
    // tell that from an attack that truncates the connection (RFC 8446 §6.1).
    let mut stream = connection.into_parts().io.into_inner();
    let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
}
