//! A client's connection: TLS, and the choice of protocol.

use std::cell::RefMut;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncWrite as _, Interest};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client::poll_read;
use super::deadline::Deadline;
use super::stream::Stream;
use super::worker::Worker;
use super::{http1, http2};
use crate::policy::Peer;

/// What an HTTP/2 connection starts with (RFC 9113 §3.4); no HTTP/1.1 request does.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// How many bytes of it no other method starts with.
const DISTINCT: usize = 4;
/// How long a connection that is there only to be told that there are too many may take, TLS
/// handshake included.
const SURPLUS_TIME: Duration = Duration::from_secs(3);
/// How long a TLS handshake, or a head, may take to end when the gateway stops.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// How much of the body of a request that has been answered is read, and for how long.
pub(super) const READ_ON_BYTES: usize = 256 * 1024;
pub(super) const READ_ON_TIME: Duration = Duration::from_secs(5);

/// Serves a connection until it closes or the gateway has drained. `surplus`: it is there only to
/// be told that there are too many.
pub(super) async fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr, surplus: bool) {
    let serving = begin(worker, stream, peer, surplus);
    if surplus {
        let _ = Box::pin(tokio::time::timeout(SURPLUS_TIME, serving)).await;
    } else {
        serving.await;
    }
}

async fn begin(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr, surplus: bool) {
    let _ = stream.set_nodelay(true);
    let current = worker.current();
    let (handshake, header) =
        (current.site.server.handshake_timeout, current.site.server.header_timeout);
    let tls = current.site.tls.clone();
    drop(current);
    let now = Instant::now();
    let Some(tls) = tls else {
        // The time for the first head runs already; a client that has said nothing does not hold up
        // a stop.
        match in_time(worker, now + header, Duration::ZERO, starts_http2(&stream)).await {
            Some(http2) => {
                converse(
                    worker,
                    Stream::Tcp(stream),
                    Peer::new(peer, false, None),
                    http2,
                    surplus,
                    now + header,
                )
                .await
            }
            None => worker.stats().connections_silent.add(1),
        }
        return;
    };
    let accepting = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    // Boxed, so that a connection does not hold the room for it all its life.
    let Some(Ok(stream)) = Box::pin(in_time(worker, now + handshake, LAST_WORDS, accepting)).await
    else {
        worker.stats().handshakes_failed.add(1);
        return;
    };
    worker.stats().handshakes.add(1);
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let peer = Peer::new(peer, true, session.server_name().map(Into::into));
    converse(
        worker,
        Stream::Tls(Box::new(stream.into())),
        peer,
        http2,
        surplus,
        Instant::now() + header,
    )
    .await;
}

/// `until`: when the first head must have come.
async fn converse(
    worker: &Rc<Worker>,
    stream: Stream,
    peer: Peer,
    http2: bool,
    surplus: bool,
    until: Instant,
) {
    if http2 {
        Box::pin(http2::serve(worker, stream, peer, surplus)).await;
    } else {
        http1::serve(worker, stream, peer, surplus, until).await;
    }
}

/// What the work comes to, unless it takes too long. When the gateway stops, it has only this much
/// time left.
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

/// Closes this side and waits a little for the client to close its own: what it sent meanwhile
/// would make the system reset the connection, and the client lose what it was told (RFC 9112
/// §9.6). `stream` gives out the connection.
pub(super) async fn hang_up<'s>(
    worker: &Worker,
    stream: impl Fn() -> RefMut<'s, Stream>,
    deadline: &mut Deadline,
) {
    let mut left = READ_ON_BYTES;
    let mut shut = false;
    deadline.set(Instant::now() + READ_ON_TIME);
    poll_fn(|cx| {
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !shut {
            if ready!(Pin::new(&mut *stream()).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            shut = true;
        }
        loop {
            match ready!(poll_read(&mut stream(), cx, &mut worker.client_buffer())) {
                Ok(read) if read > 0 && read <= left => left -= read,
                _ => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// Whether an unencrypted connection speaks HTTP/2 (gRPC behind a TLS terminator does). Waits as
/// long as what has come may be the start of a preface or of an HTTP/1.1 request.
async fn starts_http2(stream: &TcpStream) -> bool {
    loop {
        let Ok(ready) = stream.ready(Interest::READABLE).await else { return false };
        // Where this says `WouldBlock`, the readiness is forgotten, and `ready` waits for more.
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
