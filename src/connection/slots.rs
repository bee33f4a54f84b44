//! What the workers serve with, which a reload replaces.

use std::sync::Arc;

use tokio::sync::watch;

use crate::sync::ArcSwap;

#[cfg(all(test, shuttle))]
mod models;

/// One slot for each worker, with the state with which it serves its next request, and the number of the connection policy
/// in force.
///
/// A request loads the state of its worker once, so it never sees two generations.
pub(crate) struct Slots<S> {
    slots: Vec<Arc<ArcSwap<S>>>,
    /// Connections with an older number end.
    policy_number: watch::Sender<u64>,
}

impl<S> Slots<S> {
    /// One slot for each of these states.
    pub(crate) fn new(states: &[Arc<S>]) -> Self {
        let slots = states.iter().map(|state| Arc::new(ArcSwap::new(state.clone()))).collect();
        Self { slots, policy_number: watch::Sender::new(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Each slot, and the number.
    pub(crate) fn of_workers(&self) -> impl Iterator<Item = (&Arc<ArcSwap<S>>, watch::Receiver<u64>)> {
        self.slots.iter().map(|slot| (slot, self.policy_number.subscribe()))
    }

    /// The state of the first worker.
    pub(crate) fn first(&self) -> Option<Arc<S>> {
        self.slots.first().map(|slot| slot.load_full())
    }

    /// Puts states into force, one for each worker. `policy_number` is that of their connection policy.
    pub(crate) fn enter(&self, states: &[Arc<S>], policy_number: u64) {
        for (slot, state) in self.slots.iter().zip(states) {
            slot.store(state.clone());
        }
        // After the slots, so that a client that has to reconnect gets these states.
        self.policy_number.send_replace(policy_number);
    }
}
