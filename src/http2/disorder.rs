//! How frames are handled that a client must not send.

use super::Reason;
use super::budget::{self, FRAME};
use super::connection::{Connection, Ending, Partial, Stage};
use super::event::{Event, Outcome};
use super::frame::{self, ACK, FrameHead};

impl<T> Connection<T> {
    /// Handles a frame on a closed stream. If the client may not know yet that the stream is
    /// closed, the frame is ignored; otherwise it is a connection error (RFC 9113 §5.1).
    pub(super) fn late<'i>(&mut self, id: u32) -> Outcome<'i> {
        if !self.is_ignored(id) && !self.shared.was_reset(id) {
            return Err(Reason::STREAM_CLOSED);
        }
        self.spend(FRAME)?;
        Ok(Event::Nothing)
    }

    /// Returns whether the stream was never opened (RFC 9113 §5.1). Even identifiers belong to the
    /// server, which opens no streams.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id > self.last || id.is_multiple_of(2)
    }

    /// Returns whether the stream was opened after the final GOAWAY.
    pub(super) fn is_ignored(&self, id: u32) -> bool {
        matches!(self.ending, Ending::After(last) if id > last)
    }

    /// Resets a stream because of a client error, and deducts the cost.
    pub(super) fn mistake<'i>(&mut self, key: usize, reason: Reason) -> Outcome<'i> {
        self.with_stream(key, |sender, _| sender.reset(reason));
        self.spend(budget::RESET)?;
        Ok(Event::Reset { key })
    }

    /// Checks that the connection may receive this frame now.
    pub(super) fn check(&self, head: FrameHead) -> Result<(), Reason> {
        if self.stage == Stage::Settings && (head.kind != frame::SETTINGS || head.has(ACK)) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if self.shared.budget.is_overdrawn() {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        // Only CONTINUATION frames may follow an incomplete header block (RFC 9113 §6.10).
        let continues = match &self.partial {
            Some(Partial::Block(block)) => Some(block.stream),
            _ => None,
        };
        if (head.kind == frame::CONTINUATION) != continues.is_some()
            || continues.is_some_and(|stream| stream != head.stream)
        {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let of_connection = matches!(head.kind, frame::SETTINGS | frame::PING | frame::GOAWAY);
        let of_stream =
            matches!(head.kind, frame::DATA | frame::HEADERS | frame::PRIORITY | frame::RST_STREAM);
        if of_connection && head.stream != 0 || of_stream && head.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        Ok(())
    }
}
