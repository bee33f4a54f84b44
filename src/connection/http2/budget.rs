//! Limits what a client can do on one connection at no cost to itself (RFC 9113 section 10.5).
//!
//! [`FrameBudget`] limits frames that carry nothing. h2 acknowledges SETTINGS and PING, and reads PRIORITY,
//! WINDOW_UPDATE and unknown frames, for as long as they arrive. Each such frame takes one from the budget. Requests,
//! bytes of bodies in both directions, and time refill it.
//!
//! [`ResetBudget`] limits requests that the client causes to end in a reset ("rapid reset", "made you reset"): it
//! sends RST_STREAM before the response has ended, or breaks a rule so that we send it. Such a request may already have
//! cost a connection to the backend. Each takes one from a budget of 200. Every fourth response that ends adds one, and
//! so does every fifth of a second. A browser that cancels queries while somebody types stays far below the limit:
//! after 200 at once, it would have to cancel more than five a second all the time. A trusted proxy's connection serves
//! many clients, so its resets are not limited: otherwise one client could end the requests of the others.
//!
//! An empty budget ends the connection.

use tokio::time::Instant;

use super::frame::{
    CONTINUATION, DATA, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, FrameHead, HEADERS, PROTOCOL_ERROR,
    STREAM_CLOSED,
};

/// Frames without content that a client may send, at once and per second.
const BURST: i64 = 10_000;
const PER_SECOND: i64 = 200;
/// How many such frames a request adds: a PRIORITY, a WINDOW_UPDATE, a RST_STREAM, and some more.
const PER_REQUEST: i64 = 8;
/// So many bytes of bodies add one such frame. A CONTINUATION with fewer counts as one.
const BYTES_PER_FRAME: usize = 256;

/// Requests that may end in a reset, at once and per second.
const RESETS: i64 = 200;
const RESETS_PER_SECOND: i64 = 5;
/// So many completed responses add one reset.
const RESPONSES_PER_RESET: u32 = 4;
/// h2 limits concurrent streams to far fewer. This is a second line of defence.
const MAX_OPEN: usize = 16_384;

/// A token bucket: spending empties it, events and time refill it.
#[derive(Debug)]
struct Budget {
    left: i64,
    refilled: Instant,
    burst: i64,
    per_second: i64,
}

impl Budget {
    fn new(burst: i64, per_second: i64) -> Self {
        Self { left: burst, refilled: Instant::now(), burst, per_second }
    }

    fn spend(&mut self) {
        self.left -= 1;
    }

    fn earn(&mut self, count: i64) {
        self.left = self.left.saturating_add(count).min(self.burst);
    }

    /// Whether anything is left. The clock is read only if nothing is.
    fn has_some(&mut self) -> bool {
        self.left > 0 || self.refill()
    }

    fn refill(&mut self) -> bool {
        let secs = i64::try_from(self.refilled.elapsed().as_secs()).unwrap_or(i64::MAX);
        if secs > 0 {
            self.refilled = Instant::now();
            self.earn(secs.saturating_mul(self.per_second));
        }
        self.left > 0
    }
}

/// Limits frames that carry nothing; see the module.
#[derive(Debug)]
pub(super) struct FrameBudget {
    budget: Budget,
    /// Bytes of bodies that do not add a whole frame yet.
    bytes: usize,
}

impl FrameBudget {
    pub(super) fn new() -> Self {
        Self { budget: Budget::new(BURST, PER_SECOND), bytes: 0 }
    }

    /// Records a frame of the client. Returns `false` if the budget is used up.
    pub(super) fn received(&mut self, frame: FrameHead) -> bool {
        match frame.kind {
            HEADERS => self.budget.earn(PER_REQUEST),
            DATA if frame.length > 0 => self.carried(frame.length),
            // h2 limits empty DATA frames itself.
            DATA => {}
            // `FieldBlocks` limits its octets.
            CONTINUATION if frame.length >= BYTES_PER_FRAME => {}
            _ => self.budget.spend(),
        }
        self.budget.has_some()
    }

    /// Records bytes of bodies, in both directions. What we send is counted with its framing: the acknowledgement of a
    /// SETTINGS or PING is much smaller than [`BYTES_PER_FRAME`], so it does not pay for the next one.
    pub(super) fn carried(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.budget.earn(i64::try_from(self.bytes / BYTES_PER_FRAME).unwrap_or(i64::MAX));
        self.bytes %= BYTES_PER_FRAME;
    }
}

/// Limits resets; see the module.
#[derive(Debug)]
pub(super) struct ResetBudget {
    /// `None` if resets are not limited.
    budget: Option<Budget>,
    responses: u32,
    /// Streams whose response has not ended, in ascending order.
    open: Vec<u32>,
}

impl ResetBudget {
    pub(super) fn new() -> Self {
        let budget = Some(Budget::new(RESETS, RESETS_PER_SECOND));
        Self { budget, responses: 0, open: Vec::new() }
    }

    /// For a connection that serves many clients.
    pub(super) fn unlimited() -> Self {
        Self { budget: None, ..Self::new() }
    }

    /// Records a request that is passed on. Stream numbers increase. Returns `false` if too many are open.
    pub(super) fn opened(&mut self, stream: u32) -> bool {
        self.open.push(stream);
        self.open.len() <= MAX_OPEN
    }

    /// How many streams have a response that has not ended.
    pub(super) fn open_streams(&self) -> usize {
        self.open.len()
    }

    /// Records that a frame of ours ended a response.
    pub(super) fn responded(&mut self, stream: u32) {
        if self.close(stream) {
            self.responses += 1;
            if self.responses == RESPONSES_PER_RESET {
                self.responses = 0;
                if let Some(budget) = &mut self.budget {
                    budget.earn(1);
                }
            }
        }
    }

    /// Records that the client reset a stream. Returns `false` if the budget is used up.
    pub(super) fn reset_by_client(&mut self, stream: u32) -> bool {
        let was_open = self.close(stream);
        self.spend(was_open)
    }

    /// Records that we reset a stream. Returns `false` if the budget is used up.
    pub(super) fn reset_by_us(&mut self, stream: u32, code: u32) -> bool {
        self.close(stream);
        self.spend(matches!(code, PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR))
    }

    /// Returns `false` if the budget is used up.
    fn spend(&mut self, is_counted: bool) -> bool {
        let Some(budget) = &mut self.budget else { return true };
        if is_counted {
            budget.spend();
        }
        budget.has_some()
    }

    /// Whether the response on this stream has not ended.
    pub(super) fn is_open(&self, stream: u32) -> bool {
        self.open.binary_search(&stream).is_ok()
    }

    /// Returns whether the stream was open.
    fn close(&mut self, stream: u32) -> bool {
        let found = self.open.binary_search(&stream);
        if let Ok(at) = found {
            self.open.remove(at);
        }
        found.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    fn frame(kind: u8, length: usize) -> FrameHead {
        FrameHead { length, kind, flags: 0, stream: 1 }
    }

    /// How many of these frames are accepted.
    fn accepted(budget: &mut FrameBudget, frame: FrameHead) -> usize {
        (0..100_000).find(|_| !budget.received(frame)).unwrap_or(usize::MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn frames_without_content_use_up_the_budget() {
        for (kind, length) in [(0x4, 0), (0x6, 8), (0x2, 5), (0x8, 4), (0xf0, 100), (CONTINUATION, 1)] {
            let count = accepted(&mut FrameBudget::new(), frame(kind, length));
            assert_eq!(count, BURST as usize - 1, "kind {kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_requests_and_time_refill_the_frame_budget() {
        let window_update = frame(0x8, 4);
        let mut download = FrameBudget::new();
        for _ in 0..50_000 {
            download.carried(2 * BYTES_PER_FRAME);
            assert!(download.received(window_update) && download.received(window_update));
        }
        let mut requests = FrameBudget::new();
        let request = [frame(HEADERS, 30), frame(0x2, 5), window_update, frame(0x3, 4)];
        assert!((0..50_000).all(|_| request.iter().all(|frame| requests.received(*frame))));
        let mut upload = FrameBudget::new();
        let body = [frame(DATA, 512), window_update];
        assert!((0..50_000).all(|_| body.iter().all(|frame| upload.received(*frame))));

        let mut slow = FrameBudget::new();
        assert!(accepted(&mut slow, window_update) < usize::MAX);
        advance(Duration::from_secs(2)).await;
        assert_eq!(accepted(&mut slow, window_update), 2 * PER_SECOND as usize - 1);
        // What is saved up has a bound.
        advance(Duration::from_secs(86_400)).await;
        assert!(accepted(&mut slow, window_update) <= BURST as usize);
    }

    /// How many requests the client may reset, one after the other.
    fn resets(budget: &mut ResetBudget) -> i64 {
        let reset = |number: &i64| {
            let stream = *number as u32;
            budget.opened(stream) && budget.reset_by_client(stream)
        };
        (0..100_000).take_while(reset).count() as i64
    }

    #[tokio::test(start_paused = true)]
    async fn resets_caused_by_the_client_use_up_the_budget() {
        assert_eq!(resets(&mut ResetBudget::new()), RESETS - 1);
        for code in [PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED] {
            let mut budget = ResetBudget::new();
            let count = (0..100_000).take_while(|stream| budget.reset_by_us(*stream, code)).count();
            assert_eq!(count as i64, RESETS - 1, "code {code}");
        }
        // NO_ERROR after an early response, a fault of the backend, a stream beyond the limit.
        for code in [0, 2, 7, 8] {
            let mut budget = ResetBudget::new();
            assert!((0..100_000).all(|stream| budget.reset_by_us(stream, code)), "code {code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_serves_many_clients_has_no_limit_on_resets() {
        let mut budget = ResetBudget::unlimited();
        assert_eq!(resets(&mut budget), 100_000);
        assert!((0..100_000).all(|stream| budget.reset_by_us(stream, PROTOCOL_ERROR)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_after_the_response_is_not_counted() {
        let mut budget = ResetBudget::new();
        for stream in 0..100_000 {
            budget.opened(stream);
            budget.responded(stream);
            assert!(budget.reset_by_client(stream));
        }
        assert!(budget.open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn responses_and_time_refill_the_reset_budget() {
        // Cancelling one request in five can go on without end.
        let mut budget = ResetBudget::new();
        for stream in 0..100_000 {
            budget.opened(stream);
            if stream % 5 == 0 {
                assert!(budget.reset_by_client(stream), "{stream}");
            } else {
                budget.responded(stream);
            }
        }
        let mut budget = ResetBudget::new();
        resets(&mut budget);
        advance(Duration::from_secs(2)).await;
        assert_eq!(resets(&mut budget), 2 * RESETS_PER_SECOND - 1);
        advance(Duration::from_secs(86_400)).await;
        assert!(resets(&mut budget) <= RESETS, "what is saved up has a bound");
    }
}
