//! Threads that share the table.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use shuttle::thread;

use super::*;

/// Of several threads that take the last permits of a key at the same time, as many get one as there are permits,
/// although other keys come and go in the same set.
#[test]
fn no_key_gets_more_than_its_burst() {
    const BURST: usize = 2;
    shuttle::check_random(
        || {
            let start = Instant::now();
            let limit = RateLimit::new(1, Duration::from_secs(1), BURST as u32).unwrap();
            let limiter = Arc::new(RateLimiter::new(limit, start));
            let take = move |limiter: &RateLimiter, other: u32| {
                let _ = limiter.try_take(&other, start);
                (0..BURST).filter(|_| limiter.try_take(&0, start).is_ok()).count()
            };
            let threads: Vec<_> = (1..4)
                .map(|other| {
                    let limiter = limiter.clone();
                    thread::spawn(move || take(&limiter, other))
                })
                .collect();
            let taken: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(taken, BURST);
            assert!(limiter.check(&0, start).is_err());
        },
        5000,
    );
}
