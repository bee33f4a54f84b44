#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::advance;

use super::*;

const MIB: usize = 1 << 20;

fn budget() -> Arc<Budget> {
    let limits = Limits {
        connections: 8,
        connections_per_client: 4,
        requests: 8,
        requests_per_client: 4,
        memory: 16 * MIB,
        verified_idle: Duration::from_secs(15),
    };
    Budget::new(limits, Arc::new(Metrics::new()))
}

fn client(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

fn open(budget: &Arc<Budget>, number: u8) -> OpenConnection {
    budget.connect(Some(client(number))).unwrap()
}

/// A connection with a request that has no response yet.
fn busy(budget: &Arc<Budget>, number: u8) -> OpenConnection {
    let open = open(budget, number);
    open.account().request_begins();
    open
}

fn closing(connections: &[OpenConnection]) -> Vec<usize> {
    let asked = |(at, open): (usize, &OpenConnection)| open.account().is_closing().then_some(at);
    connections.iter().enumerate().filter_map(asked).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_exceed_its_share_of_connections() {
    let budget = budget();
    let taken: Vec<_> = (0..4).map(|_| busy(&budget, 1)).collect();
    assert_eq!(budget.connect(Some(client(1))).unwrap_err(), Exhausted::Share);
    let others: Vec<_> = [2, 2, 3, 3].map(|number| busy(&budget, number)).into();
    assert_eq!(budget.connect(Some(client(4))).unwrap_err(), Exhausted::Total);
    assert_eq!(budget.connect(None).unwrap_err(), Exhausted::Total, "exempt only from the share");
    drop(others);
    drop(taken);
    assert_eq!((budget.connections(), budget.memory(), budget.clients.len()), (0, 0, 0));
    let proxies: Vec<_> = (0..8).map(|_| budget.connect(None).unwrap()).collect();
    assert_eq!(proxies.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_idle_unverified_connection_is_closed_first() {
    let budget = budget();
    let mut all: Vec<_> = Vec::new();
    for number in [1, 1, 2, 2, 3, 3, 4, 4] {
        all.push(open(&budget, number));
        advance(Duration::from_secs(1)).await;
    }
    // The first is verified, the second busy, the third was used last.
    all[0].account().verified();
    all[1].account().request_begins();
    all[2].account().request_begins();
    all[2].account().request_ends();
    let new = open(&budget, 5);
    assert_eq!(closing(&all), [3]);
    all[3].account().close_requested().await;
    let more: Vec<_> = (0..4).map(|_| open(&budget, 6)).collect();
    assert_eq!(closing(&all), [3, 4, 5, 6, 7]);
    for open in all.iter().chain([&new]).chain(&more) {
        open.account().verified();
    }
    assert_eq!(budget.connect(Some(client(7))).unwrap_err(), Exhausted::Total, "all are in use");
    advance(Duration::from_secs(15)).await;
    let last = open(&budget, 7);
    assert_eq!(closing(&all), [0, 3, 4, 5, 6, 7], "with none left, the oldest verified one");
    drop((all, new, more, last));
    assert_eq!((budget.connections(), budget.memory()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_at_its_share_loses_only_its_own_connections() {
    let budget = budget();
    let mut all = vec![open(&budget, 2)];
    advance(Duration::from_secs(1)).await;
    all.extend((0..4).map(|_| open(&budget, 1)));
    let _new = open(&budget, 1);
    assert_eq!(closing(&all).len(), 1);
    assert!(!all[0].account().is_closing(), "it is older, and another client's");
}

#[tokio::test(start_paused = true)]
async fn a_client_at_its_share_makes_room_in_a_full_total() {
    let budget = budget();
    let others: Vec<_> = (0..4).map(|_| open(&budget, 2)).collect();
    advance(Duration::from_millis(1)).await;
    let own: Vec<_> = (0..4).map(|_| open(&budget, 1)).collect();
    advance(Duration::from_millis(1)).await;
    let _new = open(&budget, 1);
    assert_eq!((closing(&own).len(), closing(&others).len()), (1, 0), "the others are older");
    let unnamed = budget.connect_unnamed().unwrap();
    unnamed.set_client(Some(client(1))).unwrap();
    assert_eq!((closing(&own).len(), closing(&others).len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_limited_in_total_and_per_client() {
    let budget = budget();
    let (one, other) = (open(&budget, 1), open(&budget, 1));
    let mut taken: Vec<_> = (0..2)
        .flat_map(|_| {
            [&one, &other].map(|open| open.account().request(None, &NamedClient::default()).unwrap())
        })
        .collect();
    assert_eq!(one.account().request(None, &NamedClient::default()).unwrap_err(), Exhausted::Share);
    taken.pop();
    taken.push(one.account().request(None, &NamedClient::default()).unwrap());

    let proxy = budget.connect(None).unwrap();
    let behind = |number| proxy.account().request(Some(client(number)), &NamedClient::default());
    assert_eq!(behind(1).unwrap_err(), Exhausted::Share, "the same client, behind a proxy");
    taken.extend([2, 2, 3, 3].map(|number| behind(number).unwrap()));
    assert_eq!(behind(4).unwrap_err(), Exhausted::Total);
    drop(taken);
    let all: Vec<_> =
        (0..8).map(|_| proxy.account().request(None, &NamedClient::default()).unwrap()).collect();
    assert_eq!(all.len(), 8, "a proxy that names no client is exempt");
    drop((all, one, other));
    drop(proxy);
    assert_eq!((budget.memory(), budget.clients.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn near_the_memory_limit_the_largest_unverified_connections_close() {
    let budget = budget();
    let all: Vec<_> = (1..=4).map(|number| busy(&budget, number)).collect();
    all[0].account().verified();
    let mut charges = Vec::new();
    for (at, mib) in [(0, 6), (1, 1), (2, 4), (3, 2)] {
        charges.push(all[at].account().charge(mib * MIB));
    }
    assert_eq!(closing(&all), [0; 0]);
    charges.push(all[3].account().charge(MIB + MIB / 2));
    assert_eq!(closing(&all), [2], "the largest but for the verified one");
    assert!(budget.memory() < 16 * MIB);
    all[0].account().request(None, &NamedClient::default()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_can_hold_at_most_half_of_the_memory() {
    let budget = budget();
    let all: Vec<_> = [1, 1, 2, 1].map(|number| busy(&budget, number)).into();
    let _small = all[0].account().charge(3 * MIB);
    let _other = all[2].account().charge(6 * MIB);
    let mut large = all[1].account().charge(4 * MIB);
    assert_eq!(closing(&all), [0; 0]);
    large.set(5 * MIB);
    assert_eq!(closing(&all), [1], "its own largest, not the other client's");
    // Others that grow close at once, even if the first one has not closed yet.
    let _small = all[3].account().charge(512 * 1024);
    assert_eq!(closing(&all), [1]);
    let _more = all[3].account().charge(MIB);
    assert_eq!(closing(&all), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn above_the_memory_limit_new_requests_are_refused() {
    let budget = budget();
    let all: Vec<_> = (1..=3).map(|number| busy(&budget, number)).collect();
    all.iter().for_each(|open| open.account().verified());
    let mut charges: Vec<_> = all.iter().map(|open| open.account().charge(5 * MIB + 256 * 1024)).collect();
    advance(2 * RELIEF_INTERVAL).await;
    charges[0].set(6 * MIB);
    assert_eq!(all[1].account().request(None, &NamedClient::default()).unwrap_err(), Exhausted::Memory);
    assert_eq!(closing(&all).len(), 1, "at the limit itself a verified one closes");
    let small = open(&budget, 4);
    small.account().request(None, &NamedClient::default()).unwrap();
    charges[0].set(15 * MIB);
    assert_eq!(small.account().request(None, &NamedClient::default()).unwrap_err(), Exhausted::Memory);
    assert_eq!(budget.connect(Some(client(4))).unwrap_err(), Exhausted::Memory);
    charges.clear();
    all[1].account().request(None, &NamedClient::default()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn small_changes_do_not_touch_the_totals() {
    let budget = budget();
    let open = open(&budget, 1);
    let before = budget.memory();
    let mut charge = open.account().charge(0);
    for bytes in [100, 4000, 0, 8000, 1] {
        charge.set(bytes);
        assert_eq!(budget.memory(), before);
    }
    charge.set(MIB);
    assert!(budget.memory() >= before + MIB - 16 * 1024);
    drop(charge);
    drop(open);
    assert_eq!(budget.memory(), 0);
}

#[test]
fn an_ipv6_client_is_counted_by_its_64_bit_prefix() {
    let key = |text: &str| ClientKey::of(text.parse().unwrap());
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_counts_for_the_client_of_its_proxy_header() {
    let budget = budget();
    let all: Vec<_> = (0..4)
        .map(|_| {
            let open = budget.connect_unnamed().unwrap();
            open.set_client(Some(client(1))).unwrap();
            open.account().request_begins();
            open
        })
        .collect();
    let one_more = budget.connect_unnamed().unwrap();
    assert_eq!(one_more.set_client(Some(client(1))).unwrap_err(), Exhausted::Share);
    one_more.set_client(Some(client(2))).unwrap();
    drop((all, one_more));
    assert_eq!((budget.connections(), budget.memory(), budget.clients.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn connections_without_their_proxy_header_are_closed_first() {
    let budget = budget();
    let idle = open(&budget, 1);
    advance(Duration::from_secs(60)).await;
    let mut silent = Vec::new();
    for _ in 0..15 {
        advance(Duration::from_millis(1)).await;
        silent.push(budget.connect_unnamed().unwrap());
    }
    // One more than the limit may wait for its header.
    assert_eq!(closing(&silent), (0..7).collect::<Vec<_>>(), "the oldest");
    assert!(!idle.account().is_closing());
    silent[14].set_client(Some(client(2))).unwrap();
    silent[13].set_client(None).unwrap();
    assert_eq!(silent[0].set_client(Some(client(2))).unwrap_err(), Exhausted::Total, "it is closing");
    assert_eq!(closing(&silent).len(), 7, "naming a client needs no further room");
    drop((silent, idle));
    assert_eq!((budget.connections(), budget.memory(), budget.clients.len()), (0, 0, 0));
    let registry = lock(&budget.registry);
    assert_eq!((registry.closing, registry.unnamed), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_named_by_a_proxy_header_needs_room_like_any_other() {
    let budget = budget();
    let busy: Vec<_> = (0..4).map(|_| busy(&budget, 1)).collect();
    let idle: Vec<_> = (0..4).map(|_| open(&budget, 2)).collect();
    // Its share is used up, so it closes no connection of others.
    let open_unnamed = || budget.connect_unnamed().unwrap();
    assert_eq!(open_unnamed().set_client(Some(client(1))).unwrap_err(), Exhausted::Share);
    assert_eq!(closing(&idle), [0; 0]);
    let other = open_unnamed();
    other.set_client(Some(client(3))).unwrap();
    assert_eq!(closing(&idle).len(), 1);
    idle.iter().chain([&other]).for_each(|open| open.account().request_begins());
    assert_eq!(open_unnamed().set_client(None).unwrap_err(), Exhausted::Total, "all are in use");
    drop(idle);
    busy[0].account().verified();
    let _large = busy[0].account().charge(9 * MIB);
    drop(busy);
    let one_more = open_unnamed();
    assert_eq!(one_more.set_client(Some(client(1))).unwrap_err(), Exhausted::Share, "memory");
}

#[tokio::test(start_paused = true)]
async fn memory_behind_a_trusted_proxy_counts_for_the_named_client() {
    let budget = budget();
    let proxy = budget.connect(None).unwrap();
    let request = |number| proxy.account().request(Some(client(number)), &NamedClient::default());
    let mut first = request(1).unwrap();
    first.forwards(8 * MIB);
    assert!(first.streams().is_ok(), "it holds more already");
    assert_eq!(request(1).unwrap_err(), Exhausted::Share);
    let mut other = request(2).unwrap();
    other.forwards(0);
    assert!(other.streams().is_ok());
    drop(first);
    // Requests that were admitted before may grow only a little beyond the share.
    let mut all: Vec<_> = (0..3).map(|_| request(1).unwrap()).collect();
    all[0].forwards(9 * MIB);
    all[1].forwards(0);
    assert_eq!(all[1].streams().unwrap_err(), Exhausted::Share);
    assert!(!proxy.account().is_closing(), "it may serve others");
    drop((all, other, proxy));
    assert_eq!((budget.memory(), budget.clients.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_connection_that_only_discards_makes_room() {
    let budget = budget();
    let proxies: Vec<_> = (0..8).map(|_| budget.connect(None).unwrap()).collect();
    let _discarding: Vec<_> = proxies[2..4].iter().map(|open| open.account().discards()).collect();
    proxies[2].account().request_begins();
    let _new = busy(&budget, 1);
    assert_eq!(closing(&proxies), [3], "the other one has a request in progress");
    assert_eq!(budget.connect(Some(client(1))).unwrap_err(), Exhausted::Total);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_may_close_others_for_its_memory() {
    let budget = budget();
    let large = busy(&budget, 1);
    let _held = large.account().charge(7 * MIB);
    let other = busy(&budget, 2);
    let _more = other.account().charge(7 * MIB - 64 * 1024);
    advance(2 * RELIEF_INTERVAL).await;
    let _named = budget.connect(None).unwrap();
    advance(2 * RELIEF_INTERVAL).await;
    let _unnamed = budget.connect_unnamed().unwrap();
    assert!(large.account().is_closing() || other.account().is_closing());
}
