//! Requests of two workers, for all of which there is one connection.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::AtomicUsize;

use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use tokio::io::DuplexStream;
use tokio::net::UnixStream;
use tokio::sync::Barrier;

use super::addresses::Addresses;
use super::http2::MAX_STREAMS;
use super::*;
use crate::budget::{Budget, Limits, OpenConnection};
use crate::config::{Config, Sources, load};
use crate::sync::check;

const LIFETIME: Duration = Duration::from_secs(20);
const WORKERS: usize = 2;
/// How often an HTTP/2 connection lets other threads run before it is open.
const OPENING: usize = 10;

fn config(protocol: &str) -> Config {
    let environment = [
        ("AUTHENTICATION_PUBLIC_KEYS", "https://idp.example/jwks"),
        ("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585"),
        ("METAGATE_UPSTREAM__PROTOCOL", protocol),
        ("METAGATE_UPSTREAM__MAX_CONNECTIONS", "1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    load(&Sources { environment, ..Sources::default() }).unwrap().config
}

/// A pool for each worker, and a client.
struct World {
    workers: [Arc<Upstream>; WORKERS],
    client: Arc<OpenConnection>,
}

/// Runs a model with workers that speak `protocol` to the backend.
fn check_workers(protocol: &str, model: impl Fn(World) + Send + Sync + 'static) {
    let config = config(protocol);
    let limits = Limits::new(&config.limits, &config.token_cache);
    let metrics = Arc::new(Metrics::new());
    check(move || {
        let target = Target::new(&config.upstream).unwrap();
        let reachability = Reachability::new(metrics.clone());
        let workers =
            [(); WORKERS].map(|()| Upstream::new(target.clone(), reachability.clone(), metrics.clone()));
        let client = Arc::new(Budget::new(limits, metrics.clone()).connect(None).unwrap());
        model(World { workers, client });
    });
}

fn end(requests: impl IntoIterator<Item = JoinHandle<()>>) {
    requests.into_iter().for_each(|request| block_on(request).unwrap());
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
    check_workers("http1", |World { workers, client }| {
        let in_use = Arc::<AtomicUsize>::default();
        let requests = [(0, End::Kept), (0, End::Closed), (1, End::Kept), (1, End::Kept)];
        let requests = requests.map(|(worker, end)| {
            spawn(request(workers[worker].clone(), client.clone(), in_use.clone(), end))
        });
        end(requests);
        let limit = workers[0].target.limit.as_ref().unwrap();
        let last = limit.try_take();
        assert!(last.is_some() && limit.try_take().is_none(), "one place, also if an idle connection had it");
    });
}

/// The streams that are open on each worker's connection, and the backend's ends of all connections.
struct Http2Backend {
    streams: [AtomicUsize; WORKERS],
    /// Where requests wait for one another.
    meeting: Barrier,
    connections: std::sync::Mutex<Vec<DuplexStream>>,
}

/// How long a stream lasts.
#[derive(Clone, Copy)]
enum Length {
    /// Until another thread has run, perhaps.
    Short,
    /// Until every stream of the connection is open.
    UntilFull,
}

impl Http2Backend {
    /// One request: waits for a stream, uses it, and ends.
    async fn request(
        self: Arc<Self>,
        worker: usize,
        upstream: Arc<Upstream>,
        client: Arc<OpenConnection>,
        length: Length,
    ) {
        let account = client.account();
        // As in `Upstream::forward` and `Upstream::open`, over HTTP/2 without TLS.
        let connection = match upstream.check_out(account, Instant::now()) {
            Some(connection) => Ok(connection),
            None => match upstream.grant(account, true).await {
                Ok(Granted::Free(connection)) => Ok(connection),
                Ok(Granted::Place(place)) => {
                    let connect = async |deadline| {
                        // As long as others need to begin to wait.
                        for _ in 0..OPENING {
                            yield_now().await;
                        }
                        upstream.start_http2(self.connection(), place, deadline).await
                    };
                    upstream.open_shared(true, connect).await
                }
                Err(error) => Err(error),
            },
        };
        let Ok(Connection::Http2(Http2Stream { sender, slot, .. })) = connection else {
            unreachable!("no time passes")
        };
        let open = |worker: usize| self.streams[worker].load(Ordering::SeqCst);
        self.streams[worker].fetch_add(1, Ordering::SeqCst);
        assert!(open(worker) <= MAX_STREAMS && open(WORKERS - 1 - worker) == 0, "more streams than places");
        // Only the stream's place is kept until the end of the response.
        drop(sender);
        match length {
            Length::Short => yield_now().await,
            Length::UntilFull => drop(self.meeting.wait().await),
        }
        self.streams[worker].fetch_sub(1, Ordering::SeqCst);
        drop(slot);
    }

    /// A connection to it, on which it sends nothing.
    fn connection(&self) -> Opened<DuplexStream> {
        let (stream, other) = tokio::io::duplex(1024);
        self.connections.lock().unwrap().push(other);
        Opened { stream, address: Addresses::new([], LIFETIME).get(0, "a") }
    }
}

/// Runs requests, each of a worker. In the end there is a place or an idle connection.
fn run_http2(World { workers, client }: &World, requests: impl IntoIterator<Item = (usize, Length)>) {
    let backend = Arc::new(Http2Backend {
        streams: Default::default(),
        meeting: Barrier::new(MAX_STREAMS),
        connections: std::sync::Mutex::default(),
    });
    let requests = requests.into_iter().map(|(worker, length)| {
        spawn(backend.clone().request(worker, workers[worker].clone(), client.clone(), length))
    });
    end(requests.collect::<Vec<_>>());
    let limit = workers[0].target.limit.as_ref().unwrap();
    let last = limit.try_take().or_else(|| block_on(limit.take()));
    assert!(last.is_some() && limit.try_take().is_none());
}

const FULL: [(usize, Length); MAX_STREAMS] = [(0, Length::UntilFull); MAX_STREAMS];

/// Requests of one worker share a connection that one of them opens, without waiting for one another's end.
#[test]
fn requests_share_the_streams_of_an_http2_connection() {
    check_workers("http2", |world| run_http2(&world, FULL));
}

/// Over HTTP/2, with more requests than streams and one of the other worker: only one worker has a connection at a time, it
/// never has too many streams, and every request gets one.
#[test]
fn the_one_http2_connection_reaches_every_request() {
    let others = [(0, Length::Short), (1, Length::Short)];
    check_workers("http2", move |world| run_http2(&world, FULL.into_iter().chain(others)));
}
