//! Client addresses, and what each of them holds.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Weak};

use super::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// What a share belongs to: an IPv4 address, or the /64 network of an IPv6 address, because one customer has at least
/// a /64 (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey(IpAddr);

impl ClientKey {
    /// The key of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address => Self(address),
        }
    }
}

type Map = Mutex<HashMap<ClientKey, Weak<Client>, foldhash::fast::RandomState>>;

/// All client addresses that hold something.
#[derive(Debug, Default)]
pub(super) struct Clients {
    map: Arc<Map>,
    /// With a random key, so that clients cannot choose addresses that share a number.
    numbers: foldhash::fast::RandomState,
}

impl Clients {
    pub(super) fn find(&self, key: ClientKey) -> Arc<Client> {
        let mut map = lock(&self.map);
        if let Some(client) = map.get(&key).and_then(Weak::upgrade) {
            return client;
        }
        let client = Arc::new(Client {
            // Not 0, which is no client.
            number: self.numbers.hash_one(key) | 1,
            key,
            map: self.map.clone(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
        });
        map.insert(key, Arc::downgrade(&client));
        client
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.map).len()
    }
}

/// What one client address holds.
#[derive(Debug)]
pub(super) struct Client {
    number: u64,
    key: ClientKey,
    map: Arc<Map>,
    /// Open connections, without those that were asked to close.
    connections: AtomicUsize,
    pub(super) requests: AtomicUsize,
    memory: AtomicUsize,
}

impl Client {
    /// Names the client in [`super::Turns`], and is never 0. It follows from the address, so that a client that holds
    /// nothing between two requests, such as one whose requests are all refused, keeps it. Two clients with the same
    /// number, which is improbable, would share their turns.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Replaces a part of the bytes that it holds. Returns how many it holds now.
    pub(super) fn change_memory(&self, from: usize, to: usize) -> usize {
        match to.checked_sub(from) {
            Some(more) => self.memory.fetch_add(more, Ordering::Relaxed).saturating_add(more),
            None => self.memory.fetch_sub(from - to, Ordering::Relaxed).saturating_sub(from - to),
        }
    }

    pub(super) fn connection_opens(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connection_ends(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut map = lock(&self.map);
        // A new entry for the same address may already have replaced it.
        if map.get(&self.key).is_some_and(|client| client.strong_count() == 0) {
            map.remove(&self.key);
        }
    }
}
