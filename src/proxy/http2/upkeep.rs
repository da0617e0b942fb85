//! What time brings to a client's HTTP/2 connection: clients that do not go on, that do not read,
//! that say nothing, or that are gone.

use std::time::Duration;

use super::super::client::LOOK;
use super::super::closing::Closing;
use super::super::deadline::{Patience, SURPLUS_HEAD_TIMEOUT};
use super::super::http2_stream::{FULL, Slot};
use super::{Client, LAST_WORDS, PING_TIMEOUT, TIDY};
use crate::http2::Reason;

impl Client {
    /// Does what time brings, and sets the deadline for the next look.
    pub(super) fn look_after(&mut self) -> Option<Closing> {
        let worker = self.connection.worker.clone();
        let now = worker.now().monotonic;
        let current = worker.current();
        let server = &current.site.server;
        let (idle, header) = (server.idle_timeout, server.header_timeout);
        let since = |moment: u64| Duration::from_nanos(now.saturating_sub(moment));
        let at = worker.soon(Duration::ZERO);
        if self.patience.and_then(|patience| patience.ends()).is_some_and(|end| end <= at) {
            self.slots.iter().for_each(Slot::blame_client);
            return Some(Closing::Abandoned);
        }
        // What begins after this look is looked after in time.
        let mut next = idle.min(header);
        let begun = (!self.rest.is_empty()).then_some(self.rest_since);
        let is_read = !self.told && self.http.out.len() < FULL;
        if let Some(begun) =
            self.http.unfinished_since().into_iter().chain(begun).min().filter(|_| is_read)
        {
            let begun = begun.max(self.unread);
            if since(begun) >= header {
                worker.stats().connections_silent.add(1);
                self.dismiss(Reason::ENHANCE_YOUR_CALM);
            } else {
                next = next.min(header - since(begun));
            }
        }
        for (place, slot) in self.slots.iter_mut().enumerate() {
            match slot.reads_until() {
                Some(until) if until <= now => slot.stop_reading(&mut self.http, place),
                Some(until) => next = next.min(Duration::from_nanos(until - now)),
                None => {}
            }
            match slot.waits_until() {
                Some(until) if until <= at => slot.give_up(&mut self.http, place),
                Some(until) => next = next.min(until - at),
                None => {}
            }
        }
        if let Some(end) = self.patience.and_then(|patience| patience.ends()) {
            // Nothing is read meanwhile, not even that the client has left.
            if self.stream.is_closed_by_peer() {
                return Some(Closing::Abandoned);
            }
            next = next.min(end - at).min(LOOK);
        }
        match self.connection.quiet() {
            Some(quiet) if self.told || self.http.is_winding_down() => {
                let last = self.last_time();
                if quiet < last {
                    next = next.min(last - quiet);
                } else if self.told {
                    return Some(Closing::Abandoned);
                } else {
                    // It does not confirm that it has heard of the end.
                    self.dismiss(Reason::NO_ERROR);
                    next = next.min(last);
                }
            }
            Some(quiet) if quiet >= idle => {
                self.wind_down();
                next = next.min(self.last_time());
            }
            Some(quiet) => {
                next = next.min(idle - quiet);
                if quiet < TIDY {
                    next = next.min(TIDY - quiet);
                } else if self.http.is_quiet() {
                    self.slots = Vec::new();
                    if self.http.out.is_empty() {
                        self.http.out = Vec::new();
                    }
                    self.rest.shrink_to_fit();
                }
            }
            // Finds out about clients that are gone without a word while a request is in flight.
            None => match self.asked {
                Some(asked) if since(asked) >= PING_TIMEOUT => return Some(Closing::Abandoned),
                Some(asked) => next = next.min(PING_TIMEOUT - since(asked)),
                None if since(self.heard) >= idle => {
                    self.http.ping();
                    self.asked = Some(now);
                    next = next.min(PING_TIMEOUT);
                }
                None => next = next.min(idle - since(self.heard)),
            },
        }
        self.deadline.set(worker.soon(next.max(Duration::from_millis(1))));
        None
    }

    /// The client does not take what is sent.
    pub(super) fn wait(&mut self) {
        let worker = &self.connection.worker;
        let patience =
            self.patience.get_or_insert_with(|| Patience::new(&worker.current().site.server));
        patience.wait(|| worker.soon(Duration::ZERO));
        if let Some(end) = patience.ends() {
            let next = end.min(worker.soon(LOOK));
            if next < self.deadline.at() {
                self.deadline.set(next);
            }
        }
    }

    /// Ends the connection with all that is on it, and says why.
    pub(super) fn dismiss(&mut self, reason: Reason) {
        self.http.go_away(reason);
        self.slots.clear();
        self.told = true;
        self.last_words();
    }

    pub(super) fn wind_down(&mut self) {
        self.http.wind_down();
        self.last_words();
    }

    fn last_words(&mut self) {
        self.connection.restart_quiet();
        let last = self.connection.worker.soon(self.last_time());
        self.deadline.set(self.deadline.at().min(last));
    }

    /// How long the connection may stay without a request in flight once it is to end.
    fn last_time(&self) -> Duration {
        if self.connection.surplus { SURPLUS_HEAD_TIMEOUT } else { LAST_WORDS }
    }
}
