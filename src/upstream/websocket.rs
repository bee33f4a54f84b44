//! Finds the boundaries of WebSocket frames (RFC 6455 section 5.2), without reading their payload.

/// The server shuts down (RFC 6455 section 7.4.1).
pub(super) const GOING_AWAY: u16 = 1001;
/// The connection violates the policy: its token expired or was revoked.
pub(super) const POLICY_VIOLATION: u16 = 1008;

const CLOSE: u8 = 0x8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Tracks the frames in one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
    closing: bool,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Boundary,
    /// The byte with the mask bit and the short length comes next.
    Second,
    /// `left` bytes of an extended length come next.
    Length { left: u8, length: u64, masked: bool },
    /// This many bytes of masking key and payload come next.
    Rest(u64),
}

impl Frames {
    /// Whether a frame may begin here.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.state == State::Boundary
    }

    /// Whether a Close frame has passed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Processes all these bytes.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = self.next_boundary(rest) {
            rest = rest.get(end..).unwrap_or_default();
        }
    }

    /// Processes the bytes up to the next end of a frame, and returns their number; `None` if no frame ends in
    /// `bytes`.
    pub(super) fn next_boundary(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if let State::Rest(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                self.state = State::Rest(left - here as u64);
            } else {
                at += 1;
                self.head_byte(byte);
            }
            if self.state == State::Rest(0) {
                self.state = State::Boundary;
                self.closed |= self.closing;
                return Some(at);
            }
        }
        None
    }

    fn head_byte(&mut self, byte: u8) {
        let rest = |length: u64, masked: bool| State::Rest(length.saturating_add(if masked { 4 } else { 0 }));
        self.state = match self.state {
            State::Boundary => {
                self.closing = byte & 0x0f == CLOSE;
                State::Second
            }
            State::Second => {
                let masked = byte & MASKED != 0;
                match byte & !MASKED {
                    126 => State::Length { left: 2, length: 0, masked },
                    127 => State::Length { left: 8, length: 0, masked },
                    short => rest(u64::from(short), masked),
                }
            }
            State::Length { left, length, masked } => {
                let length = length << 8 | u64::from(byte);
                match left {
                    1 => rest(length, masked),
                    _ => State::Length { left: left - 1, length, masked },
                }
            }
            State::Rest(left) => State::Rest(left),
        };
    }
}

/// A Close frame with this code: masked to a server, unmasked to a client (section 5.1). The masking key is zero. Masks
/// protect caches from payload that an attacker chose to look like HTTP, and this payload is fixed.
pub(super) fn close_frame(code: u16, masked: bool) -> Vec<u8> {
    let code = code.to_be_bytes();
    let head: &[u8] = if masked { &[FINAL | CLOSE, MASKED | 2, 0, 0, 0, 0] } else { &[FINAL | CLOSE, 2] };
    [head, &code].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![FINAL | opcode];
        match payload {
            0..=125 => frame.push(mask | payload as u8),
            126..=65535 => {
                frame.push(mask | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0x88; payload + if masked { 4 } else { 0 }]);
        frame
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_split() {
        let sizes = [0, 1, 125, 126, 127, 300, 65535, 65536, 70000];
        let frames: Vec<Vec<u8>> = sizes
            .into_iter()
            .flat_map(|size| [frame(1, false, size), frame(2, true, size), frame(9, true, 0)])
            .collect();
        let bytes = frames.concat();
        let mut expected = Vec::new();
        let mut end = 0;
        for frame in &frames {
            end += frame.len();
            expected.push(end);
        }
        for piece in [1, 2, 3, 7, 64, 1000, bytes.len()] {
            let mut following = Frames::default();
            let mut found = Vec::new();
            for (number, piece_of) in bytes.chunks(piece).enumerate() {
                let mut at = 0;
                while let Some(count) = following.next_boundary(&piece_of[at..]) {
                    at += count;
                    found.push(number * piece + at);
                }
            }
            assert_eq!(found, expected, "in pieces of {piece}");
            assert!(following.is_at_boundary() && !following.is_closed());
        }
    }

    #[test]
    fn an_incomplete_frame_has_no_boundary() {
        let bytes = frame(1, true, 200);
        for cut in 1..bytes.len() {
            let mut frames = Frames::default();
            frames.advance(&bytes[..cut]);
            assert!(!frames.is_at_boundary(), "after {cut}");
            assert_eq!(frames.next_boundary(&bytes[cut..]), Some(bytes.len() - cut));
        }
    }

    #[test]
    fn a_close_frame_counts_when_it_is_complete_and_no_length_overflows() {
        for masked in [false, true] {
            let close = close_frame(GOING_AWAY, masked);
            let mut frames = Frames::default();
            frames.advance(&close[..close.len() - 1]);
            assert!(!frames.is_closed());
            frames.advance(&close[close.len() - 1..]);
            assert!(frames.is_closed() && frames.is_at_boundary());
        }
        let mut frames = Frames::default();
        frames.advance(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5]);
        assert!(!frames.is_at_boundary());
    }
}
