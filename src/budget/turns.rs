//! Turns of the tasks that serve clients without a verified token.
//!
//! A runtime polls what is ready in the order in which it became ready. A client that makes ten thousand
//! tasks ready at once would have everybody wait for all of them. Here each client address has one turn for
//! each time that the runtime has gone through all other tasks, whatever it has asked for. Tasks of
//! connections that have shown a verified token, or are to close, take no turns.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::lock;

/// Clients that have a turn in one round; with more addresses than this a round is no longer short.
const CLIENTS_IN_A_ROUND: usize = 16;

/// The turns of one worker's tasks.
#[derive(Debug, Default)]
pub struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tasks that wait, by their connection, the longest first.
    tasks: Map<u64, VecDeque<Waiting>>,
    /// The connections of a client that have such tasks, in the order of their next turns. One whose tasks wait
    /// no more is passed over.
    connections: Map<usize, VecDeque<u64>>,
    /// The clients in `connections`, in the order of their next turns.
    clients: VecDeque<usize>,
    /// A task had its turn, and the rounds have not come to an end since.
    is_round: bool,
    rounds: Option<Waker>,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

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
    /// Gives out turns, one round each time that it is polled. Every worker runs it, for good.
    pub async fn give(&self) {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.round() {
                // To the end of what is ready.
                cx.waker().wake_by_ref();
            } else if !state.rounds.as_ref().is_some_and(|rounds| rounds.will_wake(cx.waker())) {
                state.rounds = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Has a task wait for its turn, for which it is woken; what is returned is then true. None if it is its turn
    /// already.
    pub(super) fn wait(&self, client: usize, connection: u64, task: &Waker) -> Option<Arc<AtomicBool>> {
        let mut state = lock(&self.state);
        if !state.is_round {
            state.is_round = true;
            if let Some(rounds) = &state.rounds {
                rounds.wake_by_ref();
            }
            return None;
        }
        let granted = Arc::new(AtomicBool::new(false));
        state.wait(client, connection, Waiting { granted: granted.clone(), task: task.clone() });
        Some(granted)
    }

    /// How many connections have tasks that wait.
    #[cfg(test)]
    pub(super) fn tasks(&self) -> usize {
        lock(&self.state).tasks.len()
    }

    /// Whether there is nothing left of tasks that waited.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.tasks.is_empty() && state.connections.is_empty() && state.clients.is_empty()
    }

    /// Tasks that wait to serve a connection that has ended are dropped.
    pub(super) fn end(&self, connection: u64) {
        let waiting = lock(&self.state).tasks.remove(&connection);
        waiting.into_iter().flatten().for_each(Waiting::grant);
    }
}

impl State {
    /// Wakes the next task of each client. Whether there was one.
    fn round(&mut self) -> bool {
        self.is_round = !self.clients.is_empty();
        for _ in 0..self.clients.len().min(CLIENTS_IN_A_ROUND) {
            let Some(client) = self.clients.pop_front() else { break };
            let Some(connections) = self.connections.get_mut(&client) else { continue };
            while let Some(connection) = connections.pop_front() {
                let Some(tasks) = self.tasks.get_mut(&connection) else { continue };
                let next = tasks.pop_front();
                match tasks.is_empty() {
                    true => drop(self.tasks.remove(&connection)),
                    false => connections.push_back(connection),
                }
                if let Some(next) = next {
                    next.grant();
                    break;
                }
            }
            match connections.is_empty() {
                true => drop(self.connections.remove(&client)),
                false => self.clients.push_back(client),
            }
        }
        self.is_round
    }

    fn wait(&mut self, client: usize, connection: u64, waiting: Waiting) {
        let tasks = self.tasks.entry(connection).or_default();
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
