//! Reads the body of a response.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::ResponseFraming;
use crate::request::{BodyFault, BodyTracker, FieldLine, FieldLines, Framing, Run};

/// The connection closed before the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection closed before the end of the body")]
pub struct CutOff;

/// The name of a trailer field is longer than names may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a trailer field is too long")]
pub struct TrailerTooLong;

/// The state of reading one body.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
    trailers: Vec<u8>,
}

#[derive(Clone, Debug)]
enum State {
    Length(BodyTracker),
    Chunked(BodyTracker),
    UntilClose,
    Ended,
}

/// What the next bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPart {
    /// Framing, and then data.
    Data {
        /// The number of bytes before the data.
        skip: usize,
        /// The number of bytes of data; at least one.
        len: usize,
    },
    /// All bytes are framing, and more must arrive.
    Incomplete,
    /// The body ends after this many bytes of framing.
    End {
        /// Their number.
        skip: usize,
    },
}

impl BodyReader {
    /// Starts before the first byte of the body.
    pub const fn new(framing: ResponseFraming) -> Self {
        let state = match framing {
            ResponseFraming::UntilClose => State::UntilClose,
            ResponseFraming::Delimited(Framing::None | Framing::Length(0)) => State::Ended,
            ResponseFraming::Delimited(framing @ Framing::Length(_)) => {
                State::Length(BodyTracker::new(framing))
            }
            ResponseFraming::Delimited(Framing::Chunked) => {
                State::Chunked(BodyTracker::new(Framing::Chunked))
            }
        };
        Self { state, trailers: Vec::new() }
    }

    /// Reads the next bytes. They are used up to the end of the part that is returned; the next call gets those after it.
    ///
    /// # Errors
    /// The first malformed byte. The reader must not be used after that.
    pub fn read(&mut self, bytes: &[u8]) -> Result<BodyPart, BodyFault> {
        let tracker = match &mut self.state {
            State::Ended => return Ok(BodyPart::End { skip: 0 }),
            State::UntilClose if bytes.is_empty() => return Ok(BodyPart::Incomplete),
            State::UntilClose => return Ok(BodyPart::Data { skip: 0, len: bytes.len() }),
            State::Length(tracker) | State::Chunked(tracker) => tracker,
        };
        let mut skip = 0;
        loop {
            let rest = bytes.get(skip..).unwrap_or_default();
            if rest.is_empty() && !tracker.is_done() {
                return Ok(BodyPart::Incomplete);
            }
            match tracker.run(rest).map_err(|fault| BodyFault { at: skip + fault.at, ..fault })? {
                Run::Content(len) => {
                    if tracker.is_done() {
                        self.state = State::Ended;
                    }
                    return Ok(BodyPart::Data { skip, len });
                }
                Run::Framing(len) => skip += len,
                Run::Trailers(len) => {
                    self.trailers.extend_from_slice(rest.get(..len).unwrap_or_default());
                    skip += len;
                }
            }
            if tracker.is_done() {
                self.state = State::Ended;
                return Ok(BodyPart::End { skip });
            }
        }
    }

    /// Ends the body if these bytes hold the rest of it, and this is only framing. Returns the length of that.
    pub fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let State::Chunked(tracker) = &self.state else { return None };
        if !self.trailers.is_empty() {
            return None;
        }
        let (mut tracker, mut skip) = (tracker.clone(), 0);
        while !tracker.is_done() {
            let rest = bytes.get(skip..).filter(|rest| !rest.is_empty())?;
            match tracker.run(rest).ok()? {
                Run::Framing(len) => skip += len,
                // An empty trailer section.
                Run::Trailers(len @ 1..=2) => skip += len,
                Run::Trailers(_) | Run::Content(_) => return None,
            }
        }
        self.state = State::Ended;
        Some(skip)
    }

    /// The connection was closed.
    ///
    /// # Errors
    /// The body is not whole.
    pub fn close(&mut self) -> Result<(), CutOff> {
        match self.state {
            State::Ended => Ok(()),
            State::UntilClose => {
                self.state = State::Ended;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(CutOff),
        }
    }

    /// Whether the whole body was read.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// How many bytes of data will follow, if that is certain.
    pub fn left(&self) -> Option<u64> {
        match &self.state {
            State::Length(tracker) => Some(tracker.left()),
            State::Chunked(_) | State::UntilClose => None,
            State::Ended => Some(0),
        }
    }

    /// The trailers of a body that has ended, if it has any.
    ///
    /// # Errors
    /// A name is too long.
    pub fn trailers(&self) -> Result<Option<HeaderMap>, TrailerTooLong> {
        // Without fields the section is an empty line.
        if !self.is_ended() || self.trailers.len() <= 2 {
            return Ok(None);
        }
        // The number of fields is bounded by the size of the section.
        let mut lines = FieldLines::new(0, usize::MAX);
        let mut trailers = HeaderMap::new();
        while let Some(FieldLine::Field { name, value }) =
            lines.next(&self.trailers).map_err(|_| TrailerTooLong)?
        {
            let name = HeaderName::from_bytes(self.trailers.get(name).unwrap_or_default());
            let value = HeaderValue::from_bytes(self.trailers.get(value).unwrap_or_default());
            let (Ok(name), Ok(value)) = (name, value) else { return Err(TrailerTooLong) };
            trailers.append(name, value);
        }
        Ok(Some(trailers))
    }
}

#[cfg(test)]
mod tests;
