//! A client's connection: TLS, the choice of protocol, and its life until it closes.

use super::handler::{Connection, handle};
use super::worker::Worker;
use crate::policy::Peer;
use crate::state::Phase;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What an HTTP/2 connection starts with (RFC 9113 §3.4); no HTTP/1.1 request does.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// How long a client without requests may take to close a connection that it was told to.
const FAREWELL: Duration = Duration::from_secs(5);

/// Spawns on the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves a connection until it closes or the gateway has drained.
pub(super) async fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let current = worker.current();
    let Some(tls) = current.tls.clone() else {
        let deadline = current.server.header_timeout;
        drop(current);
        let Ok(http2) = tokio::time::timeout(deadline, starts_http2(&stream)).await else { return };
        return converse(worker, stream, Peer::new(peer, false, None), http2).await;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    let deadline = current.server.handshake_timeout;
    drop(current);
    let Ok(Ok(stream)) = tokio::time::timeout(deadline, handshake).await else {
        worker.stats().handshakes_failed.add(1);
        return;
    };
    worker.stats().handshakes.add(1);
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let peer = Peer::new(peer, true, session.server_name().map(Into::into));
    converse(worker, stream, peer, http2).await;
}

/// Whether an unencrypted connection speaks HTTP/2 (gRPC behind a TLS terminator does).
async fn starts_http2(stream: &TcpStream) -> bool {
    let mut start = [0; HTTP2_PREFACE.len()];
    match stream.peek(&mut start).await {
        Ok(read) => read >= 4 && HTTP2_PREFACE.starts_with(&start[..read]),
        Err(_) => false,
    }
}

async fn converse<S>(worker: &Rc<Worker>, stream: S, peer: Peer, http2: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Rc::new(Connection { worker: worker.clone(), peer, in_flight: Cell::new(0), last_active: Cell::new(Instant::now()) });
    let handling = connection.clone();
    let service = service_fn(move |request| handle(handling.clone(), request));
    let io = TokioIo::new(stream);
    // Let go of before the connection is served, which would keep an old configuration for as long as it is open.
    let current = worker.current();
    let server = &current.server;
    // Both kinds of connection have the same life but no common trait.
    macro_rules! until_closed {
        ($serving:expr, $idle:expr) => {{
            let mut serving = pin!($serving);
            let mut phase = worker.shared().phase();
            tokio::select! {
                _ = serving.as_mut() => return,
                _ = phase.wait_for(|phase| *phase == Phase::Draining) => {}
                () = $idle => {}
            }
            serving.as_mut().graceful_shutdown();
            // A client may have sent a request before it hears of it; one that is silent is not waited for.
            while tokio::time::timeout(FAREWELL, serving.as_mut()).await.is_err() && connection.in_flight.get() > 0 {}
        }};
    }
    if http2 {
        let idle_timeout = server.idle_timeout;
        let serving = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(server.max_streams)
            .max_header_list_size(u32::try_from(server.max_header_size).unwrap_or(u32::MAX))
            .keep_alive_interval(idle_timeout)
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(io, service);
        drop(current);
        until_closed!(serving, idle(&connection, idle_timeout));
    } else {
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(server.header_timeout)
            .max_headers(server.max_headers)
            .max_header_size(server.max_header_size)
            .serve_connection(io, service)
            .with_upgrades();
        drop(current);
        // Its time for the next request's head is limited already.
        until_closed!(serving, std::future::pending::<()>());
    }
}

/// Resolves when the connection has had no request for this long. HTTP/2 has no such deadline of its own: a client that answers
/// pings, or does not even begin, would stay for ever.
async fn idle(connection: &Connection, longest: Duration) {
    loop {
        let since = if connection.in_flight.get() > 0 { Instant::now() } else { connection.last_active.get() };
        if since.elapsed() >= longest {
            return;
        }
        tokio::time::sleep_until(since + longest).await;
    }
}
