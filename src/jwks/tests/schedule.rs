//! When keys are fetched, and who waits for them: by a paused clock and without sockets.

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
async fn a_set_is_fetched_again_ahead_of_its_end() {
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
    // The second time the 304 says nothing, so what the first answer said goes on to hold.
    assert_gaps(&script.gaps(), &[(80.0, 90.0), (80.0, 90.0), (800.0, 900.0), interval, (0.8, 1.0)]);
    let asked = script.asked();
    assert!(asked[0].etag.is_none() && asked[1..5].iter().all(|asked| asked.etag.is_some()));
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
    // A success begins it anew.
    bounds.extend([(80.0, 90.0), (0.8, 1.0), (1.6, 2.0)]);
    assert_gaps(&script.gaps(), &bounds);
    assert_eq!(kids(&keys, 0), ["a"], "and all the while there are keys");
}

#[tokio::test(start_paused = true)]
async fn first_keys_are_asked_for_more_often() {
    let script = Script::new(|_| failed("connection refused"));
    let _keys = running(&settings(1), &[&script]);
    seconds(60).await;
    let steady = (4.0, 5.0);
    assert_gaps(&script.gaps(), &[(0.8, 1.0), (1.6, 2.0), (3.2, 4.0), steady, steady, steady]);
}

#[tokio::test(start_paused = true)]
async fn requests_without_keys_make_it_ask_no_more_than_once_a_second() {
    let script = Script::new(|_| failed("connection refused"));
    let keys = running(&settings(1), &[&script]);
    for _ in 0..1000 {
        let keys = keys.clone();
        tokio::spawn(async move { keys.wait_for(0, None).await });
        sleep(Duration::from_millis(20)).await;
    }
    let gaps = script.gaps();
    assert!(gaps.len() >= 18, "they make it ask at all: {}", gaps.len());
    assert!(gaps.iter().all(|gap| *gap >= 0.8), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn old_keys_serve_for_max_stale_and_no_longer() {
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
    // The 304 counts: maxStale is from the last time that the source confirmed them.
    let confirmed = script.asked()[1].at;
    changes.borrow_and_update();
    changes.changed().await.unwrap();
    let age = confirmed.elapsed();
    assert!(age >= Duration::from_secs(1200) && age < Duration::from_millis(1_200_010), "{age:?}");
    assert!(keys.ring().sets[0].is_none() && keys.are_ready(), "none, and readiness is a latch");
    assert!(script.count() > 5, "it went on asking");
    changes.changed().await.unwrap();
    assert_eq!(kids(&keys, 0), ["a"], "and they come back");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_ends_and_harms_nobody() {
    let script = Script::new(|number| match number {
        0 => keys_for(set_of(&["a"]), Some(60)),
        _ => found(set_of(&["b"])).after(3600),
    });
    let keys = running(&settings(1), &[&script]);
    while script.count() < 2 {
        seconds(1).await;
    }
    let start = Instant::now();
    assert!(keys.wait_for(0, None).await && start.elapsed().is_zero(), "there are keys: nobody waits");
    seconds(6).await;
    assert_eq!((failure(&keys), kids(&keys, 0)), (Some("timed out".to_owned()), vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn holders_are_bounded_and_wait_no_longer_than_they_may() {
    let script = Script::new(|_| failed("gone"));
    let keys = running(&settings(1), &[&script]);
    settle().await;
    let hold = || {
        let keys = keys.clone();
        tokio::spawn(async move { keys.wait_for(0, None).await })
    };
    let (places, _) = keys.holders.sizes();
    let held: Vec<_> = (0..places + 10).map(|_| hold()).collect();
    seconds(4).await;
    assert_eq!(held.iter().filter(|held| held.is_finished()).count(), 10);
    seconds(2).await;
    for held in held {
        assert!(!held.await.unwrap());
    }
    assert!(keys.holders.is_empty());
}

#[tokio::test(start_paused = true)]
async fn holders_are_let_go_when_the_keys_come() {
    let script = Script::new(|number| match number {
        0 => failed("connection refused"),
        _ => found(set_of(&["a"])).after(1),
    });
    let keys = running(&settings(1), &[&script]);
    settle().await;
    let start = Instant::now();
    let held: Vec<_> = (0..100)
        .map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { keys.wait_for(0, None).await })
        })
        .collect();
    for held in held {
        assert!(held.await.unwrap());
    }
    assert!(start.elapsed() <= Duration::from_millis(2_010), "{:?}", start.elapsed());
    assert_eq!(script.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_does_not_cost_a_source_its_keys_for_good() {
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
    assert!(matches!(source.demand(last), Demand::Ended), "nobody waits for what has ended");
    seconds(60).await;
    assert_eq!((script.count(), kids(&keys, 0)), (3, vec!["b".to_owned()]));
    assert_eq!(metrics.panics.get(), 1);
}
