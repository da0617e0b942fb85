//! What comes of frames that a client must not send.

use super::Reason;
use super::budget::{self, FRAME};
use super::connection::{Connection, Ending, Partial, Stage};
use super::event::{Event, Outcome};
use super::frame::{self, ACK, FrameHead};

impl<T> Connection<T> {
    /// A frame on a stream that is closed. Its client may not have known; else it is in disorder
    /// (RFC 9113 §5.1).
    pub(super) fn late<'i>(&mut self, id: u32) -> Outcome<'i> {
        if !self.is_ignored(id) && !self.shared.was_reset(id) {
            return Err(Reason::STREAM_CLOSED);
        }
        self.spend(FRAME)?;
        Ok(Event::Nothing)
    }

    /// Whether the stream was never open (RFC 9113 §5.1). Those with even ids are the server's to
    /// open, which it never does.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id > self.last || id.is_multiple_of(2)
    }

    /// Whether the stream came after the end was announced.
    pub(super) fn is_ignored(&self, id: u32) -> bool {
        matches!(self.ending, Ending::After(last) if id > last)
    }

    /// Resets a stream for a mistake of the client.
    pub(super) fn mistake<'i>(&mut self, key: usize, reason: Reason) -> Outcome<'i> {
        self.with_stream(key, |sender, _| sender.reset(reason));
        self.spend(budget::RESET)?;
        Ok(Event::Reset { key })
    }

    /// Whether a frame may come here.
    pub(super) fn check(&self, head: FrameHead) -> Result<(), Reason> {
        if self.stage == Stage::Settings && (head.kind != frame::SETTINGS || head.has(ACK)) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if self.shared.budget.is_overdrawn() {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        // RFC 9113 §6.10: nothing comes between the parts of a header block.
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
