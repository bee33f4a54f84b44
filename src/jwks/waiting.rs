//! Bounds on the requests that wait for keys, in total and for each client address, so that a client that provokes
//! waiting can neither use up the requests in flight nor keep other clients from waiting.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::PoisonError;

use crate::budget::ClientKey;
use crate::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
mod models;

/// How many requests may wait in one room, whatever `limits.requests` is.
const MAX_PLACES: usize = 2048;
/// The part of `limits.requests` that may wait in one room.
const PART_OF_REQUESTS: usize = 4;
/// The part of a room that one client address may take.
const PART_OF_ROOM: usize = 4;

/// Places for waiting requests.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    places: usize,
    places_per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<ClientKey, usize>,
}

/// An occupied place; dropping it frees it.
#[derive(Debug)]
pub(super) struct WaitingPlace<'r> {
    room: &'r WaitingRoom,
    client: Option<ClientKey>,
}

impl WaitingRoom {
    /// A room for a quarter of `requests`, the limit on requests in flight.
    pub(super) fn new(requests: usize) -> Self {
        let places = (requests / PART_OF_REQUESTS).clamp(1, MAX_PLACES);
        Self { places, places_per_client: (places / PART_OF_ROOM).max(1), taken: Mutex::default() }
    }

    /// Takes a place for a request of this client; `None` if its share or the room is full. If the address is
    /// unknown (a Unix socket), only the room counts.
    pub(super) fn enter(&self, client: Option<IpAddr>) -> Option<WaitingPlace<'_>> {
        let client = client.map(ClientKey::of);
        let mut taken = self.taken();
        if taken.all >= self.places {
            return None;
        }
        if let Some(client) = client {
            let count = taken.by_client.entry(client).or_default();
            if *count >= self.places_per_client {
                return None;
            }
            *count += 1;
        }
        taken.all += 1;
        Some(WaitingPlace { room: self, client })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let taken = self.taken();
        taken.all == 0 && taken.by_client.is_empty()
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.places, self.places_per_client)
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(client) = self.client
            && let Some(count) = taken.by_client.get_mut(&client)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_takes_a_quarter_of_a_room_and_a_room_a_quarter_of_the_requests() {
        let room = WaitingRoom::new(1000);
        assert_eq!(room.sizes(), (250, 62));
        let one = Some(IpAddr::from([10, 0, 0, 1]));
        let mut places: Vec<_> = (0..100).filter_map(|_| room.enter(one)).collect();
        assert_eq!(places.len(), 62);
        // The /64 of an IPv6 address is one client.
        let six = |last| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]));
        places.extend((0..100).filter_map(|last| room.enter(six(last))));
        assert_eq!(places.len(), 124);
        places.extend((0..200).filter_map(|last| room.enter(Some(IpAddr::from([10, 0, 1, last])))));
        assert_eq!(places.len(), 250, "the room is full");
        assert!(room.enter(None).is_none());
        places.pop();
        assert!(room.enter(one).is_none() && room.enter(None).is_some());
        drop(places);
        assert!(room.is_empty(), "a client without places leaves no entry");
    }

    #[test]
    fn a_room_has_between_one_and_max_places() {
        assert_eq!(WaitingRoom::new(1).sizes(), (1, 1));
        assert_eq!(WaitingRoom::new(1_000_000).sizes(), (MAX_PLACES, MAX_PLACES / PART_OF_ROOM));
    }
}
