//! Decodes a response's body into the excerpt that the log keeps. Pure: bytes in, bytes out, and never more than the
//! limits.

use postrider_core::limits::MAX_KEPT_BODY_BYTES;

use crate::framing::BodyLength;
use crate::limits::MAX_CHUNK_OVERHEAD_BYTES;

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// All of it was read.
    Whole,
    /// There was more than is kept, or it broke off, or it took too long.
    CutOff,
}

/// A body on its way in.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    delimiter: Delimiter,
    /// The first bytes of the body, at most [`MAX_KEPT_BODY_BYTES`].
    pub(crate) kept: Vec<u8>,
}

#[derive(Debug)]
enum Delimiter {
    Length(u64),
    Close,
    Chunks(Chunks),
}

/// What the chunked coding has read so far.
#[derive(Debug, Default)]
struct Chunks {
    state: ChunkState,
    /// Bytes that were no content: sizes, extensions, line ends, trailers.
    overhead: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// In a chunk's size, of which so many digits were read.
    Size {
        value: u64,
        digits: u8,
    },
    /// Behind the size, before the end of its line.
    SizeLineEnd {
        value: u64,
    },
    Data {
        left: u64,
    },
    /// Behind a chunk's data: its line end.
    DataEnd,
    /// In the trailer section; whether the line has a character yet.
    Trailer {
        is_empty: bool,
    },
}

impl Default for ChunkState {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl BodyDecoder {
    pub(crate) fn new(length: BodyLength) -> Self {
        let delimiter = match length {
            BodyLength::Fixed(length) => Delimiter::Length(length),
            BodyLength::Chunked => Delimiter::Chunks(Chunks::default()),
            BodyLength::UntilClose => Delimiter::Close,
        };
        Self { delimiter, kept: Vec::new() }
    }

    /// Takes bytes of the connection. Returns how many of them belong to the body, and how it ended if it did; without
    /// an end, all of them belong to it.
    pub(crate) fn decode(&mut self, input: &[u8]) -> (usize, Option<BodyEnd>) {
        match &mut self.delimiter {
            Delimiter::Close => {
                let end = keep(&mut self.kept, input);
                (input.len(), end)
            }
            Delimiter::Length(left) => {
                let taken = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                let is_whole = *left == 0;
                let end = keep(&mut self.kept, &input[..taken]);
                (taken, end.or(is_whole.then_some(BodyEnd::Whole)))
            }
            Delimiter::Chunks(chunks) => chunks.decode(input, &mut self.kept),
        }
    }

    /// What the end of the connection means for the body.
    pub(crate) fn at_close(&self) -> BodyEnd {
        match self.delimiter {
            Delimiter::Close => BodyEnd::Whole,
            Delimiter::Length(_) | Delimiter::Chunks(_) => BodyEnd::CutOff,
        }
    }
}

impl Chunks {
    fn decode(&mut self, input: &[u8], kept: &mut Vec<u8>) -> (usize, Option<BodyEnd>) {
        let mut at = 0;
        while at < input.len() {
            if let ChunkState::Data { left } = self.state {
                let taken = (input.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                let end = keep(kept, &input[at..at + taken]);
                at += taken;
                if end.is_some() {
                    return (at, end);
                }
                self.state = match left - taken as u64 {
                    0 => ChunkState::DataEnd,
                    left => ChunkState::Data { left },
                };
                continue;
            }
            self.overhead += 1;
            let next =
                if self.overhead > MAX_CHUNK_OVERHEAD_BYTES { None } else { self.state.after(input[at]) };
            at += 1;
            match next {
                Some(Step::To(state)) => self.state = state,
                Some(Step::End) => return (at, Some(BodyEnd::Whole)),
                None => return (at, Some(BodyEnd::CutOff)),
            }
        }
        (at, None)
    }
}

enum Step {
    To(ChunkState),
    End,
}

impl ChunkState {
    /// What follows after a byte that is no content; `None` if the coding is broken. Lines may end with a bare LF.
    fn after(self, byte: u8) -> Option<Step> {
        let next = match (self, byte) {
            (Self::Size { value, digits: 0..16 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                let Self::Size { digits, .. } = self else { return None };
                Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { value, digits: 1.. }, b'\n') | (Self::SizeLineEnd { value }, b'\n') => {
                if value == 0 { Self::Trailer { is_empty: true } } else { Self::Data { left: value } }
            }
            (Self::Size { value, digits: 1.. }, b';' | b' ' | b'\t' | b'\r') => Self::SizeLineEnd { value },
            (Self::SizeLineEnd { value }, _extension) => Self::SizeLineEnd { value },
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::default(),
            (Self::Trailer { is_empty: true }, b'\n') => return Some(Step::End),
            (Self::Trailer { is_empty }, b'\r') => Self::Trailer { is_empty },
            (Self::Trailer { .. }, byte) => Self::Trailer { is_empty: byte == b'\n' },
            (Self::Size { .. } | Self::DataEnd | Self::Data { .. }, _) => return None,
        };
        Some(Step::To(next))
    }
}

/// Copies content into `kept` up to the limit; the end where there is more than that.
fn keep(kept: &mut Vec<u8>, content: &[u8]) -> Option<BodyEnd> {
    let capacity = MAX_KEPT_BODY_BYTES - kept.len();
    kept.extend_from_slice(&content[..content.len().min(capacity)]);
    (content.len() > capacity).then_some(BodyEnd::CutOff)
}

#[cfg(test)]
mod tests;
