//! A client's connection: TLS, and the choice of protocol.

use super::stream::Stream;
use super::worker::Worker;
use super::{http1, http2};
use crate::policy::Peer;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::net::TcpStream;

/// What an HTTP/2 connection starts with (RFC 9113 §3.4); no HTTP/1.1 request does.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Serves a connection until it closes or the gateway has drained.
pub(super) async fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let current = worker.current();
    let Some(tls) = current.site.tls.clone() else {
        let deadline = current.site.server.header_timeout;
        drop(current);
        let Ok(http2) = tokio::time::timeout(deadline, starts_http2(&stream)).await else { return };
        return converse(worker, Stream::Tcp(stream), Peer::new(peer, false, None), http2).await;
    };
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    let deadline = current.site.server.handshake_timeout;
    drop(current);
    // Boxed, so that a connection does not hold the room for it all its life.
    let Ok(Ok(stream)) = Box::pin(tokio::time::timeout(deadline, handshake)).await else {
        worker.stats().handshakes_failed.add(1);
        return;
    };
    worker.stats().handshakes.add(1);
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let peer = Peer::new(peer, true, session.server_name().map(Into::into));
    converse(worker, Stream::Tls(Box::new(stream.into())), peer, http2).await;
}

async fn converse(worker: &Rc<Worker>, stream: Stream, peer: Peer, http2: bool) {
    if http2 {
        Box::pin(http2::serve(worker, stream, peer)).await;
    } else {
        http1::serve(worker, stream, peer).await;
    }
}

/// Whether an unencrypted connection speaks HTTP/2 (gRPC behind a TLS terminator does).
async fn starts_http2(stream: &TcpStream) -> bool {
    let mut start = [0; HTTP2_PREFACE.len()];
    match stream.peek(&mut start).await {
        Ok(read) => read >= 4 && HTTP2_PREFACE.starts_with(&start[..read]),
        Err(_) => false,
    }
}
