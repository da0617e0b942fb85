//! Frames (RFC 9113 §4.1 and §6).

use super::Reason;

/// The length of a frame header, in bytes.
pub(super) const HEAD: usize = 9;
/// The largest payload that is sent or accepted, in bytes. Every peer must accept it (RFC 9113
/// §4.2).
pub(super) const LARGEST: usize = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// The settings that are used here (RFC 9113 §6.5.2).
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// A frame header.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn read(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Self { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Reads the 31-bit integer that the payload begins with.
pub(super) fn number(payload: &[u8]) -> Result<u32, Reason> {
    let bytes = payload.first_chunk().ok_or(Reason::FRAME_SIZE_ERROR)?;
    Ok(u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

/// Returns the payload without its padding (RFC 9113 §6.1).
pub(super) fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], Reason> {
    if !head.has(PADDED) {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().ok_or(Reason::FRAME_SIZE_ERROR)?;
    let length = rest.len().checked_sub(usize::from(*padding)).ok_or(Reason::PROTOCOL_ERROR)?;
    Ok(&rest[..length])
}

/// Writes a frame header. `length`: of the payload that must follow, in bytes.
pub(super) fn begin(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [.., a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Writes a frame whose payload is one 32-bit integer.
pub(super) fn with_number(out: &mut Vec<u8>, kind: u8, stream: u32, number: u32) {
    begin(out, 4, kind, 0, stream);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Writes a GOAWAY frame (RFC 9113 §6.8).
pub(super) fn go_away(out: &mut Vec<u8>, last: u32, reason: Reason) {
    begin(out, 8, GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&reason.0.to_be_bytes());
}

/// Writes a PING frame (RFC 9113 §6.7).
pub(super) fn ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    begin(out, 8, PING, flags, 0);
    out.extend_from_slice(&payload);
}

/// Writes a SETTINGS frame (RFC 9113 §6.5).
pub(super) fn settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    begin(out, settings.len() * 6, SETTINGS, 0, 0);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Returns the stream dependency from the five bytes of a priority (RFC 7540 §6.3).
pub(super) fn dependency(&[a, b, c, d, _weight]: &[u8; 5]) -> u32 {
    u32::from_be_bytes([a & 0x7f, b, c, d])
}
