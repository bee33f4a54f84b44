//! When idle connections are used, against models of backends.

use std::time::Duration;

use metagate::http1::KeepAlive;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::check;

const MAX: Duration = Duration::from_secs(20);

/// What happens to the connections of one backend, in milliseconds.
#[derive(Clone, Debug)]
enum Event {
    /// One was idle for this time when a request came.
    Request(u64),
    /// One was left idle, until the backend or the pool closed it.
    LeftIdle,
    /// The backend restarted, and closed one that was idle for this time.
    Restart(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let time = 0..25_000_u64;
    vec(
        prop_oneof![
            4 => time.clone().prop_map(Event::Request),
            3 => Just(Event::LeftIdle),
            1 => time.prop_map(Event::Restart),
        ],
        1..200,
    )
}

/// Once the backend has closed an idle connection, no request is sent on one that it is about to close.
#[test]
fn a_backend_with_a_timeout_loses_no_request_after_it_closed_one_connection() {
    check(500, &(1_u64..30_000, events()), |(timeout, events)| {
        let timeout = Duration::from_millis(timeout);
        let mut learned = KeepAlive::new(MAX);
        let mut has_closed = false;
        for event in events {
            match event {
                Event::Request(idle) => {
                    let idle = Duration::from_millis(idle);
                    let used = idle < learned.limit();
                    if has_closed && used {
                        prop_assert!(idle + Duration::from_secs(1) <= timeout, "{idle:?} of {timeout:?}");
                    }
                }
                Event::LeftIdle if timeout <= MAX => {
                    learned.closed(timeout);
                    has_closed = true;
                }
                Event::LeftIdle => learned.survived(MAX),
                Event::Restart(idle) => learned.closed(Duration::from_millis(idle).min(timeout)),
            }
            prop_assert!(learned.limit() <= MAX);
        }
        Ok(())
    });
}

/// A backend that keeps connections open gets them used for the whole time again, whatever it did before.
#[test]
fn what_was_learned_from_restarts_is_forgotten() {
    check(500, &events(), |events| {
        let mut learned = KeepAlive::new(MAX);
        for event in events {
            match event {
                Event::Request(_) => {}
                Event::LeftIdle => learned.survived(MAX),
                Event::Restart(idle) => learned.closed(Duration::from_millis(idle)),
            }
        }
        (0..3).for_each(|_| learned.survived(MAX));
        prop_assert_eq!(learned.limit(), MAX);
        Ok(())
    });
}
