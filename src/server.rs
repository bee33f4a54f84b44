//! The process: listeners, workers, and how both end.
//!
//! One current-thread runtime per worker, each with its own pool of upstream connections, so that
//! a request never moves between cores. Connections are accepted on the caller's runtime and
//! handed to the worker that has fewest.

use std::future::Future;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::audit::{AuditTrail, AuditWriter};
use crate::challenge;
use crate::config::Config;
use crate::decision::Reason;
use crate::exchange::Ledger;
use crate::gateway::{Clock, Door, Gateway};
use crate::keys::{Keys, KeysError};
use crate::metrics::Metrics;
use crate::revocation_list::RevocationList;
use crate::tls::{self, TlsError};
use crate::upstream::Target;

mod connection;
mod health;
mod intake;
mod phase;
mod proxy_protocol;
mod worker;

use worker::{ConnectionSettings, Job, Workers};

/// Connections beyond the limit that are given time to read their answer.
const MAX_TURNED_AWAY: usize = 64;
const MAX_TURNED_AWAY_BYTES: u64 = 64 * 1024;

/// Listeners, bound by the caller: tests use port 0.
#[derive(Debug)]
pub struct Listeners {
    /// Where requests come in.
    pub proxy: StdListener,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub health: StdListener,
    /// Where other proxies ask for decisions, if they may.
    pub forward_auth: Option<StdListener>,
}

impl Listeners {
    /// Binds what the configuration says.
    pub fn bind(config: &Config) -> Result<Self, RunError> {
        let bind = |address| StdListener::bind(address).map_err(|error| RunError::Bind(address, error));
        let forward_auth = config.forward_auth.as_ref().map(|forward_auth| bind(forward_auth.listen));
        Ok(Self {
            proxy: bind(config.listen)?,
            health: bind(config.health_listen)?,
            forward_auth: forward_auth.transpose()?,
        })
    }
}

/// Why the proxy cannot run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RunError {
    #[error("cannot listen on {0}: {1}")]
    Bind(std::net::SocketAddr, io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// What is the same for every part of the process.
pub struct Process {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The keys.
    pub keys: Arc<Keys>,
    draining: AtomicBool,
}

impl Process {
    /// Whether new requests are welcome: there are keys, and no end is near.
    pub fn is_ready(&self) -> bool {
        self.keys.are_ready() && !self.draining.load(Ordering::Relaxed)
    }
}

/// Runs the proxy until `shutdown` resolves and everything has drained. `audit_out` takes the
/// audit records; `clock` says what time it is when tokens are judged.
pub async fn run(
    config: &Config,
    listeners: Listeners,
    audit_out: impl io::Write + Send + 'static,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    tls::install_crypto_provider();
    let metrics = Arc::new(Metrics::new());
    let (audit, writer) = AuditTrail::start(audit_out, metrics.clone())?;
    let keys = Keys::new(config, &metrics)?;
    let process =
        Arc::new(Process { metrics: metrics.clone(), keys: keys.clone(), draining: AtomicBool::new(false) });
    let ledger = Arc::new(Ledger {
        audit,
        metrics: metrics.clone(),
        rules: config.policy.rules.iter().map(|rule| rule.name.clone()).collect(),
        entries: config.trust.iter().map(|entry| entry.name.clone()).collect(),
    });
    let revocations = RevocationList::new(config.revocations.as_ref(), &metrics);
    let gateway = Arc::new(Gateway::new(config, keys.clone(), revocations.clone(), ledger, clock));
    let settings = ConnectionSettings::new(config);
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    let workers =
        Workers::start(config.workers, gateway, &Target::new(&config.upstream)?, &settings, tls, &metrics)?;

    let doors = Doors::open(listeners.proxy, listeners.forward_auth)?;
    let health = listener(listeners.health, "health")?;
    let health = tokio::spawn(health::serve(health, process.clone()));
    keys.start();
    let refreshing = [tokio::spawn(revocations.run())];

    let connections = Arc::new(Semaphore::new(config.limits.connections));
    tokio::select! {
        () = doors.accept(&workers, &connections) => {}
        () = shutdown => {}
    }
    drain(config, &process, doors, workers, &connections).await;
    refreshing.iter().for_each(tokio::task::JoinHandle::abort);
    health.abort();
    finish(writer).await;
    Ok(())
}

fn listener(listener: StdListener, name: &'static str) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    tracing::info!(listener = name, %address, "listening");
    Ok(listener)
}

/// The listeners that requests come in by.
struct Doors {
    proxy: TcpListener,
    forward_auth: Option<TcpListener>,
}

impl Doors {
    fn open(proxy: StdListener, forward_auth: Option<StdListener>) -> io::Result<Self> {
        let proxy = listener(proxy, "proxy")?;
        let forward_auth = forward_auth.map(|asking| listener(asking, "forward-auth")).transpose()?;
        Ok(Self { proxy, forward_auth })
    }

    /// Accepts by all of them until it is dropped.
    async fn accept(&self, workers: &Workers, connections: &Arc<Semaphore>) {
        let asking = async {
            if let Some(listener) = &self.forward_auth {
                accept(listener, Door::ForwardAuth, workers, connections).await;
            }
        };
        tokio::join!(accept(&self.proxy, Door::Proxy, workers, connections), asking);
    }
}

/// Accepts until it is dropped. Nothing that a client or a full table of file descriptors does
/// ends it.
async fn accept(listener: &TcpListener, door: Door, workers: &Workers, connections: &Arc<Semaphore>) {
    let mut failing = false;
    let turned_away = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                match connections.clone().try_acquire_owned() {
                    Ok(permit) => workers.hand_over(Job::new(stream, peer, door, permit)),
                    Err(_) => turn_away(stream, &turned_away),
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "cannot accept connections");
                }
                failing = true;
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers one connection too many and lets it read the answer: a socket that is closed with
/// bytes unread is reset, and the answer with it. Few of these wait at a time.
fn turn_away(mut stream: TcpStream, waiting: &Arc<Semaphore>) {
    let row = challenge::row(Reason::Overloaded);
    let body = challenge::body(row.status, row.message);
    let answer = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{body}",
        row.status,
        body.len(),
    );
    // A fresh socket's buffer takes it whole; a client that is gone already needs no answer.
    let _ = stream.try_write(answer.as_bytes());
    let Ok(slot) = waiting.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        let _slot = slot;
        let closing = async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(MAX_TURNED_AWAY_BYTES), &mut tokio::io::sink()).await
        };
        // Whatever comes of it, the connection ends here.
        let _ = timeout(Duration::from_secs(1), closing).await;
    });
}

/// Not ready at once; after `shutdown.delay` nothing new; what runs may end within
/// `shutdown.drainTimeout`.
async fn drain(
    config: &Config,
    process: &Process,
    doors: Doors,
    workers: Workers,
    connections: &Arc<Semaphore>,
) {
    process.draining.store(true, Ordering::Relaxed);
    tracing::info!(delay = ?config.shutdown.delay, timeout = ?config.shutdown.drain_timeout, "draining");
    tokio::select! {
        () = doors.accept(&workers, connections) => {}
        () = sleep(config.shutdown.delay) => {}
    }
    drop(doors);
    let deadline = Instant::now() + config.shutdown.drain_timeout;
    workers.drain();
    let all = u32::try_from(config.limits.connections).unwrap_or(u32::MAX);
    tokio::select! {
        // Every connection has given its permit back.
        _ = connections.acquire_many(all) => tracing::info!("drained"),
        () = sleep_until(deadline) => {
            let open = config.limits.connections - connections.available_permits();
            tracing::warn!(open, "drainTimeout is over: closing what is still open");
        }
    }
    workers.stop().await;
}

/// Writes the audit records that are left.
async fn finish(writer: AuditWriter) {
    // Joining its thread blocks, which this runtime must not.
    let _ = tokio::task::spawn_blocking(move || drop(writer)).await;
}
