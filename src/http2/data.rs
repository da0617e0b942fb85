//! DATA frames. Their payload is passed on as it is received.

use super::Reason;
use super::budget::FRAME;
use super::connection::{Connection, Partial, PartialData};
use super::event::{Event, Read};
use super::frame::{END_STREAM, FrameHead, HEAD, PADDED};

impl<T> Connection<T> {
    /// Begins a DATA frame, of which `rest` follows the frame header. The frame is accepted or
    /// refused at its start, by its total length. Its payload is passed on as it is received.
    pub(super) fn data<'i>(&mut self, head: FrameHead, rest: &'i [u8]) -> Read<'i> {
        let padded = head.has(PADDED);
        let (pad_length, padding) = match rest.first() {
            _ if !padded => (0, 0),
            _ if head.length == 0 => return Err(Reason::FRAME_SIZE_ERROR),
            Some(padding) => (1, usize::from(*padding)),
            None => return Ok(None),
        };
        self.check(head)?;
        let data = (head.length - pad_length).checked_sub(padding).ok_or(Reason::PROTOCOL_ERROR)?;
        // Counts the credit that was dropped since the last frame.
        self.raise_window();
        self.receives.check(head.length)?;
        let ended = head.has(END_STREAM);
        if data == 0 && !ended {
            self.spend(FRAME)?;
        }
        let key = self.streams.find(head.stream);
        let mut event = Event::Nothing;
        match key {
            None if self.is_idle(head.stream) => return Err(Reason::PROTOCOL_ERROR),
            None => event = self.late(head.stream)?,
            Some(key) => {
                if let Err(reason) = self.begin_data(key, head.length, data as u64, ended) {
                    event = self.mistake(key, reason)?;
                }
            }
        }
        // The pad length field counts towards flow control, too (RFC 9113 §6.1).
        self.receives.skip(pad_length);
        let key = key.filter(|key| self.is_open(*key));
        if let Some(state) = key.and_then(|key| self.state(key)) {
            state.window_in -= pad_length;
        }
        let read = HEAD + pad_length;
        let since = self.shared.now;
        self.partial = Some(Partial::Data(PartialData { key, data, padding, ended, since }));
        let (more, came) = self.payload(&rest[pad_length..]);
        // A stream that was just reset has no other event.
        let event = if let Event::Nothing = event { came } else { event };
        Ok(Some((read + more, event)))
    }

    /// Checks that a stream may receive this much data, in a frame of this length.
    fn begin_data(
        &mut self,
        key: usize,
        length: usize,
        data: u64,
        ended: bool,
    ) -> Result<(), Reason> {
        let Some(state) = self.state(key) else { return Ok(()) };
        if state.has_ended() {
            return Err(Reason::STREAM_CLOSED);
        }
        if length > state.window_in {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        if let Some(left) = &mut state.expected {
            match left.checked_sub(data) {
                Some(rest) if rest == 0 || !ended => *left = rest,
                _ => return Err(Reason::PROTOCOL_ERROR),
            }
        }
        Ok(())
    }

    /// Consumes the received bytes of a DATA frame's payload. Returns how many, and the event.
    pub(super) fn payload<'i>(&mut self, input: &'i [u8]) -> (usize, Event<'i>) {
        let Some(Partial::Data(partial)) = &mut self.partial else { return (0, Event::Nothing) };
        let data = &input[..input.len().min(partial.data)];
        partial.data -= data.len();
        let padding = (input.len() - data.len()).min(partial.padding);
        partial.padding -= padding;
        let whole = partial.data == 0 && partial.padding == 0;
        let (key, ended) = (partial.key, whole && partial.ended);
        if whole {
            self.partial = None;
        }
        self.receives.skip(padding);
        let credit = self.receives.take(data.len());
        let read = data.len() + padding;
        let Some((key, state)) = key.and_then(|key| Some((key, self.state(key)?))) else {
            return (read, Event::Nothing);
        };
        state.window_in -= read;
        if ended {
            state.end_in();
            self.remove_if_closed(key);
        } else if data.is_empty() && !whole {
            return (read, Event::Nothing);
        }
        (read, Event::Data { key, data, credit, ended })
    }
}
