//! How much of requests' bodies may come (RFC 9113 §5.2). Bytes that have come take up room in the
//! connection's receive window until their [`Credit`] is dropped.

use std::cell::Cell;
use std::rc::Rc;

use super::Reason;

/// How much of a body may come on one stream before somebody takes it, in bytes.
pub(super) const STREAM_WINDOW: usize = 512 * 1024;
/// The same on all streams, once as much has been passed on: what nobody takes is held, so there is
/// less room for it.
pub(super) const CONNECTION_WINDOW: usize = 1024 * 1024;
/// What windows are before anything is said about them, and the most that they can be (RFC 9113
/// §6.9).
pub(super) const FIRST_WINDOW: usize = 65_535;
pub(super) const LARGEST_WINDOW: i64 = (1 << 31) - 1;

/// The room that a connection's client is to be told about. Every [`Credit`] has a share in it.
#[derive(Debug)]
struct Ledger {
    /// Bytes that hold no room any more, and of which the client was not told.
    due: Cell<usize>,
    /// How large the whole window is to be.
    window: Cell<usize>,
}

/// The room that bytes of a request's body take up. Dropping it gives the room back, whatever
/// became of the bytes, so it is kept as long as they are.
#[derive(Debug)]
#[must_use = "dropping it lets the client send more"]
pub struct Credit {
    ledger: Rc<Ledger>,
    bytes: usize,
}

impl Credit {
    /// For how many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds that of more bytes of the same connection.
    pub fn add(&mut self, mut more: Self) {
        self.bytes += std::mem::take(&mut more.bytes);
    }

    /// Gives the room back because the bytes were passed on: the window grows by as much, since
    /// somebody takes what comes.
    pub fn pass_on(self) {
        let Ledger { due, window } = &*self.ledger;
        let more = self.bytes.min(CONNECTION_WINDOW - window.get());
        window.set(window.get() + more);
        due.set(due.get() + more);
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.ledger.due.set(self.ledger.due.get() + self.bytes);
    }
}

/// A connection's receive window.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    /// How much may still come.
    left: usize,
    ledger: Rc<Ledger>,
}

impl ReceiveWindow {
    pub(super) fn new() -> Self {
        let ledger = Ledger { due: Cell::new(0), window: Cell::new(FIRST_WINDOW) };
        Self { left: FIRST_WINDOW, ledger: Rc::new(ledger) }
    }

    /// Whether so many bytes may come.
    ///
    /// # Errors
    /// They may not: the client is in disorder.
    pub(super) fn check(&self, bytes: usize) -> Result<(), Reason> {
        if bytes <= self.left { Ok(()) } else { Err(Reason::FLOW_CONTROL_ERROR) }
    }

    /// Bytes have come that were [checked](Self::check).
    pub(super) fn take(&mut self, bytes: usize) -> Credit {
        self.left = self.left.saturating_sub(bytes);
        Credit { ledger: self.ledger.clone(), bytes }
    }

    /// Bytes have come that nobody keeps: padding, or the data of a closed stream.
    pub(super) fn skip(&mut self, bytes: usize) {
        drop(self.take(bytes));
    }

    /// By how much the client's window is to be raised now. Small changes are put off.
    pub(super) fn raise(&mut self) -> Option<u32> {
        let due = &self.ledger.due;
        if due.get() < self.ledger.window.get() / 4 {
            return None;
        }
        self.left += due.get();
        Some(due.take() as u32)
    }

    /// What may come, what the client is to be told about, and the whole window.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (usize, usize, usize) {
        (self.left, self.ledger.due.get(), self.ledger.window.get())
    }
}
