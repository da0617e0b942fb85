//! A client's connection: TLS handshake and choice of protocol.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::policy::Peer;
use crate::proxy::downstream::http1;
use crate::proxy::downstream::http2;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::worker::closing::{Closing, READ_ON_TIME, close};
use crate::proxy::worker::context::Worker;
use crate::proxy::worker::deadline::{Deadline, LAST_HEAD_TIMEOUT, OVERFLOW_HEAD_TIMEOUT};
use crate::proxy::worker::stream::Stream;

/// Start of an HTTP/2 connection preface (RFC 9113 §3.4). No HTTP/1.1 request starts with it.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// Number of its bytes that tell it from any other method.
const DISTINCT: usize = 4;
/// Timeout for an overflow connection, which is open only to receive the refusal that there are too
/// many. It includes the TLS handshake.
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves a connection until it closes or the gateway has drained. An `overflow` connection is open
/// only to receive the refusal that there are too many.
pub(in crate::proxy) async fn serve(
    pool: &Rc<Pool>,
    stream: TcpStream,
    peer: IpAddr,
    overflow: bool,
) {
    let serving = begin(pool, stream, peer, overflow);
    if overflow {
        let _ = Box::pin(tokio::time::timeout(OVERFLOW_TIMEOUT, serving)).await;
    } else {
        serving.await;
    }
}

async fn begin(pool: &Rc<Pool>, stream: TcpStream, peer: IpAddr, overflow: bool) {
    let worker = pool.worker();
    let _ = stream.set_nodelay(true);
    let current = worker.current();
    let server = &current.runtime.server;
    let (handshake, mut header) = (server.handshake_timeout, server.header_timeout);
    if overflow {
        header = header.min(OVERFLOW_HEAD_TIMEOUT);
    }
    let tls = current.runtime.tls.clone();
    drop(current);
    let now = Instant::now();
    let Some(tls) = tls else {
        let peer = Peer::new(peer, false, None);
        // The timeout for the first head is already running. A client that has sent nothing does
        // not delay a stop.
        match in_time(worker, now + header, Duration::ZERO, starts_http2(&stream)).await {
            Some(http2) => {
                let stream = Stream::Tcp(stream);
                serve_protocol(pool, stream, peer, http2, overflow, now + header).await
            }
            None => worker.stats().connections_silent.add(1),
        }
        return;
    };
    // The result is small, so that no connection holds space for a TLS session twice.
    let accepting = async {
        let accepting = tokio_rustls::TlsAcceptor::from(tls).accept(stream).into_fallible();
        let stream = accepting.await.map_err(|(_, stream)| stream)?;
        let (_, session) = stream.get_ref();
        let http2 = session.alpn_protocol() == Some(b"h2");
        let peer = Peer::new(peer, true, session.server_name().map(Into::into));
        Ok::<_, TcpStream>((Stream::Tls(Box::new(stream.into())), peer, http2))
    };
    // Boxed, so that a connection does not hold space for it all its life.
    match Box::pin(in_time(worker, now + handshake, LAST_HEAD_TIMEOUT, accepting)).await {
        Some(Ok((stream, peer, http2))) => {
            worker.stats().handshakes.add(1);
            let until = if overflow { now } else { Instant::now() } + header;
            serve_protocol(pool, stream, peer, http2, overflow, until).await;
        }
        Some(Err(stream)) => {
            worker.stats().handshakes_failed.add(1);
            // rustls has sent the alert with the reason, which must reach the client.
            let stream = RefCell::new(Stream::Tcp(stream));
            Box::pin(close(worker, || stream.borrow_mut(), Closing::Lingering(READ_ON_TIME))).await;
        }
        None => worker.stats().handshakes_failed.add(1),
    }
}

/// Serves a connection with HTTP/2 or HTTP/1.1. `until`: the deadline for the first HTTP/1.1 head.
async fn serve_protocol(
    pool: &Rc<Pool>,
    stream: Stream,
    peer: Peer,
    http2: bool,
    overflow: bool,
    until: Instant,
) {
    if http2 {
        Box::pin(http2::serve(pool, stream, peer, overflow)).await;
    } else {
        http1::serve(pool, stream, peer, overflow, until).await;
    }
}

/// Returns the output of `work`, or `None` if it does not complete by `until`. Once the gateway
/// stops, it has at most `at_stop` left.
async fn in_time<T>(
    worker: &Rc<Worker>,
    until: Instant,
    at_stop: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let _told = worker.wake_when_draining().await;
    let mut work = pin!(work);
    let mut deadline = Deadline::new(until);
    let mut stopping = false;
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if worker.is_stopping() && !stopping {
            stopping = true;
            deadline.set(deadline.at().min(Instant::now() + at_stop));
        }
        deadline.poll(cx).map(|()| None)
    })
    .await
}

/// Returns whether an unencrypted connection speaks HTTP/2, as gRPC behind a TLS terminator does.
/// Waits until the received bytes tell a preface from an HTTP/1.1 request.
async fn starts_http2(stream: &TcpStream) -> bool {
    loop {
        let Ok(ready) = stream.ready(Interest::READABLE).await else { return false };
        // On `WouldBlock`, tokio clears the readiness, and `ready` waits for more bytes.
        let told = stream.try_io(Interest::READABLE, || {
            let mut start = [0; HTTP2_PREFACE.len()];
            let (read, _) = rustix::net::recv(stream, &mut start, RecvFlags::PEEK)?;
            let may_be = HTTP2_PREFACE.starts_with(&start[..read]);
            match read {
                1..DISTINCT if may_be && !ready.is_read_closed() => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                _ => Ok(may_be && read >= DISTINCT),
            }
        });
        match told {
            Ok(http2) => return http2,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}
