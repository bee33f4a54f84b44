//! The frames of one connection, in both directions, without input and output.
//!
//! 1. What the client sends goes on as it is, apart from field blocks: those go through [`FieldBlocks`].
//! 2. Frames and resets are counted ([`FrameBudget`], [`ResetBudget`]).
//! 3. A fault ends the connection: nothing that follows it is read.

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
/// Heads may be small as they come and large as they go on; no more are read when so much waits for h2.
const MAX_READY: usize = 16 * 1024;
const TOO_MANY_RESETS: ConnectionError = ConnectionError::calm("too many requests were reset");

/// See the module.
#[derive(Debug)]
pub(super) struct Frames {
    head: Octets<HEAD_BYTES>,
    payload: Payload,
    blocks: FieldBlocks,
    frame_budget: FrameBudget,
    reset_budget: ResetBudget,
    /// What h2 is to read before anything else.
    ready: BytesMut,
    /// The heads in there since it was last empty.
    ready_heads: usize,
    /// How many octets there were with the last of them.
    ready_octets: usize,
    /// What was read behind that, when it was enough already.
    backlog: Vec<u8>,
    error: Option<ConnectionError>,
    sent: Sent,
}

/// Where the octets belong that come next.
#[derive(Debug)]
enum Payload {
    /// To h2.
    Passed(usize),
    /// To a frame of a field block.
    Block { head: FrameHead, octets: Vec<u8> },
}

/// Follows what we send.
#[derive(Debug)]
struct Sent {
    /// A head, and the error code of RST_STREAM.
    head: Octets<{ HEAD_BYTES + CODE_BYTES }>,
    payload_left: usize,
}

impl Frames {
    /// The frames of a connection whose next octet is the first of the preface.
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

    /// What h2 is to read before anything else, and before more is read.
    pub(super) fn ready(&mut self) -> &mut BytesMut {
        if self.ready.is_empty() && !self.backlog.is_empty() {
            let octets = std::mem::take(&mut self.backlog);
            self.receive_copied(&octets);
        }
        &mut self.ready
    }

    /// Why the connection ends.
    pub(super) fn error(&self) -> Option<ConnectionError> {
        self.error
    }

    /// GOAWAY for that error; nothing in the middle of a frame.
    pub(super) fn goaway(&self) -> Option<BytesMut> {
        let error = self.error.filter(|_| self.sent.payload_left == 0 && self.sent.head.is_empty())?;
        let mut out = BytesMut::new();
        let [last, code] = [self.blocks.last_stream(), error.code].map(u32::to_be_bytes);
        frame::write(&mut out, GOAWAY, 0, 0, &[last, code].concat());
        Some(out)
    }

    /// How much is held of field blocks that are not complete, and of what h2 has not read.
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

    /// Streams that h2 has been given and whose response was not written to its end, about: heads that it has
    /// not read yet are counted by their share of the octets.
    pub(super) fn open_streams(&self) -> usize {
        let unread = self.ready_heads.saturating_mul(self.ready.len()).checked_div(self.ready_octets);
        let unread = unread.unwrap_or(0).min(self.ready_heads);
        self.reset_budget.open_streams().saturating_sub(unread)
    }

    /// Records what the client sent. None of it stays where it is: `ready` has all that goes on.
    pub(super) fn receive_copied(&mut self, octets: &[u8]) {
        self.process(Input { octets, at: 0, in_place: None });
    }

    /// Records what the client sent. So many octets at its beginning go on where they are; for the
    /// rest, `ready` has what goes on instead.
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
        let begun_before = !self.head.is_empty();
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
                // Most come in one piece.
                return self.block_frame(head, input.take(head.length));
            }
            self.payload = Payload::Block { head, octets: Vec::new() };
            return;
        }
        self.payload = Payload::Passed(head.length);
        if begun_before {
            input.at = input.octets.len() - rest.len();
            self.ready.extend_from_slice(&octets);
        } else {
            input.pass(HEAD_BYTES, &mut self.ready);
        }
    }

    fn check(&mut self, head: FrameHead) -> Result<(), ConnectionError> {
        self.blocks.expects(head)?;
        if !self.frame_budget.received(head) {
            return Err(ConnectionError::calm("too many frames for nothing"));
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

    /// Records what the client was sent.
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

/// Octets that were read, and how far they are looked at.
struct Input<'b> {
    octets: &'b [u8],
    at: usize,
    /// How many at the beginning stay where they are, if they can.
    in_place: Option<usize>,
}

impl<'b> Input<'b> {
    fn rest(&self) -> &'b [u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    /// Takes at most so many octets out.
    fn take(&mut self, count: usize) -> &'b [u8] {
        let rest = self.rest();
        let part = rest.get(..count).unwrap_or(rest);
        self.at += part.len();
        part
    }

    /// So many octets go on: where they are, if everything before them does, or else in `ready`.
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
