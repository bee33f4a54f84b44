//! Which context goes on to the backend.

use super::collector::Collector;
use super::{SENT, TRACE, traced};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

/// Sends a request with these fields, and returns `traceparent` and `tracestate` as the backend got them.
#[track_caller]
fn passed_on(stage: &Stage, target: &str, fields: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let token = bearer(&Token::user());
    let fields = [&[("Authorization", token.as_str())], fields].concat();
    assert_eq!(stage.gateway.get(target, &fields).status, 200);
    let head = stage.upstream.request_to(target).head;
    let values = |name: &str| head.values(name).into_iter().map(str::to_owned).collect();
    (values("traceparent"), values("tracestate"))
}

#[test]
fn without_an_endpoint_fields_go_on_as_they_came() {
    let stage = Stage::plain(|setup| {
        setup.env("OTEL_SERVICE_NAME", "unused").env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    });
    for (target, traceparent) in [("/valid", SENT), ("/invalid", "00-zz"), ("/later", "01-x")] {
        let sent = [("traceparent", traceparent), ("tracestate", "a=1")];
        let expected = (vec![traceparent.to_owned()], vec!["a=1".to_owned()]);
        assert_eq!(passed_on(&stage, target, &sent), expected);
    }
    assert_eq!(passed_on(&stage, "/none", &[]), (Vec::new(), Vec::new()));
    assert_eq!(stage.gateway.audit_of("/valid")["trace_id"], TRACE);
    for path in ["/invalid", "/none"] {
        assert_eq!(stage.gateway.audit_of(path).get("trace_id"), None, "{path}");
    }
}

#[test]
fn an_invalid_context_is_replaced_by_a_new_one() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    let upper = SENT.to_uppercase();
    let twice = [("traceparent", SENT), ("traceparent", SENT), ("tracestate", "a=1")];
    for (target, fields) in [
        ("/none", &[][..]),
        ("/state", &[("tracestate", "a=1")]),
        ("/upper", &[("traceparent", upper.as_str()), ("tracestate", "a=1")]),
        ("/short", &[("traceparent", &SENT[..54]), ("tracestate", "a=1")]),
        ("/twice", &twice),
    ] {
        let (parent, state) = passed_on(&stage, target, fields);
        assert_eq!((parent.len(), state.len()), (1, 0), "{target}: {parent:?} {state:?}");
        let span = collector.span(target);
        assert_eq!(span.parent(), "", "{target}");
        assert_ne!(span.trace_id(), TRACE, "{target}");
        let child = collector.child_of(&span);
        assert_eq!(parent[0], format!("00-{}-{}-01", span.trace_id(), child.id()), "{target}");
        assert_eq!(stage.gateway.audit_of(target)["trace_id"], span.trace_id(), "{target}");
    }
}

#[test]
fn a_trace_that_its_sender_does_not_record_is_not_recorded() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    let unsampled = SENT.replace("-01", "-00");
    let (parent, state) =
        passed_on(&stage, "/unsampled", &[("traceparent", &unsampled), ("tracestate", "a=1")]);
    assert!(parent[0].starts_with(&SENT[..36]) && parent[0].ends_with("-00"), "{parent:?}");
    assert_ne!(parent[0], unsampled, "the parent is ours");
    assert_eq!(state, ["a=1"]);
    assert_eq!(stage.gateway.audit_of("/unsampled")["trace_id"], TRACE);
    // Requests are added in the order in which they end.
    passed_on(&stage, "/sampled", &[("traceparent", SENT)]);
    collector.span("/sampled");
    assert!(collector.spans().iter().all(|span| span.attribute("url.path").as_deref() != Some("/unsampled")));
}

#[test]
fn the_sampler_is_configured() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| {
        setup.env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0")
    });
    let (parent, _) = passed_on(&stage, "/begun-here", &[]);
    assert!(parent[0].ends_with("-00"), "{parent:?}");
    let (parent, _) = passed_on(&stage, "/sampled", &[("traceparent", SENT)]);
    assert!(parent[0].ends_with("-01"), "{parent:?}");
    collector.span("/sampled");
    assert!(collector.spans().iter().all(|span| span.trace_id() == TRACE));
}
