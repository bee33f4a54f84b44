#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::RootSampler;
use crate::metrics::ExpositionFormat;
use crate::test_support::fields;
use crate::trace_context::TraceIdText;

const TRACEPARENT_SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn tracer(root: RootSampler, size: usize) -> (Tracer, mpsc::Receiver<RequestRecord>, Arc<Metrics>) {
    let (records, receiver) = mpsc::channel(size);
    let metrics = Arc::<Metrics>::default();
    let queue = SpanQueue { records, enough: Arc::default(), batch: 2, metrics: metrics.clone() };
    (tracer_with(root, queue), receiver, metrics)
}

pub(super) fn tracer_with(root: RootSampler, queue: SpanQueue) -> Tracer {
    let sampler = Sampler { parent_based: true, root };
    Tracer::new(sampler, queue, &Url::parse("http://backend:8585/om/").unwrap())
}

fn begin(tracer: &Tracer, headers: &Fields) -> RequestTrace {
    tracer.begin(TraceContext::of(headers), &Uri::from_static("/a"), headers)
}

pub(super) fn ended(path: &str) -> EndedRequest<'_> {
    EndedRequest {
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
        duration: Duration::from_millis(30),
        method: "GET",
        path,
        client: None,
        user_agent: None,
        request_id: "id",
        status: Some(200),
        decision: "allow",
        reason: None,
        issuer: None,
        rule: None,
        via: None,
        complete: true,
        call: Some(CallTimes {
            after: Duration::from_millis(10),
            duration: Duration::from_millis(15),
            status: Some(200),
            failure: None,
        }),
    }
}

#[test]
fn a_trace_is_continued_and_the_backend_gets_our_span() {
    let (tracer, ..) = tracer(RootSampler::Off, 1);
    let mut headers =
        fields(&[("traceparent", TRACEPARENT_SENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
    let mut trace = begin(&tracer, &headers);
    trace.call_backend(&mut headers, "/a");
    let sent = TraceContext::of(&headers).unwrap();
    let received = TraceContext::parse(TRACEPARENT_SENT.as_bytes()).unwrap();
    assert_eq!((sent.trace_id, sent.flags), (received.trace_id, 1));
    assert_eq!(headers.get_all(TRACESTATE).count(), 2, "unchanged");
    let record = trace.finish(&tracer, ended("/a")).unwrap();
    assert_eq!(record.parent, Some(received.parent_id));
    assert_eq!(record.state.as_deref(), Some("a=1,b=2"));
    let call = record.call.unwrap();
    assert_eq!(call.id, sent.parent_id);
    assert!(![received.parent_id, record.id].contains(&call.id));
}

#[test]
fn an_invalid_context_begins_a_trace_without_its_state() {
    let (tracer, ..) = tracer(RootSampler::On, 1);
    for sent in ["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "x"] {
        let mut headers = fields(&[("traceparent", sent), ("tracestate", "a=1")]);
        let mut trace = begin(&tracer, &headers);
        trace.call_backend(&mut headers, "/a");
        let context = TraceContext::of(&headers).unwrap();
        assert_eq!((context.trace_id, context.flags), (trace.trace_id(), 1));
        assert_ne!(TraceIdText::of(&context.trace_id).as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!headers.contains_key(TRACESTATE));
        let record = trace.finish(&tracer, ended("/a")).unwrap();
        assert_eq!((record.parent, record.state), (None, None));
    }
}

#[test]
fn an_unsampled_trace_is_passed_on_and_not_recorded() {
    let (tracer, ..) = tracer(RootSampler::On, 1);
    let mut headers =
        fields(&[("traceparent", &TRACEPARENT_SENT.replace("-01", "-00")), ("tracestate", "a=1")]);
    let mut trace = begin(&tracer, &headers);
    trace.call_backend(&mut headers, "/a");
    assert_eq!(TraceContext::of(&headers).unwrap().flags, 0);
    assert!(headers.contains_key(TRACESTATE));
    assert!(trace.finish(&tracer, ended("/a")).is_none());
}

#[test]
fn trace_and_span_ids_differ() {
    let (tracer, ..) = tracer(RootSampler::On, 1);
    let traces: Vec<_> = (0..100).map(|_| begin(&tracer, &Fields::new())).collect();
    let ids: std::collections::BTreeSet<_> = traces.iter().map(RequestTrace::trace_id).collect();
    let spans: std::collections::BTreeSet<_> = traces.iter().map(|trace| trace.context.parent_id).collect();
    assert_eq!((ids.len(), spans.len()), (100, 100));
}

#[test]
fn what_a_client_sends_is_bounded() {
    let (tracer, ..) = tracer(RootSampler::On, 1);
    let long = "x".repeat(100_000);
    let mut headers = fields(&[("traceparent", TRACEPARENT_SENT), ("tracestate", &long), ("host", &long)]);
    let mut trace = begin(&tracer, &headers);
    trace.call_backend(&mut headers, &"é".repeat(50_000));
    let record = trace
        .finish(&tracer, EndedRequest { method: &long, user_agent: Some(long.clone().into()), ..ended("/a") })
        .unwrap();
    assert_eq!((&record.state, &record.authority, &record.user_agent), (&None, &None, &None));
    assert_eq!(record.other_method.as_ref().unwrap().len(), MAX_METHOD_BYTES);
    assert_eq!(record.call.as_ref().unwrap().path.len(), MAX_PATH_BYTES);
    let mut spans = Vec::new();
    conventions::spans(&record, &mut spans);
    assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["HTTP", "HTTP"]);
}

#[test]
fn a_full_queue_drops_and_counts_and_wakes_the_exporter_for_a_batch() {
    let (tracer, mut receiver, metrics) = tracer(RootSampler::On, 3);
    for number in 1..=5 {
        let mut trace = begin(&tracer, &Fields::new());
        trace.call_backend(&mut Fields::new(), "/a");
        tracer.add(trace.finish(&tracer, ended("/a")).unwrap());
        if number == 1 {
            assert!(!is_ready(tracer.queue.enough.notified()), "one is no batch");
        }
    }
    let dropped = |metrics: &Metrics| counted(metrics, "queue_full");
    assert_eq!(dropped(&metrics), 4, "two requests of two spans each");
    let woken = tracer.queue.enough.notified();
    assert!(is_ready(woken), "there were two for a batch");
    assert!(receiver.try_recv().is_ok());
    tracer.add(begin(&tracer, &Fields::new()).finish(&tracer, ended("/a")).unwrap());
    assert_eq!(dropped(&metrics), 4);
}

/// How many spans are counted with this result.
pub(super) fn counted(metrics: &Metrics, result: &str) -> usize {
    let text = metrics.encode(ExpositionFormat::Text);
    let sample = format!("metagate_spans_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&*sample)).unwrap().parse().unwrap()
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_ready()
}
