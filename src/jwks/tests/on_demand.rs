//! Fetches that tokens cause: how many, and which requests wait for them. With a paused clock and without sockets.

use tokio::time::sleep;

use super::schedule::assert_gaps;
use super::script::{ask, failed, idle, keys as found, keys_for, running, seconds, settings};
use super::*;

/// How long a refresh took, to the nearest second, and how it ended.
async fn timed(refresh: impl Future<Output = Refresh>) -> (u64, Refresh) {
    let start = Instant::now();
    let ended = refresh.await;
    ((start.elapsed() + Duration::from_millis(500)).as_secs(), ended)
}

/// Fetches that bring `set` until the one of number `until`, and `a` and `b` from then on.
fn rotates_at(until: usize) -> Script {
    Script::new(move |number| found(if number < until { set_of(&["a"]) } else { set_of(&["a", "b"]) }))
}

#[tokio::test(start_paused = true)]
async fn invented_kids_just_before_a_rotation_do_not_delay_the_new_key() {
    let script = rotates_at(BURST as usize);
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    for _ in 1..BURST {
        assert_eq!(timed(refresh(&keys, 0)).await, (0, Refresh::Unchanged), "an invented kid");
    }
    assert_eq!(timed(refresh(&keys, 0)).await, (0, Refresh::Changed), "the first token of the new key");
}

#[tokio::test(start_paused = true)]
async fn after_a_burst_requests_wait_for_the_next_fetch() {
    let script = rotates_at(1 + BURST as usize);
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    for _ in 0..BURST {
        assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    }
    // maxWait is 5s, the cooldown 30s.
    assert_eq!(timed(refresh(&keys, 0)).await, (0, Refresh::Unchanged), "nothing to wait for");
    seconds(24).await;
    assert_eq!(timed(refresh(&keys, 0)).await, (0, Refresh::Unchanged), "it is due too late");
    seconds(2).await;
    assert_eq!(timed(refresh(&keys, 0)).await, (4, Refresh::Changed));
    assert_eq!(script.count(), 2 + BURST as usize);
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_also_use_a_scheduled_fetch() {
    let script = Script::new(|number| match number {
        0..=3 => keys_for(set_of(&["a"]), Some(10)),
        _ => found(set_of(&["a", "b"])),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    for _ in 0..BURST {
        assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    }
    assert_eq!(script.count(), 4);
    seconds(5).await;
    let (waited, ended) = timed(refresh(&keys, 0)).await;
    assert!((2..=5).contains(&waited), "{waited}");
    assert_eq!(ended, Refresh::Changed);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_fetch_did_not_help_causes_no_further_fetch() {
    let script = Script::new(|_| found(set_of(&["a"])));
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    for _ in 0..100 {
        assert_eq!(timed(refresh_for(&keys, 0, "one")).await, (0, Refresh::Unchanged));
    }
    assert_eq!(script.count(), 2);
    // Another token may still use the remaining fetches, and after the cooldown the first one may again.
    assert_eq!(refresh_for(&keys, 0, "two").await, Refresh::Unchanged);
    assert_eq!(script.count(), 3);
    seconds(31).await;
    assert_eq!(refresh_for(&keys, 0, "one").await, Refresh::Unchanged);
    assert_eq!(script.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_unreachable_while_a_source_fails() {
    let live = Script::new(|_| found(set_of(&["a"])));
    let away = Script::new(|number| match number {
        0 | 8.. => found(document(&[OTHER_RSA.jwk_named("c")])),
        _ => failed("connection refused"),
    });
    let keys = running(&settings(2), &[&live, &away]);
    assert!(keys.wait_for(0, None).await);
    for _ in 0..20 {
        let (waited, ended) = timed(refresh_for(&keys, 0, "token")).await;
        assert!(waited <= 5, "{waited}");
        assert_eq!(ended, Refresh::Unreachable);
    }
    while away.count() < 9 {
        seconds(10).await;
    }
    assert_eq!(refresh_for(&keys, 0, "token").await, Refresh::Unchanged, "it was not remembered as unknown");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_unreachable() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a"])).after(3600),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    let (waited, ended) = timed(refresh(&keys, 0)).await;
    assert_eq!((waited, ended), (5, Refresh::Unreachable), "jwks.timeout");
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_reset_the_burst() {
    let script = Script::new(|_| found(set_of(&["a"])));
    let config = settings(1);
    let keys = running(&config, &[&script]);
    assert!(keys.wait_for(0, None).await);
    for _ in 0..BURST {
        assert_eq!(refresh(&keys, 0).await, Refresh::Unchanged);
    }
    let next = Keys::after(&keys, &config).unwrap();
    next.start();
    assert_eq!(refresh(&next, 0).await, Refresh::Unchanged);
    assert_eq!(script.count(), 1 + BURST as usize);
}

#[tokio::test(start_paused = true)]
async fn an_operators_refresh_ignores_the_limit_for_tokens() {
    let script = Script::new(|number| found(set_of(if number < 10 { &["a"] } else { &["b"] })).after(1));
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    // The first does not join the running attempt, which may have started too early.
    let running = ask(&keys);
    sleep(Duration::from_millis(500)).await;
    for number in 0..9 {
        let sources = keys.refresh_now().await;
        assert_eq!((sources.len(), &sources[0].failure), (1, &None));
        assert_eq!(script.count(), 3 + number);
    }
    assert_eq!(kids(&keys, 0), ["b"]);
    assert_eq!(running.await.unwrap(), Refresh::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_does_not_end_reports_a_failure() {
    let script = Script::new(|_| found(set_of(&["a"])));
    // It has no refresh task.
    let keys = idle(&settings(1), &Arc::default(), &[&script]);
    let start = Instant::now();
    let sources = keys.refresh_now().await;
    assert_eq!(sources[0].failure.as_deref(), Some("the fetch has not ended yet"));
    assert_eq!(start.elapsed(), Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn one_client_that_invents_kids_does_not_keep_others_from_waiting() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a", "b"])).after(4),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    let (_, share) = keys.waiting_for_refresh.sizes();
    let ask_from = |last: u8, number: usize| {
        let keys = keys.clone();
        tokio::spawn(async move {
            let digest = TokenDigest::of(format!("{last} {number}"));
            let (generation, client) = (keys.ring().generation, Some(IpAddr::from([10, 0, 0, last])));
            keys.refresh_for_token(Unverified { entry: 0, digest, generation, client }).await
        })
    };
    let flood: Vec<_> = (0..share + 100).map(|number| ask_from(1, number)).collect();
    let good = ask_from(2, 0);
    seconds(1).await;
    assert_eq!(flood.iter().filter(|request| request.is_finished()).count(), 100);
    assert!(!good.is_finished());
    assert_eq!(good.await.unwrap(), Refresh::Changed);
    for request in flood {
        request.await.unwrap();
    }
    assert!(keys.waiting_for_refresh.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_a_new_kid_cost_one_fetch() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a", "b"])).after(2),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    let before = keys.ring().generation;
    let requests: Vec<_> = (0..1000).map(|_| ask(&keys)).collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), Refresh::Changed, "every request tries again");
    }
    assert_eq!((script.count(), kids(&keys, 0).len()), (2, 2));
    assert_eq!(keys.ring().generation, before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_kids_costs_a_burst_and_one_fetch_per_cooldown() {
    let script = Script::new(|_| found(set_of(&["a"])).after(1));
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    let (start, before) = (Instant::now(), keys.ring().generation);
    // 5,000 a second, for a minute and a half.
    while start.elapsed() < Duration::from_secs(89) {
        for _ in 0..50 {
            ask(&keys);
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(script.count(), 1 + 3 + 2);
    assert_gaps(&script.gaps()[1..], &[(1.0, 1.02), (1.0, 1.02), (27.9, 28.02), (30.0, 30.02)]);
    assert_eq!(keys.ring().generation, before, "tokens in the cache stay good");
    seconds(10).await;
    assert!(keys.waiting_for_refresh.is_empty(), "all places are free again");
}

#[tokio::test(start_paused = true)]
async fn requests_for_newer_keys_are_bounded_and_take_no_place_of_requests_for_first_keys() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a"])).after(4),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    let (places, _) = keys.waiting_for_refresh.sizes();
    let requests: Vec<_> = (0..places + 10).map(|_| ask(&keys)).collect();
    seconds(1).await;
    assert_eq!(requests.iter().filter(|request| request.is_finished()).count(), 10, "these do not wait");
    assert!(keys.waiting_for_keys.is_empty());
    seconds(4).await;
    assert!(requests.iter().all(tokio::task::JoinHandle::is_finished));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_continues_after_its_request_is_dropped() {
    let script = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["b"])).after(3),
    });
    let keys = running(&settings(1), &[&script]);
    assert!(keys.wait_for(0, None).await);
    let first = ask(&keys);
    seconds(1).await;
    first.abort();
    let second = ask(&keys);
    let start = Instant::now();
    assert_eq!(second.await.unwrap(), Refresh::Changed, "another one joins it");
    assert!(start.elapsed() <= Duration::from_millis(2_010), "{:?}", start.elapsed());
    assert_eq!((script.count(), kids(&keys, 0)), (2, vec!["b".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_does_not_delay_the_key_of_another() {
    let live = Script::new(|number| match number {
        0 => found(set_of(&["a"])),
        _ => found(set_of(&["a", "b"])),
    });
    let dead = Script::new(|_| failed("gone").after(4));
    let keys = running(&settings(2), &[&live, &dead]);
    assert!(keys.wait_for(0, None).await);
    seconds(20).await;
    let start = Instant::now();
    assert_eq!(refresh(&keys, 0).await, Refresh::Changed);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
    assert_eq!(kids(&keys, 0), ["a", "b"]);
}
