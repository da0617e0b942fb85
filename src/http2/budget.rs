//! What a client may cost that asks for nothing: frames that are cheap to send and make work (RFC
//! 9113 §10.5).

use super::Reason;

const NANOSECONDS: u64 = 1_000_000_000;

/// What a frame costs that is only read, or answered with a few bytes.
pub(super) const FRAME: u64 = 1;
/// What a stream costs that was opened for nothing: reset by the client before its answer, or by
/// the gateway for a mistake.
pub(super) const RESET: u64 = 50;
/// What an answer brings, and each of its frames, since clients acknowledge what they read.
pub(super) const ANSWER: u64 = RESET;
pub(super) const SENT: u64 = 2;

#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    /// What is there at first, and at most. Half of it comes back in a second.
    most: u64,
    /// When it was last filled up, in monotonic nanoseconds.
    filled: u64,
    /// Whether more was charged than was left.
    overdrawn: bool,
}

impl Budget {
    /// A full one.
    pub(super) fn new(most: u64, now: u64) -> Self {
        Self { left: most, most, filled: now, overdrawn: false }
    }

    /// Takes so much. Nothing is left: the client goes.
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

    /// Takes so much where there is nobody to tell that nothing is left: the next frame finds out.
    pub(super) fn charge(&mut self, cost: u64, now: u64) {
        self.overdrawn |= self.spend(cost, now).is_err();
    }

    /// Whether the client is to go.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.overdrawn
    }

    /// Gives so much back.
    pub(super) fn earn(&mut self, gain: u64) {
        self.left = (self.left.saturating_add(gain)).min(self.most);
    }
}
