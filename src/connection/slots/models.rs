//! Workers that serve while configurations are replaced.

#![allow(clippy::unwrap_used, reason = "tests")]

use shuttle::future::block_on;
use shuttle::thread;

use super::*;
use crate::connection::context::replaced;
use crate::sync::check;

const WORKERS: usize = 2;
const LAST: u64 = 2;

/// The states of a generation. Each is the number of its policy.
fn states(number: u64) -> [Arc<u64>; WORKERS] {
    [(); WORKERS].map(|()| Arc::new(number))
}

/// Two reloads, one after the other. A client whose connection ends because of one reconnects, and gets later states than
/// before, whichever worker takes it. When the reload has ended, no worker serves with earlier ones.
#[test]
fn no_request_begins_on_a_generation_that_was_replaced() {
    check(|| {
        let slots = Arc::new(Slots::new(&states(0)));
        let clients: Vec<_> = (0..WORKERS)
            .map(|number| {
                let slots = slots.clone();
                thread::spawn(move || {
                    let state = |worker: usize| *slots.of_workers().nth(worker).unwrap().0.load_full();
                    let mut seen = state(number);
                    while seen < LAST {
                        let (_, policy_number) = slots.of_workers().nth(number).unwrap();
                        block_on(replaced(policy_number, seen));
                        let next = [number, WORKERS - 1 - number].map(state);
                        assert!(next.iter().all(|next| *next > seen), "{next:?} after {seen}");
                        seen = next[0];
                    }
                })
            })
            .collect();
        for number in 1..=LAST {
            slots.enter(&states(number), number);
            assert!(slots.of_workers().all(|(slot, _)| *slot.load_full() == number));
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}
