//! The workers: one thread, one current-thread runtime and one pool each.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use ipnet::IpNet;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::http2::Http2Limits;
use super::intake::IntakeLimits;
use super::socket::Stream;
use crate::budget::{Budget, Connection, OpenConnection, Turns, take_turns};
use crate::config::{Config, ProxyProtocol};
use crate::gateway::{Door, Gateway};
use crate::metrics::Metrics;
use crate::policy::contains_address;
use crate::request::HeadLimits;
use crate::upstream::Upstream;

/// How long a connection may be kept alive without a request. Long, because OpenMetadata's client
/// does not repeat a write on a connection that was closed under it.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// What hyper buffers of one direction of a connection, unless a head may be larger.
const BUFFER_BYTES: usize = 64 * 1024;

/// An accepted connection on its way to a worker.
pub(super) struct Job {
    stream: Stream,
    peer: Option<IpAddr>,
    door: Door,
    open: OpenConnection,
}

impl Job {
    pub(super) fn new(stream: Stream, peer: Option<IpAddr>, door: Door, open: OpenConnection) -> Self {
        Self { stream, peer, door, open }
    }
}

/// How connections are served.
#[derive(Clone)]
pub(super) struct ConnectionSettings {
    pub(super) http1: http1::Builder,
    pub(super) intake: IntakeLimits,
    /// Whose PROXY protocol headers are read, where connections must begin with one.
    pub(super) proxies: Option<TrustedProxies>,
    pub(super) http2: Http2Limits,
    pub(super) times: Times,
    /// The number of the admission policy.
    pub(super) admission: u64,
}

/// Peers that may say who a connection comes from.
#[derive(Clone)]
pub(super) struct TrustedProxies {
    networks: Arc<[IpNet]>,
    unix: bool,
}

impl TrustedProxies {
    /// Whether the configuration names this address.
    pub(super) fn names(&self, address: IpAddr) -> bool {
        contains_address(&self.networks, address)
    }

    /// Whether such a peer may. Where nobody is named, everybody may.
    pub(super) fn speak_for_others(&self, peer: Option<IpAddr>) -> bool {
        let nobody_named = self.networks.is_empty() && !self.unix;
        nobody_named || peer.map_or(self.unix, |peer| contains_address(&self.networks, peer))
    }
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a head.
    pub(super) head: Duration,
    /// To take what it was sent, once it has shown a verified token.
    pub(super) stall: Duration,
    /// For anything but a head, before that.
    pub(super) unverified: Duration,
}

/// A response of our own is small: a client that waits for it takes it at once.
const OWN_RESPONSE: Duration = Duration::from_secs(5);

impl Times {
    /// To send the next request.
    pub(super) fn idle(&self, account: &Connection) -> Duration {
        if account.is_trusted() { IDLE_TIMEOUT } else { self.unverified.min(IDLE_TIMEOUT) }
    }

    /// To take a response.
    pub(super) fn response(&self, account: &Connection, is_own: bool) -> Duration {
        let time = if account.is_trusted() { self.stall } else { self.unverified.min(self.stall) };
        if is_own { time.min(OWN_RESPONSE) } else { time }
    }
}

impl ConnectionSettings {
    pub(super) fn new(config: &Config, admission: u64) -> Self {
        let limits = &config.limits;
        let mut http1 = http1::Builder::new();
        // The intake keeps the time, and no head reaches hyper that is larger than this.
        http1.header_read_timeout(None).max_header_size(limits.header_bytes);
        // A head has to fit into it.
        http1.max_buf_size(limits.header_bytes.max(BUFFER_BYTES));
        // Any explicit number moves hyper's header table to the heap; 100 is its own.
        if limits.header_count != 100 {
            http1.max_headers(limits.header_count);
        }
        let intake = IntakeLimits {
            head: HeadLimits { bytes: limits.header_bytes, fields: limits.header_count },
            discard: limits.discard,
        };
        let required = config.proxy_protocol == ProxyProtocol::Require;
        let proxies = required.then(|| TrustedProxies {
            networks: config.trusted_proxies.as_slice().into(),
            unix: config.trusts_unix_peers,
        });
        Self {
            http1,
            http2: Http2Limits {
                concurrent_streams: limits.concurrent_streams,
                head_bytes: limits.header_bytes,
            },
            times: Times {
                head: limits.header_read_timeout,
                stall: config.upstream.idle_timeout,
                unverified: limits.unverified_timeout,
            },
            intake,
            proxies,
            admission,
        }
    }
}

/// After so many polls a worker looks for what has come in, however much is ready: tokio's 61 may be tens of
/// milliseconds of handshakes.
const EVENT_INTERVAL: u32 = 16;

const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(1);
const WORTH_GIVING_BACK: usize = 4 << 20;

/// All workers.
pub(super) struct Workers {
    workers: Vec<Worker>,
    drain: watch::Sender<bool>,
}

struct Worker {
    jobs: UnboundedSender<Job>,
    open: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

/// What a worker serves with while one configuration is in force.
pub(super) struct Serving {
    pub(super) gateway: Arc<Gateway>,
    pub(super) upstream: Arc<Upstream>,
    /// For connections that are accepted from now on.
    pub(super) settings: ConnectionSettings,
    pub(super) tls: Option<TlsAcceptor>,
}

/// What every connection of a worker shares.
#[derive(Clone)]
pub(super) struct WorkerContext {
    /// The worker's own, so that no count of it moves between cores; looked at for each request.
    pub(super) serving: Arc<ArcSwap<Serving>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: watch::Receiver<bool>,
    pub(super) admission: watch::Receiver<u64>,
}

impl WorkerContext {
    /// Resolves when a connection that was admitted by the policy of this number is to end.
    pub(super) async fn is_ending(&self, admission: u64) {
        let mut current = self.admission.clone();
        tokio::select! {
            () = self.is_draining() => {}
            // As for draining.
            _ = current.wait_for(|current| *current != admission) => {}
        }
    }

    /// Whether it is to end with its next answer.
    pub(super) fn is_outdated(&self, admission: u64) -> bool {
        self.serving.load().settings.admission != admission
    }

    /// Resolves when connections are to end.
    pub(super) async fn is_draining(&self) {
        let mut drain = self.drain.clone();
        // The sender outlives the workers; if it is gone, so is the reason to go on.
        let _ = drain.wait_for(|drain| *drain).await.is_ok();
    }
}

impl Workers {
    /// One worker for each of `cells`, which say what it serves with.
    pub(super) fn start(
        cells: &[Arc<ArcSwap<Serving>>],
        admission: &watch::Sender<u64>,
        metrics: &Arc<Metrics>,
        budget: &Arc<Budget>,
    ) -> io::Result<Self> {
        let drain = watch::Sender::new(false);
        let mut workers = Vec::with_capacity(cells.len());
        for (number, serving) in cells.iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build()?;
            let context = WorkerContext {
                serving: serving.clone(),
                metrics: metrics.clone(),
                drain: drain.subscribe(),
                admission: admission.subscribe(),
            };
            let (jobs, receiver) = unbounded_channel();
            let open = Arc::new(AtomicUsize::new(0));
            let (counted, budget) = (open.clone(), budget.clone());
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(give_back_memory(budget));
                    serve(receiver, context, counted).await;
                });
                // Connections that outlived the drain are cut here.
                runtime.shutdown_background();
            })?;
            workers.push(Worker { jobs, open, thread });
        }
        Ok(Self { workers, drain })
    }

    /// Gives a connection to the worker that has fewest.
    pub(super) fn hand_over(&self, job: Job) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed))
        else {
            return;
        };
        worker.open.fetch_add(1, Ordering::Relaxed);
        // A worker that is gone takes its connections with it: dropping the job closes this one.
        let _ = worker.jobs.send(job);
    }

    /// Asks every connection to end with the request that it is serving.
    pub(super) fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Ends the workers, whatever is still open.
    pub(super) async fn stop(self) {
        let threads: Vec<_> = self.workers.into_iter().map(|worker| worker.thread).collect();
        let joined =
            tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
    }
}

/// Serves connections until the channel closes.
async fn serve(mut jobs: UnboundedReceiver<Job>, context: WorkerContext, open: Arc<AtomicUsize>) {
    let turns = Arc::<Turns>::default();
    let rounds = turns.clone();
    tokio::spawn(async move { rounds.give().await });
    while let Some(Job { stream, peer, door, open: connection }) = jobs.recv().await {
        // A socket belongs to the runtime that polls it.
        let Ok(stream) = stream.moved() else {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        };
        let account = connection.account().clone();
        account.is_served_with(&turns);
        let counted = Counted { open: open.clone(), metrics: context.metrics.clone(), connection };
        context.metrics.connections.inc();
        let context = context.clone();
        tokio::spawn(take_turns(account, async move {
            tokio::select! {
                biased;
                () = counted.connection.account().is_asked_to_close() => {
                    tracing::debug!(?peer, "closed a connection to make room for others");
                }
                () = connection::serve(stream, peer, door, &counted.connection, &context) => {}
            }
            drop(counted);
        }));
    }
}

/// Has this thread's allocator return what is free, each time that clients hold much less than before. mimalloc
/// keeps pages for as long as nothing is allocated or freed, which is what follows a burst.
async fn give_back_memory(budget: Arc<Budget>) {
    let mut ticks = tokio::time::interval(GIVE_BACK_INTERVAL);
    let mut most = 0;
    loop {
        ticks.tick().await;
        let held = budget.memory();
        most = held.max(most);
        if most - held >= WORTH_GIVING_BACK {
            most = held;
            // Before mimalloc fails to allocate, it collects everything that is free. There is no other way that
            // takes no unsafe code.
            let _ = std::hint::black_box(&mut Vec::<u8>::new()).try_reserve_exact(isize::MAX.unsigned_abs());
        }
    }
}

/// One open connection in the counts; taken out of them however it ends.
struct Counted {
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    connection: OpenConnection,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connection.account().ends();
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections.dec();
        // Dropped while a panic unwinds, it is the connection's: tokio keeps it from the worker.
        if std::thread::panicking() {
            self.metrics.panics.inc();
        }
    }
}
