//! How connections are closed: with close_notify, FIN or a reset.

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

/// How much of what a client still sends is read behind the response, and for how long.
pub(in crate::proxy) const READ_ON_BYTES: usize = 256 * 1024;
pub(in crate::proxy) const READ_ON_TIME: Duration = Duration::from_secs(5);

/// How a connection is to be closed. Every driver of a connection returns one, and [`close`]
/// carries it out.
///
/// | how it ended | closing |
/// |---|---|
/// | no request within `header_timeout` or `idle_timeout`, a stop | orderly |
/// | the client closed its side between two requests | orderly |
/// | a WebSocket's other side ended in order | orderly |
/// | a response with `Connection: close`, GOAWAY, a refused handshake | lingering |
/// | a response was broken off, and its framing says so | truncated |
/// | the client of HTTP/2 closed its side while requests were in flight | truncated |
/// | a WebSocket's other side broke off | truncated |
/// | a response that ends with the connection was broken off | abandoned |
/// | the client left while it was owed a response, or takes nothing | abandoned |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(in crate::proxy) enum Closing {
    /// Everything sent is whole: close_notify (RFC 8446 §6.1), FIN.
    Orderly,
    /// The same, and the peer may still be sending. What it sends is read for this long at most,
    /// because the system resets a connection with unread data, and the peer loses what it was told
    /// (RFC 9112 §9.6).
    Lingering(Duration),
    /// The last message is cut short, and its framing shows that: FIN without close_notify.
    Truncated,
    /// Nothing more arrives, or an end would make a part look like the whole: a reset.
    Abandoned,
}

/// Closes a connection. `stream` gives out the connection, which the caller drops right after.
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

/// Closes this side; `linger`: and waits this long for the peer to close its own.
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
            // The peer does not take what was sent before.
            stream().reset_when_dropped(true);
        }
        Poll::Ready(())
    })
    .await;
}
