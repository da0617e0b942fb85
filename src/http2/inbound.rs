//! Reads the frames that a client sends.

use super::budget::{self, FRAME};
use super::connection::{Connection, Ending, Partial, PartialBlock, Stage, WINDING_DOWN};
use super::event::{Event, Outcome, PREFACE, Read};
use super::flow::LARGEST_WINDOW;
use super::frame::{
    self, ACK, END_HEADERS, END_STREAM, FrameHead, HEAD, dependency, number, unpadded,
};
use super::request::trailers;
use super::streams::Phase;
use super::{Block, Reason};

impl<T: Default> Connection<T> {
    /// Reads the next frame from `input`. Returns how many bytes were consumed and the event, or
    /// `None` if more bytes must be received first. A request head is decoded into `block`. `now`:
    /// monotonic nanoseconds.
    ///
    /// # Errors
    /// Returns the error with which the connection must end ([`Connection::go_away`]).
    pub fn read<'i>(&mut self, input: &'i [u8], block: &mut Block, now: u64) -> Read<'i> {
        self.shared.now = now;
        let read = self.read_on(input, block)?;
        self.frame_since = match read {
            None if !input.is_empty() => self.frame_since.or(Some(now)),
            _ => None,
        };
        Ok(read)
    }

    fn read_on<'i>(&mut self, input: &'i [u8], block: &mut Block) -> Read<'i> {
        if self.stage == Stage::Preface {
            let length = input.len().min(PREFACE.len());
            if input[..length] != PREFACE[..length] {
                return Err(Reason::PROTOCOL_ERROR);
            }
            if length < PREFACE.len() {
                return Ok(None);
            }
            self.stage = Stage::Settings;
            return Ok(Some((PREFACE.len(), Event::Nothing)));
        }
        if let Some(Partial::Data(_)) = self.partial {
            if input.is_empty() {
                return Ok(None);
            }
            return Ok(Some(self.payload(input)));
        }
        let Some((head, rest)) = input.split_first_chunk::<HEAD>() else { return Ok(None) };
        let head = FrameHead::read(head);
        if head.length > frame::LARGEST {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if head.kind == frame::DATA {
            return self.data(head, rest);
        }
        let Some(payload) = rest.get(..head.length) else { return Ok(None) };
        self.check(head)?;
        let event = self.frame(head, payload, block)?;
        Ok(Some((HEAD + head.length, event)))
    }

    fn frame<'i>(&mut self, head: FrameHead, payload: &'i [u8], block: &mut Block) -> Outcome<'i> {
        match head.kind {
            frame::HEADERS => self.headers(head, payload, block),
            frame::CONTINUATION => self.continuation(head, payload, block),
            frame::RST_STREAM => self.reset_by_client(head, payload),
            frame::SETTINGS => self.settings(head, payload),
            frame::WINDOW_UPDATE => self.window_update(head, payload),
            frame::PING => self.ping_from_client(head, payload),
            frame::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            frame::PRIORITY => self.priority(head, payload),
            kind => {
                self.spend(FRAME)?;
                match kind {
                    frame::GOAWAY if head.length < 8 => return Err(Reason::FRAME_SIZE_ERROR),
                    frame::GOAWAY => self.client_leaves = true,
                    _ => {}
                }
                Ok(Event::Nothing)
            }
        }
    }

    fn headers<'i>(&mut self, head: FrameHead, payload: &[u8], block: &mut Block) -> Outcome<'i> {
        let mut fragment = unpadded(head, payload)?;
        let mut depends_on_itself = false;
        if head.has(frame::WITH_PRIORITY) {
            let (priority, rest) = fragment.split_first_chunk().ok_or(Reason::FRAME_SIZE_ERROR)?;
            depends_on_itself = dependency(priority) == head.stream;
            fragment = rest;
        }
        let mut partial = PartialBlock {
            stream: head.stream,
            ended: head.has(END_STREAM),
            depends_on_itself,
            block: Vec::new(),
            frames: 1,
            since: self.shared.now,
        };
        if head.has(END_HEADERS) {
            return self.header_block(&partial, fragment, block);
        }
        partial.block.extend_from_slice(fragment);
        self.partial = Some(Partial::Block(partial));
        Ok(Event::Nothing)
    }

    /// RFC 9113 §5.3.2 deprecates priorities. A stream that depends on itself is still an error
    /// (RFC 7540 §5.3.1). On an idle stream it is a connection error, because an idle stream cannot
    /// be reset (RFC 9113 §6.4).
    fn priority<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        self.spend(FRAME)?;
        let priority = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        if dependency(priority) != head.stream {
            return Ok(Event::Nothing);
        }
        match self.streams.find(head.stream) {
            Some(key) => self.mistake(key, Reason::PROTOCOL_ERROR),
            None if self.is_idle(head.stream) => Err(Reason::PROTOCOL_ERROR),
            None => Ok(Event::Nothing),
        }
    }

    fn continuation<'i>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        block: &mut Block,
    ) -> Outcome<'i> {
        let Some(Partial::Block(mut partial)) = self.partial.take() else {
            return Err(Reason::PROTOCOL_ERROR);
        };
        partial.block.extend_from_slice(payload);
        partial.frames += 1;
        // No request is that large or split into that many frames.
        if partial.block.len() > self.limits.size + frame::LARGEST
            || partial.frames > 8 + self.limits.size / 4096
        {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        self.spend(FRAME)?;
        if head.has(END_HEADERS) {
            return self.header_block(&partial, &partial.block, block);
        }
        self.partial = Some(Partial::Block(partial));
        Ok(Event::Nothing)
    }

    /// Handles a complete header block. It is always decoded, because later blocks depend on the
    /// compression state.
    fn header_block<'i>(
        &mut self,
        head: &PartialBlock,
        fragment: &[u8],
        block: &mut Block,
    ) -> Outcome<'i> {
        let PartialBlock { stream: id, ended, depends_on_itself, .. } = *head;
        self.decoder.decode(fragment, block).map_err(|_| Reason::COMPRESSION_ERROR)?;
        match self.streams.find(id) {
            Some(key) if depends_on_itself => return self.mistake(key, Reason::PROTOCOL_ERROR),
            Some(key) => return self.trailers(key, ended, block),
            None => {}
        }
        if !self.is_idle(id) {
            return self.late(id);
        }
        if id.is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.last = id;
        if self.is_ignored(id) {
            return self.late(id);
        }
        let is_full = self.streams.len() >= self.limits.streams as usize;
        if is_full || depends_on_itself {
            let why = if is_full { Reason::REFUSED_STREAM } else { Reason::PROTOCOL_ERROR };
            self.spend(budget::RESET)?;
            frame::with_number(&mut self.out, frame::RST_STREAM, id, why.0);
            self.shared.remember_reset(id);
            return Ok(Event::Nothing);
        }
        let phase = if ended { Phase::HalfClosedRemote } else { Phase::Open };
        let key = self.streams.add(id, self.first_window_out, phase, T::default());
        Ok(Event::Request { key, ended })
    }

    fn trailers<'i>(&mut self, key: usize, ended: bool, block: &Block) -> Outcome<'i> {
        let Some(state) = self.state(key) else { return Ok(Event::Nothing) };
        if state.has_ended() {
            return self.mistake(key, Reason::STREAM_CLOSED);
        }
        let short = state.expected.is_some_and(|left| left > 0);
        match trailers(block) {
            Ok(trailers) if ended && !short && !block.is_over() => {
                state.end_in();
                self.remove_if_closed(key);
                Ok(Event::Trailers { key, trailers })
            }
            _ => self.mistake(key, Reason::PROTOCOL_ERROR),
        }
    }

    fn reset_by_client<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if payload.len() != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if self.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let Some(key) = self.streams.find(head.stream) else {
            self.spend(FRAME)?;
            return Ok(Event::Nothing);
        };
        let Some(state) = self.state(key) else { return Ok(Event::Nothing) };
        let answered = state.is_answered();
        state.phase = Phase::Closed;
        self.remove_if_closed(key);
        self.spend(if answered { FRAME } else { budget::RESET })?;
        Ok(Event::Reset { key })
    }

    fn settings<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        // Each setting may change the windows of all streams.
        self.spend(FRAME + payload.len() as u64 / 6)?;
        if head.has(ACK) {
            return if payload.is_empty() {
                Ok(Event::Nothing)
            } else {
                Err(Reason::FRAME_SIZE_ERROR)
            };
        }
        let (settings, []) = payload.as_chunks::<6>() else { return Err(Reason::FRAME_SIZE_ERROR) };
        self.stage = Stage::Open;
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                frame::ENABLE_PUSH if value > 1 => return Err(Reason::PROTOCOL_ERROR),
                frame::MAX_FRAME_SIZE if !(frame::LARGEST..1 << 24).contains(&(value as usize)) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                frame::INITIAL_WINDOW_SIZE => self.resize_windows(value.into())?,
                _ => {}
            }
        }
        frame::begin(&mut self.out, 0, frame::SETTINGS, ACK, 0);
        Ok(Event::Window { key: None })
    }

    /// Applies a new initial window size to all streams (RFC 9113 §6.9.2).
    fn resize_windows(&mut self, size: i64) -> Result<(), Reason> {
        if size > LARGEST_WINDOW {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let change = size - std::mem::replace(&mut self.first_window_out, size);
        for (_, stream) in self.streams.iter_mut() {
            stream.state.window_out += change;
            if stream.state.window_out > LARGEST_WINDOW {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
        }
        Ok(())
    }

    fn window_update<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if payload.len() != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        self.spend(FRAME)?;
        let more = i64::from(number(payload)?);
        if head.stream == 0 {
            self.shared.window_out += more;
            return match more {
                0 => Err(Reason::PROTOCOL_ERROR),
                _ if self.shared.window_out > LARGEST_WINDOW => Err(Reason::FLOW_CONTROL_ERROR),
                _ => Ok(Event::Window { key: None }),
            };
        }
        if self.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let Some(key) = self.streams.find(head.stream) else { return Ok(Event::Nothing) };
        let Some(state) = self.state(key) else { return Ok(Event::Nothing) };
        state.window_out += more;
        match more {
            0 => self.mistake(key, Reason::PROTOCOL_ERROR),
            _ if state.window_out > LARGEST_WINDOW => self.mistake(key, Reason::FLOW_CONTROL_ERROR),
            _ => Ok(Event::Window { key: Some(key) }),
        }
    }

    fn ping_from_client<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let payload: [u8; 8] = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        self.spend(FRAME)?;
        if !head.has(ACK) {
            frame::ping(&mut self.out, ACK, payload);
        } else if payload == WINDING_DOWN && self.ending == Ending::Told {
            // Clients acknowledge a PING ahead of requests in their send queue. Those requests
            // arrive before the acknowledgement of the next PING.
            self.ending = Ending::Known;
            frame::ping(&mut self.out, 0, WINDING_DOWN);
        } else if payload == WINDING_DOWN && self.ending == Ending::Known {
            // All requests that the client had queued before it learnt of the shutdown have
            // arrived.
            self.ending = Ending::After(self.last);
            frame::go_away(&mut self.out, self.last, Reason::NO_ERROR);
        }
        Ok(Event::Nothing)
    }
}
