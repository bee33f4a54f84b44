//! Requests that wait for keys: bounded in total and for each client address, so that those who make
//! others wait cannot use up the requests in flight or keep other clients from waiting.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::budget::ClientKey;

/// The most requests that may wait in one room, whatever `limits.requests` is.
const MAX_PLACES: usize = 2048;
/// The part of `limits.requests` that may wait in one room.
const PART_OF_REQUESTS: usize = 4;
/// The part of a room that one client address may take.
const PART_OF_ROOM: usize = 4;

/// Places for requests that wait.
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

/// A place that is taken; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place<'r> {
    room: &'r WaitingRoom,
    client: Option<ClientKey>,
}

impl WaitingRoom {
    /// A room for a part of the requests in flight.
    pub(super) fn new(requests: usize) -> Self {
        let places = (requests / PART_OF_REQUESTS).clamp(1, MAX_PLACES);
        Self { places, places_per_client: (places / PART_OF_ROOM).max(1), taken: Mutex::default() }
    }

    /// Takes a place for a request of this client; `None` if its share or the room is full. Where no
    /// address is known (a Unix socket), only the room counts.
    pub(super) fn enter(&self, client: Option<IpAddr>) -> Option<Place<'_>> {
        let client = client.map(ClientKey::of);
        let mut taken = self.taken();
        if taken.all >= self.places {
            return None;
        }
        if let Some(client) = client {
            let own = taken.by_client.entry(client).or_default();
            if *own >= self.places_per_client {
                return None;
            }
            *own += 1;
        }
        taken.all += 1;
        Some(Place { room: self, client })
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(client) = self.client
            && let Some(own) = taken.by_client.get_mut(&client)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others_and_all_leave_room_for_good_requests() {
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
        assert!(room.is_empty(), "nothing is left of a client that has gone");
    }

    #[test]
    fn there_is_always_one_place_and_never_more_than_the_most() {
        assert_eq!(WaitingRoom::new(1).sizes(), (1, 1));
        assert_eq!(WaitingRoom::new(1_000_000).sizes(), (MAX_PLACES, MAX_PLACES / PART_OF_ROOM));
    }
}
