//! Limits the work that a client can cause without making requests, by frames that are cheap to
//! send (RFC 9113 §10.5).

use super::Reason;

const NANOSECONDS: u64 = 1_000_000_000;

/// The cost of a frame that is only read, or acknowledged with a few bytes.
pub(super) const FRAME: u64 = 1;
/// The cost of a stream that served no purpose: reset by the client before its response, or by
/// Keygate because of an error.
pub(super) const RESET: u64 = 50;
/// What a response and each of its DATA frames earn. Clients acknowledge what they receive, and
/// that must not cost them.
pub(super) const ANSWER: u64 = RESET;
pub(super) const SENT: u64 = 2;

#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    /// The initial and the highest balance. Half of it is refilled per second.
    most: u64,
    /// When the balance was last refilled, in monotonic nanoseconds.
    filled: u64,
    /// Whether a charge has exceeded the balance.
    overdrawn: bool,
}

impl Budget {
    /// Returns a full budget.
    pub(super) fn new(most: u64, now: u64) -> Self {
        Self { left: most, most, filled: now, overdrawn: false }
    }

    /// Deducts a cost. Returns `Err` if the balance does not cover it; the connection must then
    /// end.
    pub(super) fn spend(&mut self, cost: u64, now: u64) -> Result<(), Reason> {
        if self.left < self.most / 2 {
            let back = (u128::from(now.saturating_sub(self.filled)) * u128::from(self.most / 2)
                / u128::from(NANOSECONDS)) as u64;
            if back > 0 {
                self.earn(back);
                self.filled = now;
            }
        } else {
            self.filled = now;
        }
        self.left = self.left.checked_sub(cost).ok_or(Reason::ENHANCE_YOUR_CALM)?;
        Ok(())
    }

    /// Deducts a cost where no error can be returned. The next frame then ends the connection.
    pub(super) fn charge(&mut self, cost: u64, now: u64) {
        self.overdrawn |= self.spend(cost, now).is_err();
    }

    /// Returns whether the connection must end.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.overdrawn
    }

    /// Adds to the balance, up to its maximum.
    pub(super) fn earn(&mut self, gain: u64) {
        self.left = (self.left.saturating_add(gain)).min(self.most);
    }
}
