//! Flow control of request bodies (RFC 9113 §5.2). Received bytes occupy the connection's receive
//! window until their [`Credit`] is dropped.

use std::cell::Cell;
use std::rc::Rc;

use super::Reason;

/// The receive window of a stream, in bytes: how much of a body is received before it is consumed.
pub(super) const STREAM_WINDOW: usize = 512 * 1024;
/// The largest receive window of the connection, in bytes. The window starts smaller and grows as
/// bytes are passed on, because bytes that nobody consumes stay in memory.
pub(super) const CONNECTION_WINDOW: usize = 1024 * 1024;
/// The initial size of all windows, and the largest possible one, in bytes (RFC 9113 §6.9).
pub(super) const FIRST_WINDOW: usize = 65_535;
pub(super) const LARGEST_WINDOW: i64 = (1 << 31) - 1;

/// The receive window's state that [`ReceiveWindow`] shares with every [`Credit`].
#[derive(Debug)]
struct Ledger {
    /// Bytes that are released, and not yet announced by a WINDOW_UPDATE.
    due: Cell<usize>,
    /// The current size of the window, in bytes.
    window: Cell<usize>,
}

/// The part of the receive window that bytes of a request body occupy. Dropping it releases that
/// part, whatever became of the bytes, so it must be kept as long as they are.
#[derive(Debug)]
#[must_use = "dropping it lets the client send more"]
pub struct Credit {
    ledger: Rc<Ledger>,
    bytes: usize,
}

impl Credit {
    /// Returns the number of bytes that it stands for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Merges the credit of more bytes of the same connection.
    pub fn add(&mut self, mut more: Self) {
        self.bytes += std::mem::take(&mut more.bytes);
    }

    /// Releases the bytes because they were passed on. The window grows by as many bytes, up to its
    /// maximum, because the body is being consumed.
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

/// The receive window of a connection.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    /// How many bytes the client may still send.
    left: usize,
    ledger: Rc<Ledger>,
}

impl ReceiveWindow {
    pub(super) fn new() -> Self {
        let ledger = Ledger { due: Cell::new(0), window: Cell::new(FIRST_WINDOW) };
        Self { left: FIRST_WINDOW, ledger: Rc::new(ledger) }
    }

    /// Checks that the client may send this many bytes.
    ///
    /// # Errors
    /// Returns FLOW_CONTROL_ERROR if the client has exceeded the window.
    pub(super) fn check(&self, bytes: usize) -> Result<(), Reason> {
        if bytes <= self.left { Ok(()) } else { Err(Reason::FLOW_CONTROL_ERROR) }
    }

    /// Counts received bytes that were [checked](Self::check). Returns their credit.
    pub(super) fn take(&mut self, bytes: usize) -> Credit {
        self.left = self.left.saturating_sub(bytes);
        Credit { ledger: self.ledger.clone(), bytes }
    }

    /// Counts received bytes that are discarded at once: padding, or data of a closed stream.
    pub(super) fn skip(&mut self, bytes: usize) {
        drop(self.take(bytes));
    }

    /// Returns by how many bytes to raise the client's window, or `None` while that is less than a
    /// quarter of the window.
    pub(super) fn raise(&mut self) -> Option<u32> {
        let due = &self.ledger.due;
        if due.get() < self.ledger.window.get() / 4 {
            return None;
        }
        self.left += due.get();
        Some(due.take() as u32)
    }

    /// Returns the bytes that the client may still send, those not yet announced, and the size of
    /// the window.
    #[cfg(test)]
    pub(super) fn state(&self) -> (usize, usize, usize) {
        (self.left, self.ledger.due.get(), self.ledger.window.get())
    }
}
