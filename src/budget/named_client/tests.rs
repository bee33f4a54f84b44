//! Many clients behind one trusted proxy.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;

use super::super::turns::Turns;
use super::super::{Budget, Limits, OpenConnection, lock, take_named_turns, take_turns, unlimited};
use super::*;
use crate::sync::Mutex;

/// How requests come from the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Each on a connection of its own.
    Connections,
    /// All as streams of one.
    OneConnection,
}

/// The requests of one client.
#[derive(Clone, Copy)]
struct Requests {
    client: u8,
    has_token: bool,
    /// How many tasks send one request after the other.
    tasks: usize,
}

fn requests(client: u8, tasks: usize) -> Requests {
    Requests { client, has_token: false, tasks }
}

fn address(client: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, client).into()
}

/// A connection of the proxy.
fn connect(budget: &Arc<Budget>, turns: &Arc<Turns>) -> OpenConnection {
    let connection = budget.connect(None).expect("room");
    connection.account().set_turns(turns);
    connection
}

/// Serves requests one after the other, each in three polls, which are logged.
async fn serve(account: Arc<Connection>, of: Requests, log: Arc<Mutex<Vec<u8>>>) {
    let named = NamedClient::default();
    let serving = pin!(async {
        for _ in 0..2 {
            let place = account.request(Some(address(of.client)), &named);
            if of.has_token {
                named.clear();
            }
            named.first_turn(&account).await;
            for _ in 0..3 {
                lock(&log).push(of.client);
                yield_once().await;
            }
            drop(place);
            named.clear();
            yield_once().await;
        }
    });
    take_named_turns(&account, &named, serving).await;
}

/// Returns the clients whose requests were polled, in order.
fn run(over: Over, all: &[Requests]) -> Vec<u8> {
    run_with(usize::MAX, over, all)
}

/// The same if at most so many requests may be in flight. The others are refused, and their responses served.
fn run_with(max_requests: usize, over: Over, all: &[Requests]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (turns, log) = (Arc::new(Turns::default()), Arc::new(Mutex::new(Vec::new())));
    runtime.block_on(async {
        let rounds = turns.clone();
        tokio::spawn(async move { rounds.give().await });
        let budget = unlimited();
        let limits = *lock(&budget.limits);
        budget.change(Limits { requests: max_requests, ..limits });
        let mut open = vec![connect(&budget, &turns)];
        let mut tasks = Vec::new();
        for of in all.iter().flat_map(|of| vec![*of; of.tasks]) {
            if over == Over::Connections {
                open.push(connect(&budget, &turns));
            }
            let account = open.last().expect("a connection").account();
            let serving = serve(account.clone(), of, log.clone());
            tasks.push(tokio::spawn(take_turns(account.clone(), serving)));
        }
        for task in tasks {
            task.await.expect("it ends");
        }
    });
    assert!(turns.is_empty());
    std::mem::take(&mut lock(&log))
}

/// The places of a client's polls in the log.
fn places(log: &[u8], client: u8) -> Vec<usize> {
    log.iter().enumerate().filter(|(_, it)| **it == client).map(|(at, _)| at).collect()
}

#[test]
fn each_named_client_has_one_turn_in_a_round() {
    for over in [Over::Connections, Over::OneConnection] {
        let log = run(over, &[requests(1, 100), requests(2, 1)]);
        assert_eq!(log.len(), 6 * 101, "every request ends");
        let second = places(&log, 2);
        // Each turn of the other client waits for at most two of the first, and each of its requests for one turn more.
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * (turn + turn / 3 + 1)), "{second:?}");
    }
}

/// Nothing of a client is in flight between two of its requests. It still has the same turns.
#[test]
fn refused_requests_of_one_client_share_its_turns() {
    for over in [Over::Connections, Over::OneConnection] {
        let log = run_with(0, over, &[requests(1, 100), requests(2, 1)]);
        assert_eq!(log.len(), 6 * 101, "every response ends");
        let second = places(&log, 2);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * (turn + turn / 3 + 1)), "{second:?}");
    }
}

#[test]
fn requests_with_a_verified_token_wait_for_at_most_one_turn() {
    for over in [Over::Connections, Over::OneConnection] {
        let verified = Requests { has_token: true, ..requests(2, 1) };
        let log = run(over, &[requests(1, 100), verified]);
        let second = places(&log, 2);
        assert_eq!(second.len(), 6);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 2 * turn + 2), "{second:?}");
    }
}

#[test]
fn single_request_does_not_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (turns, log) = (Arc::new(Turns::default()), Arc::default());
        let connection = connect(&unlimited(), &turns);
        // Nothing gives out turns in this test, and there is none to wait for.
        let mut serving = pin!(serve(connection.account().clone(), requests(1, 1), Arc::clone(&log)));
        let polled = poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        assert_eq!(*lock(&log), [1], "in its first poll");
        assert!(turns.is_empty());
    });
}

#[test]
fn waiting_requests_of_all_clients_end_with_their_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (turns, log) = (Arc::new(Turns::default()), Arc::default());
    runtime.block_on(async {
        let budget = unlimited();
        let (ending, other) = (connect(&budget, &turns), connect(&budget, &turns));
        let spawn = |connection: &OpenConnection, client| {
            let account = connection.account();
            let serving = serve(account.clone(), requests(client, 1), Arc::clone(&log));
            tokio::spawn(take_turns(account.clone(), serving))
        };
        // The first has the turn that is free. Nothing gives out others in this test.
        let _first = spawn(&other, 1);
        let _second = spawn(&other, 2);
        let waiting: Vec<_> = [1, 2, 2, 3].map(|client| spawn(&ending, client)).into();
        while turns.tasks() < 5 {
            yield_once().await;
        }
        ending.account().ends();
        for task in waiting {
            task.await.expect("it ends");
        }
        assert_eq!(turns.tasks(), 2, "those of the other connection");
    });
    assert_eq!(*lock(&log), [1], "no other request was served");
}
