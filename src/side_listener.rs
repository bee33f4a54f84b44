//! A small HTTP/1 server for listeners outside the request path: probes, metrics and the status page.
//!
//! These listeners have few clients, and must respond whatever other clients do:
//!
//! 1. If a listener has its maximum of connections, it closes one of the address that has the most: the oldest one
//!    without a request in progress, otherwise the oldest. Each connection is kept for at least [`LEAST_TIME`].
//! 2. Each connection has timeouts for its requests and for reading the responses, and small buffers.
//! 3. Each listener keeps a spare file descriptor, so that a probe is accepted even if clients have used up all others
//!    ([`is_short`]).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout};

/// How long a connection is kept at least, if others want its place: a probe sends its request at once, but it and this
/// process may have to wait for a processor.
const LEAST_TIME: Duration = Duration::from_millis(5);
/// Timeout for a head, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for all requests of a connection. A request in progress then has [`SHUTDOWN_TIMEOUT`] to end.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for requests in progress when the process ends.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Timeout for the client to read a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const BUFFER_BYTES: usize = 16 * 1024;

/// Serves `respond` on a listener until `end` is true. Requests in progress then have [`END_TIMEOUT`] to finish. `respond`
/// gets the request and the local address of its connection.
pub async fn serve<F, A>(listener: TcpListener, max: usize, end: End, respond: F)
where
    F: Fn(Request<Incoming>, SocketAddr) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let spare = Arc::new(Spare::default());
    spare.restore();
    let mut connections = Connections::new(max);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = is_ending(end.clone()) => break,
        };
        let Ok((stream, peer)) = accepted else {
            if !spare.release() {
                sleep(Duration::from_millis(50)).await;
                spare.restore();
            }
            continue;
        };
        connections.make_room().await;
        let (respond, spare, end) = (respond.clone(), spare.clone(), end.clone());
        let is_responding = Arc::<AtomicBool>::default();
        connections.start(peer.ip().to_canonical(), is_responding.clone(), async move {
            serve_connection(stream, end, is_responding, respond).await;
            spare.restore();
        });
        // Otherwise a burst of connections would be accepted, and some closed again, before one of them is read.
        yield_now().await;
    }
    let _ = timeout(END_TIMEOUT, async { while connections.tasks.join_next().await.is_some() {} }).await;
}

/// True once the process ends.
pub type End = watch::Receiver<bool>;

async fn is_ending(mut end: End) {
    // If the sender is gone, the process ends too.
    let _ = end.wait_for(|end| *end).await.is_ok();
}

async fn serve_connection<F, A>(stream: TcpStream, end: End, is_responding: Arc<AtomicBool>, respond: F)
where
    F: Fn(Request<Incoming>, SocketAddr) -> A + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let Ok(local_address) = stream.local_addr() else { return };
    let socket = socket2::SockRef::from(&stream);
    // Otherwise unread responses could take some megabytes of kernel memory.
    let _ = socket.set_send_buffer_size(4 * BUFFER_BYTES);
    #[cfg(target_os = "linux")]
    // The kernel closes the connection if the client reads nothing for this long. On other systems only
    // `CONNECTION_TIMEOUT` does.
    let _ = socket.set_tcp_user_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request| {
        let (response, is_responding) = (respond(request, local_address), is_responding.clone());
        async move {
            is_responding.store(true, Ordering::Relaxed);
            let response = response.await;
            is_responding.store(false, Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep(CONNECTION_TIMEOUT) => None,
        () = is_ending(end) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match timeout(SHUTDOWN_TIMEOUT, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!("a client did not read its response in time"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to a side listener ended");
    }
}

/// Runs slow work on another thread, one piece at a time, so that it does not delay other responses.
pub async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static TURN: Semaphore = Semaphore::const_new(1);
    let _turn = TURN.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}

/// The connections of one listener.
struct Connections {
    max: usize,
    /// In the order in which they were accepted.
    open: Vec<Open>,
    tasks: JoinSet<()>,
}

struct Open {
    address: IpAddr,
    since: Instant,
    /// Whether a request is in progress: from its head until the response is ready, but not while it is written.
    is_responding: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Connections {
    fn new(max: usize) -> Self {
        Self { max, open: Vec::new(), tasks: JoinSet::new() }
    }

    /// Closes a connection if there is no place for another one.
    async fn make_room(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.open.retain(|open| !open.task.is_finished());
            let Some(at) = self.next_to_close().filter(|_| self.open.len() >= self.max) else { return };
            let Some(left) =
                LEAST_TIME.checked_sub(self.open[at].since.elapsed()).filter(|left| !left.is_zero())
            else {
                let Open { address, task, .. } = self.open.remove(at);
                tracing::debug!(%address, "closed a connection to make room for another one");
                task.abort();
                continue;
            };
            sleep(left).await;
        }
    }

    /// The connection to close first: of the address that has the most, the oldest one without a request in progress,
    /// otherwise the oldest.
    fn next_to_close(&self) -> Option<usize> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for open in &self.open {
            *counts.entry(open.address).or_default() += 1;
        }
        let order =
            |open: &Open| (Reverse(counts.get(&open.address)), open.is_responding.load(Ordering::Relaxed));
        (0..self.open.len()).min_by_key(|at| (order(&self.open[*at]), *at))
    }

    fn start(
        &mut self,
        address: IpAddr,
        is_responding: Arc<AtomicBool>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(connection);
        self.open.push(Open { address, since: Instant::now(), is_responding, task });
    }
}

/// How many listeners have their spare file descriptor in use.
static SPARES_IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Whether a probe uses a spare file descriptor. No client may be accepted meanwhile: it would take the descriptor when
/// the probe ends, and keep it for as long as its connection lasts.
pub fn is_short() -> bool {
    SPARES_IN_USE.load(Ordering::Relaxed) > 0
}

/// A spare file descriptor. If clients have taken all others, it is closed so that a probe can be accepted.
#[derive(Default)]
struct Spare(Mutex<SpareState>);

#[derive(Default)]
struct SpareState {
    file: Option<File>,
    is_given: bool,
}

impl Spare {
    /// Opens the spare descriptor again, if it is closed and one is available.
    fn restore(&self) {
        let mut state = self.state();
        if state.file.is_none() {
            state.file = File::open("/dev/null").ok();
        }
        if state.file.is_some() && std::mem::take(&mut state.is_given) {
            SPARES_IN_USE.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Closes the spare descriptor. Returns whether there was one.
    fn release(&self) -> bool {
        let mut state = self.state();
        if state.file.is_none() {
            return false;
        }
        // Set before the descriptor is closed, so that no client can take it.
        if !std::mem::replace(&mut state.is_given, true) {
            SPARES_IN_USE.fetch_add(1, Ordering::Relaxed);
        }
        state.file = None;
        true
    }

    fn state(&self) -> MutexGuard<'_, SpareState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if self.state().is_given {
            SPARES_IN_USE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[test]
    fn is_short_while_any_spare_descriptor_is_in_use() {
        let (one, other) = (Spare::default(), Spare::default());
        assert!(!one.release(), "there is none yet");
        one.restore();
        other.restore();
        assert!(!is_short());
        assert!(one.release() && other.release() && !one.release());
        one.restore();
        assert!(is_short(), "one is still in use");
        drop(other);
        assert!(!is_short());
    }

    /// Starts a connection of each address. One with `!` has a request to respond to.
    async fn connections(max: usize, addresses: &[&str]) -> Connections {
        let mut connections = Connections::new(max);
        for address in addresses {
            connections.make_room().await;
            let is_responding = Arc::new(AtomicBool::new(address.ends_with('!')));
            let address = address.trim_end_matches('!').parse().expect("an address");
            connections.start(address, is_responding, pending());
        }
        connections
    }

    fn open(connections: &Connections) -> Vec<String> {
        connections.open.iter().map(|open| open.address.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_connection_of_the_busiest_address_is_closed() {
        let full = connections(4, &["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.3", "10.0.0.4"]).await;
        assert_eq!(open(&full), ["10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.4"]);
        let flood = ["10.0.0.2!", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"];
        let flood = connections(4, &flood).await;
        assert_eq!(open(&flood), ["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_responded_to_outlasts_a_flood_from_its_address() {
        let flood = [&["10.0.0.1!"][..], &["10.0.0.1"; 100], &["10.0.0.1!"]].concat();
        let flood = connections(4, &flood).await;
        let responding = flood.open.iter().map(|open| open.is_responding.load(Ordering::Relaxed));
        assert_eq!(responding.collect::<Vec<_>>(), [true, false, false, true]);
        let all = connections(2, &["10.0.0.1!"; 5]).await;
        assert_eq!(all.open.len(), 2, "no request keeps a place for good");
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_has_some_time_for_its_request() {
        let began = Instant::now();
        let flood = connections(4, &["10.0.0.1"; 40]).await;
        assert!(began.elapsed() >= LEAST_TIME * 9, "{:?}", began.elapsed());
        assert!(flood.open.iter().all(|open| open.since.elapsed() <= LEAST_TIME * 2));
    }

    #[tokio::test]
    async fn ended_connections_do_not_count() {
        let mut connections = Connections::new(2);
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..100 {
            connections.make_room().await;
            connections.start(address, Arc::default(), async {});
            yield_now().await;
        }
        for _ in 0..2 {
            connections.make_room().await;
            connections.start(address, Arc::default(), pending());
        }
        assert_eq!(connections.open.len(), 2);
    }
}
