//! Fair scheduling of the tasks that serve clients without a verified token.
//!
//! A runtime polls tasks in the order in which they become ready. If one client made ten thousand tasks ready at once,
//! all other clients would wait for them. So tasks take turns: in each round one task of each client address runs,
//! however many it has ready. Between two rounds the runtime runs all other tasks that are ready.
//!
//! Behind a trusted proxy, a task takes the turns of the client that the proxy names, from the head of a request until
//! its response has ended ([`super::NamedClient`]).
//!
//! Tasks of connections that have shown a verified token, or were asked to close, take no turns. Neither does the task of
//! a trusted proxy's request that has shown one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The most clients that have a turn in one round, so that a round stays short.
const CLIENTS_IN_A_ROUND: usize = 16;

/// After so many turns the runtime polls for events; the round in which they are reached is finished first. A system call
/// after each turn would cost a seventh of a refusal.
pub(super) const TURNS_WITHOUT_EVENTS: usize = 4;

/// The turns of one worker's tasks.
#[derive(Debug, Default)]
pub struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Waiting tasks by connection and client, in the order in which they began to wait. Sorted, so that those of a
    /// connection are found without a search through all of them.
    tasks: BTreeMap<(u64, u64), VecDeque<Waiting>>,
    /// The connections of each client that have waiting tasks, in the order of their next turns. A connection whose
    /// tasks no longer wait is skipped.
    connections: HashMap<u64, VecDeque<u64>, foldhash::fast::RandomState>,
    /// The clients in `connections`, in the order of their next turns.
    clients: VecDeque<u64>,
    /// Whether rounds are running: a task had its turn, and since then every round found a waiting task.
    is_round: bool,
    /// Wakes [`Turns::give`].
    rounds: Option<Waker>,
}

#[derive(Debug)]
struct Waiting {
    granted: Arc<AtomicBool>,
    task: Waker,
}

impl Waiting {
    fn grant(self) {
        self.granted.store(true, Ordering::Relaxed);
        self.task.wake();
    }
}

impl Turns {
    /// Gives out turns, one round after the other. Every worker runs it until the worker ends.
    pub async fn give(&self) {
        let mut turns = 0;
        loop {
            poll_fn(|cx| {
                let mut state = lock(&self.state);
                let clients = state.round();
                if clients > 0 {
                    turns += clients;
                    if turns >= TURNS_WITHOUT_EVENTS {
                        return Poll::Ready(());
                    }
                    // The next round comes after all tasks that are ready now.
                    cx.waker().wake_by_ref();
                } else if !state.rounds.as_ref().is_some_and(|rounds| rounds.will_wake(cx.waker())) {
                    state.rounds = Some(cx.waker().clone());
                }
                Poll::Pending
            })
            .await;
            turns = 0;
            // Unlike a task that wakes itself, one that yields lets the runtime first ask for which tasks something has
            // arrived.
            tokio::task::yield_now().await;
        }
    }

    /// Queues a task for its turn. When it has its turn, the task is woken and the returned flag is true. `None` if it
    /// has its turn now.
    pub(super) fn wait(&self, client: u64, connection: u64, task: &Waker) -> Option<Arc<AtomicBool>> {
        let mut state = lock(&self.state);
        if state.begin_rounds() {
            return None;
        }
        let granted = Arc::new(AtomicBool::new(false));
        state.wait(client, connection, Waiting { granted: granted.clone(), task: task.clone() });
        Some(granted)
    }

    /// Takes a turn if one can be had without waiting. Returns whether it was.
    pub(super) fn try_take(&self) -> bool {
        lock(&self.state).begin_rounds()
    }

    /// How many pairs of a connection and a client have waiting tasks.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        lock(&self.state).tasks.len()
    }

    /// Whether no state of waiting tasks is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.tasks.is_empty() && state.connections.is_empty() && state.clients.is_empty()
    }

    /// Wakes the waiting tasks of a connection that has ended, so that they are dropped.
    pub(super) fn end(&self, connection: u64) {
        // It may have served several clients.
        let all = (connection, 0)..=(connection, u64::MAX);
        let ended: Vec<_> = lock(&self.state).tasks.extract_if(all, |_, _| true).collect();
        ended.into_iter().flat_map(|(_, tasks)| tasks).for_each(Waiting::grant);
    }
}

impl State {
    /// Begins rounds unless they are running. Returns whether it did: the caller then has the first turn.
    fn begin_rounds(&mut self) -> bool {
        if self.is_round {
            return false;
        }
        self.is_round = true;
        if let Some(rounds) = &self.rounds {
            rounds.wake_by_ref();
        }
        true
    }

    /// Wakes the next task of each client. Returns how many clients were waiting, up to the most in a round.
    fn round(&mut self) -> usize {
        self.is_round = !self.clients.is_empty();
        let clients = self.clients.len().min(CLIENTS_IN_A_ROUND);
        for _ in 0..clients {
            let Some(client) = self.clients.pop_front() else { break };
            let Some(connections) = self.connections.get_mut(&client) else { continue };
            while let Some(connection) = connections.pop_front() {
                let Some(tasks) = self.tasks.get_mut(&(connection, client)) else { continue };
                let next = tasks.pop_front();
                if tasks.is_empty() {
                    self.tasks.remove(&(connection, client));
                } else {
                    connections.push_back(connection);
                }
                if let Some(next) = next {
                    next.grant();
                    break;
                }
            }
            if connections.is_empty() {
                self.connections.remove(&client);
            } else {
                self.clients.push_back(client);
            }
        }
        clients
    }

    fn wait(&mut self, client: u64, connection: u64, waiting: Waiting) {
        let tasks = self.tasks.entry((connection, client)).or_default();
        tasks.push_back(waiting);
        if tasks.len() == 1 {
            let connections = self.connections.entry(client).or_default();
            connections.push_back(connection);
            if connections.len() == 1 {
                self.clients.push_back(client);
            }
        }
    }
}
