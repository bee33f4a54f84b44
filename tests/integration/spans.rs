//! Traces: the context that the backend gets, and the spans that a collector gets.

mod collector;
mod contexts;
mod failures;

use std::net::SocketAddr;

use collector::{Collector, Received, Span};

use crate::support::gateway::Setup;
use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::send;

const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A gateway that sends its spans to this collector, soon.
#[track_caller]
fn traced(collector: &Collector, upstream: Upstream, adjust: impl FnOnce(Setup) -> Setup) -> Stage {
    Stage::with(Issuer::of(rsa()), upstream, |setup| {
        adjust(
            setup
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
                .env("OTEL_BSP_SCHEDULE_DELAY", "10")
                .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        )
    })
}

#[test]
fn a_forwarded_request_has_two_spans() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    let token = bearer(&Token::user());
    let fields = [
        ("Authorization", token.as_str()),
        ("traceparent", SENT),
        ("tracestate", "vendor=1"),
        ("User-Agent", "spans/1.0 (test)"),
        ("X-Request-Id", "request-1"),
    ];
    let response = send(stage.gateway.proxy, "GET", "/api/v1/tables?secret=s3cr3t", &fields, b"");
    assert_eq!(response.status, 200);
    let server = collector.span("/api/v1/tables");
    let client = collector.child_of(&server);
    for (span, kind) in [(&server, 2), (&client, 3)] {
        assert_eq!((span.trace_id(), &*span.name, span.kind), (TRACE.to_owned(), "GET", kind));
        assert_eq!((&*span.trace_state, span.status_code()), ("vendor=1", 0));
        assert!(span.start > 0 && span.end >= span.start);
    }
    assert_eq!(server.parent(), "00f067aa0ba902b7");
    assert_eq!((server.flags, client.flags), (0x301, 0x101), "whether the parent is remote");
    assert!(client.start >= server.start && client.end <= server.end);
    let port = stage.upstream.address.port().to_string();
    for (span, expected) in [
        (
            &server,
            &[
                ("http.request.method", "GET"),
                ("url.path", "/api/v1/tables"),
                ("url.scheme", "http"),
                ("server.address", "gateway.test"),
                ("http.response.status_code", "200"),
                ("network.protocol.version", "1.1"),
                ("client.address", "127.0.0.1"),
                ("user_agent.original", "spans/1.0 (test)"),
                ("metagate.decision", "allow"),
                ("metagate.issuer", "public-keys"),
                ("metagate.request_id", "request-1"),
                ("metagate.complete", "true"),
            ][..],
        ),
        (
            &client,
            &[
                ("http.request.method", "GET"),
                ("server.address", "127.0.0.1"),
                ("server.port", &port),
                ("url.full", &format!("{}/api/v1/tables", stage.upstream.url())),
                ("http.response.status_code", "200"),
            ],
        ),
    ] {
        for (name, value) in expected {
            assert_eq!(span.attribute(name).as_deref(), Some(*value), "{name}");
        }
    }
    // What the backend got.
    let head = stage.upstream.only_request().head;
    let traceparent = format!("00-{TRACE}-{}-01", client.id());
    assert_eq!(head.values("traceparent"), [&*traceparent]);
    assert_eq!(head.values("tracestate"), ["vendor=1"]);
    assert_eq!(stage.gateway.audit_of("/api/v1/tables")["trace_id"], TRACE);
    // No secret, and the names of the service.
    let received = collector.requests();
    for Received { head, message, body } in &received {
        assert_eq!(head.value("content-type"), Some("application/x-protobuf"));
        let resource = message.resource();
        for (name, value) in [
            ("service.name", "metagate"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("deployment.environment.name", "test"),
        ] {
            assert_eq!(resource.get(name).map(String::as_str), Some(value));
        }
        assert_eq!(resource["service.instance.id"].len(), 32);
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains("eyJ") && !text.contains("s3cr3t"), "{text}");
    }
}

#[test]
fn the_trace_is_the_same_over_http2() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user());
    let fields = [("authorization", token.as_str()), ("traceparent", SENT)];
    assert_eq!(client.send("GET", "/over-2", &fields, b"").expect("a response").status, 200);
    let server = collector.span("/over-2");
    assert_eq!((server.trace_id(), server.parent()), (TRACE.to_owned(), "00f067aa0ba902b7".to_owned()));
    assert_eq!(server.attribute("network.protocol.version").as_deref(), Some("2"));
    assert_eq!(server.attribute("server.address").as_deref(), Some("gateway.test"));
    let child = collector.child_of(&server);
    let head = stage.upstream.only_request().head;
    assert_eq!(head.values("traceparent"), [&*format!("00-{TRACE}-{}-01", child.id())]);
}

#[test]
fn a_refused_request_has_one_span_that_is_no_error() {
    let collector = Collector::start();
    let stage = traced(&collector, Upstream::echo(), |setup| setup);
    let late = bearer(&Token::user().claim("exp", 1_000_000_000.into()));
    let response = stage.gateway.get("/refused", &[("traceparent", SENT), ("Authorization", &late)]);
    assert_eq!(response.status, 401);
    let span = collector.span("/refused");
    assert_eq!((span.trace_id(), span.status_code()), (TRACE.to_owned(), 0));
    for (name, value) in [
        ("http.response.status_code", Some("401")),
        ("metagate.decision", Some("deny")),
        ("metagate.reason", Some("expired")),
        ("error.type", None),
    ] {
        assert_eq!(span.attribute(name).as_deref(), value, "{name}");
    }
    assert!(collector.children_of(&span).is_empty());
    let record = stage.gateway.audit_of("/refused");
    assert_eq!(record["trace_id"], TRACE);
}

/// Heads that cannot be read, unknown methods, and what is read by another listener.
#[test]
fn every_request_has_a_span() {
    let collector = Collector::start();
    let config = "authentication: {publicKeyUrls: [ISSUER/jwks]}\nforwardAuth: {listen: \"127.0.0.1:0\", target: original}\n";
    let issuer = Issuer::of(rsa());
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", collector.url()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "10")
        .config(config.replace("ISSUER", &issuer.url("")))
        .start();
    gateway.wait_ready();
    let status = |address: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]| {
        send(address, method, target, fields, b"").status
    };
    assert_eq!(status(gateway.proxy, "BREW", "/unknown-method", &[]), 405);
    let span = collector.span("/unknown-method");
    assert_eq!(&*span.name, "HTTP");
    assert_eq!(span.attribute("http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(span.attribute("http.request.method_original").as_deref(), Some("BREW"));
    assert_eq!(status(gateway.proxy, "GET", "/bad head", &[]), 400);
    let span = collector.find("the head that cannot be read", |span| {
        span.attribute("metagate.reason").as_deref() == Some("bad_target")
    });
    assert_eq!(span.parent(), "");
    let token = bearer(&Token::user());
    let asked = [
        ("Authorization", token.as_str()),
        ("traceparent", SENT),
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/asked"),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    assert_eq!(status(gateway.listener("forward-auth"), "GET", "/", &asked), 200);
    let span: Span = collector.span("/asked");
    assert_eq!(span.attribute("metagate.via").as_deref(), Some("forward_auth"));
    assert_eq!(span.attribute("client.address").as_deref(), Some("192.0.2.1"));
    assert_eq!(span.parent(), "00f067aa0ba902b7");
    assert!(collector.children_of(&span).is_empty());
    assert!(upstream.requests().is_empty());
}
