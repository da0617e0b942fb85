//! Deadlines that are moved far more often than they expire, and the timeouts for clients.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::config::Server;

/// Longest time for a TLS handshake or a request head to complete once the gateway stops.
pub(in crate::proxy) const LAST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for the first request on an overflow connection, which is open only to receive the
/// refusal that there are too many.
pub(in crate::proxy) const OVERFLOW_HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Timer that is cheap to move to a later instant: it is reset only when it fires too early, and
/// not for each request.
pub(in crate::proxy) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Creates a deadline that expires at `at`.
    pub(in crate::proxy) fn new(at: Instant) -> Self {
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)) }
    }

    /// Moves the deadline to `at`, earlier or later.
    pub(in crate::proxy) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Returns the instant at which the deadline expires.
    pub(in crate::proxy) fn at(&self) -> Instant {
        self.at
    }

    /// Resolves once the deadline has passed.
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

/// Timeout for a client that we are waiting for. It starts at `body_timeout`, and waiting uses it
/// up. Every byte transferred gives back the time that it takes at `min_transfer_rate`, up to the
/// initial value. It does not run while we are waiting for another peer.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::proxy) struct TransferTimeout {
    whole: Duration,
    /// Bytes per second. At 0, any byte restores the whole timeout.
    rate: usize,
    left: Duration,
    /// When we began to wait for the client, or `None` if we are not waiting.
    since: Option<Instant>,
}

impl TransferTimeout {
    /// Creates a timeout from `body_timeout` and `min_transfer_rate`.
    pub(in crate::proxy) fn new(server: &Server) -> Self {
        Self {
            whole: server.body_timeout,
            rate: server.min_transfer_rate,
            left: server.body_timeout,
            since: None,
        }
    }

    /// Creates a timeout for a stream of messages, which may have long pauses: only the time
    /// without any byte counts.
    pub(in crate::proxy) fn with_messages(server: &Server) -> Self {
        Self { rate: 0, ..Self::new(server) }
    }

    /// Starts the timeout, unless it is running.
    pub(in crate::proxy) fn wait(&mut self, now: impl FnOnce() -> Instant) {
        if self.since.is_none() {
            self.since = Some(now());
        }
    }

    /// Stops the timeout and gives back time for `bytes` transferred bytes.
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

    /// Returns when the timeout expires, or `None` if it is not running.
    pub(in crate::proxy) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timeout(rate: usize) -> TransferTimeout {
        TransferTimeout { whole: 10 * SECOND, rate, left: 10 * SECOND, since: None }
    }

    /// Repeats a pause and a transfer of `bytes`, for up to 10,000 rounds. Returns the first round
    /// in which the timeout expires, or `None` if it never does.
    fn rounds(mut timeout: TransferTimeout, pause: Duration, bytes: usize) -> Option<u32> {
        let mut now = Instant::now();
        (1..=10_000).find(|_| {
            timeout.wait(|| now);
            now += pause;
            let late = timeout.ends().is_none_or(|end| now >= end);
            timeout.moved(bytes, now);
            late
        })
    }

    #[test]
    fn client_that_trickles_runs_out_of_time_and_one_at_the_rate_never_does() {
        assert_eq!(
            rounds(timeout(100), SECOND, 1),
            Some(11),
            "a byte a second gives back a hundredth of it"
        );
        assert_eq!(
            rounds(timeout(100), SECOND, 99),
            Some(901),
            "a little too slow is found out in the end"
        );
        assert_eq!(rounds(timeout(100), SECOND, 100), None);
        assert_eq!(rounds(timeout(100), 9 * SECOND, 900), None, "pauses are no fault");
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        assert_eq!(rounds(timeout(0), 9 * SECOND, 1), None);
        assert_eq!(rounds(timeout(0), 10 * SECOND, 1), Some(1));
    }

    #[test]
    fn what_moved_fast_is_not_saved_up() {
        let (mut timeout, now) = (timeout(1), Instant::now());
        timeout.moved(usize::MAX, now);
        timeout.wait(|| now);
        assert_eq!(timeout.ends(), Some(now + 10 * SECOND));
    }

    #[test]
    fn time_in_which_somebody_else_is_waited_for_does_not_count() {
        let (mut timeout, now) = (timeout(100), Instant::now());
        timeout.wait(|| now);
        timeout.moved(0, now + 4 * SECOND);
        assert_eq!(timeout.ends(), None);
        timeout.wait(|| now + 1000 * SECOND);
        assert_eq!(timeout.ends(), Some(now + 1006 * SECOND));
    }
}
