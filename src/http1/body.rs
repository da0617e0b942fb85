//! Reads message bodies (RFC 9112 §6).

use std::ops::Range;

use http::HeaderMap;

use super::Malformed;
use super::chunks::{Chunks, Read};

/// The state of a body that is being read.
#[derive(Debug)]
pub struct Body(State);

#[derive(Debug)]
enum State {
    /// The body has ended.
    Done,
    /// The number of bytes still to come, at least 1.
    Length(u64),
    UntilClose,
    Chunked(Chunks),
}

/// The next piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// The input holds no further piece; more bytes must be received first.
    More,
    /// Data, as a range of the input.
    Data(Range<usize>),
    /// The trailer fields of a chunked body. [`Piece::End`] follows.
    Trailers(HeaderMap),
    /// The end of the body.
    End,
}

impl Body {
    /// An empty body.
    pub const NONE: Self = Self(State::Done);
    /// A body that ends when the connection closes.
    pub const UNTIL_CLOSE: Self = Self(State::UntilClose);

    /// Returns a body of `length` bytes.
    #[must_use]
    pub fn of_length(length: u64) -> Self {
        Self(if length == 0 { State::Done } else { State::Length(length) })
    }

    /// Returns a body in the chunked transfer coding (RFC 9112 §7.1).
    #[must_use]
    pub fn chunked() -> Self {
        Self(State::Chunked(Chunks::new()))
    }

    /// Returns whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Returns the number of bytes still to come, or `None` if the framing does not say.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self.0 {
            State::Done => Some(0),
            State::Length(length) => Some(length),
            State::UntilClose | State::Chunked(_) => None,
        }
    }

    /// Reads the next piece from `input`. Returns the number of bytes consumed and the piece.
    ///
    /// # Errors
    /// Returns what is wrong with the body. It cannot be read any further.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Piece), Malformed> {
        match &mut self.0 {
            State::Done => Ok((0, Piece::End)),
            _ if input.is_empty() => Ok((0, Piece::More)),
            State::UntilClose => Ok((input.len(), Piece::Data(0..input.len()))),
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.0 = State::Done;
                }
                Ok((taken, Piece::Data(0..taken)))
            }
            State::Chunked(chunks) => {
                let (read, what) = chunks.read(input)?;
                let piece = match what {
                    Read::More => Piece::More,
                    Read::Data(range) => Piece::Data(range),
                    Read::End(trailers) => {
                        self.0 = State::Done;
                        trailers.map_or(Piece::End, Piece::Trailers)
                    }
                };
                Ok((read, piece))
            }
        }
    }

    /// Notes that the peer has closed the connection. Returns whether the body has thereby ended.
    pub fn close(&mut self) -> bool {
        if matches!(self.0, State::UntilClose) {
            self.0 = State::Done;
        }
        self.is_done()
    }
}
