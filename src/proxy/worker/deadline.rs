//! A moment until which something must have happened, moved on much more often than it is reached;
//! and how long a client is waited for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::config::Server;

/// How long a TLS handshake, or a head, may take to end when the gateway stops.
pub(in crate::proxy) const LAST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// When the first request must have come on a connection that is there only to be told that there
/// are too many.
pub(in crate::proxy) const OVERFLOW_HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Moving it to a later moment costs nothing: the timer is set anew when it goes off too early, and
/// not for each request.
pub(in crate::proxy) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(in crate::proxy) fn new(at: Instant) -> Self {
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)) }
    }

    pub(in crate::proxy) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    pub(in crate::proxy) fn at(&self) -> Instant {
        self.at
    }

    /// Ready once the moment is past.
    pub(in crate::proxy) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

/// How long a client may still be waited for: `body_timeout` at first. Waiting uses it up, and
/// every byte that moves gives back as much as it takes at `min_transfer_rate`, up to the whole of
/// it again. While somebody else is waited for, it stands still.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::proxy) struct TransferTimeout {
    whole: Duration,
    /// Bytes a second; 0: a byte gives back the whole.
    rate: usize,
    left: Duration,
    /// Since when the client is waited for.
    since: Option<Instant>,
}

impl TransferTimeout {
    pub(in crate::proxy) fn new(server: &Server) -> Self {
        Self {
            whole: server.body_timeout,
            rate: server.min_transfer_rate,
            left: server.body_timeout,
            since: None,
        }
    }

    /// For a stream of messages, each of which comes when there is something to say: only silence
    /// counts.
    pub(in crate::proxy) fn with_messages(server: &Server) -> Self {
        Self { rate: 0, ..Self::new(server) }
    }

    /// The client is waited for from now on, if it was not before.
    pub(in crate::proxy) fn wait(&mut self, now: impl FnOnce() -> Instant) {
        if self.since.is_none() {
            self.since = Some(now());
        }
    }

    /// So many bytes have moved, and the client is not waited for any more.
    pub(in crate::proxy) fn moved(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let back = match (bytes, self.rate) {
            (0, _) => Duration::ZERO,
            (_, 0) => self.whole,
            (bytes, rate) => {
                Duration::try_from_secs_f64(bytes as f64 / rate as f64).unwrap_or(self.whole)
            }
        };
        self.left = self.left.saturating_add(back).min(self.whole);
    }

    /// When it ends, while the client is waited for.
    pub(in crate::proxy) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(rate: usize) -> TransferTimeout {
        TransferTimeout { whole: 10 * SECOND, rate, left: 10 * SECOND, since: None }
    }

    /// Waits this long for this many bytes, again and again; after how many times it is too much.
    fn rounds(mut patience: TransferTimeout, pause: Duration, bytes: usize) -> Option<u32> {
        let mut now = Instant::now();
        (1..=10_000).find(|_| {
            patience.wait(|| now);
            now += pause;
            let late = patience.ends().is_none_or(|end| now >= end);
            patience.moved(bytes, now);
            late
        })
    }

    #[test]
    fn client_that_trickles_runs_out_of_time_and_one_at_the_rate_never_does() {
        assert_eq!(
            rounds(patience(100), SECOND, 1),
            Some(11),
            "a byte a second gives back a hundredth of it"
        );
        assert_eq!(
            rounds(patience(100), SECOND, 99),
            Some(901),
            "a little too slow is found out in the end"
        );
        assert_eq!(rounds(patience(100), SECOND, 100), None);
        assert_eq!(rounds(patience(100), 9 * SECOND, 900), None, "pauses are no fault");
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        assert_eq!(rounds(patience(0), 9 * SECOND, 1), None);
        assert_eq!(rounds(patience(0), 10 * SECOND, 1), Some(1));
    }

    #[test]
    fn what_moved_fast_is_not_saved_up() {
        let (mut patience, now) = (patience(1), Instant::now());
        patience.moved(usize::MAX, now);
        patience.wait(|| now);
        assert_eq!(patience.ends(), Some(now + 10 * SECOND));
    }

    #[test]
    fn time_in_which_somebody_else_is_waited_for_does_not_count() {
        let (mut patience, now) = (patience(100), Instant::now());
        patience.wait(|| now);
        patience.moved(0, now + 4 * SECOND);
        assert_eq!(patience.ends(), None);
        patience.wait(|| now + 1000 * SECOND);
        assert_eq!(patience.ends(), Some(now + 1006 * SECOND));
    }
}
