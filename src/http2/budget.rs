//! What a client may cost that asks for nothing: frames that are cheap to send and make work (RFC 9113 §10.5).

use super::Reason;

/// What is there at first, and at most.
const MOST: u64 = 10_000;
/// What comes back in a second.
const A_SECOND: u64 = 5_000;
const NANOSECONDS: u64 = 1_000_000_000;

/// What a frame costs that is only read, or answered with a few bytes.
pub(super) const FRAME: u64 = 1;
/// What a stream costs that was opened for nothing: reset by the client before its answer, or by the gateway for a mistake.
pub(super) const RESET: u64 = 50;
/// What an answer brings, and each of its frames, since clients acknowledge what they read.
pub(super) const ANSWER: u64 = RESET;
pub(super) const SENT: u64 = 2;

#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    /// When it was last filled up, in monotonic nanoseconds.
    filled: u64,
}

impl Budget {
    pub(super) fn new(now: u64) -> Self {
        Self { left: MOST, filled: now }
    }

    /// Takes so much. Nothing is left: the client goes.
    pub(super) fn spend(&mut self, cost: u64, now: u64) -> Result<(), Reason> {
        if self.left < MOST / 2 {
            let back = (u128::from(now.saturating_sub(self.filled)) * u128::from(A_SECOND) / u128::from(NANOSECONDS)) as u64;
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

    /// Gives so much back.
    pub(super) fn earn(&mut self, gain: u64) {
        self.left = (self.left.saturating_add(gain)).min(MOST);
    }
}
