//! Frame heads and error codes (RFC 9113 sections 4.1 and 7).

use bytes::BytesMut;

pub(super) const HEAD_BYTES: usize = 9;
/// The longest payload: the default of SETTINGS_MAX_FRAME_SIZE.
pub(super) const MAX_FRAME: usize = 16_384;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY_FLAG: u8 = 0x20;

pub(super) const PROTOCOL_ERROR: u32 = 0x1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 0x3;
pub(super) const STREAM_CLOSED: u32 = 0x5;
pub(super) const FRAME_SIZE_ERROR: u32 = 0x6;
pub(super) const COMPRESSION_ERROR: u32 = 0x9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// An error that ends the connection (section 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionError {
    pub(super) code: u32,
    pub(super) why: &'static str,
}

impl ConnectionError {
    pub(super) const fn protocol(why: &'static str) -> Self {
        Self { code: PROTOCOL_ERROR, why }
    }

    pub(super) const fn calm(why: &'static str) -> Self {
        Self { code: ENHANCE_YOUR_CALM, why }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn parse(octets: [u8; HEAD_BYTES]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = octets;
        Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the length is invalid for this kind of frame (sections 4.2 and 6).
    pub(super) fn has_wrong_length(self) -> bool {
        match (self.kind, self.length) {
            (_, length) if length > MAX_FRAME => true,
            (PRIORITY, length) => length != 5,
            (RST_STREAM | WINDOW_UPDATE, length) => length != 4,
            (SETTINGS, length) if self.has(ACK) => length != 0,
            (SETTINGS, length) => length % 6 != 0,
            (PING, length) => length != 8,
            (GOAWAY, length) => length < 8,
            _ => false,
        }
    }
}

/// Appends a frame. The payload is at most [`MAX_FRAME`] long.
pub(super) fn write(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [.., high, middle, low] = payload.len().to_be_bytes();
    out.extend_from_slice(&[high, middle, low, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Collects a frame's first octets from one or more reads.
#[derive(Debug)]
pub(super) struct Octets<const N: usize> {
    octets: [u8; N],
    filled: usize,
}

impl<const N: usize> Octets<N> {
    pub(super) fn new() -> Self {
        Self { octets: [0; N], filled: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes what is missing up to `wanted`, at most `N`, from the front of `rest`. Returns the octets once all have
    /// arrived.
    pub(super) fn take(&mut self, rest: &mut &[u8], wanted: usize) -> Option<[u8; N]> {
        let wanted = wanted.min(N);
        let count = wanted.saturating_sub(self.filled).min(rest.len());
        let (taken, after) = rest.split_at_checked(count)?;
        if let Some(room) = self.octets.get_mut(self.filled..self.filled + count) {
            room.copy_from_slice(taken);
        }
        self.filled += count;
        *rest = after;
        (self.filled >= wanted).then_some(self.octets)
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}
