//! Valid traffic during a flood of made-up key ids.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::issuer::{JWKS, Reply};
use crate::support::keys::{self, key_set, url64};
use crate::support::stage::Stage;
use crate::support::stub::Gate;
use crate::support::token::{Token, bearer, parts};
use crate::support::wire::{Client, request_bytes};

const ROUNDS: usize = 7;
/// Valid requests in each half of a round.
const REQUESTS: usize = 200;
const FLOODERS: usize = 3;
/// Unknown kids per second, over all flooding clients.
const RATE: u32 = 5000;
/// Latency that scheduling on a busy machine may add. A fetch takes ten times as long, so valid
/// requests that wait for one are far above it.
const FLOOR: Duration = Duration::from_millis(10);
/// Fetches that tokens may cause without a cooldown.
const BURST: usize = 3;
const COOLDOWN: Duration = Duration::from_secs(1);

/// The 99th percentile latency of valid requests over one connection.
#[track_caller]
fn p99(client: &mut Client, request: &[u8]) -> Duration {
    let mut times: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(client.send(request).response().expect("a response").status, 200);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[REQUESTS * 99 / 100]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Sends tokens with distinct kids at its share of the rate until the other end of `stop` is
/// dropped.
fn flood(stage: &Stage, stop: &Receiver<()>, sent: &AtomicUsize) {
    let token = Token::user().encode();
    let (_, payload, signature) = parts(&token);
    let mut client = Client::connect(stage.gateway.proxy);
    let mut next = Instant::now();
    while stop.recv_timeout(next.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Timeout)
    {
        next += Duration::from_secs(1) * FLOODERS as u32 / RATE;
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let header = url64(format!(r#"{{"alg":"RS256","kid":"unknown-{number}"}}"#));
        let field = format!("Bearer {header}.{payload}.{signature}");
        let request = request_bytes("GET", "/flood", &[("Authorization", &field)], b"");
        assert_eq!(client.send(request).response().expect("a response").status, 401);
    }
}

#[test]
fn flood_of_unknown_kids_does_not_slow_valid_requests() {
    // Unknown kids are refused at once: held clients would send less.
    let stage = Stage::plain(|setup| {
        setup
            .env("METAGATE_AUTHENTICATION__JWKS__UNKNOWN_KEY_COOLDOWN", "1s")
            .env("METAGATE_AUTHENTICATION__JWKS__MAX_WAIT", "0s")
    });
    let set = Reply::Json(key_set(&[keys::rsa().jwk()]));
    stage.issuer.set(JWKS, Reply::Late(Duration::from_millis(100), Box::new(set)));
    let request = request_bytes("GET", "/good", &[("Authorization", &bearer(&Token::bot()))], b"");
    let mut client = Client::connect(stage.gateway.proxy);
    p99(&mut client, &request);
    let (first, start, sent) = (stage.issuer.hits(JWKS), Instant::now(), AtomicUsize::new(0));
    let (mut calm, mut flooded) = (Vec::new(), Vec::new());
    // Alternate calm and flooded rounds and compare medians, so that other load on this machine
    // affects both equally.
    for _ in 0..ROUNDS {
        calm.push(p99(&mut client, &request));
        let (stop, stopped): (Vec<_>, Vec<_>) = (0..FLOODERS).map(|_| channel()).unzip();
        thread::scope(|scope| {
            let (stage, sent) = (&stage, &sent);
            for stopped in stopped {
                scope.spawn(move || flood(stage, &stopped, sent));
            }
            let before = sent.load(Ordering::Relaxed);
            while sent.load(Ordering::Relaxed) < before + 10 * FLOODERS {
                thread::yield_now();
            }
            flooded.push(p99(&mut client, &request));
            drop(stop);
        });
    }
    let (elapsed, sent) = (start.elapsed(), sent.into_inner());
    let fetches = stage.issuer.hits(JWKS) - first;
    let (calm, flooded) = (median(calm), median(flooded));
    eprintln!(
        "p99 {calm:?} calm, {flooded:?} flooded; {sent} unknown kids in {elapsed:?}, {fetches} fetches"
    );
    let cooldowns = usize::try_from(elapsed.as_millis() / COOLDOWN.as_millis()).expect("few");
    assert!(fetches <= cooldowns + BURST, "A10: {fetches} fetches in {elapsed:?}");
    assert!(flooded <= 2 * calm + FLOOR, "A10: p99 {flooded:?} under the flood, {calm:?} without");
}

/// Only a share of the requests in flight may wait for keys, and only a part of it per address.
/// Further requests are refused at once, which leaves room for valid ones.
#[test]
fn requests_waiting_for_keys_leave_room_for_valid_ones() {
    const CLIENTS: usize = 40;
    // A quarter of 64 may wait, and a quarter of that per address.
    const HELD: usize = 4;
    let stage = Stage::plain(|setup| {
        setup
            .env("METAGATE_AUTHENTICATION__JWKS__UNKNOWN_KEY_COOLDOWN", "4s")
            .env("METAGATE_LIMITS__REQUESTS", "64")
            .env("METAGATE_WORKERS", "2")
    });
    let unknown = |number: usize| {
        let token = bearer(&Token::user().header("kid", format!("unknown-{number}").into()));
        request_bytes("GET", "/unknown", &[("Authorization", &token)], b"")
    };
    for number in 0..BURST {
        assert_eq!(
            Client::connect(stage.gateway.proxy).send(unknown(number)).response().expect("a response").status,
            401
        );
    }
    // The next fetch is within maxWait and hangs.
    let gate = Gate::default();
    let set = Reply::Json(key_set(&[keys::rsa().jwk()]));
    stage.issuer.set(JWKS, Reply::Held(gate.clone(), Box::new(set)));
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = Client::connect(stage.gateway.proxy);
            client.send(unknown(BURST + number));
            client
        })
        .collect();
    let in_flight = || stage.gateway.metric("metagate_requests_in_flight", &[]);
    let refused = || stage.gateway.metric("metagate_requests_total", &[("reason", "unknown_key")]);
    eventually("all other requests to be refused", || {
        (refused() == (BURST + CLIENTS - HELD) as f64).then_some(())
    });
    assert_eq!(in_flight(), HELD as f64, "waiting requests count as in flight");
    for _ in 0..100 {
        assert_eq!(stage.gateway.get_as(&Token::bot(), "/good").status, 200);
    }
    stage.issuer.wait_hits(JWKS, 1 + BURST + 1);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().expect("a response").status, 401);
    }
    eventually("no request to be waiting", || (in_flight() == 0.0).then_some(()));
}
