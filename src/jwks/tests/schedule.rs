//! When keys are fetched, and which requests wait for them. With a paused clock and without sockets.

use tokio::time::sleep;

use super::script::{failed, idle, keys as found, keys_for, running, seconds, settings, settle, unchanged};
use super::*;
use crate::jwks::source::Demand;

#[track_caller]
pub(super) fn assert_gaps(gaps: &[f64], bounds: &[(f64, f64)]) {
    assert!(gaps.len() >= bounds.len(), "{gaps:?}");
    for (gap, (from, to)) in gaps.iter().zip(bounds) {
        // Timers have the resolution of a millisecond.
        assert!((*from..=to + 0.005).contains(gap), "{gap} is not in {from}..{to}: {gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_is_fetched_again_before_its_lifetime_ends() {
    let script = Script::new(|number| match number {
        0 => keys_for(set_of(&["a"]), Some(100)),
        1 => unchanged(None),
        2 => unchanged(Some(1000)),
        3 => keys_for(set_of(&["a"]), None),
        _ => failed("gone"),
    });
    let keys = running(&settings(1), &[&script]);
    seconds(60 * 3600).await;
    let interval = (28_800.0, 32_400.0);
    // The second 304 states no lifetime, so that of the first response still applies.
    assert_gaps(&script.gaps(), &[(80.0, 90.0), (80.0, 90.0), (800.0, 900.0), interval, (0.8, 1.0)]);
    let attempts = script.attempts();
    assert!(attempts[0].etag.is_none() && attempts[1..5].iter().all(|attempt| attempt.etag.is_some()));
    drop(keys);
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_after_1_to_60_seconds() {
    let script = Script::new(|number| match number {
        0 | 10 => keys_for(set_of(&["a"]), Some(100)),
        _ => failed("gone"),
    });
    let keys = running(&settings(1), &[&script]);
    seconds(600).await;
    let backoffs = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0].map(|longest| (0.8 * longest, longest));
    let mut bounds = vec![(80.0, 90.0)];
    bounds.extend(backoffs);
    // A success resets the backoff.
    bounds.extend([(80.0, 90.0), (0.8, 1.0), (1.6, 2.0)]);
    assert_gaps(&script.gaps(), &bounds);
    assert_eq!(kids(&keys, 0), ["a"], "the keys stay meanwhile");
}

#[tokio::test(start_paused = true)]
async fn first_keys_are_retried_more_often() {
    let script = Script::new(|_| failed("connection refused"));
    let _keys = running(&settings(1), &[&script]);
    seconds(60).await;
    let steady = (4.0, 5.0);
    assert_gaps(&script.gaps(), &[(0.8, 1.0), (1.6, 2.0), (3.2, 4.0), steady, steady, steady]);
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_cause_at_most_one_fetch_per_second() {
    let script = Script::new(|_| failed("connection refused"));
    let keys = running(&settings(1), &[&script]);
    for _ in 0..1000 {
        let keys = keys.clone();
        tokio::spawn(async move { keys.wait_for(0, None).await });
        sleep(Duration::from_millis(20)).await;
    }
    let gaps = script.gaps();
    assert!(gaps.len() >= 18, "waiting requests cause fetches: {}", gaps.len());
    assert!(gaps.iter().all(|gap| *gap >= 0.8), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_expire_after_max_stale() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        1 => unchanged(None),
        2..40 => failed("gone"),
        _ => found(set_of(&["a"])),
    });
    let mut config = settings(1);
    config.jwks.refresh_interval = Duration::from_secs(600);
    config.jwks.max_stale = Duration::from_secs(1200);
    let keys = running(&config, &[&script]);
    let mut changes = keys.changed.subscribe();
    while script.count() < 2 {
        seconds(1).await;
    }
    // A 304 counts: maxStale starts when the source last confirmed the keys.
    let confirmed = script.attempts()[1].at;
    changes.borrow_and_update();
    changes.changed().await.unwrap();
    let age = confirmed.elapsed();
    assert!(age >= Duration::from_secs(1200) && age < Duration::from_millis(1_200_010), "{age:?}");
    assert!(keys.ring().sets[0].is_none() && keys.are_ready(), "none, and readiness is a latch");
    assert!(script.count() > 5, "fetches continue");
    changes.changed().await.unwrap();
    assert_eq!(kids(&keys, 0), ["a"], "and they come back");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_times_out_and_keeps_the_keys() {
    let script = Script::new(|number| match number {
        0 => keys_for(set_of(&["a"]), Some(60)),
        _ => found(set_of(&["b"])).after(3600),
    });
    let keys = running(&settings(1), &[&script]);
    while script.count() < 2 {
        seconds(1).await;
    }
    let start = Instant::now();
    assert!(keys.wait_for(0, None).await && start.elapsed().is_zero(), "there are keys: no wait");
    seconds(6).await;
    assert_eq!((failure(&keys), kids(&keys, 0)), (Some("timed out".to_owned()), vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn requests_for_first_keys_are_bounded_and_wait_at_most_max_wait() {
    let script = Script::new(|_| failed("gone"));
    let keys = running(&settings(1), &[&script]);
    settle().await;
    let hold = || {
        let keys = keys.clone();
        tokio::spawn(async move { keys.wait_for(0, None).await })
    };
    let (places, _) = keys.waiting_for_keys.sizes();
    let waiting: Vec<_> = (0..places + 10).map(|_| hold()).collect();
    seconds(4).await;
    assert_eq!(waiting.iter().filter(|request| request.is_finished()).count(), 10);
    seconds(2).await;
    for request in waiting {
        assert!(!request.await.unwrap());
    }
    assert!(keys.waiting_for_keys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_for_first_keys_continue_when_the_keys_arrive() {
    let script = Script::new(|number| match number {
        0 => failed("connection refused"),
        _ => found(set_of(&["a"])).after(1),
    });
    let keys = running(&settings(1), &[&script]);
    settle().await;
    let start = Instant::now();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { keys.wait_for(0, None).await })
        })
        .collect();
    for request in waiting {
        assert!(request.await.unwrap());
    }
    assert!(start.elapsed() <= Duration::from_millis(2_010), "{:?}", start.elapsed());
    assert_eq!(script.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_fetched_again_after_a_panic() {
    let script = Script::new(|number| match number {
        0 => keys_for(set_of(&["a"]), Some(60)),
        1 => panic!("on purpose"),
        _ => found(set_of(&["b"])),
    });
    let (config, metrics) = (settings(1), Arc::new(Metrics::new()));
    let keys = idle(&config, &metrics, &[&script]);
    keys.start();
    seconds(70).await;
    assert_eq!((script.count(), kids(&keys, 0)), (2, vec!["a".to_owned()]));
    let source = &keys.entries[0].sources[0];
    let last = source.next_attempt() - 1;
    assert!(matches!(source.demand(last), Demand::Ended), "an attempt that has ended is not waited for");
    seconds(60).await;
    assert_eq!((script.count(), kids(&keys, 0)), (3, vec!["b".to_owned()]));
    assert_eq!(metrics.panics.get(), 1);
}
