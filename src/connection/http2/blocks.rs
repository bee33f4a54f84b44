//! Decodes and checks field blocks, and gives h2 others in their place.
//!
//! 1. Only this decoder knows the client's dynamic table. h2 gets entries of the static table and literals without
//!    indexing, in new frames.
//! 2. In place of every head h2 gets a placeholder, which opens the stream. The service takes the head, or the refusal,
//!    from [`Heads`], so that it is read only once.
//! 3. Trailers are encoded again. In place of refused ones h2 gets a malformed block, so that the stream ends with
//!    PROTOCOL_ERROR (RFC 9113 section 8.1.1).

use std::sync::Arc;

use bytes::BytesMut;
use http::{Method, Uri, Version};

use super::frame::{
    self, COMPRESSION_ERROR, CONTINUATION, ConnectionError, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR,
    FrameHead, HEADERS, MAX_FRAME, PADDED, PRIORITY_FLAG,
};
use super::heads::{Heads, ReadHead};
use crate::gateway::UnreadHead;
use crate::message::{Fields, Head};
use crate::request::{FieldList, HeadLimits, HpackDecoder, Http2Head, RequestFault, check_http2_trailers};

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
    heads: Arc<Heads>,
    /// The highest stream that the client has opened.
    last_stream: u32,
    /// h2 ignores heads of streams after this one.
    last_allowed: u32,
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
    pub(super) fn new(limits: HeadLimits, heads: Arc<Heads>) -> Self {
        Self {
            decoder: HpackDecoder::new(TABLE_SIZE),
            limits,
            heads,
            last_stream: 0,
            last_allowed: u32::MAX,
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

    /// The size of the heads that wait for h2 to open their streams.
    pub(super) fn waiting(&self) -> usize {
        self.heads.bytes()
    }

    /// Records that a stream was reset: if it is not open yet, it does not open any more.
    pub(super) fn was_reset(&self, stream: u32) {
        drop(self.heads.take(stream));
    }

    /// Records that GOAWAY was sent with this number.
    pub(super) fn ends_after(&mut self, stream: u32) {
        self.last_allowed = self.last_allowed.min(stream);
        self.heads.drop_after(self.last_allowed);
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
        match () {
            () if block.depends_on_itself => write_block(out, block, &malformed()),
            () if opens_stream => self.head(block, list, out),
            () if is_open => write_block(out, block, &self.trailers(&list)),
            // On a stream that is closed or was skipped, h2 decides which error it is.
            () => write_block(out, block, &encode(list.iter())),
        }
        self.last_stream = self.last_stream.max(block.stream);
        Ok(opens_stream.then_some(block.stream))
    }

    /// Keeps the head for the service, and writes a placeholder for it.
    fn head(&self, block: &Block, list: FieldList, out: &mut BytesMut) {
        let mut placeholder = PLACEHOLDER.to_vec();
        let checked =
            if self.table_lost { Err(RequestFault::HeadTooLarge) } else { self.check(block, &list) };
        if let Ok((_, _, Some(length))) = checked {
            // h2 compares it with the length of the body (section 8.1.1).
            placeholder.extend_from_slice(CONTENT_LENGTH);
            write_length(&mut placeholder, length.len());
            placeholder.extend_from_slice(length);
        }
        let checked = checked.map(|(method, uri, _)| (method, uri));
        write_block(out, block, &placeholder);
        if block.stream > self.last_allowed {
            return;
        }
        let refuse = |fault, list: &FieldList| {
            ReadHead::Refused(Box::new(UnreadHead::of_http2(fault, list, self.limits)))
        };
        let (head, bytes) = match checked {
            Ok((method, uri)) => match list.into_fields() {
                Ok(headers) => accepted(method, uri, headers),
                Err(list) => (refuse(RequestFault::HeadTooLarge, &list), 0),
            },
            Err(fault) => (refuse(fault, &list), 0),
        };
        self.heads.put(block.stream, head, bytes + size_of::<ReadHead>());
    }

    /// Checks a head. Returns its method, its target and the value of Content-Length.
    fn check<'l>(
        &self,
        block: &Block,
        list: &'l FieldList,
    ) -> Result<(Method, Uri, Option<&'l [u8]>), RequestFault> {
        let head = Http2Head::read(list, self.limits, block.ends_stream)?;
        let method = Method::from_bytes(head.method());
        let method = method.map_err(|_| RequestFault::BadTarget("method is not a token"))?;
        Ok((method, head.uri()?, head.content_length()))
    }

    fn trailers(&self, list: &FieldList) -> Vec<u8> {
        match check_http2_trailers(list, self.limits) {
            Ok(()) if !self.table_lost => encode(list.iter()),
            _ => malformed(),
        }
    }
}

/// `:method: GET`, `:scheme: http` and `:path: /`, from the static table (RFC 7541 appendix A).
const PLACEHOLDER: &[u8] = &[0x82, 0x86, 0x84];
/// The name `content-length` of a literal without indexing (section 6.2.2): index 28.
const CONTENT_LENGTH: &[u8] = &[0x0f, 0x0d];

/// The head, and how many bytes it takes.
fn accepted(method: Method, uri: Uri, headers: Fields) -> (ReadHead, usize) {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let bytes = headers.bytes() + target + size_of::<Head>();
    (ReadHead::Accepted(Box::new(Head { method, uri, version: Version::HTTP_2, headers })), bytes)
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
