//! The frames that a client sends.

use super::budget::{self, FRAME};
use super::connection::{Connection, Ending, Event, LARGEST_WINDOW, PREFACE, WINDING_DOWN};
use super::frame::{
    self, ACK, END_HEADERS, END_STREAM, FrameHead, HEAD, dependency, number, unpadded,
};
use super::request::trailers;
use super::{Block, Reason};

/// What is expected first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Preface,
    Settings,
    Open,
}

/// A header block: whose it is, and what has come of it while it is not whole.
#[derive(Debug)]
pub(super) struct Unfinished {
    stream: u32,
    ended: bool,
    depends_on_itself: bool,
    block: Vec<u8>,
    frames: usize,
    /// When it began, in monotonic nanoseconds.
    pub(super) since: u64,
}

type Outcome<'i> = Result<Event<'i>, Reason>;

impl Connection {
    pub(super) fn read_on<'i>(
        &mut self,
        input: &'i [u8],
        block: &mut Block,
    ) -> Result<Option<(usize, Event<'i>)>, Reason> {
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
        let Some((head, rest)) = input.split_first_chunk::<HEAD>() else { return Ok(None) };
        let head = FrameHead::read(head);
        if head.length > frame::LARGEST {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let Some(payload) = rest.get(..head.length) else { return Ok(None) };
        let event = self.frame(head, payload, block)?;
        Ok(Some((HEAD + head.length, event)))
    }

    fn frame<'i>(&mut self, head: FrameHead, payload: &'i [u8], block: &mut Block) -> Outcome<'i> {
        if self.stage == Stage::Settings && (head.kind != frame::SETTINGS || head.has(ACK)) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if self.budget.is_overdrawn() {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        // RFC 9113 §6.10: nothing comes between the parts of a header block.
        let continues = self.unfinished.as_ref().map(|unfinished| unfinished.stream);
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
        match head.kind {
            frame::DATA => self.data(head, payload),
            frame::HEADERS => self.headers(head, payload, block),
            frame::CONTINUATION => self.continuation(head, payload, block),
            frame::RST_STREAM => self.reset_by_client(head, payload),
            frame::SETTINGS => self.settings(head, payload),
            frame::WINDOW_UPDATE => self.window_update(head, payload),
            frame::PING => self.ping_from_client(head, payload),
            frame::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR),
            frame::PRIORITY => self.priority(head, payload),
            kind => {
                self.budget.spend(FRAME, self.now)?;
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
        let mut unfinished = Unfinished {
            stream: head.stream,
            ended: head.has(END_STREAM),
            depends_on_itself,
            block: Vec::new(),
            frames: 1,
            since: self.now,
        };
        if head.has(END_HEADERS) {
            return self.header_block(&unfinished, fragment, block);
        }
        unfinished.block.extend_from_slice(fragment);
        self.unfinished = Some(unfinished);
        Ok(Event::Nothing)
    }

    /// RFC 9113 §5.3.2 takes priorities away. What RFC 7540 §5.3.1 calls a mistake stays one: on an
    /// idle stream it is the connection's, because there is nothing to reset (RFC 9113 §6.4).
    fn priority<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        self.budget.spend(FRAME, self.now)?;
        let priority = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        if dependency(priority) != head.stream {
            return Ok(Event::Nothing);
        }
        match self.streams.find(head.stream) {
            Some(place) => self.mistake(place, Reason::PROTOCOL_ERROR),
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
        let Some(mut unfinished) = self.unfinished.take() else {
            return Err(Reason::PROTOCOL_ERROR);
        };
        unfinished.block.extend_from_slice(payload);
        unfinished.frames += 1;
        // What is larger is not a request, nor are so many pieces.
        if unfinished.block.len() > self.limits.size + frame::LARGEST
            || unfinished.frames > 8 + self.limits.size / 4096
        {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        self.budget.spend(FRAME, self.now)?;
        if head.has(END_HEADERS) {
            return self.header_block(&unfinished, &unfinished.block, block);
        }
        self.unfinished = Some(unfinished);
        Ok(Event::Nothing)
    }

    /// A whole header block. It is decoded in any case: what is behind it depends on it.
    fn header_block<'i>(
        &mut self,
        head: &Unfinished,
        fragment: &[u8],
        block: &mut Block,
    ) -> Outcome<'i> {
        let Unfinished { stream: id, ended, depends_on_itself, .. } = *head;
        self.decoder.decode(fragment, block).map_err(|_| Reason::COMPRESSION_ERROR)?;
        match self.streams.find(id) {
            Some(place) if depends_on_itself => return self.mistake(place, Reason::PROTOCOL_ERROR),
            Some(place) => return self.trailers(place, ended, block),
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
            self.budget.spend(budget::RESET, self.now)?;
            frame::with_number(&mut self.out, frame::RST_STREAM, id, why.0);
            self.streams.remember_reset(id);
            return Ok(Event::Nothing);
        }
        let place = self.streams.add(id, self.first_window_out, ended);
        Ok(Event::Request { place, ended })
    }

    fn trailers<'i>(&mut self, place: usize, ended: bool, block: &Block) -> Outcome<'i> {
        let Some(stream) = self.streams.get_mut(place) else { return Ok(Event::Nothing) };
        if stream.ended_in {
            return self.mistake(place, Reason::STREAM_CLOSED);
        }
        let short = stream.expected.is_some_and(|left| left > 0);
        match trailers(block) {
            Ok(trailers) if ended && !short && !block.is_over() => {
                stream.ended_in = true;
                self.close_if_ended(place);
                Ok(Event::Trailers { place, trailers })
            }
            _ => self.mistake(place, Reason::PROTOCOL_ERROR),
        }
    }

    fn data<'i>(&mut self, head: FrameHead, payload: &'i [u8]) -> Outcome<'i> {
        let data = unpadded(head, payload)?;
        let ended = head.has(END_STREAM);
        self.window_in =
            self.window_in.checked_sub(payload.len()).ok_or(Reason::FLOW_CONTROL_ERROR)?;
        if data.is_empty() && !ended {
            self.budget.spend(FRAME, self.now)?;
        }
        let Some(place) = self.streams.find(head.stream) else {
            self.give_back_to_all(payload.len());
            return if self.is_idle(head.stream) {
                Err(Reason::PROTOCOL_ERROR)
            } else {
                self.late(head.stream)
            };
        };
        let Some(stream) = self.streams.get_mut(place) else { return Ok(Event::Nothing) };
        let mut mistake = None;
        if let Some(left) = &mut stream.expected {
            match left.checked_sub(data.len() as u64) {
                Some(rest) if rest == 0 || !ended => *left = rest,
                _ => mistake = Some(Reason::PROTOCOL_ERROR),
            }
        }
        match stream.window_in.checked_sub(payload.len()) {
            Some(left) => stream.window_in = left,
            None => mistake = Some(Reason::FLOW_CONTROL_ERROR),
        }
        if stream.ended_in {
            mistake = Some(Reason::STREAM_CLOSED);
        }
        if let Some(reason) = mistake {
            self.give_back_to_all(payload.len());
            return self.mistake(place, reason);
        }
        stream.ended_in = ended;
        self.give_back(place, payload.len() - data.len());
        self.close_if_ended(place);
        Ok(Event::Data { place, data, ended })
    }

    fn close_if_ended(&mut self, place: usize) {
        if self.streams.get(place).is_some_and(|stream| stream.ended_in && stream.ended_out) {
            self.streams.remove(place);
        }
    }

    /// A frame on a stream that is closed. Its client may not have known; else it is in disorder
    /// (RFC 9113 §5.1).
    fn late<'i>(&mut self, id: u32) -> Outcome<'i> {
        if !self.is_ignored(id) && !self.streams.was_reset(id) {
            return Err(Reason::STREAM_CLOSED);
        }
        self.budget.spend(FRAME, self.now)?;
        Ok(Event::Nothing)
    }

    /// Whether the stream was never open (RFC 9113 §5.1). Those with even ids are the server's to
    /// open, which it never does.
    fn is_idle(&self, id: u32) -> bool {
        id > self.last || id.is_multiple_of(2)
    }

    /// Whether the stream came after the end was announced.
    fn is_ignored(&self, id: u32) -> bool {
        matches!(self.ending, Ending::After(last) if id > last)
    }

    /// Resets a stream for a mistake of the client.
    fn mistake<'i>(&mut self, place: usize, reason: Reason) -> Outcome<'i> {
        self.reset(place, reason);
        self.budget.spend(budget::RESET, self.now)?;
        Ok(Event::Reset { place })
    }

    fn reset_by_client<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if payload.len() != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if self.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let Some(place) = self.streams.find(head.stream) else {
            self.budget.spend(FRAME, self.now)?;
            return Ok(Event::Nothing);
        };
        let answered = self.streams.get(place).is_some_and(|stream| stream.ended_out);
        self.budget.spend(if answered { FRAME } else { budget::RESET }, self.now)?;
        self.streams.remove(place);
        Ok(Event::Reset { place })
    }

    fn settings<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        // Each setting may change the windows of all streams.
        self.budget.spend(FRAME + payload.len() as u64 / 6, self.now)?;
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
        Ok(Event::Window { place: None })
    }

    /// RFC 9113 §6.9.2.
    fn resize_windows(&mut self, size: i64) -> Result<(), Reason> {
        if size > LARGEST_WINDOW {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let change = size - std::mem::replace(&mut self.first_window_out, size);
        for stream in self.streams.all_mut() {
            stream.window_out += change;
            if stream.window_out > LARGEST_WINDOW {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
        }
        Ok(())
    }

    fn window_update<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if payload.len() != 4 {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        self.budget.spend(FRAME, self.now)?;
        let more = i64::from(number(payload)?);
        if head.stream == 0 {
            self.window_out += more;
            return match more {
                0 => Err(Reason::PROTOCOL_ERROR),
                _ if self.window_out > LARGEST_WINDOW => Err(Reason::FLOW_CONTROL_ERROR),
                _ => Ok(Event::Window { place: None }),
            };
        }
        if self.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let Some(place) = self.streams.find(head.stream) else { return Ok(Event::Nothing) };
        let Some(stream) = self.streams.get_mut(place) else { return Ok(Event::Nothing) };
        stream.window_out += more;
        match more {
            0 => self.mistake(place, Reason::PROTOCOL_ERROR),
            _ if stream.window_out > LARGEST_WINDOW => {
                self.mistake(place, Reason::FLOW_CONTROL_ERROR)
            }
            _ => Ok(Event::Window { place: Some(place) }),
        }
    }

    fn ping_from_client<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let payload: [u8; 8] = payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        self.budget.spend(FRAME, self.now)?;
        if !head.has(ACK) {
            frame::ping(&mut self.out, ACK, payload);
        } else if payload == WINDING_DOWN && self.ending == Ending::Told {
            // Clients answer a ping ahead of requests that wait to be sent, so these come before
            // the answer to the next one.
            self.ending = Ending::Known;
            frame::ping(&mut self.out, 0, WINDING_DOWN);
        } else if payload == WINDING_DOWN && self.ending == Ending::Known {
            // What the client had begun before it knew has come.
            self.ending = Ending::After(self.last);
            frame::go_away(&mut self.out, self.last, Reason::NO_ERROR);
        }
        Ok(Event::Nothing)
    }
}
