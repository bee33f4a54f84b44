//! Runs the process: opens listeners, starts workers, reloads the configuration and drains at shutdown.
//!
//! 1. [`run`] loads everything that can fail, starts one current-thread runtime per worker (`worker`), and begins to
//!    accept connections on the caller's runtime (`accept`). Each worker has its own pool of upstream connections, so
//!    a request never moves between cores.
//! 2. A connection goes to the worker with the fewest open connections, if the budget has room for it.
//! 3. `reload` replaces the configuration in force (`generation`) while the process serves. A configuration that
//!    cannot be used changes nothing.
//! 4. Health, metrics and the status page have a thread of their own (`side`), so that no client can delay a probe.
//! 5. When `shutdown` resolves, or on `POST /quit`, the process reports that it is not ready, drains, and ends within
//!    `shutdown.drainTimeout`. The remaining audit records are written last.

use std::future::{Future, pending};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until, timeout};

pub use crate::admin::LogLevel;
use crate::admin::{LastReload, Outcome};
use crate::audit::{AuditTrail, AuditWriter};
use crate::budget::Budget;
use crate::config::{Config, Listen, Loaded};
use crate::connection::{ShutdownPhase, Slots};
use crate::gateway::Clock;
use crate::history::{self, History};
use crate::jwks::KeysError;
use crate::metrics::{ExpositionFormat, Metrics, Sample};
use crate::revocation_list::ListsError;
use crate::signals::Signals;
use crate::sync::ArcSwap;
use crate::tls::{self, TlsError};
use crate::tokens_in_use::TokensInUse;

mod accept;
mod activation;
mod connection_policy;
mod console;
mod descriptors;
mod free_memory;
mod generation;
mod health;
mod notify;
mod pulse;
mod reload;
mod side;
mod socket;
mod status;
pub(crate) mod tls_files;
mod worker;

pub use activation::Inherited;
pub use notify::Notifier;
pub use reload::{Reload, log_findings};
pub(crate) use socket::bound;
pub use socket::{ProxySocket, Socket};

use accept::Acceptors;
use generation::{Generation, PreparedConfig, SharedState};
use reload::Reloader;
use side::SideListeners;
use worker::{WorkerGauge, Workers};

#[cfg(test)]
mod tests;

/// The bound listeners. The caller binds them, so that tests can use port 0.
#[derive(Debug)]
pub struct Listeners {
    /// Requests that are proxied.
    pub proxy: Vec<ProxySocket>,
    /// `/livez`, `/readyz` and `/metrics`.
    pub health: StdListener,
    /// Forward-auth requests of other proxies.
    pub forward_auth: Option<StdListener>,
    /// The status page.
    pub admin: Vec<StdListener>,
}

impl Listeners {
    /// Uses inherited sockets, and binds the other listeners of the configuration.
    pub fn bind(config: &Config, mut inherited: Inherited) -> Result<Self, RunError> {
        let proxy = inherited.take_proxy(config)?;
        let unusable =
            |key, address: SocketAddr| move |error| RunError::Bind(key, Listen::Tcp(address), error);
        let mut open = |name, key, address: SocketAddr| match inherited.take(name) {
            Some(socket) => Ok(socket),
            None => socket::listen_on(address, false).map_err(unusable(key, address)),
        };
        let forward_auth = config.forward_auth.as_ref().map(|forward_auth| forward_auth.listen);
        let forward_auth =
            forward_auth.map(|address| open("forward-auth", "forwardAuth.listen", address)).transpose()?;
        let health = open("health", "health.listen", config.health_listen)?;
        let admin = match inherited.take("admin") {
            Some(socket) => vec![socket],
            None => socket::listen_on_loopback(config.admin_listen)
                .map_err(unusable("admin.listen", config.admin_listen))?,
        };
        let bind = |listen: &Listen| {
            let only_ipv6 = listen.address().is_some_and(|address| config.listen.is_only_ipv6(address));
            let socket = Socket::bind(listen, only_ipv6);
            let socket = socket.map_err(|error| RunError::Bind("listen", listen.clone(), error))?;
            Ok(ProxySocket { listen: listen.clone(), socket })
        };
        let proxy = match proxy {
            inherited if !inherited.is_empty() => inherited,
            _ => config.listen.iter().map(bind).collect::<Result<_, RunError>>()?,
        };
        Ok(Self { forward_auth, proxy, health, admin })
    }
}

/// Why the proxy cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}: cannot listen on {1}: {2}")]
    Bind(&'static str, Listen, io::Error),
    #[error("the socket `{0}` that was passed by LISTEN_FDS cannot be used: {1}")]
    Inherited(String, io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Revocations(#[from] ListsError),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// The state of the process that its listeners and tasks share.
pub struct Process {
    /// Prometheus metrics.
    pub metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    current: ArcSwap<Generation>,
    draining: AtomicBool,
    started: SystemTime,
    last_reload: Mutex<Option<LastReload>>,
    workers: Vec<WorkerGauge>,
    history: History,
    tokens: Arc<TokensInUse>,
    signals: Arc<Signals>,
    log_dropped: Option<LogDropped>,
    audit: AuditTrail,
    /// Wakes when `POST /quit` asks for the end.
    quit: Notify,
}

impl Process {
    fn new(
        shared: &SharedState,
        workers: &Workers,
        budget: Arc<Budget>,
        first: Arc<Generation>,
        log_dropped: Option<LogDropped>,
    ) -> Self {
        Self {
            metrics: shared.metrics.clone(),
            workers: workers.gauges(),
            history: History::default(),
            tokens: shared.tokens.clone(),
            signals: shared.signals.clone(),
            budget,
            current: ArcSwap::new(first),
            draining: AtomicBool::new(false),
            started: SystemTime::now(),
            last_reload: Mutex::default(),
            log_dropped,
            audit: shared.audit.clone(),
            quit: Notify::new(),
        }
    }

    /// Whether the process should get new requests: it has keys and every list, and is not draining.
    pub fn is_ready(&self) -> bool {
        self.has_keys()
            && self.current.load().revocations.are_ready()
            && self.current.load().bots.is_ready()
            && !self.draining.load(Ordering::Relaxed)
    }

    fn has_keys(&self) -> bool {
        self.current.load().keys.are_ready()
    }

    /// The generation in force.
    fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The metrics.
    fn exposition(&self, format: ExpositionFormat) -> String {
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.count_dropped_lines();
        self.metrics.requests_in_flight.set(count(self.budget.requests()));
        self.metrics.memory_held.set(count(self.budget.memory()));
        for (number, worker) in self.worker_views().into_iter().enumerate() {
            self.metrics.worker(number, worker.busy_seconds, worker.tasks, worker.longest_delay_seconds);
        }
        self.metrics.encode(format)
    }

    /// Takes samples of the metrics for the status page, for ever.
    async fn sample(&self) {
        let mut times = tokio::time::interval(history::INTERVAL);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            self.history.add(SystemTime::now(), self.counters());
        }
    }

    /// The counters now.
    fn counters(&self) -> Sample {
        self.count_dropped_lines();
        Sample { keys: self.tokens.requests_by_key(), ..self.metrics.sample() }
    }

    fn count_dropped_lines(&self) {
        if let Some(dropped) = &self.log_dropped {
            self.metrics.log_dropped(dropped());
        }
    }

    fn enter(&self, generation: Arc<Generation>, shared: &SharedState) {
        self.budget.change(generation.budget_limits());
        generation.enter(Some(&*self.current()), shared);
        self.current.store(generation);
    }

    fn reloaded(&self, trigger: &'static str, outcome: &Outcome) {
        let last = LastReload { at: SystemTime::now(), trigger, outcome: outcome.clone() };
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Options of [`run`] that tests usually leave at their defaults.
#[derive(Default)]
pub struct RunOptions {
    /// How the configuration is reloaded. `None` turns reloading off.
    pub reload: Option<Reload>,
    /// Reports the state of the process to the service manager.
    pub notifier: Notifier,
    /// Changes the level of the log.
    pub log_level: Option<LogLevel>,
    /// How many lines of the log were dropped.
    pub log_dropped: Option<LogDropped>,
}

/// Returns how many lines of the log were dropped so far.
pub type LogDropped = Box<dyn Fn() -> u64 + Send + Sync>;

/// Runs the proxy until `shutdown` resolves and everything has drained. Audit records are written to `audit_out`;
/// `clock` returns the time at which tokens are verified.
pub async fn run(
    loaded: Loaded,
    options: RunOptions,
    listeners: Listeners,
    audit_out: impl io::Write + Send + 'static,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    tls::install_crypto_provider();
    let metrics = Arc::new(Metrics::new());
    let (audit, writer) = AuditTrail::start(audit_out, metrics.clone())?;
    let loaded = Arc::new(loaded);
    let proxies = listeners.proxy.iter().map(|proxy| proxy.listen.clone()).collect();
    let mut shared = SharedState::new(metrics.clone(), audit, clock, proxies);
    let exporter = shared.start_exporter(&loaded)?;
    let prepared = PreparedConfig::new(loaded.clone(), None, &shared, loaded.config.workers)?;
    let first = Arc::new(prepared.generation(&shared));
    shared.slots = Slots::new(first.worker_states());
    let budget = Budget::new(first.budget_limits(), metrics.clone());
    let workers = Workers::start(&shared.slots, &metrics, &budget)?;
    first.enter(None, &shared);
    metrics.config_is_good(true);
    let process = Arc::new(Process::new(&shared, &workers, budget, first, options.log_dropped));

    let acceptors = Acceptors::open(listeners.proxy, listeners.forward_auth)?;
    let (reload_sender, reload_requests) = mpsc::channel(16);
    let console = console::console(&process, reload_sender, shared.refusals.clone(), options.log_level);
    let side_listeners = SideListeners::start(listeners.health, listeners.admin, &process, console)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(free_memory::give_back_at_rest());
    let notifier = Arc::new(options.notifier);
    if let Some(reload) = options.reload {
        let (process, shared, notifier) = (process.clone(), Arc::new(shared), notifier.clone());
        let reloader = Reloader { process, shared, reload, started: loaded, notifier, files: Arc::default() };
        tasks.spawn(reloader.run(reload::hangups()?, reload_requests));
    }

    // Do not wait for keys: the backend that publishes them may itself wait for this process to start.
    notifier.notify("READY=1\nSTATUS=listening");

    let mut shutdown = pin!(shutdown);
    let by_request = serve(&process, &acceptors, &workers, shutdown.as_mut()).await;
    // No reload happens while draining.
    tasks.shutdown().await;
    notifier.notify("STOPPING=1\nSTATUS=draining");
    tokio::select! {
        () = drain(&process, acceptors, workers) => {}
        () = signal_after_quit(shutdown), if by_request => {}
    }
    exporter.finish().await;
    // The audit trail ends when its last handle is dropped, and these tasks have one.
    side_listeners.stop().await;
    drop(process);
    finish(writer).await;
    Ok(())
}

/// Accepts connections until `shutdown` resolves or `POST /quit` arrives. Returns whether it was the latter.
async fn serve(
    process: &Process,
    acceptors: &Acceptors,
    workers: &Workers,
    shutdown: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        () = acceptors.accept(workers, process) => false,
        () = shutdown => false,
        () = process.quit.notified() => true,
    }
}

/// Waits for the signal to shut down, which changes nothing any more after `POST /quit`. It has to be received so that the
/// second one can end the process.
async fn signal_after_quit(shutdown: impl Future<Output = ()>) {
    shutdown.await;
    tracing::info!("signal while draining: the next one exits immediately");
    pending().await
}

/// How long idle connections stay open once no connections are accepted. A client that sent its request just before
/// it could know still gets its response.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Shuts down without losing a request of a client that obeys `Connection: close` and GOAWAY:
///
/// 1. Reports not ready at once, and tells clients to go elsewhere. Accepts connections for `shutdown.delay`.
/// 2. Then accepts none, and closes idle connections after [`IDLE_GRACE`].
/// 3. Waits for requests in progress, at most for `shutdown.drainTimeout` after the delay.
async fn drain(process: &Process, acceptors: Acceptors, workers: Workers) {
    process.draining.store(true, Ordering::Relaxed);
    let shutdown = process.current.load().loaded.config.shutdown.clone();
    tracing::info!(delay = ?shutdown.delay, timeout = ?shutdown.drain_timeout, "draining");
    workers.enter(ShutdownPhase::Announced);
    tokio::select! {
        () = acceptors.accept(&workers, process) => {}
        () = sleep(shutdown.delay) => {}
    }
    // Accept the connections in the backlog: closing the listener would reset them.
    let _ = timeout(Duration::ZERO, acceptors.accept(&workers, process)).await;
    let deadline = Instant::now() + shutdown.drain_timeout;
    workers.enter(ShutdownPhase::Draining);
    drop(acceptors);
    let emptied = async {
        let _ = timeout(IDLE_GRACE, process.budget.is_empty()).await;
        workers.enter(ShutdownPhase::ClosingIdle);
        process.budget.is_empty().await;
    };
    tokio::select! {
        () = emptied => tracing::info!("drained"),
        () = sleep_until(deadline) => {
            let open = process.budget.connections();
            tracing::warn!(open, "shutdown.drainTimeout exceeded: closing the remaining connections");
        }
    }
    workers.stop().await;
}

/// Writes the remaining audit records.
async fn finish(writer: AuditWriter) {
    // Dropping it joins a thread, which would block this runtime.
    let _ = tokio::task::spawn_blocking(move || drop(writer)).await;
}
