//! The account of one connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Budget;
use super::client::Client;
use super::turns::Turns;
use crate::metrics::Metrics;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The totals are changed in steps of this size, so that small responses do not touch them.
const STEP: usize = 16 * 1024;

const TAKES_TURNS: u8 = 0;
const FREE: u8 = 1;
const ENDED: u8 = 2;

/// When the tasks of a connection are polled.
#[derive(Debug)]
pub(super) enum Scheduling<'a> {
    /// In the turns of the client with this number, which all its connections share.
    TakesTurns(&'a Turns, u64),
    /// Whenever they are ready: the connection has shown a verified token, has no client, or was asked to close.
    Free,
    /// Never again.
    Ended,
}

/// In which order connections are closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Its PROXY protocol header has not arrived.
    Unnamed,
    /// It has shown no verified token, or a trusted proxy's connection only discards the body of a refused request.
    Unverified,
    /// It has shown a verified token, or a trusted proxy uses it.
    Trusted,
}

/// The account of one connection, shared by everything that serves it.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    pub(super) budget: Arc<Budget>,
    /// Not set for a peer without a share of its own.
    pub(super) client: OnceLock<Arc<Client>>,
    /// Whether its client will be named by a PROXY protocol header that has not arrived.
    unnamed: AtomicBool,
    verified: AtomicBool,
    /// Whether a token that is not genuine came after the last verified one.
    failed: AtomicBool,
    /// [`TAKES_TURNS`], [`FREE`] or [`ENDED`].
    scheduling: AtomicU8,
    /// Set once a worker serves the connection.
    turns: OnceLock<Arc<Turns>>,
    /// Requests whose responses have not ended.
    in_progress: AtomicU32,
    /// Bodies of refused requests that are being discarded.
    discarding: AtomicU32,
    /// When the last response ended, or the connection began, in milliseconds since the budget's start.
    idle_start: AtomicU64,
    /// The exact number of bytes that the connection holds.
    held: AtomicUsize,
    /// The same in whole steps, as it is counted in the totals.
    charged: AtomicUsize,
    closing: AtomicBool,
    close: Notify,
}

impl Connection {
    pub(super) fn new(budget: Arc<Budget>, id: u64, client: Option<Arc<Client>>, is_unnamed: bool) -> Self {
        let now = budget.now();
        let connection = Self {
            id,
            budget,
            client: OnceLock::new(),
            unnamed: AtomicBool::new(is_unnamed),
            verified: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            scheduling: AtomicU8::new(TAKES_TURNS),
            turns: OnceLock::new(),
            in_progress: AtomicU32::new(0),
            discarding: AtomicU32::new(0),
            idle_start: AtomicU64::new(now),
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

    /// The metrics of the process.
    pub fn metrics(&self) -> &Metrics {
        &self.budget.metrics
    }

    /// Whether a request on the connection has shown a verified token.
    pub fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed)
    }

    /// Whether it counts for one client address. A trusted proxy's connection may serve many.
    pub fn has_share(&self) -> bool {
        self.client.get().is_some()
    }

    /// Whether the long timeouts apply: after a verified token, and for trusted proxies.
    pub fn is_trusted(&self) -> bool {
        !self.has_share() || self.is_verified()
    }

    pub(super) fn is_unnamed(&self) -> bool {
        self.unnamed.load(Ordering::Relaxed)
    }

    /// Its client is known now, or it has no share.
    pub(super) fn set_named(&self) {
        self.unnamed.store(false, Ordering::Relaxed);
    }

    pub(super) fn rank(&self) -> Rank {
        let is_idle = self.in_progress.load(Ordering::Relaxed) == 0;
        let only_discards = is_idle && self.discarding.load(Ordering::Relaxed) > 0;
        match self.has_share() {
            _ if self.is_unnamed() => Rank::Unnamed,
            true if !self.is_verified() => Rank::Unverified,
            false if only_discards => Rank::Unverified,
            true | false => Rank::Trusted,
        }
    }

    /// Counts a body that begins to be discarded.
    pub(super) fn discard_begins(&self) {
        self.discarding.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn discard_ends(&self) {
        self.discarding.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Sets the turns of the worker that serves the connection. Until then its tasks take no turns.
    pub fn set_turns(&self, turns: &Arc<Turns>) {
        let _first = self.turns.set(turns.clone());
    }

    pub(super) fn scheduling(&self) -> Scheduling<'_> {
        match (self.scheduling.load(Ordering::Relaxed), self.client.get(), self.turns.get()) {
            (ENDED, ..) => Scheduling::Ended,
            (TAKES_TURNS, Some(client), Some(turns)) => Scheduling::TakesTurns(turns, client.number()),
            _ => Scheduling::Free,
        }
    }

    /// The same for a task that serves the client with this number, on a connection without a client of its own.
    pub(super) fn scheduling_of(&self, client: u64) -> Scheduling<'_> {
        match self.turns.get() {
            Some(turns) if !self.is_closing() => Scheduling::TakesTurns(turns, client),
            _ => Scheduling::Free,
        }
    }

    /// Records that the connection has ended. Its waiting tasks are woken and dropped.
    pub fn ends(&self) {
        self.scheduling.store(ENDED, Ordering::Relaxed);
        if let Some(turns) = self.turns.get() {
            turns.end(self.id);
        }
    }

    /// Whether it belongs to one client address, and the last token that it has shown was a verified one.
    pub fn is_in_good_standing(&self) -> bool {
        self.has_share() && self.is_verified() && !self.failed.load(Ordering::Relaxed)
    }

    /// Records that a request on the connection has shown a token that is not genuine.
    pub fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Records that a request on the connection has shown a verified token.
    pub fn verified(&self) {
        if self.failed.load(Ordering::Relaxed) {
            self.failed.store(false, Ordering::Relaxed);
        }
        if !self.is_verified() {
            self.verified.store(true, Ordering::Relaxed);
            self.scheduling.store(FREE, Ordering::Relaxed);
        }
    }

    /// A request has begun.
    pub fn request_begins(&self) {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
    }

    /// The response to a request has ended.
    pub fn request_ends(&self) {
        self.idle_start.store(self.budget.now(), Ordering::Relaxed);
        // Each request calls `request_begins` before this.
        self.in_progress.fetch_sub(1, Ordering::Relaxed);
    }

    /// Since when no request has been in progress; `None` if one is.
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.in_progress.load(Ordering::Relaxed) == 0;
        let start = Duration::from_millis(self.idle_start.load(Ordering::Relaxed));
        idle.then(|| self.budget.started + start)
    }

    /// The same in milliseconds since the budget's start; `None` also if the connection was asked to close.
    pub(super) fn evictable_since(&self) -> Option<u64> {
        let idle = self.in_progress.load(Ordering::Relaxed) == 0 && !self.is_closing();
        idle.then(|| self.idle_start.load(Ordering::Relaxed))
    }

    pub(super) fn hold(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.settle(held);
    }

    pub(super) fn release(&self, bytes: usize) {
        let held = self.held.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.settle(held);
    }

    /// Updates the totals to what is held, in whole steps.
    fn settle(&self, held: usize) {
        let wanted = held.next_multiple_of(STEP);
        let mut charged = self.charged.load(Ordering::Relaxed);
        // One step too many may stay charged, so that changes around the end of a step do not touch the totals.
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
        let of_client = client.map_or(0, |client| client.change_memory(from, to));
        if to < from {
            budget.memory.fetch_sub(from - to, Ordering::Relaxed);
            return;
        }
        let total = budget.memory.fetch_add(to - from, Ordering::Relaxed) + (to - from);
        if let Some(client) = client
            && of_client > budget.memory_share()
        {
            budget.relieve(Some(client));
            if budget.is_far_over_its_share(client) && !self.is_trusted() {
                budget.close(self);
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
        self.client.get().is_some_and(|other| Arc::ptr_eq(other, client))
    }

    /// Resolves once the connection has to be closed. Its task then drops it, whatever it is doing.
    pub async fn close_requested(&self) {
        let mut notified = std::pin::pin!(self.close.notified());
        // Enabled before the flag is read, so that no notification is missed.
        notified.as_mut().enable();
        if !self.is_closing() {
            notified.await;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Asks the connection to close. The caller counts it in `Registry::closing`.
    pub(super) fn ask_to_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.scheduling.store(FREE, Ordering::Relaxed);
        if let Some(client) = self.client.get() {
            client.connection_ends();
        }
        self.close.notify_waiters();
    }
}
