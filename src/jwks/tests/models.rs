//! Requests that need newer keys, and the one task that fetches them.

use std::sync::atomic::AtomicUsize;

use shuttle::future::{JoinHandle, block_on, spawn, yield_now};

use super::script::{idle, keys as found, settings};
use super::*;
use crate::jwks::source::Source;
use crate::sync::check;

const REQUESTS: usize = 3;

/// The fetches of one source.
#[derive(Default)]
struct Fetches {
    begun: AtomicUsize,
    ended: AtomicUsize,
    running: AtomicUsize,
}

/// One fetch, which ends with its attempt or when that is dropped.
struct Running(Arc<Fetches>);

impl Running {
    fn begin(fetches: &Arc<Fetches>) -> Self {
        fetches.begun.fetch_add(1, Ordering::SeqCst);
        assert_eq!(fetches.running.fetch_add(1, Ordering::SeqCst), 0, "two fetches at the same time");
        Self(fetches.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Keys with one source, whose fetch of number `n` brings the key `kid(n)`.
fn source(
    config: &Config,
    metrics: &Arc<Metrics>,
    kid: fn(usize) -> usize,
) -> (Arc<Keys>, Arc<Source>, Arc<Fetches>) {
    let fetches = Arc::<Fetches>::default();
    let of_script = fetches.clone();
    let script = Script::new(move |number| {
        let running = Running::begin(&of_script);
        found(set_of(&[&kid(number).to_string()])).when(async move {
            yield_now().await;
            drop(running);
        })
    });
    let keys = idle(config, metrics, &[&script]);
    keys.listen();
    let source = keys.sources().next().unwrap().clone();
    (keys, source, fetches)
}

/// Requests with tokens that the keys do not verify; what each found, and how many fetches had begun before it asked.
fn requests(keys: &Arc<Keys>, fetches: &Arc<Fetches>) -> Vec<JoinHandle<(Refresh, usize)>> {
    let request = |number: usize| {
        let (keys, fetches) = (keys.clone(), fetches.clone());
        spawn(async move {
            let (generation, digest) = (keys.ring().generation, TokenDigest::of(number.to_string()));
            let begun = fetches.begun.load(Ordering::SeqCst);
            let token = Unverified { entry: 0, digest, generation, client: None };
            let found = keys.refresh_for_token(token).await;
            if found == Refresh::Unchanged {
                assert!(fetches.ended.load(Ordering::SeqCst) > begun, "no fetch began after it asked");
            }
            (found, begun)
        })
    };
    (0..REQUESTS).map(request).collect()
}

/// Concurrent requests cause at most one fetch each, and never two at the same time. Each waits for a fetch that began
/// after it asked, and finds its keys.
#[test]
fn every_request_finds_the_keys_of_a_later_fetch() {
    let (config, metrics) = (settings(1), Arc::default());
    check(move || {
        let (keys, source, fetches) = source(&config, &metrics, |number| number);
        let task = spawn(async move { source.run().await });
        for request in requests(&keys, &fetches) {
            assert_eq!(block_on(request).unwrap().0, Refresh::Changed);
        }
        assert!(fetches.begun.load(Ordering::SeqCst) <= 1 + REQUESTS);
        task.abort();
    });
}

/// No request is refused because of a fetch that began before it asked, and an operator who asks for a fetch gets a later
/// one too.
#[test]
fn no_request_relies_on_an_earlier_fetch() {
    let (config, metrics) = (settings(1), Arc::default());
    check(move || {
        let (keys, source, fetches) = source(&config, &metrics, |_| 0);
        let running = source.clone();
        let task = spawn(async move { running.run().await });
        let operator = {
            let fetches = fetches.clone();
            spawn(async move {
                let begun = fetches.begun.load(Ordering::SeqCst);
                source.request_attempt().finished().await;
                assert!(
                    fetches.ended.load(Ordering::SeqCst) > begun,
                    "no fetch began after the operator asked"
                );
            })
        };
        for request in requests(&keys, &fetches) {
            // Only the first fetch changes the keys.
            let (found, begun) = block_on(request).unwrap();
            assert!(found == Refresh::Unchanged || found == Refresh::Changed && begun <= 1, "{found:?}");
        }
        block_on(operator).unwrap();
        task.abort();
    });
}

/// The task ends in the middle of anything, as with a panic, and is started again: no request waits forever.
#[test]
fn a_fetch_that_is_dropped_leaves_no_request_waiting() {
    let (config, metrics) = (settings(1), Arc::default());
    check(move || {
        let (keys, source, fetches) = source(&config, &metrics, |number| number);
        let running = source.clone();
        let task = spawn(async move { running.run().await });
        let requests = requests(&keys, &fetches);
        task.abort();
        let _ = block_on(task);
        let task = spawn(async move { source.run().await });
        for request in requests {
            let _: (Refresh, usize) = block_on(request).unwrap();
        }
        task.abort();
    });
}
