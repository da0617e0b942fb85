//! A client's connection: TLS, the choice of protocol, and its life until it closes.

use super::handler::{Connection, handle};
use super::live::Guard;
use super::worker::Worker;
use crate::policy::Peer;
use crate::state::Phase;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What an HTTP/2 connection starts with (RFC 9113 §3.4); no HTTP/1.1 request does.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// How long a client may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that is to end may stay without a request in flight: for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

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

/// The same for the streams of clients, each under a guard.
#[derive(Clone)]
struct StreamExecutor(Rc<Worker>);

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        let mut guard = Guard::new(&self.0);
        tokio::task::spawn_local(async move {
            // Dropped, a stream that has not ended is reset.
            guard.run(pin!(stream)).await;
        });
    }
}

/// Serves a connection until it closes or the gateway has drained.
pub(super) async fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let current = worker.current();
    let Some(tls) = current.site.tls.clone() else {
        let deadline = current.site.server.header_timeout;
        drop(current);
        let Ok(http2) = tokio::time::timeout(deadline, starts_http2(&stream)).await else { return };
        return converse(worker, stream, Peer::new(peer, false, None), http2).await;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    let deadline = current.site.server.handshake_timeout;
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
    let connection = Rc::new(Connection::new(worker, peer));
    let served = connection.clone();
    let service = service_fn(move |request| handle(served.clone(), request));
    let io = TokioIo::new(stream);
    let current = worker.current();
    let server = &current.site.server;
    // Both kinds of connection have the same life but no common trait.
    macro_rules! until_closed {
        ($serving:expr, $quiet:expr) => {{
            let quiet = $quiet;
            let mut serving = pin!($serving);
            let mut guard = Guard::new(worker);
            drop(current);
            tokio::select! {
                biased;
                _ = guard.run(serving.as_mut()) => return,
                () = must_end(&connection, quiet) => {}
            }
            serving.as_mut().graceful_shutdown();
            connection.restart_quiet();
            // With requests in flight that lasts until they are done; a head that never ends has no such excuse.
            tokio::select! {
                biased;
                _ = guard.run(serving.as_mut()) => {}
                () = connection.quiet_for(LAST_WORDS) => {}
            }
        }};
    }
    if http2 {
        let serving = http2::Builder::new(StreamExecutor(worker.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(server.max_streams)
            .max_header_list_size(u32::try_from(server.max_header_size).unwrap_or(u32::MAX))
            // Finds out about clients that are gone without a word while a request is in flight.
            .keep_alive_interval(server.idle_timeout)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(io, service);
        until_closed!(serving, server.idle_timeout);
    } else {
        let serving = http1::Builder::new()
            // The deadline is kept below, by one timer a connection instead of one a request.
            .header_read_timeout(None)
            .max_headers(server.max_headers)
            .max_header_size(server.max_header_size)
            .serve_connection(io, service)
            .with_upgrades();
        until_closed!(serving, server.header_timeout);
    }
}

/// Resolves when the gateway drains, or when the connection has been without a request for this long: silent, or
/// sending a head that does not end.
async fn must_end(connection: &Connection, quiet: Duration) {
    let mut phase = connection.worker.shared().phase();
    tokio::select! {
        _ = phase.wait_for(|phase| *phase == Phase::Draining) => {}
        () = connection.quiet_for(quiet) => {}
    }
}
