//! Timeouts of a client's HTTP/2 connection: for clients that do not continue, do not read, are
//! silent or are gone.

use std::time::Duration;

use tokio::time::Instant;

use crate::http2::{Reason, Unfinished};
use crate::proxy::downstream::http1::client::PRESENCE_INTERVAL;
use crate::proxy::downstream::http2::client::{CLOSE_TIMEOUT, Client, PING_TIMEOUT, RELEASE_AFTER};
use crate::proxy::downstream::http2::stream::Slot;
use crate::proxy::worker::closing::Closing;
use crate::proxy::worker::deadline::{OVERFLOW_HEAD_TIMEOUT, TransferTimeout};
use crate::proxy::worker::stream::FULL;

/// Returns the longest time that something begun may stay unfinished before the connection ends, or
/// `None` if another timeout applies.
///
/// | unfinished                   | timeout                             | ends           |
/// |------------------------------|-------------------------------------|----------------|
/// | the preface or SETTINGS      | `header_timeout`                    | the connection |
/// | a header block               | `header_timeout`                    | the connection |
/// | any frame but DATA           | `header_timeout`                    | the connection |
/// | DATA of an open stream       | `body_timeout`, `min_transfer_rate` | the stream     |
/// | DATA, once its stream closed | `header_timeout` from then on       | the connection |
///
/// No bytes behind a frame can be parsed before the frame is complete.
fn limit(unfinished: Unfinished, header_timeout: Duration) -> Option<Duration> {
    match unfinished {
        Unfinished::Opening
        | Unfinished::HeaderBlock
        | Unfinished::Frame
        | Unfinished::ClosedData => Some(header_timeout),
        Unfinished::Data => None,
    }
}

impl Client {
    /// Checks all timeouts and sets the deadline of the next check. Returns how to close the
    /// connection if one has expired that ends it at once.
    // Longer than 60 lines: each kind of waiting once, and the earliest deadline of all.
    pub(in crate::proxy) fn check_timeouts(&mut self) -> Option<Closing> {
        let worker = self.connection.worker.clone();
        let now = worker.now().monotonic;
        let current = worker.current();
        let server = &current.runtime.server;
        let (idle, header) = (server.idle_timeout, server.header_timeout);
        let since = |moment: u64| Duration::from_nanos(now.saturating_sub(moment));
        let at = worker.soon(Duration::ZERO);
        if self.write_timeout.and_then(|timeout| timeout.ends()).is_some_and(|end| end <= at) {
            self.http
                .streams()
                .filter_map(|(_, slot)| slot.as_ref())
                .for_each(Slot::note_client_timeout);
            return Some(Closing::Abandoned);
        }
        // This also covers whatever begins after this check.
        let mut next = idle.min(header).min(self.check_unfinished(now, header));
        next = next.min(self.check_streams(now, at));
        if let Some(end) = self.write_timeout.and_then(|timeout| timeout.ends()) {
            // Meanwhile we read nothing, so we do not see a FIN either.
            if self.stream.is_closed_by_peer() {
                return Some(Closing::Abandoned);
            }
            next = next.min(end - at).min(PRESENCE_INTERVAL);
        }
        match self.connection.quiet() {
            Some(quiet) if self.is_closing || self.http.is_winding_down() => {
                let last = self.close_timeout();
                if quiet < last {
                    next = next.min(last - quiet);
                } else if self.is_closing {
                    return Some(Closing::Abandoned);
                } else {
                    // The client has not acknowledged the PING behind the first GOAWAY.
                    self.dismiss(Reason::NO_ERROR);
                    next = next.min(last);
                }
            }
            Some(quiet) if quiet >= idle => {
                self.wind_down();
                next = next.min(self.close_timeout());
            }
            Some(quiet) => {
                next = next.min(idle - quiet);
                if quiet < RELEASE_AFTER {
                    next = next.min(RELEASE_AFTER - quiet);
                } else if self.http.is_quiet() {
                    self.wakers = Vec::new();
                    self.responders = Vec::new();
                    self.http.shrink();
                    self.rest.shrink_to_fit();
                }
            }
            // Detects clients that disappear while a request is in flight.
            None => match self.pinged_at {
                Some(pinged) if since(pinged) >= PING_TIMEOUT => return Some(Closing::Abandoned),
                Some(pinged) => next = next.min(PING_TIMEOUT - since(pinged)),
                None if since(self.received_at) >= idle => {
                    self.http.ping();
                    self.pinged_at = Some(now);
                    next = next.min(PING_TIMEOUT);
                }
                None => next = next.min(idle - since(self.received_at)),
            },
        }
        self.deadline.set(worker.soon(next.max(Duration::from_millis(1))));
        None
    }

    /// Ends the connection if something begun has been unfinished for too long. Returns the time
    /// left.
    fn check_unfinished(&mut self, now: u64, header_timeout: Duration) -> Duration {
        let is_read = !self.is_closing && self.http.out.len() < FULL;
        let Some((unfinished, begun)) = self.http.unfinished().filter(|_| is_read) else {
            return Duration::MAX;
        };
        let Some(limit) = limit(unfinished, header_timeout) else { return Duration::MAX };
        let stood = Duration::from_nanos(now.saturating_sub(begun.max(self.unread)));
        let left = limit.saturating_sub(stood);
        if left.is_zero() {
            self.connection.worker.stats().connections_silent.add(1);
            self.dismiss(Reason::ENHANCE_YOUR_CALM);
            return Duration::MAX;
        }
        left
    }

    /// Resets streams whose timeouts have expired. Returns the time until the next one expires.
    /// `at` is the same instant as `now`.
    fn check_streams(&mut self, now: u64, at: Instant) -> Duration {
        let mut next = Duration::MAX;
        for key in 0..self.wakers.len() {
            self.http.with_stream(key, |sender, slot| {
                let Some(slot) = slot else { return };
                match slot.reads_until() {
                    Some(until) if until <= now => sender.reset(Reason::NO_ERROR),
                    Some(until) => next = next.min(Duration::from_nanos(until - now)),
                    None => {}
                }
                match slot.waits_until() {
                    Some(until) if until <= at => slot.give_up(sender),
                    Some(until) => next = next.min(until - at),
                    None => {}
                }
            });
        }
        next
    }

    /// Starts the timeout of a client that does not take what is sent.
    pub(in crate::proxy) fn wait(&mut self) {
        let worker = &self.connection.worker;
        let timeout = self
            .write_timeout
            .get_or_insert_with(|| TransferTimeout::new(&worker.current().runtime.server));
        timeout.wait(|| worker.soon(Duration::ZERO));
        if let Some(end) = timeout.ends() {
            let next = end.min(worker.soon(PRESENCE_INTERVAL));
            if next < self.deadline.at() {
                self.deadline.set(next);
            }
        }
    }

    /// Ends the connection and all its streams with a GOAWAY that carries `reason`.
    pub(in crate::proxy) fn dismiss(&mut self, reason: Reason) {
        self.http.go_away(reason);
        self.http.abandon_streams();
        self.is_closing = true;
        self.limit_close();
    }

    /// Starts a graceful shutdown (RFC 9113 §6.8): requests in flight and in transit are still
    /// answered.
    pub(in crate::proxy) fn wind_down(&mut self) {
        self.http.wind_down();
        self.limit_close();
    }

    /// Starts the close timeout.
    fn limit_close(&mut self) {
        self.connection.restart_quiet();
        let last = self.connection.worker.soon(self.close_timeout());
        self.deadline.set(self.deadline.at().min(last));
    }

    /// Returns how long a closing connection stays open without a request in flight.
    fn close_timeout(&self) -> Duration {
        if self.connection.overflow { OVERFLOW_HEAD_TIMEOUT } else { CLOSE_TIMEOUT }
    }
}
