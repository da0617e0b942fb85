//! Connections of one worker to upstreams.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use crate::config::{Place, Protocol};
use crate::proxy::upstream::request_body::RequestBody;
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::stream::Stream;
use crate::proxy::worker::stream::poll_read;
use crate::state::{Published, UpstreamState};

/// Executor that spawns on the worker's own thread.
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

/// Most idle connections kept for one upstream. More are closed.
const MOST_UNUSED: usize = 256;

/// Idle connections by upstream id.
pub(in crate::proxy) struct Pool {
    worker: Rc<Worker>,
    http1: RefCell<HashMap<u64, Vec<Unused>>>,
    http2: RefCell<HashMap<u64, Rc<Http2>>>,
    turn: Cell<usize>,
}

/// HTTP/2 connection that all requests to an upstream share.
#[derive(Default)]
pub(in crate::proxy) struct Http2 {
    /// Locked while connecting, so that only one connection is made.
    pub(in crate::proxy) sender: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
    /// When the connection was last requested, in monotonic nanoseconds.
    asked: Cell<u64>,
}

struct Unused {
    stream: Stream,
    /// When the connection became idle, in monotonic nanoseconds.
    since: u64,
}

impl Unused {
    /// Returns whether the upstream has neither closed the connection nor sent an unsolicited byte.
    fn is_good(&mut self) -> bool {
        poll_read(&mut self.stream, &mut Context::from_waker(Waker::noop()), &mut [0]).is_pending()
    }
}

/// Flow-control windows for an HTTP/2 upstream, in bytes: how much it may send ahead of a slow
/// client. h2 also uses the second as its allowance for small frames. With less, it takes a gRPC
/// stream of many small messages for an attack when this worker is busy.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

impl Pool {
    /// Creates the pool of this worker.
    pub(in crate::proxy) fn new(worker: &Rc<Worker>) -> Rc<Self> {
        Rc::new(Self {
            worker: worker.clone(),
            http1: RefCell::default(),
            http2: RefCell::default(),
            turn: Cell::new(0),
        })
    }

    /// Returns the pool's worker.
    pub(in crate::proxy) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Takes the idle HTTP/1.1 connection that was used last, or returns `None` if there is none.
    /// The others stay idle until they expire.
    pub(in crate::proxy) fn take(&self, upstream: u64) -> Option<Stream> {
        let mut pool = self.http1.borrow_mut();
        let unused = pool.get_mut(&upstream)?;
        loop {
            let mut last = unused.pop()?;
            if last.is_good() {
                return Some(last.stream);
            }
        }
    }

    /// Returns an HTTP/1.1 connection to the pool, or closes it if there are too many.
    pub(in crate::proxy) fn put(&self, upstream: u64, stream: Stream) {
        let now = self.worker.recent().monotonic;
        let mut pool = self.http1.borrow_mut();
        let unused = pool.entry(upstream).or_default();
        let mut one = Unused { stream, since: now };
        if unused.len() < MOST_UNUSED {
            unused.push(one);
        } else {
            one.stream.start_shutdown();
        }
    }

    /// Returns the slot of the upstream's HTTP/2 connection, which may not be connected.
    pub(in crate::proxy) fn http2(&self, upstream: u64) -> Rc<Http2> {
        let connection = self.http2.borrow_mut().entry(upstream).or_default().clone();
        connection.asked.set(self.worker.recent().monotonic);
        connection
    }

    /// Keeps other requests from using an HTTP/2 connection on which a request timed out or was
    /// refused. The upstream may have disappeared without closing it.
    pub(in crate::proxy) fn give_up_http2(&self, upstream: u64, connection: &Rc<Http2>) {
        let mut http2 = self.http2.borrow_mut();
        if http2.get(&upstream).is_some_and(|known| Rc::ptr_eq(known, connection)) {
            http2.remove(&upstream);
        }
    }

    /// Closes connections that have been idle for `keep_alive`, that the upstream has closed, or
    /// whose upstream is no longer configured. `now` is in monotonic nanoseconds.
    pub(in crate::proxy) fn close_unused(&self, current: &Published, now: u64) {
        let longest = |id: u64| {
            let api = current
                .runtime
                .apis
                .iter()
                .find(|api| api.upstreams.iter().any(|upstream| upstream.id == id))?;
            Some(u64::try_from(api.config.keep_alive.as_nanos()).unwrap_or(u64::MAX))
        };
        self.http1.borrow_mut().retain(|id, unused| {
            let longest = longest(*id);
            unused.retain_mut(|unused| {
                let is_kept = longest
                    .is_some_and(|longest| now.saturating_sub(unused.since) < longest)
                    && unused.is_good();
                if !is_kept {
                    unused.stream.start_shutdown();
                }
                is_kept
            });
            longest.is_some()
        });
        // hyper closes an HTTP/2 connection without senders as soon as its last response has ended.
        self.http2.borrow_mut().retain(|id, connection| {
            longest(*id).is_some_and(|longest| now.saturating_sub(connection.asked.get()) < longest)
        });
    }

    /// Closes an idle connection to free its file descriptor: the oldest one of the upstream with
    /// the most.
    fn close_one(&self) {
        let longest = self
            .http1
            .borrow_mut()
            .values_mut()
            .max_by_key(|unused| unused.len())
            .and_then(|unused| (!unused.is_empty()).then(|| unused.remove(0)));
        if let Some(mut longest) = longest {
            longest.stream.start_shutdown();
        }
    }

    /// Returns the number of idle HTTP/1.1 connections.
    pub(in crate::proxy) fn idle(&self) -> usize {
        self.http1.borrow().values().map(Vec::len).sum()
    }
}

/// Opens an HTTP/1.1 connection within `deadline`.
///
/// # Errors
/// Returns `TimedOut`, or the error of connecting.
pub(in crate::proxy) async fn connect_http1(
    pool: &Pool,
    upstream: &UpstreamState,
    deadline: Duration,
) -> io::Result<Stream> {
    within(&pool.worker, deadline, connect(pool, upstream, deadline)).await
}

/// Opens an HTTP/2 connection within `deadline`.
///
/// # Errors
/// Returns `TimedOut`, or the error of connecting or of the HTTP/2 handshake.
pub(in crate::proxy) async fn connect_http2(
    pool: &Pool,
    upstream: &UpstreamState,
    deadline: Duration,
) -> io::Result<http2::SendRequest<RequestBody>> {
    within(&pool.worker, deadline, async {
        let stream = connect(pool, upstream, deadline).await?;
        let mut builder = http2::Builder::new(LocalExecutor);
        builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Ok(sender)
    })
    .await
}

async fn within<T>(
    worker: &Worker,
    deadline: Duration,
    connecting: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
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

async fn connect(pool: &Pool, upstream: &UpstreamState, deadline: Duration) -> io::Result<Stream> {
    let descriptors = &pool.worker.shared().descriptors;
    let place = descriptors.take().or_else(|full| {
        pool.close_one();
        descriptors.take().map_err(|_| full)
    })?;
    Ok(Stream::Counted(Box::new((open(pool, upstream, deadline).await?, place))))
}

/// Connects to the upstream. Tries each address once, and starts with the next one each time.
async fn open(pool: &Pool, upstream: &UpstreamState, deadline: Duration) -> io::Result<Stream> {
    if let Place::Unix(path) = &upstream.settings.place {
        return UnixStream::connect(path).await.map(Stream::Unix);
    }
    let addresses = upstream.addresses.load_full();
    let turn = &pool.turn;
    turn.set(turn.get().wrapping_add(1));
    let stream = first_to_accept(&addresses, turn.get(), deadline).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = upstream.tls.clone().filter(|_| is_encrypted(upstream.settings.protocol))
    else {
        return Ok(Stream::Tcp(stream));
    };
    let Place::Tcp(host, _) = &upstream.settings.place else { return Ok(Stream::Tcp(stream)) };
    let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(Arc::clone(&tls)).connect(name, stream).await?;
    Ok(Stream::Tls(Box::new(stream.into())))
}

/// Connects to the first of `addresses`, from `turn` on, that accepts. Each has an equal share of
/// `deadline`, so that one that does not respond leaves time for the others.
///
/// # Errors
/// Returns the error of the last attempt, or `NotFound` if there is no address.
async fn first_to_accept(
    addresses: &[SocketAddr],
    turn: usize,
    deadline: Duration,
) -> io::Result<TcpStream> {
    let share = deadline / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut outcome =
        Err(io::Error::new(io::ErrorKind::NotFound, "the upstream's name has no address"));
    for offset in 0..addresses.len() {
        let connecting = TcpStream::connect(addresses[(turn + offset) % addresses.len()]);
        outcome = tokio::time::timeout(share, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn is_encrypted(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http1Tls | Protocol::Http2Tls)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    /// Returns a listener whose backlog is full, the connections that fill it, and its address.
    fn full() -> (socket2::Socket, Vec<socket2::Socket>, SocketAddr) {
        let socket = |nonblocking| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("a socket");
            socket.set_nonblocking(nonblocking).expect("its mode");
            socket
        };
        let listener = socket(false);
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("a listener");
        let address = listener
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .expect("its address");
        let waiting = (0..3)
            .map(|_| socket(true))
            .inspect(|socket| drop(socket.connect(&address.into())))
            .collect();
        (listener, waiting, address)
    }

    #[tokio::test]
    async fn address_that_is_silent_leaves_time_for_the_next() {
        let (_listener, _waiting, silent) = full();
        let well = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addresses = [silent, well.local_addr().expect("its address")];
        for turn in 0..4 {
            let begun = Instant::now();
            let stream = first_to_accept(&addresses, turn, Duration::from_secs(2))
                .await
                .expect("a connection");
            assert_eq!(stream.peer_addr().expect("its address"), addresses[1]);
            assert!(begun.elapsed() < Duration::from_millis(1900), "{:?}", begun.elapsed());
        }
        let error = first_to_accept(&addresses[..1], 0, Duration::from_millis(300))
            .await
            .expect_err("nobody accepts");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
