//! Requests of two workers that share one connection.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::AtomicUsize;

use shuttle::future::{block_on, spawn, yield_now};
use tokio::net::UnixStream;

use super::addresses::Addresses;
use super::*;
use crate::budget::{Budget, Limits, OpenConnection};
use crate::config::{Config, Sources, load};
use crate::sync::check;

const LIFETIME: Duration = Duration::from_secs(20);

fn config() -> Config {
    let environment = [
        ("AUTHENTICATION_PUBLIC_KEYS", "https://idp.example/jwks"),
        ("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585"),
        ("METAGATE_UPSTREAM__MAX_CONNECTIONS", "1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    load(&Sources { environment, ..Sources::default() }).unwrap().config
}

/// What happens to the connection of a request at its end.
#[derive(Clone, Copy)]
enum End {
    /// It can serve another request.
    Kept,
    /// It closes.
    Closed,
}

/// One request: waits for a connection, uses it, and ends.
async fn request(upstream: Arc<Upstream>, client: Arc<OpenConnection>, in_use: Arc<AtomicUsize>, end: End) {
    let account = client.account();
    // As in `Upstream::open`, over HTTP/1 without TLS.
    let connection =
        match upstream.grant(account, true).await.unwrap_or_else(|_| unreachable!("no time passes")) {
            Granted::Free(connection) => connection,
            Granted::Place(place) => {
                let stream = Stream::Unix(UnixStream::pair().unwrap().0);
                let address = Addresses::new([], LIFETIME).get(0, "a");
                upstream.exclusive(Opened { stream, address }, account, place)
            }
        };
    assert_eq!(in_use.fetch_add(1, Ordering::SeqCst), 0, "more connections than places");
    yield_now().await;
    in_use.fetch_sub(1, Ordering::SeqCst);
    match (connection, end) {
        (Connection::Http1(connection), End::Kept) => upstream.http1.check_in(connection, LIFETIME),
        (connection, _) => drop(connection),
    }
}

/// Two workers, two requests each, and one connection for all: it is with one request at a time, every request gets it
/// or another in its place, and in the end there is a place or an idle connection.
#[test]
fn the_one_connection_reaches_every_request() {
    let config = config();
    let limits = Limits::new(&config.limits, &config.token_cache);
    let metrics = Arc::new(Metrics::new());
    check(move || {
        let target = Target::new(&config.upstream).unwrap();
        let reachability = Reachability::new(metrics.clone());
        let workers = [(); 2].map(|()| Upstream::new(target.clone(), reachability.clone(), metrics.clone()));
        let client = Arc::new(Budget::new(limits, metrics.clone()).connect(None).unwrap());
        let in_use = Arc::<AtomicUsize>::default();
        let requests = [(0, End::Kept), (0, End::Closed), (1, End::Kept), (1, End::Kept)];
        let requests = requests.map(|(worker, end)| {
            spawn(request(workers[worker].clone(), client.clone(), in_use.clone(), end))
        });
        requests.into_iter().for_each(|request| block_on(request).unwrap());
        let limit = target.limit.clone().unwrap();
        let last = limit.try_take();
        assert!(last.is_some() && limit.try_take().is_none(), "one place, also if an idle connection had it");
    });
}
