//! Threads that share a room.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::*;

/// However threads enter and leave, one client never has more than its places, and the room is empty in the end.
#[test]
fn no_client_has_more_than_its_places() {
    shuttle::check_random(
        || {
            // Two places, one for each client.
            let room = Arc::new(WaitingRoom::new(8));
            let inside = Arc::new([const { AtomicUsize::new(0) }; 2]);
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let (room, inside) = (room.clone(), inside.clone());
                    thread::spawn(move || {
                        let address = IpAddr::from([10, 0, 0, number % 2]);
                        let count = &inside[usize::from(number % 2)];
                        for _ in 0..2 {
                            let Some(place) = room.enter(Some(address)) else { continue };
                            assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0);
                            count.fetch_sub(1, Ordering::SeqCst);
                            drop(place);
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(room.is_empty());
        },
        5000,
    );
}
