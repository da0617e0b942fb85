//! Listening sockets and accepted connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::proxy::downstream::connection;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::worker::context::Worker;
use crate::state::{Admitted, Phase, TooMany};

/// Most connections that the kernel queues while all workers are busy.
const BACKLOG: i32 = 4096;

/// Most unsent bytes that the kernel buffers per connection. Bytes in transit do not count.
#[cfg(target_os = "linux")]
const MOST_UNSENT: u32 = 256 * 1024;

/// Interval between two log messages about failed accepts, in nanoseconds.
const TELL_AGAIN: u64 = 60_000_000_000;

/// Binds an address for all workers to accept from. They share one socket, so that no connection
/// waits in the queue of a busy worker.
///
/// # Errors
/// Returns the error of the operating system.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted connections inherit this: it detects a peer that vanished during a WebSocket or a
    // stream.
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    // They inherit this too: little of a response waits in the kernel's buffers for a slow client,
    // and we see how fast the client reads.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(MOST_UNSENT)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections from `Phase::Running` until the gateway drains or another process takes
/// over.
pub(in crate::proxy) async fn accept(pool: Rc<Pool>, listener: TcpListener) {
    let worker = pool.worker();
    let mut phase = worker.shared().phase();
    let _ = phase.wait_for(|phase| *phase >= Phase::Running).await;
    let mut told_at = None;
    loop {
        let accepted = tokio::select! {
            _ = phase.wait_for(|phase| *phase >= Phase::Relieved) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // That client has left already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // Out of file descriptors or memory: give open connections time to end.
                worker.stats().accepts_failed.add(1);
                let now = worker.now().monotonic;
                if told_at.is_none_or(|told_at| now - told_at >= TELL_AGAIN) {
                    told_at = Some(now);
                    tracing::error!(%error, "cannot accept connections");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        worker.stats().connections.add(1);
        let admitted =
            worker.shared().connections.admit(peer.ip(), &worker.current().runtime.server);
        match admitted {
            Ok(admitted) => {
                worker.stats().connections_refused[TooMany::InAll as usize]
                    .add(u64::from(admitted.overflow));
                let open = OpenConnection::new(worker.clone(), admitted);
                tokio::task::spawn_local(open.serve(pool.clone(), stream, peer.ip()));
            }
            Err(why) => worker.stats().connections_refused[why as usize].add(1),
        }
        // Another worker may be idle: let it take the next connection.
        tokio::task::yield_now().await;
    }
}

/// Counts a connection until it is dropped. The gateway does not stop before that.
struct OpenConnection(Rc<Worker>, Admitted);

impl OpenConnection {
    fn new(worker: Rc<Worker>, admitted: Admitted) -> Self {
        worker.opened();
        Self(worker, admitted)
    }

    /// Serves it to its end. Takes it whole, so that it is counted for as long.
    async fn serve(self, pool: Rc<Pool>, stream: TcpStream, peer: IpAddr) {
        connection::serve(&pool, stream, peer, self.1.overflow).await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed();
        self.0.shared().connections.release(&self.1);
    }
}
