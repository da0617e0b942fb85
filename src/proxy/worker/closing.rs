//! Closing of connections: with close_notify, FIN or a reset.

use std::cell::RefMut;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use crate::proxy::worker::context::Worker;
use crate::proxy::worker::deadline::Deadline;
use crate::proxy::worker::stream::Stream;
use crate::proxy::worker::stream::poll_read;

/// Most bytes that are read from a client after its response, and the longest time for that.
pub(in crate::proxy) const READ_ON_BYTES: usize = 256 * 1024;
pub(in crate::proxy) const READ_ON_TIME: Duration = Duration::from_secs(5);

/// How to close a connection. Each driver of a connection ends with one and passes it to [`close`].
///
/// | how the connection ended | closing |
/// |---|---|
/// | no request within `header_timeout` or `idle_timeout`, or the gateway stops | orderly |
/// | the client closed its side between two requests | orderly |
/// | the other side of a WebSocket ended in order | orderly |
/// | a response with `Connection: close`, a GOAWAY, a failed handshake | lingering |
/// | a response was truncated, and its framing shows it | truncated |
/// | an HTTP/2 client closed its side while requests were in flight | truncated |
/// | the other side of a WebSocket failed | truncated |
/// | a close-delimited response was truncated | abandoned |
/// | the client left before its response, or does not read it | abandoned |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(in crate::proxy) enum Closing {
    /// Everything sent is complete: close_notify (RFC 8446 §6.1), then FIN.
    Orderly,
    /// As `Orderly`, but the peer may still be sending. Its bytes are read and discarded for at
    /// most this long, because the kernel resets a connection with unread data, and the peer would
    /// lose the response (RFC 9112 §9.6).
    Lingering(Duration),
    /// The last message is truncated, and its framing shows it: FIN without close_notify.
    Truncated,
    /// The peer takes no more bytes, or a FIN would make a truncated message look complete: a
    /// reset.
    Abandoned,
}

/// Closes a connection as `closing` says. `stream` borrows the connection, which the caller drops
/// right afterwards.
pub(in crate::proxy) async fn close<'s>(
    worker: &Worker,
    stream: impl Fn() -> RefMut<'s, Stream>,
    closing: Closing,
) {
    match closing {
        Closing::Orderly => shut_down(worker, stream, None).await,
        Closing::Lingering(time) => shut_down(worker, stream, Some(time)).await,
        Closing::Truncated => {}
        Closing::Abandoned => stream().reset_when_dropped(true),
    }
}

/// Closes the sending side. With `linger`, waits at most that long for the peer to close its own.
async fn shut_down<'s>(
    worker: &Worker,
    stream: impl Fn() -> RefMut<'s, Stream>,
    linger: Option<Duration>,
) {
    let mut left = READ_ON_BYTES;
    let mut shut = false;
    let mut deadline = None;
    poll_fn(|cx| {
        if !shut {
            match Pin::new(&mut *stream()).poll_shutdown(cx) {
                Poll::Ready(Ok(())) if linger.is_some() => shut = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if shut {
            loop {
                match poll_read(&mut stream(), cx, &mut worker.client_buffer()) {
                    Poll::Ready(Ok(read)) if read > 0 && read <= left => left -= read,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
        }
        let deadline = deadline
            .get_or_insert_with(|| Deadline::new(Instant::now() + linger.unwrap_or(READ_ON_TIME)));
        ready!(deadline.poll(cx));
        if !shut {
            // The peer does not read what was sent earlier.
            stream().reset_when_dropped(true);
        }
        Poll::Ready(())
    })
    .await;
}
