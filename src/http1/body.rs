//! Reading bodies (RFC 9112 §6 and §7).

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Malformed;
use super::head::{is_token_byte, is_value_byte, read_fields};
use crate::policy::Fields;

/// Bytes of a chunk's first line, extensions included.
const LONGEST_CHUNK_LINE: usize = 1024;
/// Bytes of a trailer section, and its fields.
const LARGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 100;

/// How far the reading of a body has come.
#[derive(Debug)]
pub struct Body(State);

#[derive(Debug)]
enum State {
    /// Nothing more.
    Done,
    /// So many bytes.
    Length(u64),
    UntilClose,
    Chunked(Chunk, Vec<u8>),
}

/// Where in a chunked body the reading stands (RFC 9112 §7.1). Lines that have not come whole are
/// kept in the state's buffer.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// In the line with the size.
    Size,
    /// So many bytes of the chunk are to come.
    Data(u64),
    /// In the line end behind the data; so many bytes of it have come.
    DataEnd(u8),
    Trailers,
}

/// What stands next in a body.
#[derive(Debug)]
pub enum Piece {
    /// Nothing can be said before more has come.
    More,
    /// Data, at this place of the input.
    Data(Range<usize>),
    /// The end of a chunked body with trailer fields. [`Piece::End`] follows.
    Trailers(HeaderMap),
    /// The end.
    End,
}

impl Body {
    /// No body.
    pub const NONE: Self = Self(State::Done);
    /// What comes until the connection closes.
    pub const UNTIL_CLOSE: Self = Self(State::UntilClose);

    /// One of this many bytes.
    #[must_use]
    pub fn of_length(length: u64) -> Self {
        Self(if length == 0 { State::Done } else { State::Length(length) })
    }

    /// One in chunks.
    #[must_use]
    pub fn chunked() -> Self {
        Self(State::Chunked(Chunk::Size, Vec::new()))
    }

    /// Whether nothing more comes.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// How many bytes are still to come, where that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self.0 {
            State::Done => Some(0),
            State::Length(length) => Some(length),
            State::UntilClose | State::Chunked(..) => None,
        }
    }

    /// Reads on in `input`. Returns how much of it was read, and what stands there.
    ///
    /// # Errors
    /// What is wrong with it. There is no reading on behind that.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Piece), Malformed> {
        match &mut self.0 {
            State::Done => Ok((0, Piece::End)),
            _ if input.is_empty() => Ok((0, Piece::More)),
            State::UntilClose => Ok((input.len(), Piece::Data(0..input.len()))),
            State::Length(left) => {
                let taken = take(left, input.len());
                if *left == 0 {
                    self.0 = State::Done;
                }
                Ok((taken, Piece::Data(0..taken)))
            }
            State::Chunked(at, kept) => {
                let (read, piece) = read_chunked(at, kept, input)?;
                if matches!(piece, Piece::Trailers(_) | Piece::End) {
                    self.0 = State::Done;
                }
                Ok((read, piece))
            }
        }
    }

    /// The connection was closed by the other side: whether the body has ended with it.
    pub fn close(&mut self) -> bool {
        if matches!(self.0, State::UntilClose) {
            self.0 = State::Done;
        }
        self.is_done()
    }
}

/// Takes up to `available` bytes off what is left.
fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

fn read_chunked(
    at: &mut Chunk,
    kept: &mut Vec<u8>,
    input: &[u8],
) -> Result<(usize, Piece), Malformed> {
    let mut read = 0;
    loop {
        let rest = &input[read..];
        if rest.is_empty() {
            return Ok((read, Piece::More));
        }
        match at {
            Chunk::Data(left) => {
                let taken = take(left, rest.len());
                if *left == 0 {
                    *at = Chunk::DataEnd(0);
                }
                return Ok((read + taken, Piece::Data(read..read + taken)));
            }
            Chunk::DataEnd(come) => {
                if rest[0] != b"\r\n"[usize::from(*come)] {
                    return Err(Malformed::Syntax);
                }
                *at = if *come == 0 { Chunk::DataEnd(1) } else { Chunk::Size };
                read += 1;
            }
            Chunk::Size => {
                let Some(end) = memchr::memchr(b'\n', rest) else {
                    keep(kept, rest, LONGEST_CHUNK_LINE)?;
                    return Ok((input.len(), Piece::More));
                };
                let size = if kept.is_empty() && end < LONGEST_CHUNK_LINE {
                    chunk_size(&rest[..=end])?
                } else {
                    keep(kept, &rest[..=end], LONGEST_CHUNK_LINE)?;
                    let size = chunk_size(kept)?;
                    kept.clear();
                    size
                };
                read += end + 1;
                *at = if size == 0 { Chunk::Trailers } else { Chunk::Data(size) };
            }
            Chunk::Trailers => {
                let Some(end) = memchr::memchr(b'\n', rest) else {
                    keep(kept, rest, LARGEST_TRAILERS)?;
                    return Ok((input.len(), Piece::More));
                };
                keep(kept, &rest[..=end], LARGEST_TRAILERS)?;
                read += end + 1;
                if kept == b"\r\n" {
                    return Ok((read, Piece::End));
                }
                if kept.ends_with(b"\r\n\r\n") {
                    return Ok((read, Piece::Trailers(read_trailers(kept)?)));
                }
            }
        }
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], most: usize) -> Result<(), Malformed> {
    if kept.len() + bytes.len() > most {
        return Err(Malformed::TooLarge);
    }
    kept.extend_from_slice(bytes);
    Ok(())
}

/// The size in a chunk's first line (RFC 9112 §7.1), and whether the line has the one right form.
/// Extensions are read over (§7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let line = line.strip_suffix(b"\r\n").ok_or(Malformed::Syntax)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    if !(1..=15).contains(&digits) {
        return Err(Malformed::Syntax);
    }
    skip_extensions(extensions).ok_or(Malformed::Syntax)?;
    let digit = |byte: &u8| (*byte as char).to_digit(16).map_or(0, u64::from);
    Ok(size.iter().fold(0, |sum, byte| sum << 4 | digit(byte)))
}

/// Reads over chunk extensions (RFC 9112 §7.1.1), without the white space that is obsolete there.
/// Nothing: they are none. What looks like one and is not may be taken for the end of the line, or
/// not, by somebody else.
fn skip_extensions(mut rest: &[u8]) -> Option<()> {
    while !rest.is_empty() {
        let after = skip_token(rest.strip_prefix(b";")?)?;
        rest = match after.strip_prefix(b"=") {
            None => after,
            Some(value) => match value.strip_prefix(b"\"") {
                None => skip_token(value)?,
                Some(quoted) => skip_quoted(quoted)?,
            },
        };
    }
    Some(())
}

/// What follows a token of one byte at least.
fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().take_while(|byte| is_token_byte(**byte)).count();
    (end > 0).then(|| &text[end..])
}

/// What follows the closing quote (RFC 9110 §5.6.4).
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        let (first, rest) = text.split_first()?;
        text = match first {
            b'"' => return Some(rest),
            b'\\' => rest.split_first().filter(|(escaped, _)| is_value_byte(**escaped))?.1,
            byte if is_value_byte(*byte) => rest,
            _ => return None,
        };
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
