//! Where connections come in.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::proxy::downstream::connection;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::worker::context::Worker;
use crate::state::{Admitted, Phase, TooMany};

/// Connections that the kernel may hold for us while all workers are busy.
const BACKLOG: i32 = 4096;

/// What the system may hold of an answer that it has not sent, in bytes; what is on its way does
/// not count.
#[cfg(target_os = "linux")]
const MOST_UNSENT: u32 = 256 * 1024;

/// When it is said again that connections cannot be accepted, in nanoseconds.
const TELL_AGAIN: u64 = 60_000_000_000;

/// Binds an address for all workers to accept from. One socket, so that none is lost when a worker
/// is busy.
///
/// # Errors
/// What the operating system says.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted connections inherit it: a peer that vanished in the middle of a WebSocket or a
    // stream is found out.
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    // So is this: a client that reads slowly keeps little in the system's buffers, and it is seen
    // how fast it reads.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(MOST_UNSENT)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts as soon as the gateway runs until it drains.
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
                // Out of descriptors or memory: give connections that are open time to end.
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
        let admitted = worker.shared().connections.admit(peer.ip(), &worker.current().site.server);
        match admitted {
            Ok(admitted) => {
                worker.stats().connections_refused[TooMany::InAll as usize]
                    .add(u64::from(admitted.overflow));
                let open = OpenConnection::new(worker.clone(), admitted);
                let pool = pool.clone();
                tokio::task::spawn_local(async move {
                    connection::serve(&pool, stream, peer.ip(), open.1.overflow).await;
                });
            }
            Err(why) => worker.stats().connections_refused[why as usize].add(1),
        }
        // Another worker may be idle: let it take the next connection.
        tokio::task::yield_now().await;
    }
}

/// Counts a connection for as long as it lives; the gateway does not stop before it is gone.
struct OpenConnection(Rc<Worker>, Admitted);

impl OpenConnection {
    fn new(worker: Rc<Worker>, admitted: Admitted) -> Self {
        worker.opened();
        Self(worker, admitted)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed();
        self.0.shared().connections.release(&self.1);
    }
}
