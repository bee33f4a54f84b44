//! One connection's part of the budget.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Budget;
use super::client::Client;
use super::turns::Turns;

/// The totals are changed in steps of this size, so that small answers do not touch them.
const STEP: usize = 16 * 1024;

const TAKES_TURNS: u8 = 0;
const FREE: u8 = 1;
const ENDED: u8 = 2;

/// How the tasks of a connection are polled.
#[derive(Debug)]
pub(super) enum Standing<'a> {
    /// With those of other connections of this client, one at a time.
    TakesTurns(&'a Turns, usize),
    /// Whenever they are ready: it has shown a verified token, or is to close.
    Free,
    /// Not any more.
    Ended,
}

/// The account of one connection, shared by everything that serves it.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    pub(super) budget: Arc<Budget>,
    /// Not set for a peer without a share of its own.
    pub(super) client: OnceLock<Arc<Client>>,
    verified: AtomicBool,
    /// [`TAKES_TURNS`], [`FREE`] or [`ENDED`].
    standing: AtomicU8,
    /// Set once a worker serves it.
    turns: OnceLock<Arc<Turns>>,
    /// Requests whose responses have not ended.
    unanswered: AtomicU32,
    /// When the last one ended, or the connection began; milliseconds of the budget's clock.
    answered: AtomicU64,
    held: AtomicUsize,
    charged: AtomicUsize,
    closing: AtomicBool,
    close: Notify,
}

impl Connection {
    pub(super) fn new(budget: Arc<Budget>, id: u64, client: Option<Arc<Client>>) -> Self {
        let now = budget.now();
        let connection = Self {
            id,
            budget,
            client: OnceLock::new(),
            verified: AtomicBool::new(false),
            standing: AtomicU8::new(TAKES_TURNS),
            turns: OnceLock::new(),
            unanswered: AtomicU32::new(0),
            answered: AtomicU64::new(now),
            held: AtomicUsize::new(0),
            charged: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            close: Notify::new(),
        };
        if let Some(client) = client {
            client.connection_opens();
            let _first = connection.client.set(client);
        }
        connection
    }

    /// Whether it has shown a verified token.
    pub fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed)
    }

    /// Whether it has the long times: after a verified token, and from a trusted proxy.
    pub fn is_trusted(&self) -> bool {
        self.client.get().is_none() || self.is_verified()
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// A worker serves it. Without one its tasks take no turns.
    pub fn set_turns(&self, turns: &Arc<Turns>) {
        let _first = self.turns.set(turns.clone());
    }

    /// Whether its tasks wait for their turns; see [`super::take_turns`].
    pub fn takes_turns(&self) -> bool {
        self.standing.load(Ordering::Relaxed) == TAKES_TURNS
    }

    pub(super) fn standing(&self) -> Standing<'_> {
        match (self.standing.load(Ordering::Relaxed), self.client.get(), self.turns.get()) {
            (ENDED, ..) => Standing::Ended,
            (TAKES_TURNS, Some(client), Some(turns)) => {
                Standing::TakesTurns(turns, Arc::as_ptr(client).addr())
            }
            _ => Standing::Free,
        }
    }

    /// It serves nothing any more.
    pub fn ends(&self) {
        self.standing.store(ENDED, Ordering::Relaxed);
        if let Some(turns) = self.turns.get() {
            turns.end(self.id);
        }
    }

    /// Notes that a request on it has shown a verified token.
    pub fn verified(&self) {
        if !self.is_verified() {
            self.verified.store(true, Ordering::Relaxed);
            self.standing.store(FREE, Ordering::Relaxed);
        }
    }

    /// A request has begun.
    pub fn request_begins(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// The response to a request has ended.
    pub fn request_ends(&self) {
        self.answered.store(self.budget.now(), Ordering::Relaxed);
        // Only the connection's own task calls this and the one above.
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
    }

    /// Since when it has had nothing to answer.
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.unanswered.load(Ordering::Relaxed) == 0;
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        idle.then(|| self.budget.started + answered)
    }

    /// As [`Self::idle_since`], for one that was not asked to close.
    pub(super) fn evictable_since(&self) -> Option<u64> {
        let idle = self.unanswered.load(Ordering::Relaxed) == 0 && !self.is_closing();
        idle.then(|| self.answered.load(Ordering::Relaxed))
    }

    pub(super) fn hold(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.settle(held);
    }

    pub(super) fn release(&self, bytes: usize) {
        let held = self.held.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.settle(held);
    }

    /// Brings the totals up to what is held, in whole steps.
    fn settle(&self, held: usize) {
        let wanted = held.next_multiple_of(STEP);
        let mut charged = self.charged.load(Ordering::Relaxed);
        // One step too many stays charged: a connection around the end of a step changes nothing.
        while wanted > charged || wanted + STEP < charged {
            match self.charged.compare_exchange_weak(charged, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.change_totals(charged, wanted),
                Err(other) => charged = other,
            }
        }
    }

    fn change_totals(&self, from: usize, to: usize) {
        let budget = &self.budget;
        let client = self.client.get();
        if to < from {
            budget.memory.fetch_sub(from - to, Ordering::Relaxed);
            if let Some(client) = client {
                client.memory.fetch_sub(from - to, Ordering::Relaxed);
            }
            return;
        }
        let total = budget.memory.fetch_add(to - from, Ordering::Relaxed) + (to - from);
        if let Some(client) = client {
            let own = client.memory.fetch_add(to - from, Ordering::Relaxed) + (to - from);
            if own > budget.memory_share() {
                budget.relieve(Some(client));
                // Others need not wait until the largest have found out that they are to close.
                if own > (budget.memory_share() / 8).saturating_mul(9) && !self.is_trusted() {
                    budget.close(self);
                }
            }
        }
        if total > budget.soft_limit() {
            budget.relieve(None);
        }
    }

    pub(super) fn charged(&self) -> usize {
        self.charged.load(Ordering::Relaxed)
    }

    pub(super) fn belongs_to(&self, client: &Arc<Client>) -> bool {
        self.client.get().is_some_and(|own| Arc::ptr_eq(own, client))
    }

    /// Resolves once the connection is to be closed, whatever it is doing.
    pub async fn close_requested(&self) {
        let mut asked = std::pin::pin!(self.close.notified());
        // Before the flag is read: what comes in between is not missed.
        asked.as_mut().enable();
        if !self.is_closing() {
            asked.await;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The caller counts it as closing.
    pub(super) fn ask_to_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.standing.store(FREE, Ordering::Relaxed);
        if let Some(client) = self.client.get() {
            client.connection_ends();
        }
        self.close.notify_waiters();
    }
}
