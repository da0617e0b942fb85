//! The admin address: its connections. What they are answered is in `api`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::api::{self, Arrival, BODY_TIMEOUT, State};
use super::gate::Gate;

/// Connections served at once.
const CONNECTIONS: usize = 64;
/// For the TLS handshake, for a request's head, and between two requests.
const CLIENT_TIMEOUT: Duration = BODY_TIMEOUT;
/// How often it is looked whether one can be closed, while all of them are busy.
const ROOM_INTERVAL: Duration = Duration::from_millis(50);
/// How long the first request of a connection may take to come when no more are wanted.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
/// How long connections may take to finish when the process stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// One that is open.
struct Open {
    /// Whether a request is being answered.
    busy: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Those that are open, the oldest first.
#[derive(Default)]
struct Connections(VecDeque<Open>);

impl Connections {
    /// Makes room for one more, if need be by closing the one that has been open for the longest
    /// without asking anything: silent connections, however many, must not keep anybody from the
    /// metrics. Whether there is room.
    fn make_room(&mut self) -> bool {
        self.0.retain(|open| !open.task.is_finished());
        if self.0.len() < CONNECTIONS {
            return true;
        }
        let silent = self.0.iter().position(|open| !open.busy.load(Ordering::Relaxed));
        silent.and_then(|at| self.0.remove(at)).inspect(|open| open.task.abort()).is_some()
    }
}

/// A request that is being answered.
struct Answering {
    busy: Arc<AtomicBool>,
    all: Arc<watch::Sender<usize>>,
}

impl Answering {
    fn begin(busy: &Arc<AtomicBool>, all: &Arc<watch::Sender<usize>>) -> Self {
        busy.store(true, Ordering::Relaxed);
        all.send_modify(|answering| *answering += 1);
        Self { busy: busy.clone(), all: all.clone() }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Relaxed);
        self.all.send_modify(|answering| *answering -= 1);
    }
}

/// Serves whenever the gate is open until it is shut, then lets connections finish. Counts the
/// requests that are being answered.
pub(super) async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    mut gate: watch::Receiver<Gate>,
    answering: Arc<watch::Sender<usize>>,
) {
    let mut connections = Connections::default();
    let mut tasks = JoinSet::new();
    let router = api::router(state.clone());
    let loopback =
        listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    loop {
        match gate.wait_for(|gate| *gate != Gate::Closed).await.as_deref() {
            Ok(Gate::Open) => {}
            Ok(Gate::Closed) => continue,
            Ok(Gate::Shut) | Err(_) => break,
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = gate.wait_for(|gate| *gate != Gate::Open) => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        let room = async {
            while !connections.make_room() {
                let _ = timeout(ROOM_INTERVAL, tasks.join_next()).await;
            }
        };
        tokio::select! {
            biased; // whoever was accepted is served if there is room
            () = room => {}
            _ = gate.wait_for(|gate| *gate == Gate::Shut) => break,
        }
        let busy = Arc::new(AtomicBool::new(false));
        let (state, router, gate, answering) =
            (state.clone(), router.clone(), gate.clone(), answering.clone());
        let task = tasks.spawn(serve_client(
            stream,
            loopback,
            state,
            router,
            gate,
            (busy.clone(), answering),
        ));
        connections.0.push_back(Open { busy, task });
    }
    drop(listener);
    let _ = timeout(STOP_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Whether this connection's request is being answered, and how many of all connections are.
type Answered = (Arc<AtomicBool>, Arc<watch::Sender<usize>>);

async fn serve_client(
    stream: TcpStream,
    loopback: bool,
    state: Arc<State>,
    router: Router,
    gate: watch::Receiver<Gate>,
    answered: Answered,
) {
    let tls = state.settings.load().tls.clone();
    let arrival = Arrival { encrypted: tls.is_some(), loopback };
    match tls {
        None => serve_http(stream, arrival, router, gate, answered).await,
        Some(config) => {
            let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = timeout(CLIENT_TIMEOUT, handshake).await {
                serve_http(stream, arrival, router, gate, answered).await;
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
) {
    let router = TowerToHyperService::new(router);
    let asked = gate.clone();
    let (begins, mut begun) = watch::channel(false);
    let service = service_fn(move |mut request| {
        begins.send_replace(true);
        request.extensions_mut().insert(arrival);
        let (router, mut gate, busy, all) =
            (router.clone(), asked.clone(), busy.clone(), all.clone());
        async move {
            // A request that comes while the store changes hands waits; nothing may change
            // meanwhile.
            let _ = gate.wait_for(|gate| *gate != Gate::Closed).await;
            let _answering = Answering::begin(&busy, &all);
            router.call(request).await.map(api::finish)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let closed = async {
        let _ = gate.wait_for(|gate| *gate != Gate::Open).await;
        // A connection that has just been made would be closed at once, with the request that is on
        // its way.
        let _ = timeout(FIRST_REQUEST_TIMEOUT, begun.wait_for(|begun| *begun)).await;
    };
    tokio::select! {
        // A connection that breaks is the scraper's affair.
        _ = connection.as_mut() => return,
        () = closed => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
