//! Validates the frames of one connection in both directions. It does no input or output.
//!
//! 1. The client's frames are passed on unchanged, except for field blocks, which [`FieldBlocks`] decodes, checks and
//!    encodes again.
//! 2. Frames and resets are counted ([`FrameBudget`], [`ResetBudget`]).
//! 3. An error ends the connection: nothing after it is read.

use std::sync::Arc;

use bytes::BytesMut;

use super::blocks::FieldBlocks;
use super::budget::{FrameBudget, ResetBudget};
use super::frame::{
    self, CONTINUATION, ConnectionError, DATA, END_STREAM, FrameHead, GOAWAY, HEAD_BYTES, HEADERS, Octets,
    PUSH_PROMISE, RST_STREAM,
};
use super::refused::RefusedHeads;
use crate::connection::preface::PREFACE;
use crate::request::HeadLimits;

const CODE_BYTES: usize = 4;
/// HPACK can expand small heads to large ones, so no more are read once this many octets wait for h2.
const MAX_READY: usize = 16 * 1024;
const TOO_MANY_RESETS: ConnectionError = ConnectionError::calm("too many requests were reset");

/// The frames of one connection; see the module.
#[derive(Debug)]
pub(super) struct Frames {
    head: Octets<HEAD_BYTES>,
    payload: Payload,
    blocks: FieldBlocks,
    frame_budget: FrameBudget,
    reset_budget: ResetBudget,
    /// What h2 reads before anything else.
    ready: BytesMut,
    /// How many heads `ready` got since it was last empty.
    ready_heads: usize,
    /// The length of `ready` after the last of them.
    ready_octets: usize,
    /// What was read while `ready` was full, not processed yet.
    backlog: Vec<u8>,
    error: Option<ConnectionError>,
    sent: Sent,
}

/// The payload of the current frame.
#[derive(Debug)]
enum Payload {
    /// So many octets are still to be passed on to h2.
    Passed(usize),
    /// A frame of a field block, and the octets of its payload that have arrived.
    Block { head: FrameHead, octets: Vec<u8> },
}

/// Follows the frames that are sent to the client.
#[derive(Debug)]
struct Sent {
    /// A frame head and, after that of RST_STREAM, the error code.
    head: Octets<{ HEAD_BYTES + CODE_BYTES }>,
    payload_left: usize,
}

impl Frames {
    /// For a connection whose next octet is the first of the preface.
    pub(super) fn new(limits: HeadLimits, refused: Arc<RefusedHeads>) -> Self {
        Self {
            head: Octets::new(),
            payload: Payload::Passed(PREFACE.len()),
            blocks: FieldBlocks::new(limits, refused),
            frame_budget: FrameBudget::new(),
            reset_budget: ResetBudget::new(),
            ready: BytesMut::new(),
            ready_heads: 0,
            ready_octets: 0,
            backlog: Vec::new(),
            error: None,
            sent: Sent { head: Octets::new(), payload_left: 0 },
        }
    }

    /// Stops limiting resets, for a connection that serves many clients.
    pub(super) fn permit_resets(&mut self) {
        self.reset_budget = ResetBudget::unlimited();
    }

    /// What h2 has to read before anything else, and before more is read from the socket.
    pub(super) fn ready(&mut self) -> &mut BytesMut {
        if self.ready.is_empty() && !self.backlog.is_empty() {
            let octets = std::mem::take(&mut self.backlog);
            self.receive_copied(&octets);
        }
        &mut self.ready
    }

    /// The error that ends the connection.
    pub(super) fn error(&self) -> Option<ConnectionError> {
        self.error
    }

    /// GOAWAY for that error; `None` while another frame is only partly written.
    pub(super) fn goaway(&self) -> Option<BytesMut> {
        let error = self.error.filter(|_| self.sent.payload_left == 0 && self.sent.head.is_empty())?;
        let mut out = BytesMut::new();
        let [last, code] = [self.blocks.last_stream(), error.code].map(u32::to_be_bytes);
        frame::write(&mut out, GOAWAY, 0, 0, &[last, code].concat());
        Some(out)
    }

    /// The size of incomplete field blocks and of what h2 has not read.
    pub(super) fn buffered(&self) -> usize {
        let frame = match &self.payload {
            Payload::Block { octets, .. } => octets.capacity(),
            Payload::Passed(_) => 0,
        };
        frame
            .saturating_add(self.blocks.buffered())
            .saturating_add(self.ready.len())
            .saturating_add(self.backlog.len())
    }

    /// Roughly how many streams h2 has whose response has not ended. Heads that h2 has not read yet are estimated
    /// from their share of the octets, and not counted.
    pub(super) fn open_streams(&self) -> usize {
        let unread = self.ready_heads.saturating_mul(self.ready.len()).checked_div(self.ready_octets);
        let unread = unread.unwrap_or(0).min(self.ready_heads);
        self.reset_budget.open_streams().saturating_sub(unread)
    }

    /// Processes what the client sent. Everything that is passed on is copied to `ready`.
    pub(super) fn receive_copied(&mut self, octets: &[u8]) {
        self.process(Input { octets, at: 0, in_place: None });
    }

    /// Processes what the client sent. Returns how many octets at its beginning are passed on in place. What replaces
    /// the rest is in `ready`.
    pub(super) fn receive(&mut self, octets: &[u8]) -> usize {
        self.process(Input { octets, at: 0, in_place: Some(0) })
    }

    fn process(&mut self, mut input: Input<'_>) -> usize {
        while !input.rest().is_empty() && self.error.is_none() {
            if self.ready.len() >= MAX_READY {
                self.backlog = input.rest().to_vec();
                break;
            }
            match &mut self.payload {
                Payload::Passed(0) => self.receive_head(&mut input),
                Payload::Passed(left) => {
                    let count = (*left).min(input.rest().len());
                    *left -= count;
                    input.pass(count, &mut self.ready);
                }
                Payload::Block { head, octets } => {
                    let head = *head;
                    octets.extend_from_slice(input.take(head.length - octets.len()));
                    if octets.len() == head.length {
                        let whole = std::mem::take(octets);
                        self.block_frame(head, &whole);
                    }
                }
            }
        }
        input.in_place.unwrap_or(0)
    }

    fn receive_head(&mut self, input: &mut Input<'_>) {
        let is_continued = !self.head.is_empty();
        let mut rest = input.rest();
        let head = self.head.take(&mut rest, HEAD_BYTES);
        let Some(octets) = head else {
            input.at = input.octets.len();
            return;
        };
        self.head.clear();
        let head = FrameHead::parse(octets);
        if let Err(error) = self.check(head) {
            self.error = Some(error);
            return;
        }
        if matches!(head.kind, HEADERS | CONTINUATION) {
            input.at = input.octets.len() - rest.len();
            if rest.len() >= head.length {
                // Most frames come in one piece.
                return self.block_frame(head, input.take(head.length));
            }
            self.payload = Payload::Block { head, octets: Vec::new() };
            return;
        }
        self.payload = Payload::Passed(head.length);
        if is_continued {
            input.at = input.octets.len() - rest.len();
            self.ready.extend_from_slice(&octets);
        } else {
            input.pass(HEAD_BYTES, &mut self.ready);
        }
    }

    fn check(&mut self, head: FrameHead) -> Result<(), ConnectionError> {
        self.blocks.check_order(head)?;
        if !self.frame_budget.received(head) {
            return Err(ConnectionError::calm("too many frames that carry nothing"));
        }
        match head.kind {
            PUSH_PROMISE => return Err(ConnectionError::protocol("PUSH_PROMISE from a client")),
            RST_STREAM if !self.reset_budget.reset_by_client(head.stream) => return Err(TOO_MANY_RESETS),
            _ => {}
        }
        Ok(())
    }

    fn block_frame(&mut self, head: FrameHead, payload: &[u8]) {
        self.payload = Payload::Passed(0);
        let is_open = self.reset_budget.is_open(head.stream);
        if self.ready.is_empty() {
            self.ready_heads = 0;
        }
        match self.blocks.frame(head, payload, is_open, &mut self.ready) {
            Ok(Some(stream)) if !self.reset_budget.opened(stream) => {
                self.error = Some(ConnectionError::calm("too many streams"));
            }
            Ok(Some(_)) => {
                self.ready_heads += 1;
                self.ready_octets = self.ready.len();
            }
            Ok(None) => {}
            Err(error) => self.error = Some(error),
        }
    }

    /// Records what was sent to the client.
    pub(super) fn sent(&mut self, octets: &[u8]) {
        self.frame_budget.carried(octets.len());
        let mut rest = octets;
        while !rest.is_empty() {
            if self.sent.payload_left > 0 {
                let count = self.sent.payload_left.min(rest.len());
                self.sent.payload_left -= count;
                rest = rest.get(count..).unwrap_or_default();
                continue;
            }
            let Some(head) = self.sent.head.take(&mut rest, HEAD_BYTES) else { return };
            let head = FrameHead::parse(*head.first_chunk().unwrap_or(&[0; HEAD_BYTES]));
            self.sent.payload_left = head.length;
            if head.kind == RST_STREAM {
                let Some(octets) = self.sent.head.take(&mut rest, HEAD_BYTES + CODE_BYTES) else {
                    self.sent.payload_left = 0;
                    return;
                };
                self.sent.payload_left = head.length.saturating_sub(CODE_BYTES);
                let code = u32::from_be_bytes(*octets.last_chunk().unwrap_or(&[0; CODE_BYTES]));
                if !self.reset_budget.reset_by_us(head.stream, code) {
                    self.error.get_or_insert(TOO_MANY_RESETS);
                }
            } else if matches!(head.kind, HEADERS | DATA) && head.has(END_STREAM) {
                self.reset_budget.responded(head.stream);
            }
            self.sent.head.clear();
        }
    }
}

/// Octets that were read, and how many of them are processed.
struct Input<'b> {
    octets: &'b [u8],
    at: usize,
    /// How many at the beginning are passed on in place; `None` if all are copied.
    in_place: Option<usize>,
}

impl<'b> Input<'b> {
    fn rest(&self) -> &'b [u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    /// Takes at most `count` octets.
    fn take(&mut self, count: usize) -> &'b [u8] {
        let rest = self.rest();
        let part = rest.get(..count).unwrap_or(rest);
        self.at += part.len();
        part
    }

    /// Passes `count` octets on: in place if everything before them is, otherwise copied to `ready`.
    fn pass(&mut self, count: usize, ready: &mut BytesMut) {
        let stays = self.in_place == Some(self.at);
        let part = self.take(count);
        if stays {
            self.in_place = Some(self.at);
        } else {
            ready.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests;
