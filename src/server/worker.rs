//! The workers: one thread, one current-thread runtime and one pool each.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::intake::IntakeLimits;
use super::socket::Stream;
use crate::config::{Config, ProxyProtocol};
use crate::gateway::{Door, Gateway};
use crate::metrics::Metrics;
use crate::policy::contains_address;
use crate::request::HeadLimits;
use crate::upstream::Upstream;

/// How long a connection may be kept alive without a request. Long, because OpenMetadata's client
/// does not repeat a write on a connection that was closed under it.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// hyper's own limit for one direction of a connection.
const MAX_BUFFER_BYTES: usize = 400 * 1024;

/// An accepted connection on its way to a worker.
pub(super) struct Job {
    stream: Stream,
    peer: Option<IpAddr>,
    door: Door,
    permit: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn new(
        stream: Stream,
        peer: Option<IpAddr>,
        door: Door,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { stream, peer, door, permit }
    }
}

/// How connections are served.
#[derive(Clone)]
pub(super) struct ConnectionSettings {
    pub(super) http1: http1::Builder,
    pub(super) intake: IntakeLimits,
    /// Whose PROXY protocol headers are read, where connections must begin with one.
    pub(super) proxies: Option<TrustedProxies>,
    /// Not used where [`Self::speaks_http2`] is false.
    pub(super) http2: http2::Builder<TokioExecutor>,
    pub(super) speaks_http2: bool,
    pub(super) times: Times,
    pub(super) header_count: usize,
}

/// Peers that may say who a connection comes from.
#[derive(Clone)]
pub(super) struct TrustedProxies {
    networks: Arc<[IpNet]>,
    unix: bool,
}

impl TrustedProxies {
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
    /// To take what it was sent.
    pub(super) stall: Duration,
}

/// What a client may send of one request, and of all of them, before we have passed it on.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is held of one answer while its client does not read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// A client is asked for a sign of life this often, and has this long to give it.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl ConnectionSettings {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let mut http1 = http1::Builder::new();
        // The intake keeps the time, and no head reaches hyper that is larger than this.
        http1.header_read_timeout(None).max_header_size(limits.header_bytes);
        if limits.header_bytes > MAX_BUFFER_BYTES {
            http1.max_buf_size(limits.header_bytes);
        }
        // Any explicit number moves hyper's header table to the heap; 100 is its own.
        if limits.header_count != 100 {
            http1.max_headers(limits.header_count);
        }
        let intake = IntakeLimits {
            head: HeadLimits { bytes: limits.header_bytes, fields: limits.header_count },
            head_time: limits.header_read_timeout,
            idle_time: IDLE_TIMEOUT,
        };
        let required = config.proxy_protocol == ProxyProtocol::Require;
        let proxies = required.then(|| TrustedProxies {
            networks: config.trusted_proxies.as_slice().into(),
            unix: config.trusts_unix_peers,
        });
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // The limits on resets are hyper's own.
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.concurrent_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self {
            http1,
            http2,
            speaks_http2: limits.concurrent_streams > 0,
            times: Times { head: limits.header_read_timeout, stall: config.upstream.idle_timeout },
            intake,
            proxies,
            header_count: limits.header_count,
        }
    }
}

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
}

impl WorkerContext {
    /// Resolves when connections are to end.
    pub(super) async fn is_draining(&self) {
        let mut drain = self.drain.clone();
        // The sender outlives the workers; if it is gone, so is the reason to go on.
        let _ = drain.wait_for(|drain| *drain).await.is_ok();
    }
}

impl Workers {
    /// One worker for each of `cells`, which say what it serves with.
    pub(super) fn start(cells: &[Arc<ArcSwap<Serving>>], metrics: &Arc<Metrics>) -> io::Result<Self> {
        let drain = watch::Sender::new(false);
        let mut workers = Vec::with_capacity(cells.len());
        for (number, serving) in cells.iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let context = WorkerContext {
                serving: serving.clone(),
                metrics: metrics.clone(),
                drain: drain.subscribe(),
            };
            let (jobs, receiver) = unbounded_channel();
            let open = Arc::new(AtomicUsize::new(0));
            let counted = open.clone();
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                runtime.block_on(serve(receiver, context, counted));
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
    while let Some(Job { stream, peer, door, permit }) = jobs.recv().await {
        // A socket belongs to the runtime that polls it.
        let Ok(stream) = stream.moved() else {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        };
        let counted = Counted { open: open.clone(), metrics: context.metrics.clone(), _permit: permit };
        context.metrics.connections.inc();
        let context = context.clone();
        tokio::spawn(async move {
            connection::serve(stream, peer, door, &context).await;
            drop(counted);
        });
    }
}

/// One open connection in the counts; taken out of them however it ends.
struct Counted {
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections.dec();
        // Dropped while a panic unwinds, it is the connection's: tokio keeps it from the worker.
        if std::thread::panicking() {
            self.metrics.panics.inc();
        }
    }
}
