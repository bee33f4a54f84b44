//! Frames the body of a request.

use super::RequestFraming;

/// The body is longer or shorter than the head says. The request must not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not have the length that the head states")]
pub struct WrongLength;

/// What surrounds one run of data.
#[derive(Clone, Copy, Debug)]
pub struct RunFraming {
    line: [u8; SIZE_LINE],
    start: usize,
    /// What follows the data.
    pub after: &'static [u8],
}

/// A chunk's size in hexadecimal digits, with CR LF.
const SIZE_LINE: usize = 16 + 2;

impl RunFraming {
    const fn bare(after: &'static [u8]) -> Self {
        Self { line: [0; SIZE_LINE], start: SIZE_LINE, after }
    }

    fn chunk(len: u64, after: &'static [u8]) -> Self {
        let mut framing = Self::bare(after);
        let mut left = len;
        for (place, octet) in framing.line.iter_mut().rev().enumerate() {
            *octet = match place {
                0 => b'\n',
                1 => b'\r',
                _ => {
                    let digit = (left & 0xf) as u8;
                    left >>= 4;
                    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
                }
            };
            framing.start = SIZE_LINE - 1 - place;
            if place > 1 && left == 0 {
                break;
            }
        }
        framing
    }

    /// What comes before the data.
    pub fn before(&self) -> &[u8] {
        self.line.get(self.start..).unwrap_or_default()
    }
}

/// Writes a body as its head says: its runs as they are, or a chunk for each.
#[derive(Clone, Debug)]
pub struct BodyWriter {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes must still come.
    Length(u64),
    Chunked,
    Ended,
}

impl BodyWriter {
    /// Starts a body.
    pub const fn new(framing: RequestFraming) -> Self {
        let state = match framing {
            RequestFraming::Unstated => State::Length(0),
            RequestFraming::Length(length) => State::Length(length),
            RequestFraming::Chunked => State::Chunked,
        };
        Self { state }
    }

    /// Frames the next run of `len` bytes; possibly none. The body ends after the last run.
    ///
    /// # Errors
    /// The body is not as long as its head says.
    pub fn run(&mut self, len: usize, is_last: bool) -> Result<RunFraming, WrongLength> {
        let len = len as u64;
        let framing = match &mut self.state {
            State::Ended => return Err(WrongLength),
            State::Length(left) => {
                *left = left.checked_sub(len).ok_or(WrongLength)?;
                if is_last && *left > 0 {
                    return Err(WrongLength);
                }
                RunFraming::bare(b"")
            }
            // A chunk without data would end the body.
            State::Chunked if len == 0 => RunFraming::bare(if is_last { b"0\r\n\r\n" } else { b"" }),
            State::Chunked => RunFraming::chunk(len, if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" }),
        };
        if is_last {
            self.state = State::Ended;
        }
        Ok(framing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BodyTracker, Framing};

    fn write(framing: RequestFraming, runs: &[&str]) -> Result<Vec<u8>, WrongLength> {
        let (mut writer, mut out) = (BodyWriter::new(framing), Vec::new());
        for (index, run) in runs.iter().enumerate() {
            let framing = writer.run(run.len(), index + 1 == runs.len())?;
            out.extend([framing.before(), run.as_bytes(), framing.after].concat());
        }
        assert_eq!(writer.run(0, true).err(), Some(WrongLength), "nothing follows the last run");
        Ok(out)
    }

    #[test]
    fn a_body_with_a_length_has_exactly_that_length() {
        for (length, runs, expected) in [
            (5, &["hello"][..], Ok(&b"hello"[..])),
            (5, &["he", "", "llo"], Ok(b"hello")),
            (5, &["hello", ""], Ok(b"hello")),
            (0, &[""], Ok(b"")),
            (5, &["hell"], Err(WrongLength)),
            (5, &["hell", ""], Err(WrongLength)),
            (5, &["hello", "!"], Err(WrongLength)),
            (5, &["hello!"], Err(WrongLength)),
            (0, &["!"], Err(WrongLength)),
        ] {
            let written = write(RequestFraming::Length(length), runs);
            assert_eq!(written.as_deref(), expected.as_deref(), "{length} {runs:?}");
        }
        assert_eq!(write(RequestFraming::Unstated, &[""]), Ok(vec![]));
        assert_eq!(write(RequestFraming::Unstated, &["x"]), Err(WrongLength));
    }

    #[test]
    fn each_run_is_a_chunk_and_only_the_last_ends_the_body() {
        let write = |runs: &[&str]| String::from_utf8(write(RequestFraming::Chunked, runs).unwrap()).unwrap();
        assert_eq!(write(&["hello", "x"]), "5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n");
        assert_eq!(write(&["", "hello", "", ""]), "5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(write(&[""]), "0\r\n\r\n");
    }

    #[test]
    fn sizes_of_every_magnitude_are_read_back() {
        let mut sizes: Vec<u64> =
            (0..64).flat_map(|bit| [1 << bit, (1 << bit) + 1, u64::MAX >> bit]).collect();
        sizes.extend(1..300);
        for size in sizes {
            let framing = RunFraming::chunk(size, b"");
            let line = str::from_utf8(framing.before()).unwrap();
            assert_eq!(line, format!("{size:x}\r\n"));
            let mut tracker = BodyTracker::new(Framing::Chunked);
            assert_eq!(tracker.follow(line.as_bytes()), Ok(line.len()));
            assert_eq!(tracker.left(), size);
        }
    }
}
