//! Byte streams to upstreams and from clients, over any transport.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::state::UpstreamPlace;

/// Number of bytes that are collected before they are sent to a client: four TLS records (RFC 8446
/// §5.1).
pub(in crate::proxy) const FULL: usize = 64 * 1024;

/// Connection to an upstream or from a client. TLS state is boxed because it is large.
pub(in crate::proxy) enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::TlsStream<TcpStream>>),
    Unix(UnixStream),
    /// Another variant, counted against the limit on open files while it is open.
    Counted(Box<(Stream, UpstreamPlace)>),
}

impl Stream {
    /// Sets whether the kernel resets the connection when it is closed, even by a crash, and
    /// discards unsent bytes. Otherwise the peer receives a FIN after everything that was sent.
    pub(in crate::proxy) fn reset_when_dropped(&self, reset: bool) {
        if let Some(stream) = self.tcp() {
            let linger = reset.then_some(Duration::ZERO);
            let _ = socket2::SockRef::from(stream).set_linger(linger);
        }
    }

    /// Returns whether the peer has closed its side or reset the connection, even if earlier bytes
    /// have not been read. The kernel reports this for TCP only.
    pub(in crate::proxy) fn is_closed_by_peer(&self) -> bool {
        let Some(stream) = self.tcp() else { return false };
        // Reads the readiness that the runtime already has, without waiting.
        let mut cx = Context::from_waker(Waker::noop());
        let ready = pin!(stream.ready(Interest::READABLE)).poll(&mut cx);
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Returns whether unread bytes may fill the receive buffer so far that flow control keeps the
    /// peer from sending more, and so from sending its FIN.
    pub(in crate::proxy) fn is_congested(&self) -> bool {
        let Some(stream) = self.tcp() else { return false };
        let unread = rustix::io::ioctl_fionread(stream).unwrap_or_default();
        let room = socket2::SockRef::from(stream).recv_buffer_size().unwrap_or_default() as u64;
        // The kernel needs the rest of the buffer itself.
        unread >= room / 4
    }

    /// Shuts down the sending side as far as possible without waiting: for a connection with no
    /// request in flight.
    pub(in crate::proxy) fn start_shutdown(&mut self) {
        let _ = Pin::new(self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Unix(_) => None,
            Self::Counted(counted) => counted.0.tcp(),
        }
    }
}

/// Reads into `buffer`. Returns the number of bytes read, or 0 if the peer has closed its side.
pub(in crate::proxy) fn poll_read(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Calls the same method on the inner stream.
macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::Unix($inner) => $call,
            Stream::Counted(counted) => {
                let $inner = &mut counted.0;
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut *self, inner => Pin::new(inner).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(inner) => inner.is_write_vectored(),
            Stream::Tls(inner) => inner.is_write_vectored(),
            Stream::Unix(inner) => inner.is_write_vectored(),
            Stream::Counted(counted) => counted.0.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
