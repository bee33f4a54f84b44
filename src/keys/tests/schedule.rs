//! When keys are fetched, and who waits for them: by a paused clock and without sockets.

use tokio::time::sleep;

use super::script::{
    ask, failed, idle, keys as found, keys_for, running, seconds, settings, settle, unchanged,
};
use super::*;

#[track_caller]
fn assert_gaps(gaps: &[f64], bounds: &[(f64, f64)]) {
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
        tokio::spawn(async move { keys.wait_for(0).await });
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
    assert!(keys.wait_for(0).await && start.elapsed().is_zero(), "there are keys: nobody waits");
    seconds(6).await;
    assert_eq!((failure(&keys), kids(&keys, 0)), (Some("timed out".to_owned()), vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_a_new_kid_cost_one_fetch() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a", "b"])).after(2),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0).await);
    let before = keys.ring().generation;
    let asking: Vec<_> = (0..1000).map(|_| ask(&keys)).collect();
    for asked in asking {
        assert!(asked.await.unwrap(), "everybody decides again");
    }
    assert_eq!((script.count(), kids(&keys, 0).len()), (2, 2));
    assert_eq!(keys.ring().generation, before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_costs_one_fetch_per_cooldown() {
    let script = Script::new(|_| found(set_of(&["a"])).after(1));
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0).await);
    let (start, before) = (Instant::now(), keys.ring().generation);
    // 5,000 a second, for a minute and a half.
    while start.elapsed() < Duration::from_secs(89) {
        for _ in 0..50 {
            ask(&keys);
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(script.count(), 1 + 3);
    assert_gaps(&script.gaps()[1..], &[(30.0, 30.02), (30.0, 30.02)]);
    assert_eq!(keys.ring().generation, before, "tokens in the cache stay good");
    seconds(10).await;
    assert_eq!(keys.askers.available_permits(), MAX_ASKERS, "nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn askers_are_bounded_and_take_no_place_of_holders() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a"])).after(4),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0).await);
    let asking: Vec<_> = (0..MAX_ASKERS + 10).map(|_| ask(&keys)).collect();
    seconds(1).await;
    assert_eq!(asking.iter().filter(|asked| asked.is_finished()).count(), 10, "these do not wait");
    assert_eq!(keys.holders.available_permits(), MAX_HOLDERS);
    seconds(4).await;
    assert!(asking.iter().all(tokio::task::JoinHandle::is_finished));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_goes_on_without_who_asked_for_it() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["b"])).after(3),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0).await);
    let first = ask(&keys);
    seconds(1).await;
    first.abort();
    let second = ask(&keys);
    let start = Instant::now();
    assert!(second.await.unwrap(), "another one joins it");
    assert!(start.elapsed() <= Duration::from_millis(2_010), "{:?}", start.elapsed());
    assert_eq!((script.count(), kids(&keys, 0)), (2, vec!["b".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_does_not_hold_up_the_key_of_another() {
    let live = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a", "b"])),
    });
    let dead = Script::new(|_| failed("gone").after(4));
    let keys = running(&settings(2), &[&live, &dead]);
    assert!(keys.wait_for(0).await);
    seconds(20).await;
    let start = Instant::now();
    assert!(refresh(&keys, 0).await);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
    assert_eq!(kids(&keys, 0), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn holders_are_bounded_and_wait_no_longer_than_they_may() {
    let script = Script::new(|_| failed("gone"));
    let keys = running(&settings(1), &[&script]);
    settle().await;
    let hold = || {
        let keys = keys.clone();
        tokio::spawn(async move { keys.wait_for(0).await })
    };
    let held: Vec<_> = (0..MAX_HOLDERS + 10).map(|_| hold()).collect();
    seconds(4).await;
    assert_eq!(held.iter().filter(|held| held.is_finished()).count(), 10);
    seconds(2).await;
    for held in held {
        assert!(!held.await.unwrap());
    }
    assert_eq!(keys.holders.available_permits(), MAX_HOLDERS);
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
            tokio::spawn(async move { keys.wait_for(0).await })
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
    assert!(source.running_attempt().is_none(), "nobody waits for what has ended");
    seconds(60).await;
    assert_eq!((script.count(), kids(&keys, 0)), (3, vec!["b".to_owned()]));
    assert_eq!(metrics.panics.get(), 1);
}
