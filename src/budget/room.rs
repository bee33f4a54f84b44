//! Makes room: which connections are closed when a limit is reached.

use std::cmp::Reverse;
use std::sync::Arc;

use super::client::Client;
use super::connection::{Connection, Rank};
use super::{Budget, Exhausted, Limits, RELIEF_INTERVAL, Registry, lock, millis};
use crate::sync::atomic::Ordering;

/// The connections of which some are closed.
#[derive(Clone, Copy)]
pub(super) enum Among<'a> {
    All,
    OfClient(&'a Arc<Client>),
    /// Those that wait for their PROXY protocol header.
    Unnamed,
    /// All others.
    Named,
}

impl Among<'_> {
    fn contains(self, connection: &Connection) -> bool {
        match self {
            Self::All => true,
            Self::OfClient(client) => connection.belongs_to(client),
            Self::Unnamed => connection.is_unnamed(),
            Self::Named => !connection.is_unnamed(),
        }
    }
}

impl Budget {
    /// Frees memory for a new connection of this client.
    pub(super) fn relieve_for(&self, client: Option<&Arc<Client>>, limits: &Limits) {
        if self.is_over(limits.memory) {
            self.relieve(None);
        }
        if let Some(client) = client.filter(|client| self.is_over_its_share(client)) {
            self.relieve(Some(client));
        }
    }

    /// Connections that were asked to close are not counted otherwise, but there may be no more than the limit of them.
    pub(super) fn limit_closing(registry: &Registry, limits: &Limits) -> Result<(), Exhausted> {
        let has_room = registry.open.len() < limits.connections.saturating_mul(2);
        if has_room { Ok(()) } else { Err(Exhausted::Total) }
    }

    /// Makes room for another connection. `among` are those of which some may be closed for it.
    pub(super) fn make_room(
        &self,
        registry: &mut Registry,
        client: Option<&Arc<Client>>,
        among: Among<'_>,
        limits: &Limits,
    ) -> Result<(), Exhausted> {
        if let Some(client) = client
            && client.connections() >= limits.connections_per_client
            && !self.evict(registry, Among::OfClient(client), limits)
        {
            return Err(Exhausted::Share);
        }
        // Counted only now: connections of the client that were asked to close make room for this one.
        let apart = if let Among::Named = among { registry.unnamed } else { 0 };
        let open = registry.open.len().saturating_sub(registry.closing + apart);
        if open >= limits.connections && !self.evict(registry, among, limits) {
            return Err(Exhausted::Total);
        }
        match client {
            Some(client) if self.is_over_its_share(client) => Err(Exhausted::Share),
            _ if self.is_over(self.last_limit()) => Err(Exhausted::Memory),
            _ => Ok(()),
        }
    }

    /// The limit for clients that hold little. It is higher, so that they are not refused while the largest
    /// connections are closing.
    pub(super) fn last_limit(&self) -> usize {
        (self.max_memory.load(Ordering::Relaxed) / 2).saturating_mul(3)
    }

    /// Asks idle connections to close. Closes several at once if they have shown no verified token, so that not every
    /// new connection has to search all others. Returns whether any was found.
    fn evict(&self, registry: &mut Registry, among: Among<'_>, limits: &Limits) -> bool {
        let limit =
            if let Among::OfClient(_) = among { limits.connections_per_client } else { limits.connections };
        let long_ago = self.now().checked_sub(millis(limits.verified_idle));
        let mut idle: Vec<(Rank, u64, &Arc<Connection>)> = registry
            .open
            .values()
            .filter(|connection| among.contains(connection))
            .filter_map(|connection| {
                let (rank, since) = (connection.rank(), connection.evictable_since()?);
                let may_close = rank < Rank::Trusted || long_ago.is_some_and(|end| since <= end);
                may_close.then_some((rank, since, connection))
            })
            .collect();
        let Some((rank, ..)) = idle.iter().min_by_key(|(rank, since, _)| (*rank, *since)) else {
            return false;
        };
        let rank = *rank;
        idle.retain(|(other, ..)| *other == rank);
        let count = if rank == Rank::Trusted { 1 } else { (limit / 64).max(1) }.min(idle.len());
        idle.select_nth_unstable_by_key(count - 1, |(_, since, _)| *since);
        let closing: Vec<_> =
            idle.iter().take(count).map(|(.., connection)| Arc::clone(connection)).collect();
        registry.ask_to_close(&closing);
        self.metrics.connections_closed("idle", closing.len());
        true
    }

    pub(super) fn is_over(&self, limit: usize) -> bool {
        self.memory.load(Ordering::Relaxed) > limit
    }

    /// Above this limit connections are closed, before the memory is used up.
    pub(super) fn soft_limit(&self) -> usize {
        self.max_memory.load(Ordering::Relaxed) / 8 * 7
    }

    /// How many bytes one client address may hold.
    pub(super) fn memory_share(&self) -> usize {
        self.max_memory.load(Ordering::Relaxed) / 2
    }

    pub(super) fn is_over_its_share(&self, client: &Client) -> bool {
        client.memory() > self.memory_share()
    }

    /// Whether a client holds so much that none of its connections may grow. The largest of its connections may take a
    /// while to close; until then, those that grow are closed.
    pub(super) fn is_far_over_its_share(&self, client: &Client) -> bool {
        client.memory() > (self.memory_share() / 8).saturating_mul(9)
    }

    /// Asks the largest connections to close until the rest fits into one client's share, or into the soft limit of
    /// all. Connections with a verified token are closed only above the limit itself.
    pub(super) fn relieve(&self, client: Option<&Arc<Client>>) {
        let now = self.now();
        let last = self.relieved.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= millis(RELIEF_INTERVAL);
        if !due
            || self.relieved.compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let hard_limit = self.max_memory.load(Ordering::Relaxed);
        let (held, limit) = match client {
            Some(client) => (client.memory(), self.memory_share()),
            None => (self.memory(), self.soft_limit()),
        };
        let among = client.map_or(Among::All, Among::OfClient);
        let mut registry = lock(&self.registry);
        let mut leaving = 0;
        let mut holders = Vec::new();
        for connection in registry.open.values().filter(|connection| among.contains(connection)) {
            match connection.is_closing() {
                true => leaving += connection.charged(),
                false => holders.push((connection.rank(), connection.charged(), connection)),
            }
        }
        let mut left = held.saturating_sub(leaving);
        if left <= limit {
            return;
        }
        // Frees some more than needed, so that the next search is not due at once.
        let goal = limit / 8 * 7;
        holders.sort_unstable_by_key(|(rank, charged, _)| (*rank, Reverse(*charged)));
        let mut closing = Vec::new();
        for (rank, charged, connection) in &holders {
            let enough = if *rank == Rank::Trusted { hard_limit } else { goal };
            if left <= enough {
                break;
            }
            closing.push(Arc::clone(connection));
            left = left.saturating_sub(*charged);
        }
        registry.ask_to_close(&closing);
        self.metrics.connections_closed("memory", closing.len());
    }

    /// Asks a connection to close because its client holds too much.
    pub(super) fn close(&self, connection: &Connection) {
        let mut registry = lock(&self.registry);
        if !connection.is_closing() {
            registry.ask_one_to_close(connection);
            self.metrics.connections_closed("memory", 1);
        }
    }
}

impl Registry {
    fn ask_to_close(&mut self, connections: &[Arc<Connection>]) {
        connections.iter().for_each(|connection| self.ask_one_to_close(connection));
    }

    fn ask_one_to_close(&mut self, connection: &Connection) {
        connection.ask_to_close();
        self.closing += 1;
        if connection.is_unnamed() {
            self.unnamed = self.unnamed.saturating_sub(1);
        }
    }
}
