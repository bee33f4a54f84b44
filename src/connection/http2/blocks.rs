//! Decodes and checks field blocks, and encodes them again for h2 in a form that has only one meaning.
//!
//! 1. Only this decoder knows the client's dynamic table. h2 gets literals without indexing, in new frames.
//! 2. In place of a refused head h2 gets a placeholder, to which the service responds with the refusal.
//! 3. In place of refused trailers h2 gets a malformed block, so that the stream ends with PROTOCOL_ERROR (RFC 9113
//!    section 8.1.1).

use std::sync::Arc;

use bytes::BytesMut;

use super::frame::{
    self, COMPRESSION_ERROR, CONTINUATION, ConnectionError, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR,
    FrameHead, HEADERS, MAX_FRAME, PADDED, PRIORITY_FLAG,
};
use super::refused::{RefusedHeads, placeholder};
use crate::gateway::UnreadHead;
use crate::request::{
    FieldList, HeadLimits, HpackDecoder, Http2Head, RequestFault, check_http2_trailers, with_stand_ins,
};

/// The default of SETTINGS_HEADER_TABLE_SIZE.
const TABLE_SIZE: usize = 4096;
/// A block that is longer than the limit on heads by more than this factor ends the connection. Up to it, only the
/// head is refused.
const MAX_EXCESS: usize = 4;

/// The field blocks of one connection.
#[derive(Debug)]
pub(super) struct FieldBlocks {
    decoder: HpackDecoder,
    limits: HeadLimits,
    refused: Arc<RefusedHeads>,
    /// The highest stream that the client has opened.
    last_stream: u32,
    /// The incomplete block, which CONTINUATION has to follow.
    incomplete: Option<Block>,
    /// A block was too large to be kept, so the state of the dynamic table is unknown.
    table_lost: bool,
}

#[derive(Debug)]
struct Block {
    stream: u32,
    ends_stream: bool,
    /// RFC 7540 section 5.3.1: a stream error.
    depends_on_itself: bool,
    octets: Vec<u8>,
    /// Its length, including octets that were not kept.
    length: usize,
}

impl FieldBlocks {
    pub(super) fn new(limits: HeadLimits, refused: Arc<RefusedHeads>) -> Self {
        Self {
            decoder: HpackDecoder::new(TABLE_SIZE),
            limits,
            refused,
            last_stream: 0,
            incomplete: None,
            table_lost: false,
        }
    }

    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// The size of the incomplete block.
    pub(super) fn buffered(&self) -> usize {
        self.incomplete.as_ref().map_or(0, |block| block.octets.capacity())
    }

    /// Checks whether this frame is allowed now. Within a block only its own CONTINUATION is (section 6.10).
    pub(super) fn check_order(&self, head: FrameHead) -> Result<(), ConnectionError> {
        match &self.incomplete {
            Some(block) if head.kind != CONTINUATION || head.stream != block.stream => {
                Err(ConnectionError::protocol("a frame comes between those of a field block"))
            }
            None if head.kind == CONTINUATION => {
                Err(ConnectionError::protocol("CONTINUATION without a field block"))
            }
            _ if head.kind == HEADERS && head.stream == 0 => {
                Err(ConnectionError::protocol("HEADERS on stream 0"))
            }
            _ if head.has_wrong_length() => {
                Err(ConnectionError { code: FRAME_SIZE_ERROR, why: "a frame is of a wrong length" })
            }
            _ if head.kind == HEADERS && self.table_lost => {
                Err(ConnectionError::calm("a request after a head that was much too large"))
            }
            _ => Ok(()),
        }
    }

    /// Processes a whole HEADERS or CONTINUATION frame. Once its block is complete, writes the block for h2 to `out`.
    /// `is_open` says whether the response on its stream has not ended yet. Returns the stream that the block opens,
    /// if any.
    pub(super) fn frame(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        is_open: bool,
        out: &mut BytesMut,
    ) -> Result<Option<u32>, ConnectionError> {
        let mut block = match self.incomplete.take() {
            Some(mut block) => {
                block.length = block.length.saturating_add(payload.len());
                if block.length > self.limits.bytes.saturating_mul(MAX_EXCESS) {
                    return Err(ConnectionError::calm("a head is much too large"));
                }
                if block.length <= self.limits.bytes {
                    block.octets.extend_from_slice(payload);
                }
                block
            }
            None => {
                let (fragment, depends_on_itself) = fragment(head, payload)?;
                let mut block = Block {
                    stream: head.stream,
                    ends_stream: head.has(END_STREAM),
                    depends_on_itself,
                    octets: Vec::new(),
                    length: fragment.len(),
                };
                if head.has(END_HEADERS) {
                    return self.complete(&block, fragment, is_open, out);
                }
                if block.length <= self.limits.bytes {
                    block.octets.extend_from_slice(fragment);
                }
                block
            }
        };
        if head.has(END_HEADERS) {
            let octets = std::mem::take(&mut block.octets);
            return self.complete(&block, &octets, is_open, out);
        }
        self.incomplete = Some(block);
        Ok(None)
    }

    fn complete(
        &mut self,
        block: &Block,
        octets: &[u8],
        is_open: bool,
        out: &mut BytesMut,
    ) -> Result<Option<u32>, ConnectionError> {
        let mut list = FieldList::new(self.limits.bytes);
        let decoded = self.decoder.decode(octets, &mut list);
        self.table_lost |= block.length > self.limits.bytes;
        if let (Err(_), false) = (decoded, self.table_lost) {
            let why = "a field block cannot be decoded";
            return Err(ConnectionError { code: COMPRESSION_ERROR, why });
        }
        let opens_stream = block.stream > self.last_stream;
        let encoded = match () {
            () if block.depends_on_itself => malformed(),
            () if opens_stream => self.head(block, &list),
            () if is_open => self.trailers(&list),
            // On a stream that is closed or was skipped, h2 decides which error it is.
            () => encode(list.iter()),
        };
        write_block(out, block, &encoded);
        self.last_stream = self.last_stream.max(block.stream);
        Ok(opens_stream.then_some(block.stream))
    }

    fn head(&self, block: &Block, list: &FieldList) -> Vec<u8> {
        let read = if self.table_lost {
            Err(RequestFault::HeadTooLarge)
        } else {
            Http2Head::read(list, self.limits, block.ends_stream)
        };
        let target = read.and_then(|head| with_stand_ins(head.path()));
        let fault = match target {
            Ok(None) => return encode(list.iter()),
            // h2 reads the target as a URI.
            Ok(Some(target)) => {
                let field = |(name, value)| (name, if name == b":path" { &*target } else { value });
                return encode(list.iter().map(field));
            }
            Err(fault) => fault,
        };
        let head = Http2Head::of_refused(list, self.limits);
        self.refused.put(block.stream, UnreadHead::of_http2(fault, list, self.limits));
        // A response to HEAD has no body.
        let method: &[u8] = if head.method() == b"HEAD" { b"HEAD" } else { b"GET" };
        let path = placeholder(block.stream);
        let fields: [(&[u8], &[u8]); 3] =
            [(b":method", method), (b":scheme", b"http"), (b":path", path.as_bytes())];
        encode(fields.into_iter())
    }

    fn trailers(&self, list: &FieldList) -> Vec<u8> {
        match check_http2_trailers(list, self.limits) {
            Ok(()) if !self.table_lost => encode(list.iter()),
            _ => malformed(),
        }
    }
}

/// A block that h2 refuses as malformed: the stream ends with PROTOCOL_ERROR.
fn malformed() -> Vec<u8> {
    let fields: [(&[u8], &[u8]); 1] = [(b"connection", b"close")];
    encode(fields.into_iter())
}

/// Returns the field block fragment of a HEADERS frame (section 6.2), and whether the stream depends on itself.
fn fragment(head: FrameHead, payload: &[u8]) -> Result<(&[u8], bool), ConnectionError> {
    const SHORT: ConnectionError =
        ConnectionError { code: FRAME_SIZE_ERROR, why: "a HEADERS frame is too short" };
    let mut rest = payload;
    let mut padding = 0;
    if head.has(PADDED) {
        let (length, after) = rest.split_first().ok_or(SHORT)?;
        (padding, rest) = (usize::from(*length), after);
    }
    let mut depends_on_itself = false;
    if head.has(PRIORITY_FLAG) {
        let (dependency, after) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (_weight, after) = after.split_first().ok_or(SHORT)?;
        depends_on_itself = u32::from_be_bytes(*dependency) & 0x7fff_ffff == head.stream;
        rest = after;
    }
    let length = rest.len().checked_sub(padding);
    let fragment = length.and_then(|length| rest.get(..length));
    let fragment = fragment.ok_or(ConnectionError::protocol("padding is longer than its frame"))?;
    Ok((fragment, depends_on_itself))
}

fn write_block(out: &mut BytesMut, block: &Block, encoded: &[u8]) {
    let mut kind = HEADERS;
    let mut rest = encoded;
    loop {
        let (payload, after) = rest.split_at_checked(MAX_FRAME).unwrap_or((rest, &[]));
        let last = if after.is_empty() { END_HEADERS } else { 0 };
        let ends = if kind == HEADERS && block.ends_stream { END_STREAM } else { 0 };
        frame::write(out, kind, last | ends, block.stream, payload);
        if after.is_empty() {
            return;
        }
        (kind, rest) = (CONTINUATION, after);
    }
}

/// Encodes literals without indexing (RFC 7541 section 6.2.2) and without Huffman coding.
fn encode<'l>(fields: impl Iterator<Item = (&'l [u8], &'l [u8])> + Clone) -> Vec<u8> {
    let length = fields.clone().map(|(name, value)| name.len() + value.len() + 5).sum();
    let mut block = Vec::with_capacity(length);
    for (name, value) in fields {
        block.push(0);
        for string in [name, value] {
            write_length(&mut block, string.len());
            block.extend_from_slice(string);
        }
    }
    block
}

/// Encodes an integer with a prefix of seven bits (RFC 7541 section 5.1).
fn write_length(block: &mut Vec<u8>, length: usize) {
    const MASK: u8 = 0x7f;
    let Some(mut rest) = length.checked_sub(usize::from(MASK)) else {
        block.push(length.to_le_bytes()[0]);
        return;
    };
    block.push(MASK);
    while rest > usize::from(MASK) {
        block.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    block.push(rest.to_le_bytes()[0]);
}
