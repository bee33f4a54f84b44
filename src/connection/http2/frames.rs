//! Validates the frames of one connection in both directions. It does no input or output.
//!
//! 1. The client's frames are passed on unchanged, except for field blocks, which [`FieldBlocks`] decodes, checks and
//!    replaces.
//! 2. Frames and resets are counted ([`FrameBudget`], [`ResetBudget`]).
//! 3. An error ends the connection: nothing after it is read.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};

use super::blocks::FieldBlocks;
use super::budget::{FrameBudget, ResetBudget};
use super::frame::{
    self, CONTINUATION, ConnectionError, DATA, END_STREAM, FrameHead, GOAWAY, HEAD_BYTES, HEADERS, Octets,
    PUSH_PROMISE, RST_STREAM,
};
use super::heads::Heads;
use crate::connection::preface::PREFACE;
use crate::request::HeadLimits;

/// The error code of RST_STREAM, and the last stream of GOAWAY.
const NUMBER_BYTES: usize = 4;
/// HPACK can expand small heads to large ones, so no more are read once this many octets wait for h2, or heads of this
/// size for the service.
const MAX_READY: usize = 16 * 1024;
/// The first bit of a stream's number is reserved.
const MAX_STREAM: u32 = u32::MAX >> 1;
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
    ready: Ready,
    /// What was read while `ready` was full, not processed yet.
    backlog: Vec<u8>,
    error: Option<ConnectionError>,
    sent: Sent,
}

/// Octets that h2 has not read yet.
#[derive(Debug, Default)]
struct Ready {
    octets: BytesMut,
    /// For each head in them: how many octets there are up to its end, after the head before it.
    heads: VecDeque<usize>,
    /// The sum of `heads`.
    marked: usize,
}

impl Ready {
    /// Records that a head ends here.
    fn mark_head(&mut self) {
        self.heads.push_back(self.octets.len() - self.marked);
        self.marked = self.octets.len();
    }

    /// How many octets there are up to the end of the last of so many heads. With fewer heads, all.
    fn up_to(&self, heads: usize) -> usize {
        let within = heads.min(self.heads.len());
        if within < heads || within == 0 { self.octets.len() } else { self.heads.iter().take(within).sum() }
    }

    /// Removes octets. Returns how many heads end in them.
    fn advance(&mut self, count: usize) -> usize {
        self.octets.advance(count);
        let (mut left, mut heads) = (count, 0);
        while let Some(first) = self.heads.front_mut() {
            let part = left.min(*first);
            (*first, left) = (*first - part, left - part);
            self.marked -= part;
            if *first > 0 {
                break;
            }
            self.heads.pop_front();
            heads += 1;
        }
        heads
    }
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
    /// A frame head and, after those of RST_STREAM and GOAWAY, a number.
    head: Octets<{ HEAD_BYTES + NUMBER_BYTES }>,
    payload_left: usize,
}

impl Frames {
    /// For a connection whose next octet is the first of the preface.
    pub(super) fn new(limits: HeadLimits, heads: Arc<Heads>) -> Self {
        Self {
            head: Octets::new(),
            payload: Payload::Passed(PREFACE.len()),
            blocks: FieldBlocks::new(limits, heads),
            frame_budget: FrameBudget::new(),
            reset_budget: ResetBudget::new(),
            ready: Ready::default(),
            backlog: Vec::new(),
            error: None,
            sent: Sent { head: Octets::new(), payload_left: 0 },
        }
    }

    /// Stops limiting resets, for a connection that serves many clients.
    pub(super) fn permit_resets(&mut self) {
        self.reset_budget = ResetBudget::unlimited();
    }

    /// What h2 has to read before anything else, and before more is read from the socket: all of it, or up to the end
    /// of the last of so many heads.
    pub(super) fn ready(&mut self, heads: usize) -> &[u8] {
        if self.ready.octets.is_empty() && !self.backlog.is_empty() {
            let octets = std::mem::take(&mut self.backlog);
            self.receive_copied(&octets);
        }
        self.ready.octets.get(..self.ready.up_to(heads)).unwrap_or_default()
    }

    /// Records that h2 has read so many octets of [`Self::ready`]. Returns how many heads ended in them.
    pub(super) fn passed(&mut self, count: usize) -> usize {
        let heads = self.ready.advance(count.min(self.ready.octets.len()));
        if self.ready.octets.is_empty() {
            // An idle connection keeps no buffer.
            self.ready = Ready::default();
        }
        heads
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

    /// The size of incomplete field blocks, of what h2 has not read, and of heads whose streams it has not opened.
    pub(super) fn buffered(&self) -> usize {
        let frame = match &self.payload {
            Payload::Block { octets, .. } => octets.capacity(),
            Payload::Passed(_) => 0,
        };
        frame
            .saturating_add(self.blocks.buffered())
            .saturating_add(self.blocks.waiting())
            .saturating_add(self.ready.octets.len())
            .saturating_add(self.backlog.len())
    }

    /// How many streams h2 has whose response has not ended. Heads that h2 has not read yet are not counted.
    pub(super) fn open_streams(&self) -> usize {
        self.reset_budget.open_streams().saturating_sub(self.ready.heads.len())
    }

    /// Whether no more is processed before h2 and the service have taken what is there.
    fn is_full(&self) -> bool {
        let ready = self.ready.octets.len();
        ready >= MAX_READY || ready > 0 && self.blocks.waiting() >= MAX_READY
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
            if self.is_full() {
                self.backlog = input.rest().to_vec();
                break;
            }
            match &mut self.payload {
                Payload::Passed(0) => self.receive_head(&mut input),
                Payload::Passed(left) => {
                    let count = (*left).min(input.rest().len());
                    *left -= count;
                    input.pass(count, &mut self.ready.octets);
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
            self.ready.octets.extend_from_slice(&octets);
        } else {
            input.pass(HEAD_BYTES, &mut self.ready.octets);
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
        match self.blocks.frame(head, payload, is_open, &mut self.ready.octets) {
            Ok(Some(stream)) if !self.reset_budget.opened(stream) => {
                self.error = Some(ConnectionError::calm("too many streams"));
            }
            Ok(Some(_)) => self.ready.mark_head(),
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
            if matches!(head.kind, RST_STREAM | GOAWAY) {
                let Some(octets) = self.sent.head.take(&mut rest, HEAD_BYTES + NUMBER_BYTES) else {
                    self.sent.payload_left = 0;
                    return;
                };
                self.sent.payload_left = head.length.saturating_sub(NUMBER_BYTES);
                self.sent_number(
                    head,
                    u32::from_be_bytes(*octets.last_chunk().unwrap_or(&[0; NUMBER_BYTES])),
                );
            } else if matches!(head.kind, HEADERS | DATA) && head.has(END_STREAM) {
                self.reset_budget.responded(head.stream);
            }
            self.sent.head.clear();
        }
    }

    /// Records RST_STREAM or GOAWAY of ours, with its first number.
    fn sent_number(&mut self, head: FrameHead, number: u32) {
        if head.kind == GOAWAY {
            return self.blocks.ends_after(number & MAX_STREAM);
        }
        self.blocks.was_reset(head.stream);
        if !self.reset_budget.reset_by_us(head.stream, number) {
            self.error.get_or_insert(TOO_MANY_RESETS);
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
