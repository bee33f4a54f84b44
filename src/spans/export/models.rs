//! Requests that end while the spans of others are sent.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::{block_on, yield_now};
use shuttle::thread::{self, JoinHandle};

use super::super::otlp::PartialSuccess;
use super::super::tests::{counted, ended, tracer_with};
use super::super::{RequestTrace, Tracer};
use super::*;
use crate::config::RootSampler;
use crate::message::Fields;
use crate::sync::check;

/// A delay passes only in the end: no time passes in a model.
const DELAY: Duration = Duration::from_secs(5);
/// Each thread ends this many requests. One of them was forwarded and has two spans.
const REQUESTS: usize = 2;
const SPANS: usize = REQUESTS + 1;

/// A collector, and how many spans it has taken.
struct Taking {
    taken: Arc<watch::Sender<usize>>,
    attempts: AtomicUsize,
    answer: fn(attempt: usize) -> Result<PartialSuccess, SendError>,
}

impl Destination for Taking {
    /// One byte for each span.
    fn body(&self, request: &ExportTraceServiceRequest) -> io::Result<Bytes> {
        Ok(vec![0; request.resource_spans[0].scope_spans[0].spans.len()].into())
    }

    async fn send(&self, body: Bytes) -> Result<PartialSuccess, SendError> {
        yield_now().await;
        let answer = (self.answer)(self.attempts.fetch_add(1, Ordering::Relaxed));
        if let Ok(left) = &answer {
            self.taken.send_modify(|taken| *taken += body.len() - left.rejected_spans as usize);
        }
        answer
    }
}

struct World {
    tracer: Arc<Tracer>,
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    taken: Arc<watch::Sender<usize>>,
}

impl World {
    fn new(sizes: Sizes, answer: fn(usize) -> Result<PartialSuccess, SendError>) -> Self {
        let (taken, metrics) = (Arc::new(watch::Sender::new(0)), Arc::new(Metrics::new()));
        let destination = Taking { taken: taken.clone(), attempts: AtomicUsize::new(0), answer };
        let resource = Resource { attributes: Vec::new() };
        let (queue, exporter) = export_to(destination, sizes, DELAY, resource, &metrics);
        Self { tracer: Arc::new(tracer_with(RootSampler::On, queue)), exporter, metrics, taken }
    }

    /// A thread that ends its requests.
    fn thread(&self) -> JoinHandle<()> {
        let tracer = self.tracer.clone();
        thread::spawn(move || {
            for number in 0..REQUESTS {
                let mut trace: RequestTrace = tracer.begin(None, &"/a".parse().unwrap(), &Fields::new());
                if number == 0 {
                    trace.call_backend(&mut Fields::new(), "/a");
                }
                tracer.add(trace.finish(&tracer, ended("/a")).unwrap());
            }
        })
    }
}

/// The first batch is taken, the second one only in part after another attempt. Each span is taken, or counted as one that
/// was not, once; none is left when the exporter has finished.
#[test]
fn every_span_is_counted_once() {
    const THREADS: usize = 3;
    check(|| {
        let world = World::new(Sizes { queue: 3, batch: 2 }, |attempt| match attempt {
            1 => Err(SendError::Unavailable(String::new(), None)),
            2 => Ok(PartialSuccess { rejected_spans: 1, error_message: String::new() }),
            _ => Ok(PartialSuccess::default()),
        });
        let threads = [(); THREADS].map(|()| world.thread());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        block_on(world.exporter.finish());
        let counted = |result| counted(&world.metrics, result);
        assert_eq!(counted("exported"), *world.taken.borrow());
        let all = ["exported", "rejected", "failed", "queue_full"].map(counted);
        assert_eq!(all.iter().sum::<usize>(), THREADS * SPANS, "{all:?}");
    });
}

/// As soon as there are enough for a batch, it is sent: nothing waits for the delay.
#[test]
fn a_full_batch_does_not_wait() {
    const THREADS: usize = 2;
    check(|| {
        let sizes = Sizes { queue: THREADS * REQUESTS, batch: 2 };
        let world = World::new(sizes, |_| Ok(PartialSuccess::default()));
        let _threads = [(); THREADS].map(|()| world.thread());
        let mut taken = world.taken.subscribe();
        let _: watch::Ref<'_, usize> = block_on(taken.wait_for(|taken| *taken == THREADS * SPANS)).unwrap();
    });
}
