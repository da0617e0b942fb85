//! Reads chunked bodies (RFC 9112 §7.1) byte by byte. A byte that no valid body can have is refused
//! as soon as it is received, however the input is split.

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Malformed;
use super::fields::read_fields;
use crate::policy::Fields;
use crate::syntax::{is_token_byte, is_value_byte};

/// The most bytes of a chunk-size line, including extensions and CRLF.
const LONGEST_LINE: u16 = 1024;
/// The most digits of a chunk size, so that it cannot overflow.
const MOST_DIGITS: u8 = 15;
/// The most bytes and the most fields of a trailer section.
const LARGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 100;
/// How much overhead (chunk extensions and leading zeros) a message may have: `FREE_OVERHEAD`
/// bytes, and one more for every `DATA_FOR_OVERHEAD` bytes of data.
const FREE_OVERHEAD: u64 = 16 * 1024;
const DATA_FOR_OVERHEAD: u64 = 20;

/// The state of a chunked body that is being read.
#[derive(Debug)]
pub(super) struct Chunks {
    at: Place,
    /// The overhead still allowed, in units of 1/[`DATA_FOR_OVERHEAD`] byte. Each byte of data adds
    /// one unit.
    room: u64,
    /// The received bytes of a trailer section that is not complete yet.
    trailers: Vec<u8>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The chunk size. `digits`: how many have been read.
    Size {
        size: u64,
        digits: u8,
    },
    /// A chunk extension. `line`: bytes of the chunk-size line so far.
    Extension {
        size: u64,
        line: u16,
        part: Extension,
    },
    /// The LF of the chunk-size line. Holds the chunk size.
    SizeEnd(u64),
    /// Chunk data. Holds the number of bytes still to come.
    Data(u64),
    /// The CR after the chunk data, then its LF.
    DataEnd,
    DataEndLf,
    Trailers,
}

/// What was read last of a chunk extension (RFC 9112 §7.1.1). The optional white space of the
/// grammar is obsolete and not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    Semicolon,
    Name,
    Equals,
    Value,
    Quoted,
    /// The backslash of a quoted pair (RFC 9110 §5.6.4).
    Escape,
    QuoteEnd,
}

/// What was read from the input.
pub(super) enum Read {
    /// More bytes must be received first.
    More,
    Data(Range<usize>),
    /// The body has ended, with or without trailer fields.
    End(Option<HeaderMap>),
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            at: Place::Size { size: 0, digits: 0 },
            room: FREE_OVERHEAD * DATA_FOR_OVERHEAD,
            trailers: Vec::new(),
        }
    }

    /// Reads the next piece from `input`. Returns the number of bytes consumed and what they are.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<(usize, Read), Malformed> {
        let mut read = 0;
        while let Some(byte) = input.get(read) {
            match self.at {
                Place::Data(left) => {
                    let come = (input.len() - read) as u64;
                    let taken = left.min(come);
                    self.at =
                        if taken == left { Place::DataEnd } else { Place::Data(left - taken) };
                    self.room = self.room.saturating_add(taken);
                    let end = read + usize::try_from(taken).unwrap_or(usize::MAX);
                    return Ok((end, Read::Data(read..end)));
                }
                Place::Trailers => {
                    if let Some(trailers) = self.trailer(*byte)? {
                        return Ok((read + 1, Read::End(trailers)));
                    }
                }
                _ => self.at = self.frame(*byte)?,
            }
            read += 1;
        }
        Ok((read, Read::More))
    }

    /// Returns the state after this byte of framing.
    fn frame(&mut self, byte: u8) -> Result<Place, Malformed> {
        match self.at {
            Place::Size { size, digits } => self.size(size, digits, byte),
            Place::Extension { size, line, part } => match part.then(byte) {
                Some(_) if line == LONGEST_LINE - 2 => Err(Malformed::TooLarge),
                Some(part) => {
                    self.overhead()?;
                    Ok(Place::Extension { size, line: line + 1, part })
                }
                None if byte == b'\r' && part.may_end() => Ok(Place::SizeEnd(size)),
                None => Err(Malformed::Syntax),
            },
            Place::SizeEnd(0) if byte == b'\n' => Ok(Place::Trailers),
            Place::SizeEnd(size) if byte == b'\n' => Ok(Place::Data(size)),
            Place::DataEnd if byte == b'\r' => Ok(Place::DataEndLf),
            Place::DataEndLf if byte == b'\n' => Ok(Place::Size { size: 0, digits: 0 }),
            _ => Err(Malformed::Syntax),
        }
    }

    fn size(&mut self, size: u64, digits: u8, byte: u8) -> Result<Place, Malformed> {
        match (byte, char::from(byte).to_digit(16)) {
            (_, Some(digit)) if digits < MOST_DIGITS => {
                if digits > 0 && size == 0 {
                    // The preceding digit was a leading zero.
                    self.overhead()?;
                }
                Ok(Place::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (b'\r', _) if digits > 0 => Ok(Place::SizeEnd(size)),
            (b';', _) if digits > 0 => {
                self.overhead()?;
                let line = u16::from(digits) + 1;
                Ok(Place::Extension { size, line, part: Extension::Semicolon })
            }
            _ => Err(Malformed::Syntax),
        }
    }

    /// Counts one byte of overhead.
    fn overhead(&mut self) -> Result<(), Malformed> {
        self.room = self.room.checked_sub(DATA_FOR_OVERHEAD).ok_or(Malformed::TooLarge)?;
        Ok(())
    }

    /// Adds one byte to the trailer section. Returns `None` while the section is incomplete, and
    /// then its fields, if it has any.
    fn trailer(&mut self, byte: u8) -> Result<Option<Option<HeaderMap>>, Malformed> {
        let behind_cr = self.trailers.last() == Some(&b'\r');
        if (byte == b'\n') != behind_cr {
            return Err(Malformed::Syntax);
        }
        if self.trailers.len() == LARGEST_TRAILERS {
            return Err(Malformed::TooLarge);
        }
        self.trailers.push(byte);
        if self.trailers == b"\r\n" {
            return Ok(Some(None));
        }
        let ended = self.trailers.ends_with(b"\r\n\r\n");
        ended.then(|| read_trailers(&mut self.trailers).map(Some)).transpose()
    }
}

impl Extension {
    /// Returns the state after this byte, or `None` if the grammar does not allow it here.
    fn then(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Semicolon | Self::Name, byte) if is_token_byte(byte) => Some(Self::Name),
            (Self::Name, b'=') => Some(Self::Equals),
            (Self::Equals, b'"') => Some(Self::Quoted),
            (Self::Equals | Self::Value, byte) if is_token_byte(byte) => Some(Self::Value),
            (Self::Name | Self::Value | Self::QuoteEnd, b';') => Some(Self::Semicolon),
            (Self::Quoted, b'"') => Some(Self::QuoteEnd),
            (Self::Quoted, b'\\') => Some(Self::Escape),
            (Self::Quoted | Self::Escape, byte) if is_value_byte(byte) => Some(Self::Quoted),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::QuoteEnd)
    }
}

fn read_trailers(section: &mut [u8]) -> Result<HeaderMap, Malformed> {
    let mut fields = Fields::new();
    read_fields(section, MOST_TRAILERS, &mut fields)?;
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed::Syntax)?;
        trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Malformed::Syntax)?);
    }
    Ok(trailers)
}
