//! A worker's connections to upstreams.

use super::body::RequestBody;
use super::client::poll_read;
use super::stream::Stream;
use super::worker::Worker;
use crate::config::{Place, Protocol};
use crate::state::{Published, UpstreamState};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Spawns on the worker's own thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Unused connections kept for one upstream; more are closed.
const MOST_UNUSED: usize = 256;

/// Unused connections by upstream.
#[derive(Default)]
pub(super) struct Pool {
    http1: RefCell<HashMap<u64, Vec<Unused>>>,
    http2: RefCell<HashMap<u64, Rc<Http2>>>,
    turn: Cell<usize>,
}

/// One connection for all requests.
#[derive(Default)]
pub(super) struct Http2 {
    /// The lock is held while it is made, so that only one is.
    pub(super) sender: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
    /// When it was last asked for, in monotonic nanoseconds.
    asked: Cell<u64>,
}

struct Unused {
    stream: Stream,
    /// Monotonic nanoseconds.
    since: u64,
}

impl Unused {
    /// Whether the upstream has neither closed the connection nor said something that nobody asked for.
    fn is_good(&mut self) -> bool {
        poll_read(&mut self.stream, &mut Context::from_waker(Waker::noop()), &mut [0]).is_pending()
    }
}

/// How much an HTTP/2 upstream may send ahead of a client that reads slowly, in bytes. The engine also takes the second one for what
/// small frames may cost; with less, a gRPC stream of many small messages is taken for an attack when this worker is busy.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

impl Pool {
    /// The HTTP/1.1 connection that was used last, if there is one: the others grow old and are closed.
    pub(super) fn take(&self, upstream: u64) -> Option<Stream> {
        let mut pool = self.http1.borrow_mut();
        let unused = pool.get_mut(&upstream)?;
        loop {
            let mut last = unused.pop()?;
            if last.is_good() {
                return Some(last.stream);
            }
        }
    }

    /// Keeps a connection for another request. `now`: monotonic nanoseconds.
    pub(super) fn put(&self, upstream: u64, stream: Stream, now: u64) {
        let mut pool = self.http1.borrow_mut();
        let unused = pool.entry(upstream).or_default();
        if unused.len() < MOST_UNUSED {
            unused.push(Unused { stream, since: now });
        }
    }

    /// The HTTP/2 connection to an upstream. `now`: monotonic nanoseconds.
    pub(super) fn http2(&self, upstream: u64, now: u64) -> Rc<Http2> {
        let connection = self.http2.borrow_mut().entry(upstream).or_default().clone();
        connection.asked.set(now);
        connection
    }

    /// Closes connections that have been unused for too long, that the upstream has closed, or whose
    /// upstream is not in the configuration any more.
    pub(super) fn close_unused(&self, current: &Published, now: u64) {
        let longest = |id: u64| {
            let api = current.site.apis.iter().find(|api| api.upstreams.iter().any(|upstream| upstream.id == id))?;
            Some(u64::try_from(api.config.keep_alive.as_nanos()).unwrap_or(u64::MAX))
        };
        self.http1.borrow_mut().retain(|id, unused| {
            let Some(longest) = longest(*id) else { return false };
            unused.retain_mut(|unused| now.saturating_sub(unused.since) < longest && unused.is_good());
            true
        });
        // The engine ends a connection that nobody can ask any more as soon as its last answer has ended.
        self.http2
            .borrow_mut()
            .retain(|id, connection| longest(*id).is_some_and(|longest| now.saturating_sub(connection.asked.get()) < longest));
    }

    /// How many connections wait for a request.
    pub(super) fn idle(&self) -> usize {
        self.http1.borrow().values().map(Vec::len).sum()
    }
}

/// Makes an HTTP/1.1 connection.
pub(super) async fn connect_http1(worker: &Worker, upstream: &UpstreamState, deadline: Duration) -> io::Result<Stream> {
    within(worker, deadline, connect(worker, upstream)).await
}

/// Makes an HTTP/2 connection.
pub(super) async fn connect_http2(
    worker: &Worker,
    upstream: &UpstreamState,
    deadline: Duration,
) -> io::Result<http2::SendRequest<RequestBody>> {
    within(worker, deadline, async {
        let stream = connect(worker, upstream).await?;
        let mut builder = http2::Builder::new(LocalExecutor);
        builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Ok(sender)
    })
    .await
}

async fn within<T>(worker: &Worker, deadline: Duration, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let connected = match tokio::time::timeout(deadline, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match &connected {
        Ok(_) => worker.stats().upstream_connections.add(1),
        Err(error) => {
            worker.stats().upstream_connections_failed.add(1);
            tracing::debug!(%error, "cannot connect to the upstream");
        }
    }
    connected
}

/// Tries each address once, starting with another one each time.
async fn connect(worker: &Worker, upstream: &UpstreamState) -> io::Result<Stream> {
    if let Place::Unix(path) = &upstream.settings.place {
        return UnixStream::connect(path).await.map(Stream::Unix);
    }
    let addresses = upstream.addresses.load_full();
    let turn = &worker.pool().turn;
    turn.set(turn.get().wrapping_add(1));
    let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the upstream's name has no address"));
    for offset in 0..addresses.len() {
        outcome = TcpStream::connect(addresses[(turn.get() + offset) % addresses.len()]).await;
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    stream.set_nodelay(true)?;
    let Some(tls) = upstream.tls.clone().filter(|_| is_encrypted(upstream.settings.protocol)) else {
        return Ok(Stream::Tcp(stream));
    };
    let Place::Tcp(host, _) = &upstream.settings.place else { return Ok(Stream::Tcp(stream)) };
    let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(Arc::clone(&tls)).connect(name, stream).await?;
    Ok(Stream::Tls(Box::new(stream.into())))
}

fn is_encrypted(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http1Tls | Protocol::Http2Tls)
}
