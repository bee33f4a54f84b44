//! Workers that share the account.

#![allow(clippy::unwrap_used, reason = "tests")]

use shuttle::thread;

use super::*;
use crate::sync::check;

const MIB: usize = 1 << 20;

fn budget() -> Arc<Budget> {
    let limits = Limits {
        connections: 4,
        connections_per_client: 3,
        requests: 2,
        requests_per_client: 1,
        memory: 16 * MIB,
        verified_idle: Duration::from_secs(15),
    };
    Budget::new(limits, Arc::new(Metrics::new()))
}

fn client(number: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, number]))
}

/// Runs `work` in three threads, the first two for the same client.
fn in_threads(budget: &Arc<Budget>, work: impl Fn(&Arc<Budget>, Option<IpAddr>) + Clone + Send + 'static) {
    let threads: Vec<_> = [1, 1, 2]
        .map(|number| {
            let (budget, work) = (budget.clone(), work.clone());
            thread::spawn(move || work(&budget, client(number)))
        })
        .into();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Connections, requests and memory come and go on several workers: no total is ever below what is there, so that
/// nothing is refused without a reason, and all are zero in the end.
#[test]
fn everything_that_is_taken_is_given_back() {
    check(|| {
        let budget = budget();
        in_threads(&budget, |budget, address| {
            let open = budget.connect(address).unwrap();
            for bytes in [3 * MIB, MIB / 2] {
                let charge = open.account().charge(bytes);
                // More than all together can hold would be a total that went below zero.
                assert!((bytes..=3 * 3 * MIB + MIB).contains(&budget.memory()), "{}", budget.memory());
                drop(charge);
            }
        });
        assert_eq!((budget.connections(), budget.memory(), budget.clients.len()), (0, 0, 0));
    });
}

/// Of two requests of a client that has one place, never both are in flight, and its place is free in the end.
#[test]
fn no_client_has_more_requests_in_flight_than_its_share() {
    check(|| {
        let (budget, most) = (budget(), Arc::new(AtomicUsize::new(0)));
        let inside = most.clone();
        let work = move |budget: &Arc<Budget>, address| {
            let open = budget.connect(address).unwrap();
            let Ok(in_flight) = open.account().request(None, &NamedClient::default()) else { return };
            if address == client(1) {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                inside.fetch_sub(1, Ordering::SeqCst);
            }
            drop(in_flight);
        };
        in_threads(&budget, work);
        assert_eq!(budget.requests.load(Ordering::Relaxed), 0);
        let open = budget.connect(client(1)).unwrap();
        assert!(open.account().request(None, &NamedClient::default()).is_ok(), "its place is free");
    });
}
