//! Reading bodies (RFC 9112 §6).

use std::ops::Range;

use http::HeaderMap;

use super::Malformed;
use super::chunks::{Chunks, Read};

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
    Chunked(Chunks),
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
        Self(State::Chunked(Chunks::new()))
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
            State::UntilClose | State::Chunked(_) => None,
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

    /// The connection was closed by the other side: whether the body has ended with it.
    pub fn close(&mut self) -> bool {
        if matches!(self.0, State::UntilClose) {
            self.0 = State::Done;
        }
        self.is_done()
    }
}
