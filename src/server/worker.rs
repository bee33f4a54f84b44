//! The workers. Each has one thread with a current-thread runtime, and one pool of upstream connections.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::free_memory::{self, Ebb, Rest};
use super::pulse::{self, Pulse, Reading};
use crate::admin::WorkerView;
use crate::budget::{Budget, OpenConnection, Turns, take_turns};
use crate::connection::{self, ShutdownPhase, Slots, Stream, WorkerContext, WorkerState};
use crate::gateway::ListenerKind;
use crate::metrics::Metrics;
use crate::panics;
use crate::sync::ArcSwap;

/// An accepted connection on its way to a worker.
pub(super) struct Job {
    stream: Stream,
    peer: Option<IpAddr>,
    listener_kind: ListenerKind,
    open: OpenConnection,
}

impl Job {
    pub(super) fn new(
        stream: Stream,
        peer: Option<IpAddr>,
        listener_kind: ListenerKind,
        open: OpenConnection,
    ) -> Self {
        Self { stream, peer, listener_kind, open }
    }
}

/// A worker checks for new events after this many polls of tasks. With tokio's default of 61, TLS handshakes could
/// delay them by tens of milliseconds.
const EVENT_INTERVAL: u32 = 16;

/// The size of the task of a connection, at most. Every idle connection holds it.
const TASK_BYTES: usize = 8 * 1024;

/// How to find out what a worker does.
#[derive(Clone)]
pub(super) struct WorkerGauge {
    runtime: RuntimeMetrics,
    pulse: Arc<Pulse>,
}

impl WorkerGauge {
    /// What the worker does now.
    pub(super) fn read(&self, now: Instant) -> WorkerView {
        let Reading { delay, overdue, longest, busy } = self.pulse.read(now);
        WorkerView {
            busy_seconds: self.runtime.worker_total_busy_duration(0).as_secs_f64(),
            busy,
            tasks: self.runtime.num_alive_tasks(),
            delay_seconds: delay.as_secs_f64(),
            overdue_seconds: overdue.as_secs_f64(),
            longest_delay_seconds: longest.as_secs_f64(),
        }
    }
}

/// All workers.
pub(super) struct Workers {
    workers: Vec<Worker>,
    shutdown: watch::Sender<ShutdownPhase>,
}

struct Worker {
    jobs: UnboundedSender<Job>,
    open: Arc<AtomicUsize>,
    gauge: WorkerGauge,
    thread: thread::JoinHandle<()>,
}

impl Workers {
    /// Starts one worker for each slot. A slot has the state with which the worker serves.
    pub(super) fn start(
        slots: &Slots<WorkerState>,
        metrics: &Arc<Metrics>,
        budget: &Arc<Budget>,
    ) -> io::Result<Self> {
        let shutdown = watch::Sender::new(ShutdownPhase::Serving);
        let mut workers = Vec::new();
        for (number, (worker_state, policy_number)) in slots.of_workers().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build()?;
            let context = WorkerContext {
                worker_state: worker_state.clone(),
                metrics: metrics.clone(),
                shutdown: shutdown.subscribe(),
                policy_number,
            };
            let (jobs, receiver) = unbounded_channel();
            let pulse = Arc::new(Pulse::new(Instant::now()));
            let gauge = WorkerGauge { runtime: runtime.metrics(), pulse: pulse.clone() };
            let open = Arc::new(AtomicUsize::new(0));
            let (counted, budget) = (open.clone(), budget.clone());
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                panics::works_on_requests();
                runtime.block_on(async {
                    tokio::spawn(every_second(budget, pulse, context.worker_state.clone()));
                    serve(receiver, context, counted).await;
                });
                // Drops the connections that are still open after the drain.
                runtime.shutdown_background();
            })?;
            workers.push(Worker { jobs, open, gauge, thread });
        }
        Ok(Self { workers, shutdown })
    }

    /// One for each worker.
    pub(super) fn gauges(&self) -> Vec<WorkerGauge> {
        self.workers.iter().map(|worker| worker.gauge.clone()).collect()
    }

    /// Gives a connection to the worker with the fewest connections.
    pub(super) fn hand_over(&self, job: Job) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed))
        else {
            return;
        };
        worker.open.fetch_add(1, Ordering::Relaxed);
        // If the worker has ended, the job is dropped, which closes the connection.
        let _ = worker.jobs.send(job);
    }

    /// Tells every connection how far the shutdown has come.
    pub(super) fn enter(&self, phase: ShutdownPhase) {
        self.shutdown.send_replace(phase);
    }

    /// Ends the workers and closes all remaining connections.
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
    while let Some(Job { stream, peer, listener_kind, open: connection }) = jobs.recv().await {
        // The socket was registered with the accepting runtime.
        let Ok(stream) = stream.moved() else {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        };
        let account = connection.account().clone();
        account.set_turns(&turns);
        let counted = Counted { open: open.clone(), metrics: context.metrics.clone(), connection };
        context.metrics.connections.inc();
        let context = context.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = counted.connection.account().close_requested() => {
                    tracing::debug!(?peer, "closed a connection to make room for others");
                }
                () = connection::serve(stream, peer, listener_kind, &counted.connection, &context) => {}
            }
            drop(counted);
        };
        debug_assert!(size_of_val(&task) <= TASK_BYTES, "{}", size_of_val(&task));
        tokio::spawn(take_turns(account, task));
    }
}

/// Says how late the worker is, closes its idle connections to the backend when their time is over, and returns its thread's
/// free memory to the system when clients hold much less than before, or when it rests after work.
async fn every_second(budget: Arc<Budget>, pulse: Arc<Pulse>, worker_state: Arc<ArcSwap<WorkerState>>) {
    let mut ticks = tokio::time::interval(pulse::INTERVAL);
    // After a delay, the next one is due an interval later.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ebb, mut rest, runtime) = (Ebb::default(), Rest::default(), Handle::current().metrics());
    loop {
        let due = ticks.tick().await;
        let busy = runtime.worker_total_busy_duration(0);
        pulse.beat(due.into_std(), Instant::now(), busy);
        worker_state.load().upstream.close_expired();
        let (has_ebbed, rests) = (ebb.is_worth_giving_back(budget.memory()), rest.begins(busy));
        if has_ebbed || rests {
            free_memory::give_back();
        }
    }
}

/// Counts one open connection until it is dropped.
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
        // A panic here is one of this connection's task. tokio catches it, and the worker continues.
        if std::thread::panicking() {
            self.metrics.panics.inc();
        }
    }
}
