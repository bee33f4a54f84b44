//! Signals of requests.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::test_support::verified;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_mark_is_the_same_within_a_network_and_a_minute() {
    let signals = Signals::new(at(0));
    let mark = |source: &str, client: &str, seconds| {
        signals.mark(Some(ip(source)), Some(client.as_bytes()), at(seconds))
    };
    let first = mark("192.0.2.1", "curl/8", 0);
    assert_eq!(first, mark("192.0.2.254", "curl/8", 59));
    for other in [
        mark("192.0.3.1", "curl/8", 0),
        mark("192.0.2.1", "curl/9", 0),
        mark("192.0.2.1", "curl/8", 60),
        signals.mark(None, Some(b"curl/8"), at(0)),
        signals.mark(Some(ip("192.0.2.1")), None, at(0)),
    ] {
        assert_ne!(first, other);
    }
    assert_eq!(mark("2001:db8:1:2::3", "a", 0), mark("2001:db8:1:ffff::", "a", 0));
    assert_ne!(mark("2001:db8:1::", "a", 0), mark("2001:db8:2::", "a", 0));
    assert!(!is_past(first, at(59)) && is_past(first, at(60)) && is_past(0, at(0)));
}

#[test]
fn a_program_on_another_network_with_another_client_has_signals() {
    let (signals, token) = (Signals::new(at(0)), verified(json!({})));
    let see = |source: &str, client, seconds| {
        let sighting = Sighting { token: &token, source: Some(ip(source)), client, time: at(seconds) };
        signals.of_program(&sighting).iter().map(Signal::as_str).collect::<Vec<_>>()
    };
    assert!(see("192.0.2.1", Some("metadata/1.5 python/3.11"), 0).is_empty());
    assert!(see("192.0.2.9", Some("metadata/1.6 python/3.12"), 2 * LEARNING).is_empty(), "an update");
    assert_eq!(see("203.0.113.7", Some("curl/8"), 2 * LEARNING + 60), ["new_network", "new_client"]);
    assert_eq!(see("203.0.113.7", None, 2 * LEARNING + 61), ["new_client"]);
    let events = signals.recent(at(2 * LEARNING + 61));
    assert_eq!(events.len(), 3);
    let [newest, client, network] = &events[..] else { unreachable!() };
    assert_eq!((newest.signal, &newest.client), (Signal::NewClient, &None));
    assert_eq!((client.signal, client.client.as_deref()), (Signal::NewClient, Some("curl")));
    assert_eq!(network.network.unwrap().to_string(), "203.0.113.0/24");
    assert_eq!(network.principal.as_deref(), Some(token.principal()));
    assert_eq!(network.fingerprint.as_deref(), Some(token.fingerprint().short()));
    assert!(signals.recent(at(3 * LEARNING + 61)).is_empty(), "only those of the last hour");
}

#[test]
fn many_refusals_of_a_network_are_one_burst() {
    let (signals, start) = (Signals::new(at(0)), Instant::now());
    let bursts = |source: &str, seconds: u64, count: usize| {
        let times = (at(seconds), start + Duration::from_secs(seconds));
        (0..count).filter(|_| !signals.of_refusal(ip(source), None, times).is_empty()).count()
    };
    assert_eq!(bursts("192.0.2.1", 0, 20), 0);
    assert_eq!(bursts("192.0.3.1", 0, 20), 0, "another network");
    assert_eq!(bursts("192.0.2.2", 0, 100), 1);
    assert_eq!(bursts("192.0.2.2", 300, 100), 0, "the same one");
    assert_eq!(bursts("192.0.2.2", 601, 100), 1);
    let events = signals.recent(at(601));
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].signal, events[0].principal.as_deref()), (Signal::RefusalBurst, None));
    assert_eq!(events[0].network.unwrap().to_string(), "192.0.2.0/24");
}

#[test]
fn only_the_last_events_are_kept() {
    let signals = Signals::new(at(0));
    let token = verified(json!({}));
    for seconds in 0..400 {
        let source = Some(IpAddr::from([10, 0, (seconds % 250) as u8, 1]));
        let time = at(seconds * LEARNING);
        signals.of_program(&Sighting { token: &token, source, client: None, time });
    }
    assert_eq!(lock(&signals.events).each_ref().map(VecDeque::len), [MAX_EVENTS, 0, 0, 0]);
}

#[test]
fn bursts_do_not_push_out_other_signals() {
    let (signals, token, start) = (Signals::new(at(0)), verified(json!({})), Instant::now());
    let now = at(2 * LEARNING);
    for (source, time) in [("192.0.2.1", at(0)), ("203.0.113.7", now)] {
        signals.of_program(&Sighting { token: &token, source: Some(ip(source)), client: None, time });
    }
    for network in 0..100 {
        for _ in 0..=REFUSALS {
            signals.of_refusal(IpAddr::from([10, 0, network, 1]), None, (now, start));
        }
    }
    let recent = signals.recent(now);
    let count = |signal| recent.iter().filter(|event| event.signal == signal).count();
    assert_eq!((count(Signal::NewNetwork), count(Signal::RefusalBurst)), (1, MAX_EVENTS));
}
